"""What `make bench` measured, as tables: how fast, compared with what, and where the time goes.

All tables come from the measurements that `measurements.read_results` returns. Rates are training
samples per second, with all test samples of a case at once, and without the time for the test
gradients.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from .measurements import THIS_LIBRARY, list_methods, name_method, read_cases
from .prose import percent

# This library and its peers ----------------------------------------------------------------------


def make_comparison(rows: pd.DataFrame) -> pd.DataFrame:
    """Compare the methods: one row per case and method (column `way`), the fastest first.

    Parameters
    ----------
    rows
        The measurements, from `measurements.read_results`.

    Returns
    -------
    pandas.DataFrame
        `case`; `way`; `covered`: parameter tensors that enter the cosine, of all; `ratio`: how many
        times this library is faster; `exact`: whether all parameters enter; `max_error`; `rate`;
        `peak_gb`; `passes` and `hours`: backward passes and time for the paper's 10,000 × 125 at
        one checkpoint; `tile`: test samples at once, as many as fit into memory; `of_bound`: share
        of what the rate of a plain matrix product allows (see `find_product_rates`); `failed`: why
        a method has no rate.
    """
    limits = find_product_rates(rows)["median"]
    first_repeat = rows["repeat"].isna()
    table = []
    for case in read_cases()["cases"]:
        of_case = rows[_match(rows, read_cases()["defaults"] | case["spec"]) & first_repeat]
        for method, part in of_case.groupby("what", sort=False):
            row = {"case": case["title"], "way": name_method(method), "covered": "", "exact": False}
            table.append(row | _find_error(part) | _find_cost(method, part, limits))
    comparison = pd.DataFrame(table)
    if "failed" not in comparison:
        comparison["failed"] = None
    this_library = comparison[comparison["way"] == name_method(THIS_LIBRARY)]
    rates = this_library.set_index("case")["rate"]
    comparison.insert(3, "ratio", comparison["case"].map(rates) / comparison["rate"])
    titles = [case["title"] for case in read_cases()["cases"]]
    return comparison.sort_values(
        ["case", "rate"],
        ascending=[True, False],
        key=lambda column: column.map(titles.index) if column.name == "case" else column,
        ignore_index=True,
    )


def _find_error(part: pd.DataFrame) -> dict[str, Any]:
    """Return what comparing a method with float64 autograd found; empty if it was not compared."""
    checked = part[part["check"].eq(True)]
    if checked.empty or pd.isna(checked.iloc[0]["max_error"]):
        return {}
    check = checked.iloc[0]
    return {
        "covered": f"{check['covered']:.0f} of {check['parameters']:.0f}",
        "max_error": check["max_error"],
        "exact": bool(check["covered"] == check["parameters"]),
    }


def _find_cost(method: str, part: pd.DataFrame, limits: pd.Series) -> dict[str, Any]:
    """Return time, memory and passes of a method, from its runs with fewest and most samples."""
    timed = part[~part["check"].eq(True)].sort_values("n_train")
    timed = timed[timed["seconds"].notna()]
    if len(timed) < 2:
        return {"failed": next(iter(part["failed"].dropna()), "not measured yet")}
    few, more = timed.iloc[0], timed.iloc[-1]
    n_train, n_test = read_cases()["paper"]["n_train"], read_cases()["n_test"]
    tiles = math.ceil(n_test / few["n_test"])
    each = (more["seconds"] - few["seconds"]) / (more["n_train"] - few["n_train"])
    fixed = max(0.0, few["seconds"] - few["n_train"] * each)
    limit = limits.get(method, limits[THIS_LIBRARY])
    return {
        "rate": 1 / (each * tiles),
        "peak_gb": max(few["peak_gb"], more["peak_gb"]),
        "passes": count_passes(read_cases()["ways"][method], n_train, n_test, tiles),
        "tile": int(few["n_test"]),
        "hours": tiles * (fixed + n_train * each) / 3600,
        "of_bound": _count_operations(few, n_test) / (each * tiles) / limit,
    }


def count_passes(method: dict[str, Any], n_train: int, n_test: int, tiles: int = 1) -> int:
    """Count the backward passes that a method needs, one per sample.

    Parameters
    ----------
    method
        An entry of `ways` in `benchmarks/cases.json`.
    n_train, n_test
        Training and test samples.
    tiles
        Into how many tiles the test samples are divided; training samples are passed for each.
    """
    if "passes_per_pair" in method:
        return method["passes_per_pair"] * n_train * n_test
    return method["passes_per_sample"] * (tiles * n_train + n_test)


def _count_operations(row: pd.Series | pd.DataFrame, n_test: int) -> Any:
    """FLOPs for one training sample: (6T + 2M)P for T tokens, M test samples, P linear weights.

    The forward pass, the backward pass to the inputs and the building of the gradient take 2TP
    each, the products with the test gradients 2MP.
    """
    return (6 * row["length"] + 2 * n_test) * row["weights"]


def find_product_rates(rows: pd.DataFrame) -> pd.DataFrame:
    """FLOP/s of a plain matrix product on this machine, measured beside all the runs.

    Parameters
    ----------
    rows
        The measurements, from `measurements.read_results`.

    Returns
    -------
    pandas.DataFrame
        `median, low, high`; rows: `default`, as PyTorch computes it, `xl-influence`, as the
        engine's `arithmetic` does, and each setting of this library that is less precise.
    """
    less_precise = rows["what"].isin(_less_precise())
    rates = {"default": rows["gemm"], THIS_LIBRARY: rows.loc[~less_precise, "gemm_fast"]}
    for method, part in rows[less_precise].groupby("what"):
        rates[method] = part["gemm_fast"]
    table = pd.DataFrame(
        {method: rate.agg(["median", "min", "max"]) for method, rate in rates.items()}
    )
    return table.T.set_axis(["median", "low", "high"], axis=1)


def _less_precise() -> list[str]:
    """Return this library's less precise settings, each bounded by an equally precise product."""
    return [method for method in list_methods("this library") if method != THIS_LIBRARY]


