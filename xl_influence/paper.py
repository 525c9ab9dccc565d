"""The paper and this run: the paper's tables and claims (`paper.yaml`) beside those of a run.

A claim is about a quantity (`quantities`), an estimate with an interval. Without an interval there
is no verdict. Languages in which the model is less than five points above the most frequent class
are left out.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np
import pandas as pd
import yaml

from . import prose
from .claim_estimates import Estimate, RunTables
from .quantities import QUANTITIES, UNIT_OF
from .sharing import BOOTSTRAP, Bootstrap

HOLDS = ("holds", "does not hold", "inconclusive", "cannot be tested here")
NUMBERS = ["paper_value", "value", "ci_low", "ci_high"]
COLUMNS = ["claim", "section", "statement", *NUMBERS, "holds", "unit", "of", "chance", "left_out"]
ROUNDING = 1e-9  # a value this close to the end of an interval is inside


@functools.cache
def read_paper() -> dict[str, Any]:
    """Read `paper.yaml`: `tables` and `claims`."""
    path = resources.files(__package__).joinpath("paper.yaml")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def compare_claims(
    task: str,
    tables: Mapping[str, Any],
    judged: bool = True,
    *,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> pd.DataFrame:
    """Put the paper's claims about a task beside a run's values.

    Parameters
    ----------
    task : str
        The task.
    tables : mapping
        Name → table, for those that the run has; `manifest`, the run's manifest; `manifests`,
        variant → manifest of the models that the zero-shot and imbalance tables compare (`base`,
        `without-ko`, `plus-100-de`, …); `<task>/<name>`, tables of the other tasks, for claims that
        compare tasks.
    judged : bool
        False: no verdicts. A synthetic corpus can neither confirm nor refute a claim about real
        data.
    bootstrap : Bootstrap
        How the intervals are computed.

    Returns
    -------
    pandas.DataFrame
        `claim`, `section`, `statement`, `paper_value` (NaN if the paper gives none), `value`,
        `ci_low`, `ci_high` (NaN if there is no interval), `holds` (one of `HOLDS`, see `judge`;
        '' if not judged), `unit` ('share'; 'points', a difference, of which 0.01 is a point; or
        'count', a share of `of` languages or tests), `of`, `chance` (NaN if none is defined),
        `left_out` (the languages at chance, separated by commas).
    """
    run = RunTables(tables, bootstrap)
    rows = [_row(claim, task, run, judged) for claim in _made_about(task)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _made_about(task: str) -> list[dict[str, Any]]:
    """Return the paper's claims about a task."""
    return [claim for claim in read_paper()["claims"] if task in claim["tasks"]]


def _row(claim: dict[str, Any], task: str, run: RunTables, judged: bool) -> dict[str, Any]:
    """Return one row of `compare_claims`."""
    said, given, name = claim.get("paper", np.nan), claim.get("given", {}), claim["quantity"]
    said = said[task] if isinstance(said, dict) else said
    about = {given.get("language"), *given.get("languages", [])}
    found = None if about & set(run.at_chance) else QUANTITIES[name](run, **given)
    found = Estimate(np.nan) if found is None else found
    return {
        "claim": claim["id"],
        "section": claim["section"],
        "statement": claim["statement"],
        "paper_value": said,
        "value": found.value,
        "ci_low": found.low,
        "ci_high": found.high,
        "holds": judge(found, claim["expect"], said) if judged else "",
        "unit": UNIT_OF[name],
        "of": found.total,
        "chance": found.chance,
        "left_out": ", ".join(run.at_chance),
    }


