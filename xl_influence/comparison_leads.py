"""Sentences on runs that are compared, as those in `leads`: a language left out, another seed."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pandas as pd

from .leads import say_for_each_k, select_helpful
from .manifest import AT_CHANCE
from .prose import interval, join_phrases, percent, points, say_share
from .tasks import name_language

FEW_LANGUAGES = 2  # for more, ranges instead of a sentence each


def say_zero_shot(table: pd.DataFrame, at_chance: Collection[str] = ()) -> str:
    """Say what replaces a language that was left out: a sentence per language, or for all.

    Parameters
    ----------
    table : pandas.DataFrame
        From `sharing.zero_shot`, with `accuracy` and `accuracy_seen`: development accuracy in the
        language without and with training on it.
    at_chance : collection of str
        The languages in which one of the two models is at chance.
    """
    what = "translations" if "translations" in set(table["what"]) else "same_samples"
    rows = table[(table["sign"] == "positive") & (table["what"] == what)]
    is_at_chance = rows["language"].isin(at_chance)
    if (~is_at_chance).sum() <= FEW_LANGUAGES:
        return " ".join(_one_language(row, what, at_chance) for _, row in rows.iterrows())
    at_end = [_one_language(row, what, at_chance) for _, row in rows[is_at_chance].iterrows()]
    return " ".join([_many_languages(rows[~is_at_chance], what), *at_end])


def _one_language(row: pd.Series, what: str, at_chance: Collection[str]) -> str:
    """Return the sentence on one language."""
    name = name_language(row["language"])
    reached = (
        f"Trained without {name}, the model classifies {percent(row['accuracy'])} of the "
        f"{name} development samples correctly ({percent(row['accuracy_seen'])} with it)"
    )
    if row["language"] in at_chance:
        where = f"One of the two is {AT_CHANCE} in {name}"
        return f"{reached}. {where}, so its influence scores mean nothing."
    share = f"{percent(row['share'])} ({_precision(row)})"
    found = f"of the samples in other languages that helped before, {share} help again"
    if what == "translations":
        found = f"{share} of its helpful samples translate a sample in {name} that helped before"
    return f"{reached}; {found}. Chance is {percent(row['chance'])}{_chance_note(row)}."


def _many_languages(rows: pd.DataFrame, what: str) -> str:
    """Return the sentence on several languages, with the lowest and the highest value of each."""
    shares = (
        f"{_lowest_to_highest(rows['share'])} (ends of the intervals: "
        f"{interval(rows['ci_low'].min(), rows['ci_high'].max())}; {_per_language(rows)})"
    )
    found = f"of the samples in other languages that helped before, {shares} help again"
    if what == "translations":
        found = f"{shares} of its helpful samples translate one in the language that helped before"
    return (
        f"Trained without each of {len(rows)} languages in turn, the model classifies "
        f"{_lowest_to_highest(rows['accuracy'])} of the development samples in that language "
        f"correctly ({_lowest_to_highest(rows['accuracy_seen'])} with it); {found}. Chance is "
        f"{_lowest_to_highest(rows['chance'])}{_name_those_at_chance(rows)}."
    )


def _name_those_at_chance(rows: pd.DataFrame) -> str:
    """Name the languages whose share's interval covers chance, if there are any."""
    same = (rows["ci_low"] <= rows["chance"]) & (rows["chance"] <= rows["ci_high"])
    names = [name_language(lang) for lang in rows.loc[same, "language"]]
    return f"; in {join_phrases(names)}, the share is not distinguishable from it" if names else ""


def _lowest_to_highest(values: pd.Series) -> str:
    """Return the range of some shares; one value if they look the same."""
    low, high = values.min(), values.max()
    return percent(low) if percent(low) == percent(high) else interval(low, high)


def _per_language(rows: pd.DataFrame) -> str:
    """Return how many test samples each language has."""
    counts = sorted(set(rows["test_samples"]))
    return f"{' or '.join(map(str, counts))} test samples a language"


def _precision(row: pd.Series) -> str:
    """How precisely a share is known: its interval, or that there are too few test samples."""
    if pd.isna(row["ci_low"]):
        return f"{row['test_samples']} test samples, too few for an interval"
    ends = interval(row["ci_low"], row["ci_high"])
    return f"interval {ends}, {row['test_samples']} test samples"


def _chance_note(row: pd.Series) -> str:
    """Say if a share's interval covers chance, or if it has none that could tell."""
    if not row["ci_low"] < row["ci_high"]:  # missing, or equal ends, which say nothing
        return "; we cannot tell whether the share differs from it"
    if row["ci_low"] <= row["chance"] <= row["ci_high"]:
        return "; the share is not distinguishable from it"
    return ""


def say_against_seeds(table: pd.DataFrame) -> str:
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


def say_other_seeds(by_k: pd.DataFrame, shared: pd.DataFrame, top_k: int) -> str:
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
    rows = select_helpful(by_k)
    found = say_for_each_k(rows, top_k, lambda row: interval(row["lowest"], row["highest"]))
    same = shared[shared["test_lang"] == "all"].set_index("sign")
    helpful, harmful = same.loc["positive"], same.loc["negative"]
    return (
        f"In {rows['seeds'].iloc[0]} models that differ in their seed only, other languages "
        f"account for {found} (lowest to highest). But the samples differ: "
        f"{say_share(helpful)} of the {top_k} most helpful and {say_share(harmful)} "
        f"of the {top_k} most harmful are the same with another seed. "
        f"Chance is {percent(helpful['chance'])}."
    )


def say_seeds_across_tasks(
    by_task: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]], top_k: int
) -> str:
    """Say for all tasks what another seed changes: the share of other languages, and the samples.

    Parameters
    ----------
    by_task : mapping
        A task's title → its two tables, as `say_other_seeds` takes them.
    top_k : int
        The study's k.
    """
    shares, same = [], []
    for title, (by_k, shared) in by_task.items():
        row = select_helpful(by_k).loc[top_k]
        shares.append(f"{interval(row['lowest'], row['highest'])} ({title})")
        found = shared[(shared["test_lang"] == "all") & (shared["sign"] == "positive")].iloc[0]
        same.append(f"{percent(found['share'])} ({title})")
    return (
        f"In models that differ in their seed only, the share of other languages in the top "
        f"{top_k} is {join_phrases(shares)}, lowest to highest. Of the {top_k} most helpful "
        f"samples themselves, {join_phrases(same)} are the same with another seed; chance is "
        f"{percent(found['chance'])}."
    )
