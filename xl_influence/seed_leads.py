"""Sentences on how far a result depends on the seed, as those in `leads`."""

from __future__ import annotations

import pandas as pd

from .leads import listed
from .prose import interval, percent, points


def against_seeds(table: pd.DataFrame) -> str:
    """Say whether leaving a language out changes more than another seed does.

    Parameters
    ----------
    table : pandas.DataFrame
        From `sharing.zero_shot_against_seeds`.
    """
    chosen = (table["language"] == "all") & (table["sign"] == "positive")
    row = table[chosen & (table["what"] == "same_samples")].iloc[0]
    ends = "too few items for an interval"
    if pd.notna(row["ci_low"]):
        ends = f"interval {points(row['ci_low'])} to {points(row['ci_high'])}"
    text = (
        "Of the samples in other languages that helped before, "
        f"{percent(row['without'], 1)} help again if the test language is left out, and "
        f"{percent(row['other_seed'], 1)} if nothing but the seed changes (mean of {row['seeds']} "
        f"seeds). The difference is {points(row['difference'])} points ({ends}, "
        f"{row['test_samples']} test samples of {row['items']} items)."
    )
    if row["ci_high"] < 0:
        lost = (1 - row["other_seed"]) / (1 - row["without"])
        return (
            f"{text} So leaving the language out does change something, but another seed alone "
            f"accounts for {percent(lost)} of the change."
        )
    if row["ci_low"] > 0:
        return f"{text} So another seed changes more than leaving the language out."
    return f"{text} We cannot tell the two apart."


def other_seeds(by_k: pd.DataFrame, shared: pd.DataFrame, top_k: int) -> str:
    """Say how far the shares depend on the seed, and how many influential samples stay the same.

    Parameters
    ----------
    by_k : pandas.DataFrame
        From `sharing.over_seeds` of `sharing.share_by_k`.
    shared : pandas.DataFrame
        From `sharing.shared_by_seeds`.
    top_k : int
        The study's k.
    """
    rows = by_k[(by_k["test_lang"] == "all") & (by_k["sign"] == "positive")].set_index("k")
    names = {1: "for the single most helpful sample", 10: "for the top ten"}
    names[top_k] = f"for the top {top_k}"
    parts = [
        f"{interval(rows.loc[k, 'lowest'], rows.loc[k, 'highest'])} {name}"
        for k, name in names.items()
        if k in rows.index
    ]
    same = shared[shared["test_lang"] == "all"].set_index("sign")
    helpful, harmful = same.loc["positive"], same.loc["negative"]
    return (
        f"In {rows['seeds'].iloc[0]} models that differ in their seed only, other languages "
        f"account for {listed(parts)} (lowest to highest). But the samples differ: "
        f"{_share(helpful)} of the {top_k} most helpful and {_share(harmful)} of the {top_k} "
        f"most harmful are the same with another seed. Chance is {percent(helpful['chance'])}."
    )


def _share(row: pd.Series) -> str:
    """Return a share with its interval, if it has one."""
    ends = (
        "" if pd.isna(row["ci_low"]) else f" (interval {interval(row['ci_low'], row['ci_high'])})"
    )
    return f"{percent(row['share'])}{ends}"
