"""Sentences and numbers about samples that are wrong on purpose: the results of `hurting`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from .. import corruption
from ..prose import area, percent, points, say_share
from .detection import ALL
from .harm import OTHER, OWN
from .hurting import FLIPPED, RIGHT, WRONG
from .sentences import NONE
from .suspicion import CONFIDENCE, COSINE, COSINE_SELF, DOT, LOSS, NORM, RANDOM, RARITY

NOT_COMPUTED = "not computed yet."
AT_CHANCE = "at chance"
NO_CLAIM = "What a model at chance does with a wrong label means nothing, so we make no claim."
SLUGS = {  # score → the part of a key on the book's page
    NORM: "norm",
    COSINE_SELF: "self",
    COSINE: "cosine",
    DOT: "dot",
    LOSS: "loss",
    CONFIDENCE: "confidence",
    RARITY: "rarity",
    RANDOM: "random",
}
CONTROLS = [RARITY, RANDOM, COSINE_SELF]
KINDS = {FLIPPED: "flipped", WRONG: "wrong", RIGHT: "right"}
NOT_CLEAR = "not distinguishable from chance"


def say_detection(result: Mapping[str, Any] | None) -> str:
    """Say which scores find the changed labels; no claim if no model learned the task.

    Parameters
    ----------
    result : mapping, optional
        From `hurting.read`; None if it has not been computed.
    """
    if result is None or result["at_chance"][corruption.FLIPPED]:
        return _why_not(result, corruption.FLIPPED)
    rows = _areas(result, FLIPPED)
    found = rows.drop(index=CONTROLS).sort_values("auroc", ascending=False)
    best, of_cosine = found.iloc[0], rows.loc[COSINE]
    text = (
        f"{_used(result, corruption.FLIPPED)} Of the scores, "
        f"{best.name} has the highest AUROC within a language, {_area(best)}"
    )
    if best.name != COSINE:
        text += f"; {COSINE} has {_area(of_cosine)}"
        text += "" if best["ci_low"] > of_cosine["ci_high"] else ", and their intervals overlap"
    text += (
        f". Chance is 0.50; random scores reach {_area(rows.loc[RANDOM])}, the rarity of the label "
        f"{_area(rows.loc[RARITY])}."
    )
    missed = [name for name, row in found.iterrows() if not row["ci_low"] > row["chance"]]
    return f"{text} {', '.join(missed).capitalize()}: {NOT_CLEAR}." if missed else text


def _why_not(result: Mapping[str, Any] | None, kind: str) -> str:
    """Say why there is nothing to claim about a kind of corruption."""
    return NOT_COMPUTED if result is None else f"{_used(result, kind)} {NO_CLAIM}"


def say_harm(result: Mapping[str, Any] | None) -> str:
    """Say how much of the harm comes from changed labels, and whether language matters.

    Parameters
    ----------
    result : mapping, optional
        From `hurting.read`; None if it has not been computed.
    """
    if result is None or result["at_chance"][corruption.FLIPPED]:
        return _why_not(result, corruption.FLIPPED)
    harm = result["harm"]
    flipped = harm[harm["corruption"] == "flipped"].set_index(["train_lang", "test_lang"])
    row, pairs = flipped.loc[(ALL, ALL)], _pairs(result, corruption.FLIPPED)
    top_k = result["parameters"]["top_k"]
    text = (
        f"Samples with a changed label make up {say_share(row)} of the {top_k} most harmful "
        f"training samples; chance is {percent(row['chance'])} ({row['test_samples']:.0f} test "
        f"samples of {row['items']:.0f} items)."
    )
    if set(pairs.index) < {OWN, OTHER}:
        return text
    own, other = pairs.loc[OWN], pairs.loc[OTHER]
    return (
        f"{text} Those in {OWN} make up {say_share(own)}, those in {OTHER} {say_share(other)}, "
        f"where chance is {percent(own['chance'])}. {_verdict(pairs.loc['difference'])}."
    )


def _verdict(difference: pd.Series) -> str:
    """Say whether wrong labels hurt their own language more."""
    if pd.isna(difference["ci_low"]):
        return "The test items are too few to tell whether these differ"
    low, high = points(difference["ci_low"]), points(difference["ci_high"])
    ends = f"the difference is {points(difference['share'])} points (interval {low} to {high})"
    if difference["ci_low"] <= 0 <= difference["ci_high"]:
        return f"That is no clear difference: {ends}"
    more, less = "its own language", "each other one"
    if difference["ci_high"] < 0:
        more, less = "each other language", "its own"
    return f"By this measure, a wrong label hurts {more} more than {less}: {ends}"


def say_swapped(result: Mapping[str, Any] | None) -> str:
    """Say whether scores find exchanged texts, with a wrong label and with the right one.

    Parameters
    ----------
    result : mapping, optional
        From `hurting.read`; None if it has not been computed.
    """
    if result is None:
        return NOT_COMPUTED
    if corruption.SWAPPED in result["not_computed"]:
        return f"not possible: {result['not_computed'][corruption.SWAPPED]}."
    if result["at_chance"][corruption.SWAPPED]:
        return _why_not(result, corruption.SWAPPED)
    parts = []
    for kind, words in ((WRONG, "belongs to another class"), (RIGHT, "belongs to the same class")):
        rows = _areas(result, kind).drop(index=CONTROLS, errors="ignore")
        if len(rows):
            best = rows.sort_values("auroc", ascending=False).iloc[0]
            clear = "" if best["ci_low"] > best["chance"] else f", which is {NOT_CLEAR}"
            reached = f"the best score, {best.name}, reaches an AUROC of {_area(best)}{clear}"
            parts.append(f"where the new text {words}, {reached}")
    found = "; ".join(parts)
    return f"{_used(result, corruption.SWAPPED)} {found[:1].upper()}{found[1:]}. Chance is 0.50."


def say_data(results: Mapping[str, Mapping[str, Any] | None]) -> str:
    """Say which data the numbers come from, and what has not been computed.

    Parameters
    ----------
    results : mapping
        Task → its result, or None.
    """
    there = [result for result in results.values() if result]
    if not there:
        return "Nothing has been computed yet."
    titles = ", ".join(f"{each['title']} (study {each['parameters']['study']})" for each in there)
    kind = "Real data: the numbers come from"
    if all(each["synthetic"] for each in there):
        kind = "Synthetic: the numbers come from texts written for this project,"
    elif any(each["synthetic"] for each in there):
        kind = "Partly synthetic (demo: texts written for this project): the numbers come from"
    text = f"{kind} {titles}."
    if any(each["synthetic"] for each in there):
        text += " On real data this has not been computed yet."
    return text


def format_page_numbers(result: Mapping[str, Any] | None) -> dict[str, str]:
    """Write the numbers of the page's tables, by keys such as `flipped_norm`.

    A dash stands for a missing number, 'at chance' for one that no claim can be based on.

    Parameters
    ----------
    result : mapping, optional
        From `hurting.read`; None if it has not been computed.
    """
    found = {
        f"{kind}_{slug}": NONE
        for kind in KINDS.values()
        for slug in (*SLUGS.values(), "cleanlab", "count")
    }
    if result is None:
        return found
    for kind, start in KINDS.items():
        rows = _areas(result, kind)
        if len(rows) and result["at_chance"]["flipped" if kind == FLIPPED else "swapped"]:
            found |= {key: AT_CHANCE for key in found if key.startswith(f"{start}_")}
            continue
        for name, slug in SLUGS.items():
            if name in rows.index:
                found[f"{start}_{slug}"] = _area(rows.loc[name])
        if len(rows):
            marked, samples = rows[["marked", "samples"]].iloc[0].astype(int)
            found[f"{start}_count"] = f"{marked} of {samples}"
            found[f"{start}_cleanlab"] = _cleanlab(result, rows)
    return found


def _cleanlab(result: Mapping[str, Any], rows: pd.DataFrame) -> str:
    """Write cleanlab's AUROC, or why there is none."""
    from .suspicion import CLEANLAB

    if CLEANLAB in rows.index:
        return _area(rows.loc[CLEANLAB])
    return result["not_computed"].get(CLEANLAB, NONE)


def _areas(result: Mapping[str, Any], kind: str) -> pd.DataFrame:
    """The AUROC of each score for one corruption, the mean over languages."""
    table = result["auroc"]
    chosen = (table["corruption"] == kind) & (table["language"] == ALL)
    return table[chosen].set_index("score")


def _pairs(result: Mapping[str, Any], kind: str) -> pd.DataFrame:
    """The harm by the test language's own and by other languages' samples."""
    table = result["pairs"]
    return table[table["corruption"] == kind].set_index("where")


def _used(result: Mapping[str, Any], kind: str) -> str:
    """Say how many models count."""
    rows = result["runs"][result["runs"]["variant"].str.startswith(kind)]
    learned = int((~rows["at_chance"].astype(bool)).sum())
    text = f"{learned} of {len(rows)} models learned the task"
    return f"All {len(rows)} models learned the task." if learned == len(rows) else f"{text}."


def _area(row: pd.Series) -> str:
    """Write the AUROC in a row."""
    return area(row["auroc"], row["ci_low"], row["ci_high"])
