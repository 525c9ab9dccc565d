"""The paper and this run: its tables and claims (`paper.yaml`) beside the tables of a run.

What a claim is about is a quantity (`quantities`): a value with its interval. No interval, no verdict. A language in which
the model is less than five points above the most frequent class enters none.
"""

import functools
from importlib import resources

import numpy as np
import pandas as pd
import yaml

from .found import Run
from .quantities import QUANTITIES, UNITS

HOLDS = ("holds", "does not hold", "inconclusive", "cannot be tested here")
NUMBERS = ["paper_value", "value", "ci_low", "ci_high"]
COLUMNS = ["claim", "section", "statement", *NUMBERS, "holds", "unit", "of", "chance", "left_out"]


@functools.cache
def reported():
    """`paper.yaml` as a dict: `tables`, `claims`."""
    return yaml.safe_load(
        resources.files(__package__).joinpath("paper.yaml").read_text(encoding="utf-8")
    )


def claims(task, tables, judged=True, *, resamples=2000, confidence_level=0.95, seed=0):
    """The paper's claims on a task beside a run's values.

    Parameters
    ----------
    tables : dict
        Name → table of the run, those that there are; `manifest`, the run's; `manifests`, variant → manifest of the
        models that the zero-shot and imbalance tables compare (`base`, `without-ko`, `plus-100-de`, …); for claims that
        compare tasks `<task>/<name>`, of the other tasks.
    judged : bool
        False: no verdicts, for synthetic corpora, which can neither confirm nor refute what was said of real ones.

    Returns
    -------
    pandas.DataFrame
        `claim, section, statement, paper_value` (NaN where the paper gives none), `value, ci_low, ci_high` (NaN where it
        has no interval), `holds`: one of `HOLDS` (see `verdict`), '' if not judged; `unit`: 'share', 'points' (a
        difference, 0.01 is a point) or 'count' (a share of `of`: languages or tests); `chance` (NaN where none is
        defined); `left_out`: the languages at chance, with commas between.
    """
    run = Run(tables, {"resamples": resamples, "confidence_level": confidence_level, "seed": seed})
    rows = [_row(claim, task, run, judged) for claim in _made_for(task)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _made_for(task):
    """The paper's claims that are made for a task."""
    return [claim for claim in reported()["claims"] if task in claim["tasks"]]


def _row(claim, task, run, judged):
    said, given, name = claim.get("paper", np.nan), claim.get("given", {}), claim["quantity"]
    said = said[task] if isinstance(said, dict) else said
    about = {given.get("language"), *given.get("languages", [])}
    found = None if about & set(run.weak) else QUANTITIES[name](run, **given)
    value, low, high, chance, of = (np.nan,) * 5
    if found is not None:
        value, low, high, chance, of = found.value, found.low, found.high, found.chance, found.of
    holds = verdict(value, low, high, claim["expect"], said, chance) if judged else ""
    unit = next(unit for unit, functions in UNITS.items() if QUANTITIES[name] in functions)
    what = [claim["id"], claim["section"], claim["statement"]]
    return [*what, said, value, low, high, holds, unit, of, chance, ", ".join(run.weak)]


def verdict(value, low, high, expect, said, chance=np.nan):
    """One of `HOLDS`; `expect`: '> x', '< x', 'at least' or 'about' (`said`, the paper's value).

    Without a value a claim cannot be tested here; without an interval it is inconclusive. A claim about a threshold holds
    where the interval lies beyond it, does not where it lies on the other side, and is inconclusive where the threshold is
    inside. A claim about a number holds where the number is in the interval, and does not elsewhere. What random scores
    would show as well does not hold: with `chance` in the interval it is inconclusive instead.
    """
    yes, no, unknown, untested = HOLDS
    if np.isnan(value):
        return untested
    if np.isnan(low):
        return unknown
    if low - 1e-9 <= chance <= high + 1e-9:
        yes = unknown
    if expect == "about":
        return yes if low - 1e-9 <= said <= high + 1e-9 else no
    sign, threshold = (">", said) if expect == "at least" else (expect[0], float(expect[1:]))
    if sign == "<":
        low, high, threshold = -high, -low, -threshold
    if low > threshold or (expect == "at least" and low >= threshold - 1e-9):
        return yes
    return no if high < threshold or low == high else unknown


def own_change(tables, first):
    """How much more of the positive top k is in the test language after the last epoch than after `first`.

    `tables`: `epochs_by_sample` (`sharing.composition_by_sample` with `epochs`), or `composition`, which has the value but
    no interval of the change. Returns (value, low, high) as fractions; None where there is no epoch after `first`.
    """
    found = QUANTITIES["own_change"](Run(tables), first)
    return found and (found.value, found.low, found.high)


def scoreboard(claims, task):
    """The paper, the study on real data and the demo side by side, one row for each of the paper's claims on a task.

    `claims`: 'real' and 'demo' → a table of `claims`, those that there are. Only 'real' is judged.

    Returns
    -------
    pandas.DataFrame
        `section, statement, unit, paper_value`, then for real and demo `<study>_value, <study>_low, <study>_high,
        <study>_chance, <study>_of` (NaN where there is none), and `verdict`, one of `HOLDS`, of the real study.
    """
    said = pd.DataFrame(
        [_row(claim, task, Run({}), True) for claim in _made_for(task)], columns=COLUMNS
    )
    board = said[["section", "statement", "unit", "paper_value"]].copy()
    for study in ("real", "demo"):
        table = claims.get(study, said).set_index("claim").reindex(said["claim"])
        for name in ("value", "ci_low", "ci_high", "chance", "of"):
            board[f"{study}_{name.removeprefix('ci_')}"] = table[name].astype(float).to_numpy()
        if study == "real":
            board["verdict"] = table["holds"].fillna(HOLDS[-1]).to_numpy()
    return board


def side_by_side(task, table, name):
    """A table of the paper beside this run's: languages or sign, `paper`, `this_run`; None where one of them has none."""
    said = reported()["tables"][name].get(task)
    if said is None or table is None:
        return None
    first, second, value = (
        ("test_lang", "train_lang", "mean")
        if name == "mean_influence"
        else ("sign", "test_lang", "share")
    )
    rows = [(a, b, number) for a, part in said.items() for b, number in part.items()]
    paper = pd.DataFrame(rows, columns=[first, second, "paper"])
    return paper.merge(
        table[[first, second, value]].rename(columns={value: "this_run"}), how="left"
    )


def agreement(table):
    """Rank correlation (Spearman) of each row of `side_by_side`'s average influence: `test_lang, agreement`."""
    rows = [
        (lang, part["paper"].corr(part["this_run"], "spearman"))
        for lang, part in table.groupby("test_lang", sort=False)
    ]
    return pd.DataFrame(rows, columns=["test_lang", "agreement"])