def make_headline(comparison: pd.DataFrame, paper_scale: pd.DataFrame) -> dict[str, str]:
    """Format the numbers for the prose; a question mark where something was not measured.

    Parameters
    ----------
    comparison
        From `make_comparison`, on a CPU. Only its first case counts.
    paper_scale
        From `make_paper_scale`, on a GPU.

    Returns
    -------
    dict
        How many times faster this library is than the fastest exact peer (`speed_peers`), than that
        peer with this library's matrix products (`speed_same_products`), and than two passes for
        every pair (`speed_pairs`); how close it comes to the bound (`speed_of_bound`); and the
        seconds that it takes at the paper's scale (`gpu_seconds`).
    """
    this_library = name_method(THIS_LIBRARY)
    first_case = comparison["case"] == comparison["case"].iloc[0]
    case = comparison[first_case & comparison["rate"].notna()].set_index("way")
    exact = case.loc[case["exact"], "ratio"]
    peers = [name_method(method) for method in list_methods("peer")]
    seconds = paper_scale.loc[paper_scale["way"] == this_library, "seconds"]
    return {
        "speed_peers": _format_ratio(exact[exact.index.isin(peers)].min()),
        "speed_same_products": _format_ratio(exact.get(name_method("dattri-llm-fast"))),
        "speed_pairs": _format_ratio(exact.get(name_method("pairs"))),
        "speed_of_bound": percent(case["of_bound"][this_library]),
        "gpu_seconds": f"{seconds.iloc[0]:.0f}" if len(seconds) else "?",
    }


def _format_ratio(ratio: float | None) -> str:
    """A ratio for the prose: two digits up to ten, whole above."""
    if ratio is None or pd.isna(ratio):
        return "?"
    return f"{ratio:.2g}" if ratio < 10 else f"{ratio:,.0f}"