def judge(found: Estimate, expect: str, said: float) -> str:
    """Judge a claim by an estimate.

    - Without a value, the claim cannot be tested here; without an interval, it is inconclusive.
    - A claim about a threshold holds if the interval lies beyond the threshold, does not hold if it
      lies on the other side, and is inconclusive if the threshold is inside.
    - A claim about a number holds if the number is in the interval; otherwise it does not hold.
    - What random scores would show as well does not count as evidence. A claim is inconclusive
      instead of holding if chance is in the interval, or if chance would meet the threshold as
      well and by a wider margin than the run does.

    Parameters
    ----------
    found : Estimate
        The run's estimate.
    expect : str
        '> x', '< x', 'at least' or 'about'; the last two refer to `said`.
    said : float
        The paper's value.

    Returns
    -------
    str
        One of `HOLDS`.
    """
    yes, no, unknown, untested = HOLDS
    value, low, high, chance, _ = found
    if np.isnan(value):
        return untested
    if np.isnan(low):
        return unknown
    if _is_inside(chance, low, high):
        yes = unknown
    if expect == "about":
        return yes if _is_inside(said, low, high) else no
    sign, threshold = (">", said) if expect == "at least" else (expect[0], float(expect[1:]))
    if sign == "<":  # the same as '>' with all signs changed, which swaps the ends
        low, high, threshold, chance = -high, -low, -threshold, -chance
    if chance > high:
        yes = unknown
    if low > threshold or (expect == "at least" and low >= threshold - ROUNDING):
        return yes
    return no if high < threshold or low == high else unknown


def _is_inside(number: float, low: float, high: float) -> bool:
    """Whether a number is in an interval, but for rounding."""
    return low - ROUNDING <= number <= high + ROUNDING


def say_claims(claims: pd.DataFrame) -> dict[str, str]:
    """Say for each claim what the run found and what follows, for pages that quote single claims.

    Parameters
    ----------
    claims : pandas.DataFrame
        A table of `compare_claims`.

    Returns
    -------
    dict of str
        `claim_<name>`, with underscores, → such as 'Korean supplies about 13 % of … samples. This
        run: 10.2 % (interval 8.0 to 12.7 %, chance 20.0 %). The claim does not hold.'; without the
        last sentence if the claims are not judged.
    """
    return {
        f"claim_{row['claim'].replace('-', '_')}": _describe(row)
        for row in claims.to_dict("records")
    }


def _describe(row: Mapping[str, Any]) -> str:
    """Return one of `say_claims`."""
    said = row["statement"].strip()
    if np.isnan(row["value"]):
        return f"{said} This run cannot test the claim."
    units = {"points": " points", "count": f" of {row['of']:.0f}", "share": "\u00a0%"}
    value, low, high, chance = (
        _show(row, name) for name in ("value", "ci_low", "ci_high", "chance")
    )
    end = "\u00a0%" if row["unit"] == "share" else ""
    notes = ["no interval" if np.isnan(row["ci_low"]) else f"interval {low} to {high}{end}"]
    notes += [] if np.isnan(row["chance"]) else [f"chance {chance}{end}"]
    verb = {"inconclusive": "is inconclusive"}.get(row["holds"], row["holds"])
    verdict = f" The claim {verb}." if verb else ""
    return f"{said} This run: {value}{units[row['unit']]} ({', '.join(notes)}).{verdict}"


def _show(row: Mapping[str, Any], name: str) -> str:
    """Write a number of a claim, without its unit."""
    if row["unit"] == "points":
        return prose.points(row[name])
    if row["unit"] == "share":  # a digit more than elsewhere: 77.7 does not reach 78
        return f"{100 * row[name]:.1f}"
    return f"{row[name] * row['of']:.0f}"


def estimate_own_change(tables: Mapping[str, pd.DataFrame], first: int) -> Estimate | None:
    """Estimate how the test language's share of the positive top k changes after an epoch.

    Parameters
    ----------
    tables : mapping
        `epochs_by_sample` (`sharing.composition_by_sample` with `epochs`), or `composition`, which
        gives no interval.
    first : int
        The epoch that the last one is compared with.

    Returns
    -------
    Estimate or None
        The share after the last epoch minus the share after `first`; None if there is no later
        epoch.
    """
    return QUANTITIES["own_change"](RunTables(tables), first)


