"""What the results on retraining say, in sentences; where nothing is computed, they say that."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from ..prose import interval, percent
from .catalogue import EKFAC, PAPER, find_kind
from .controls import LABEL, SAME
from .datamodels import NOISE
from .evidence import (
    BEYOND,
    BY_LANGUAGE,
    HALVES,
    LABELS_OUT,
    OTHER,
    OWN,
    TOP,
    Evidence,
)
from .sentences import NONE, number

MISSING = "not computed yet."
FEW = "too few for an interval, so brackets show their range"
SUBSETS = {
    HALVES: "For random halves",
    BY_LANGUAGE: "For subsets that lack a part of one language",
    LABELS_OUT[HALVES]: "For random halves, labels taken out",
    LABELS_OUT[BY_LANGUAGE]: "For subsets that lack a part of one language, labels taken out",
}


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
    model = found.about["model"]
    if model["at_chance"]:
        return (
            f"the model has not learned this corpus ({say_accuracy(model)}), so training it again "
            "says nothing about methods."
        )
    if part == "subsets":
        return say_subsets(found.tables["lds"])
    if part == "tail-patch":
        return say_tail_patch(found.tables["change"], found.about["settings"]["k"])
    return say_flipped(found.tables["flipped"], found.about["samples"]["train"])


def say_accuracy(model: Mapping[str, Any]) -> str:
    r"""Say how well a model has learned its task, from `Evidence.about["model"]`.

    >>> say_accuracy({"accuracy": 0.785, "majority": 0.5})
    'development accuracy 78\xa0%, most frequent class 50\xa0%'
    """
    accuracy, majority = percent(model["accuracy"]), percent(model["majority"])
    return f"development accuracy {accuracy}, most frequent class {majority}"


def say_subsets(table: pd.DataFrame) -> str:
    """Say how far labels alone predict random halves, and what methods predict beyond labels.

    Parameters
    ----------
    table : pandas.DataFrame
        From `subsets.measure`.
    """
    rows = table[table["kind"] == HALVES].set_index("method")
    compared = rows[[find_kind(name) != "control" for name in rows.index]]
    best = compared["lds"].idxmax()
    text = (
        "On random halves, scores that know nothing of a sample but whether it has the test "
        f"sample's label have an LDS of {format_lds(rows.loc[LABEL])}; the best method, {best}, "
        f"has {format_lds(compared.loc[best])}. So we take the labels out. "
    )
    return text + " ".join(say_lds(table, kind) for kind in LABELS_OUT.values())


def say_lds(table: pd.DataFrame, kind: str) -> str:
    """Say how well the best method and the paper's predict retraining on subsets.

    Parameters
    ----------
    table : pandas.DataFrame
        From `subsets.measure`.
    kind : str
        The kind of subsets.

    Returns
    -------
    str
        Methods count as better than luck if their LDS is above what luck gives them, and only if
        the highest LDS is also above what luck gives the best of all methods.
    """
    rows = table[table["kind"] == kind].set_index("method")
    compared = rows[[find_kind(name) != "control" for name in rows.index]]
    best, n = compared["lds"].idxmax(), len(compared)
    highest = rows.loc[best]
    ceiling = f"{format_of_ceiling(highest)} of the ceiling of {number(highest['ceiling'])}"
    if not highest["ceiling"]:
        ceiling = "and the ceiling is 0, since the seeds do not agree at all"
    text = f"{SUBSETS[kind]}, {_say_better(compared)}. "
    text += f"The highest LDS is {format_lds(highest)}, by {best}, {ceiling}; "
    text += f"luck gives the best of {_count(n, 'method')} {format_luck(highest, 'best')}."
    for name, title in ((PAPER, "The paper's cosine"), (EKFAC, EKFAC)):
        if name in rows.index and name != best:
            text += f" {title} has {format_lds(rows.loc[name])}; "
            text += f"luck gives it {format_luck(rows.loc[name])}."
    known = [f"{name} {format_lds(rows.loc[name])}" for name in SAME if name in rows.index]
    if known:
        text += f" Controls that know nothing else of a sample: {', '.join(known)}."
    if highest["ceiling"] <= NOISE:
        text += f" Noise alone gives a ceiling of {number(NOISE)}, so this shows next to nothing."
    if pd.isna(highest["ci_low"]):
        text += f" {_count(int(highest['items']), 'item')} are {FEW}."
    return text


def _say_better(compared: pd.DataFrame) -> str:
    """Say how many methods predict retraining better than luck."""
    n, above = len(compared), int((compared["lds"] > compared["null_high"]).sum())
    if not above:
        return f"none of {_count(n, 'method')} predicts retraining better than luck"
    if compared["lds"].max() > compared["best_high"].iloc[0]:
        verb = "predicts" if above == 1 else "predict"
        return f"{above} of {_count(n, 'method')} {verb} retraining better than luck"
    has, it = ("has", "it") if above == 1 else ("have", "them")
    return (
        f"no method clearly predicts retraining: {above} of {n} {has} a higher LDS than luck gives "
        f"{it}, but none a higher one than luck gives the best of {n}"
    )


def say_tail_patch(table: pd.DataFrame, k: int) -> str:
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
    digits = count_digits(table)
    parts = [
        f"{format_change(rows.loc[source, TOP], digits)} with samples in {name}"
        for source, name in ((OWN, OWN), (OTHER, "another language"))
        if (source, TOP) in rows.index
    ]
    text += f" changes the log-odds of the right class by {' and '.join(parts)}."
    source = OTHER if (OTHER, BEYOND) in rows.index else OWN
    beyond, where = rows.loc[source, BEYOND], "another" if source == OTHER else "the test"
    counts = count_samples(beyond)
    text += f" In {where} language, this is {format_change(beyond, digits)} more than "
    text += f"{k} random samples of the same label give"
    if pd.isna(beyond["ci_low"]):
        return f"{text}. There are {counts}, {FEW}."
    if beyond["ci_low"] <= 0 <= beyond["ci_high"]:
        return f"{text} ({counts}). The interval of this difference includes 0."
    return f"{text} ({counts})."


def say_flipped(table: pd.DataFrame, n_train: int) -> str:
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
    *first, last = [
        f"for {share(row)} if they are {say_removed(name)}" for name, row in rows.iterrows()
    ]
    counts = count_samples(rows.iloc[0])
    counts += f", {FEW}" if rows["ci_low"].isna().all() else ""
    return (
        f"Without {k} of {n_train:,} training samples, the prediction flips "
        f"{', '.join(first)}{', and ' * bool(first)}{last} ({counts})."
    )


def find_ends(row: pd.Series) -> tuple[float, float]:
    """Return a row's interval or, where it has none, its lowest and highest item."""
    names = ("least", "most") if pd.isna(row["ci_low"]) else ("ci_low", "ci_high")
    return float(row[names[0]]), float(row[names[1]])