def make_paper_scale(rows: pd.DataFrame) -> pd.DataFrame:
    """Return this library's time on a GPU at the paper's scale, for one checkpoint.

    The case is XLM-R base with its whole vocabulary, 10,000 training and 125 test samples
    (section 5) of 64 tokens.

    Parameters
    ----------
    rows
        The measurements, from `measurements.read_results`.

    Returns
    -------
    pandas.DataFrame
        `way, seconds, peak_gb, of_bound`, as in `make_comparison`.
    """
    paper = read_cases()["paper"]
    rates = find_product_rates(rows)["median"]
    limits = pd.Series(
        {method: rates.get(method, rates[THIS_LIBRARY]) for method in read_cases()["ways"]}
    )
    found = rows[_match(rows, paper) & rows["seconds"].notna()]
    operations = _count_operations(found, paper["n_test"]) * paper["n_train"]
    table = found.assign(
        way=[name_method(method) for method in found["what"]],
        of_bound=operations / found["seconds"] / limits.reindex(found["what"]).to_numpy(),
    )
    return table[["way", "seconds", "peak_gb", "of_bound"]].reset_index(drop=True)


# Growth and steps of this library ----------------------------------------------------------------


def make_growth(rows: pd.DataFrame) -> pd.DataFrame:
    """Return this library's time along each axis, the quantity that grows.

    Parameters
    ----------
    rows
        The measurements, from `measurements.read_results`.

    Returns
    -------
    pandas.DataFrame
        `axis` (its title), `value`, `seconds, low, high` (median, least and most of the repeats).
    """
    table = []
    for axis, title, part in _along_axes(rows):
        for value, seconds in part.groupby(axis)["seconds"]:
            row = {"axis": title, "value": value, "seconds": seconds.median()}
            table.append(row | {"low": seconds.min(), "high": seconds.max()})
    return pd.DataFrame(table, columns=["axis", "value", "seconds", "low", "high"])


def make_growth_ratios(rows: pd.DataFrame) -> pd.DataFrame:
    """Compute how many times longer the largest value of each axis takes than the smallest.

    Parameters
    ----------
    rows
        The measurements, from `measurements.read_results`.

    Returns
    -------
    pandas.DataFrame
        `axis, smallest, largest, times` (largest / smallest), `median, low, high` (ratio of the
        times in one repeat, over the repeats), `repeats`.
    """
    table = []
    for axis, title, part in _along_axes(rows):
        smallest, largest = part[axis].min(), part[axis].max()
        seconds = part.pivot(index="repeat", columns=axis, values="seconds")
        ratio = (seconds[largest] / seconds[smallest]).dropna()
        row = {"axis": title, "smallest": smallest, "largest": largest}
        row |= {"times": largest / smallest, "median": ratio.median()}
        table.append(row | {"low": ratio.min(), "high": ratio.max(), "repeats": len(ratio)})
    columns = ["axis", "smallest", "largest", "times", "median", "low", "high", "repeats"]
    return pd.DataFrame(table, columns=columns)


def _along_axes(rows: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """For each axis: its column, its title, and the measurements in which only it changes."""
    growth = read_cases()["growth"]
    usual = read_cases()["defaults"] | growth["usual"]
    repeated = rows["repeat"].notna() & rows["seconds"].notna() & ~_has_steps(rows)
    measured = rows[(rows["what"] == THIS_LIBRARY) & repeated]
    for axis, entry in growth["axes"].items():
        fixed = {name: value for name, value in usual.items() if name != axis}
        part = measured[_match(measured, fixed)]
        if len(part):
            yield axis, entry["title"], part


def make_steps(rows: pd.DataFrame) -> pd.DataFrame:
    """Return how long each step of this library takes.

    Parameters
    ----------
    rows
        The measurements, from `measurements.read_results`.

    Returns
    -------
    pandas.DataFrame
        `step`, `seconds` per training sample (the median of the repeats).
    """
    measured = rows[_has_steps(rows)]
    if measured.empty:
        return pd.DataFrame(columns=["step", "seconds"])
    found = [pd.Series(row["steps"]) / row["n_train"] for _, row in measured.iterrows()]
    return pd.DataFrame(found).median().rename_axis("step").rename("seconds").reset_index()


def _has_steps(rows: pd.DataFrame) -> pd.Series:
    return rows["steps"].map(lambda value: isinstance(value, dict))


def _match(rows: pd.DataFrame, values: dict[str, Any]) -> pd.Series:
    """Which rows have all these values."""
    return (rows[list(values)] == pd.Series(values)).all(axis=1)