def estimate_imbalance_change(tables: Mapping[str, pd.DataFrame]) -> Estimate | None:
    """Estimate how a language's share of its own positive top k changes with the most added data.

    Parameters
    ----------
    tables : mapping
        `imbalance_by_sample` (`sharing.imbalance_by_sample` of all languages and percentages), or
        `imbalance`, which gives no interval.

    Returns
    -------
    Estimate or None
        The share with the largest addition minus that without; None if there is no addition.
    """
    return QUANTITIES["imbalance_change"](RunTables(tables), "positive")


def estimate_reinforcing(tables: Mapping[str, pd.DataFrame]) -> Estimate | None:
    """Estimate how many helpful samples from other languages repeat the test language's own.

    Parameters
    ----------
    tables : mapping
        `reinforcement_by_sample`, or `reinforcement`, which gives no interval.

    Returns
    -------
    Estimate or None
        The mean over test languages; None if the tables have no helpful samples.
    """
    return QUANTITIES["reinforcing"](RunTables(tables), "positive")


def make_scoreboard(studies: Mapping[str, pd.DataFrame], task: str) -> pd.DataFrame:
    """Put the paper, the study on real data and the demo side by side, one row per claim.

    Parameters
    ----------
    studies : mapping
        'real' and 'demo', where available → a table of `compare_claims`. Only 'real' is judged.
    task : str
        The task.

    Returns
    -------
    pandas.DataFrame
        `section`, `statement`, `unit`, `paper_value`; for both studies `<study>_value`,
        `<study>_low`, `<study>_high`, `<study>_chance`, `<study>_of` (NaN if there is none); and
        `verdict`, one of `HOLDS`, of the real study.
    """
    said = pd.DataFrame(
        [_row(claim, task, RunTables({}), True) for claim in _made_about(task)], columns=COLUMNS
    )
    board = said[["section", "statement", "unit", "paper_value"]].copy()
    for study in ("real", "demo"):
        table = studies.get(study, said).set_index("claim").reindex(said["claim"])
        for name in ("value", "ci_low", "ci_high", "chance", "of"):
            board[f"{study}_{name.removeprefix('ci_')}"] = table[name].astype(float).to_numpy()
        if study == "real":
            board["verdict"] = table["holds"].fillna(HOLDS[-1]).to_numpy()
    return board


def compare_table(task: str, table: pd.DataFrame | None, name: str) -> pd.DataFrame | None:
    """Put a table of the paper beside this run's.

    Parameters
    ----------
    task : str
        The task.
    table : pandas.DataFrame or None
        This run's `mean_influence` or `reinforcement`.
    name : str
        Which of the two it is.

    Returns
    -------
    pandas.DataFrame or None
        `test_lang`, `train_lang` (average influence) or `sign`, `test_lang` (reinforcement), then
        `paper`, `this_run`; None if the paper or the run has no such table.
    """
    said = read_paper()["tables"][name].get(task)
    if said is None or table is None:
        return None
    keys, value = ["sign", "test_lang"], "share"
    if name == "mean_influence":
        keys, value = ["test_lang", "train_lang"], "mean"
    rows = [(a, b, number) for a, part in said.items() for b, number in part.items()]
    paper = pd.DataFrame(rows, columns=[*keys, "paper"])
    this_run = table[[*keys, value]].rename(columns={value: "this_run"})
    return paper.merge(this_run, how="left")


def correlate_means(table: pd.DataFrame) -> pd.DataFrame:
    """Correlate the paper's average influence with this run's, by test language.

    Parameters
    ----------
    table : pandas.DataFrame
        From `compare_table`.

    Returns
    -------
    pandas.DataFrame
        `test_lang`, `agreement` (Spearman's rank correlation over training languages).
    """
    rows = [
        (lang, part["paper"].corr(part["this_run"], "spearman"))
        for lang, part in table.groupby("test_lang", sort=False)
    ]
    return pd.DataFrame(rows, columns=["test_lang", "agreement"])