def format_lds(row: pd.Series) -> str:
    """Write the LDS in a `row` with what `find_ends` returns in brackets."""
    low, high = find_ends(row)
    return f"{number(row['lds'])} ({number(low)} to {number(high)})"


def format_luck(row: pd.Series, whose: str = "null") -> str:
    """Write what luck gives, with the p-value in brackets.

    `row` and `whose` are as for `format_luck_range`.

    >>> format_luck(pd.Series({"null_low": 0.01, "null_high": 0.26, "p": 0.0123}))
    '0.01 to 0.26 (p = 0.012)'
    """
    p = say_p(row["p" if whose == "null" else "p_best"])
    return f"{format_luck_range(row, whose)} (p {p if p.startswith('<') else f'= {p}'})"


def format_luck_range(row: pd.Series, whose: str = "null") -> str:
    """Write the range that luck gives.

    Parameters
    ----------
    row : pandas.Series
        Of a table from `lds`.
    whose : str
        'null' for the method of the row, 'best' for the best of all methods.
    """
    return f"{number(row[f'{whose}_low'])} to {number(row[f'{whose}_high'])}"


def say_p(p: float) -> str:
    """Write a p-value, `p`, with three decimals.

    >>> say_p(0.0321), say_p(0.0001)
    ('0.032', '< 0.001')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def format_of_ceiling(row: pd.Series) -> str:
    """Write a row's share of the ceiling, from column `of_ceiling` of `row`; a dash for none."""
    share = row["of_ceiling"]
    return NONE if share is None or math.isnan(share) else percent(share).replace("-", "\u2212")


def format_change(row: pd.Series, digits: int) -> str:
    """Write the change of log-odds in a `row` with what `find_ends` returns in brackets.

    `digits` is the number of decimals, see `count_digits`.
    """
    low, high = find_ends(row)
    return f"{signed(row['change'], digits)} ({signed(low, digits)} to {signed(high, digits)})"


def count_digits(table: pd.DataFrame) -> int:
    """Return how many decimals show two digits of the largest change by the most helpful samples.

    `table` comes from `tail_patch.average`.
    """
    largest = table.loc[table["samples"] == TOP, "change"].abs().max()
    return min(max(1 - math.floor(math.log10(largest)), 2), 8) if largest else 2


def signed(value: float, digits: int) -> str:
    """Write a number, `value`, with its sign and this many `digits` after the point.

    >>> signed(-0.0123, 3), signed(0.5, 2)
    ('−0.012', '+0.50')
    """
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "\u2212")


def count_samples(row: pd.Series) -> str:
    """Say how many test samples and items are behind a `row`."""
    return f"{int(row['test_samples'])} test samples of {_count(int(row['items']), 'item')}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def share(row: pd.Series) -> str:
    """Write the share of flipped predictions in a `row`, with its `find_ends` in brackets."""
    return f"{percent(row['flipped'])} ({interval(*find_ends(row))})"


def say_removed(method: str) -> str:
    """Say which samples are removed by a `method`.

    >>> say_removed("random")
    'chosen at random'
    """
    return "chosen at random" if method == "random" else f"the most helpful by the {method}"
