"""What the results on retraining say, in sentences; where nothing is computed, they say that."""

from __future__ import annotations

import math

import pandas as pd

from ..prose import interval, percent
from .catalogue import PAPER, kind_of
from .evidence import (
    BEYOND,
    BY_LANGUAGE,
    HALVES,
    OTHER,
    OWN,
    TOP,
    Evidence,
)
from .sentences import NONE, number

MISSING = "not computed yet."
FEW = "too few for an interval, so brackets show their range"
CONTROL = "random scores"
SUBSETS = {HALVES: "For random halves", BY_LANGUAGE: "For subsets that lack a part of one language"}


def say(part: str, found: Evidence | None) -> str:
    """Say what the results of a part show, in sentences that follow a name and a colon.

    Parameters
    ----------
    part : str
        One of `evidence.PARTS`.
    found : Evidence, optional
        From `evidence.read`; None if there are no results.
    """
    if found is None:
        return MISSING
    if part == "subsets":
        return " ".join(lds_lead(found.tables["lds"], kind) for kind in SUBSETS)
    if part == "tail-patch":
        return tail_lead(found.tables["change"], found.about["settings"]["k"])
    return flipped_lead(found.tables["flipped"], found.about["samples"]["train"])


def lds_lead(table: pd.DataFrame, kind: str) -> str:
    """Say how well the best method and the paper's predict retraining on subsets.

    Parameters
    ----------
    table : pandas.DataFrame
        From `subsets.measure`.
    kind : str
        The kind of subsets.
    """
    rows = table[table["kind"] == kind].set_index("method")
    compared = rows[[kind_of(name) != "control" for name in rows.index]]
    best, start = compared["lds"].idxmax(), SUBSETS[kind]
    highest, cosine, control = rows.loc[best], rows.loc[PAPER], rows.loc[CONTROL]
    ceiling = f"{of_ceiling(highest)} of the ceiling of {number(highest['ceiling'])}"
    if not highest["ceiling"]:
        ceiling = "and the ceiling is 0, since the seeds do not agree at all"
    named = f"{best} with an LDS of {lds_with_ends(highest)}, {ceiling}"
    others = "" if best == PAPER else f" The paper's cosine has {lds_with_ends(cosine)}."
    if pd.isna(highest["ci_low"]):
        return (
            f"{start}, the highest of {len(compared)} methods is {named}.{others} Random scores "
            f"have {number(control['lds'])}. {highest['items']} items are {FEW}."
        )
    threshold = max(0, control["ci_high"])
    above = int((compared["ci_low"] > threshold).sum())
    if not above:
        return (
            f"{start}, none of {len(compared)} methods predicts retraining better than random "
            f"scores. The highest is {named}.{others}"
        )
    are = "predicts" if above == 1 else "predict"
    return (
        f"{start}, {above} of {len(compared)} methods {are} retraining better than random scores. "
        f"The best is {named}.{others}"
    )


def tail_lead(table: pd.DataFrame, k: int) -> str:
    """Say what one step on the most helpful samples changes, beside random ones with that label.

    Parameters
    ----------
    table : pandas.DataFrame
        From `tail_patch.average`.
    k : int
        How many samples a step is made of.
    """
    rows = table[table["test_lang"] == "all"].set_index(["train_lang", "samples"])
    text = f"One step on the {k} most helpful samples"
    parts = [
        f"{change(rows.loc[source, TOP])} with samples in {name}"
        for source, name in ((OWN, OWN), (OTHER, "another language"))
        if (source, TOP) in rows.index
    ]
    text += f" changes the log-odds of the right class by {' and '.join(parts)}."
    source = OTHER if (OTHER, BEYOND) in rows.index else OWN
    beyond, where = rows.loc[source, BEYOND], "another" if source == OTHER else "the test"
    counts = f"{beyond['test_samples']} test samples of {beyond['items']} items"
    text += (
        f" In {where} language, this is {change(beyond)} more than {k} random samples of the same "
        f"label give"
    )
    if pd.isna(beyond["ci_low"]):
        return f"{text}. There are {counts}, {FEW}."
    if beyond["ci_low"] <= 0 <= beyond["ci_high"]:
        return f"{text} ({counts}). The interval of this difference includes 0."
    return f"{text} ({counts})."


def flipped_lead(table: pd.DataFrame, n_train: int) -> str:
    """Say how many predictions flip without the most helpful samples, at the largest k.

    Parameters
    ----------
    table : pandas.DataFrame
        From `brittleness.count_flipped`.
    n_train : int
        The number of training samples.
    """
    k = table["k"].max()
    rows = table[table["k"] == k].set_index("method")
    *first, last = [f"for {share(row)} if they are {chosen(name)}" for name, row in rows.iterrows()]
    counts = f"{rows['test_samples'].iloc[0]} test samples of {rows['items'].iloc[0]} items"
    counts += f", {FEW}" if rows["ci_low"].isna().all() else ""
    return (
        f"Without {k} of {n_train:,} training samples, the prediction flips "
        f"{', '.join(first)}{', and ' * bool(first)}{last} ({counts})."
    )


def ends(row: pd.Series) -> tuple[float, float]:
    """Return a row's interval or, where it has none, its lowest and highest item."""
    names = ("least", "most") if pd.isna(row["ci_low"]) else ("ci_low", "ci_high")
    return float(row[names[0]]), float(row[names[1]])


def lds_with_ends(row: pd.Series) -> str:
    """Write the LDS in a `row` with what `ends` returns in brackets."""
    low, high = ends(row)
    return f"{number(row['lds'])} ({number(low)} to {number(high)})"


def of_ceiling(row: pd.Series) -> str:
    """Write a row's share of the ceiling, from column `of_ceiling` of `row`; a dash for none."""
    share = row["of_ceiling"]
    return NONE if share is None or math.isnan(share) else percent(share).replace("-", "\u2212")


def change(row: pd.Series) -> str:
    """Write the change of log-odds in a `row` with what `ends` returns in brackets."""
    low, high = ends(row)
    if row["items"] == 1:
        return _signed(row["change"])
    return f"{_signed(row['change'])} ({_signed(low)} to {_signed(high)})"


def _signed(value: float) -> str:
    return f"{value + 0.0:+.2g}".replace("-", "\u2212")


def share(row: pd.Series) -> str:
    """Write the share of flipped predictions in a `row` with what `ends` returns in brackets."""
    return f"{percent(row['flipped'])} ({interval(*ends(row))})"


def chosen(method: str) -> str:
    """Say which samples are removed by a `method`.

    >>> chosen("random")
    'chosen at random'
    """
    return "chosen at random" if method == "random" else f"the most helpful by the {method}"
