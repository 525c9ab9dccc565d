"""One sentence for each result: what the evidence shows, with chance and interval, and no more.

Each function reads a tidy table of one run and returns a sentence to follow the task's name and a
colon.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from .claim_estimates import Estimate
from .manifest import AT_CHANCE
from .prose import interval, join_phrases, percent, points, say_share

FEW_EPOCHS = 2  # too few to show a trend


def say_accuracy(reached: float, majority: float, at_chance: Sequence[str]) -> str:
    """Say how accurate a model is beside the most frequent class.

    Parameters
    ----------
    reached : float
        Development accuracy.
    majority : float
        Share of the most frequent class among the development samples.
    at_chance : sequence of str
        Names of the languages in which the model is at chance (`manifest.is_at_chance`).
    """
    text = (
        f"The model classifies {percent(reached)} of the development samples correctly; "
        f"always choosing the most frequent class would reach {percent(majority)}."
    )
    return f"{text} In {', '.join(at_chance)}, it is {AT_CHANCE}." if at_chance else text


def say_cross_language(by_k: pd.DataFrame, top_k: int) -> str:
    """Say how many of the most helpful samples come from other languages: the top 1, 10 and k.

    Parameters
    ----------
    by_k : pandas.DataFrame
        From `sharing.share_by_k`.
    top_k : int
        The study's k.
    """
    rows = select_helpful(by_k)
    found = say_for_each_k(rows, top_k, say_share)
    account = f"Languages other than the test sample's account for {found}."
    return f"{account} Chance is {_chance(rows)}; {_count(rows.iloc[:1])}."


def select_helpful(by_k: pd.DataFrame) -> pd.DataFrame:
    """Return the rows on helpful samples for all test languages together, by k.

    Parameters
    ----------
    by_k : pandas.DataFrame
        A table by `test_lang`, `sign` and `k`, such as that of `sharing.share_by_k`.
    """
    return by_k[(by_k["test_lang"] == "all") & (by_k["sign"] == "positive")].set_index("k")


def say_for_each_k(rows: pd.DataFrame, top_k: int, write: Callable[[pd.Series], str]) -> str:
    """Say something of the single most helpful samples, of the top ten and of the top k.

    Parameters
    ----------
    rows : pandas.DataFrame
        From `select_helpful`.
    top_k : int
        The study's k.
    write : callable
        Writes what there is to say of a row.
    """
    names = {1: "of the single most helpful training samples", 10: "of the top ten"}
    names[top_k] = f"of the top {top_k}"
    return join_phrases(
        [f"{write(rows.loc[k])} {name}" for k, name in names.items() if k in rows.index]
    )


def name_top(k: int) -> str:
    """Name the k most helpful samples, as the end of 'a share ...'.

    >>> name_top(1)
    'of the single most helpful training samples are'
    """
    return f"of the {'single' if k == 1 else k} most helpful training samples are"


def say_across_tasks(rows: Mapping[str, Mapping[str, float]], k: int) -> str:
    """Say for all tasks how many of the k most helpful samples are in another language.

    Parameters
    ----------
    rows : mapping
        A task's title → its row for this k, from `sharing.share_by_k`.
    k : int
        The number of most helpful samples.
    """
    chances = sorted({percent(row["chance"]) for row in rows.values()})
    shares = join_phrases([f"{percent(row['share'])} ({title})" for title, row in rows.items()])
    found = (
        f"Of the {k} training samples that help a prediction most, {shares} are in another language"
    )
    if k == 1:
        found = (
            "The training sample that helps a prediction most is in another language for "
            f"{shares} of the test samples"
        )
    return f"{found}. Chance is {join_phrases(chances)}."


def say_against_chance(row: Mapping[str, float]) -> str:
    """Say whether a share differs from chance, with its interval and the chance level.

    Parameters
    ----------
    row : mapping
        `share`, `ci_low`, `ci_high`, `chance`, `test_samples`.
    """
    chance = f"Chance is {percent(row['chance'])}"
    if math.isnan(row["ci_low"]):
        return f"{chance}. {row['test_samples']:.0f} test samples are too few for an interval."
    if row["ci_low"] == row["ci_high"]:
        return (
            f"{chance}. All test samples have the same share, so there is no meaningful interval."
        )
    ends = (
        f"{chance}; the interval over {row['test_samples']:.0f} test samples is "
        f"{interval(row['ci_low'], row['ci_high'])}"
    )
    if row["ci_high"] < row["chance"]:
        return f"{ends}: the test language's own samples are preferred."
    if row["ci_low"] > row["chance"]:
        return f"{ends}: samples in other languages are preferred."
    return f"{ends}: the share is not distinguishable from chance."


def say_reinforcement(table: pd.DataFrame, mean: Estimate | None) -> str:
    """Say how many helpful samples from other languages repeat the test language's own.

    Parameters
    ----------
    table : pandas.DataFrame
        From `sharing.reinforcement`.
    mean : Estimate or None
        From `paper.estimate_reinforcing`, which has the interval of the mean.
    """
    rows = table[table["sign"] == "positive"]
    lowest_to_highest = interval(rows["share"].min(), rows["share"].max())
    known = mean is not None and not math.isnan(mean.low)
    ends = f"interval {interval(mean.low, mean.high)}" if mean and known else "no interval"
    return (
        f"{percent(rows['share'].mean())} of the helpful samples from other languages translate "
        f"helpful samples in the test language ({ends}, {_count(rows)}; {lowest_to_highest} "
        f"depending on the test language); chance is {_chance(rows)}."
    )


def say_trend(composition: pd.DataFrame, change: Estimate | None) -> str:
    """Say how the test language's own share changes from the first epoch to the last.

    Parameters
    ----------
    composition : pandas.DataFrame
        From `sharing.composition`.
    change : Estimate or None
        From `paper.estimate_own_change`; needed for more than `FEW_EPOCHS` epochs.
    """
    own = composition[
        (composition["test_lang"] == composition["train_lang"])
        & (composition["sign"] == "positive")
    ]
    mean = own[own["checkpoint"] > 0].groupby("checkpoint")["share"].mean()
    text = (
        f"The test language's share of the helpful samples is {percent(mean.iloc[0])} "
        f"after epoch {mean.index[0]}"
    )
    if len(mean) == 1:
        return f"{text}, the only epoch."
    text += f" and {percent(mean.iloc[-1])} after epoch {mean.index[-1]}"
    if len(mean) <= FEW_EPOCHS:
        return f"{text}. Two epochs cannot show a trend."
    if change is None:
        return f"{text}."
    count = _count(own[own["checkpoint"] == mean.index[-1]])
    ends = f"{points(change.value)} points, {_ends(change)}, {count}"
    return f"{text}: {_direction(change)} ({ends})."


def _ends(change: Estimate) -> str:
    """Give the interval of a difference in points, or say that it has none."""
    ends = f"interval {points(change.low)} to {points(change.high)}"
    return "no interval" if math.isnan(change.low) else ends


def _direction(change: Estimate) -> str:
    """Say what a change of the test language's own share means for sharing."""
    if change.high < 0:
        return "sharing grows"
    if change.low > 0:
        return "sharing shrinks"
    return "no clear change"


def say_imbalance(table: pd.DataFrame, change: Estimate | None) -> str:
    """Say how a language's share of its own helpful samples follows its share of the data.

    Parameters
    ----------
    table : pandas.DataFrame
        From `sharing.imbalance`. Languages without the largest addition are left out.
    change : Estimate or None
        From `paper.estimate_imbalance_change`; None if the study adds nothing.
    """
    rows = table[table["sign"] == "positive"]
    most = rows["percent"].max()
    last = rows[rows["percent"] == most]
    rows = rows[rows["language"].isin(last["language"])]
    mean = rows.groupby("percent")[["share", "chance"]].mean()
    before, after = mean.loc[0], mean.loc[most]
    ends = "" if change is None else f"{points(change.value)} points, {_ends(change)}, "
    return (
        f"With {most} % more training data, a language's own share of its helpful samples goes "
        f"from {percent(before['share'])} to {percent(after['share'])} ({ends}{_count(last)}). "
        f"Chance, its share of the training data, goes from {percent(before['chance'])} to "
        f"{percent(after['chance'])}. {_against_data(change, after['chance'] - before['chance'])}"
    )


def _against_data(change: Estimate | None, by_chance: float) -> str:
    """Say what a change's interval tells beside the change of the share of the data."""
    if change is None or not change.low < change.high or change.low <= 0 <= change.high:
        return "We cannot tell whether the language's own share changes."
    if change.low <= by_chance <= change.high:
        return "We cannot tell whether this is more or less than by chance."
    return f"This is {'more' if change.low > by_chance else 'less'} than by chance."


def say_removal(controls: pd.DataFrame) -> str:
    """Say whether the most helpful samples matter more than random ones with the same labels.

    `controls` comes from `removal.compare_with_controls`.
    """
    rows = controls[(controls["sign"] == "positive") & (controls["strategy"] == "random_labels")]
    row = rows.loc[rows["k"].idxmax()]
    return (
        f"Removing the top {row['k']} changes confidence by {points(row['difference'])} points "
        f"relative to removing {row['k']} random samples with the same labels ({_known(row)}). "
        f"{_verdict(row)}"
    )


def _known(row: pd.Series) -> str:
    """How well a difference from a control is known: its interval and the number of samples."""
    if pd.isna(row["ci_low"]):
        return f"{row['test_samples']} test samples, too few for an interval"
    ends = f"interval {points(row['ci_low'])} to {points(row['ci_high'])}"
    return f"{ends}, {row['test_samples']} test samples"


def _verdict(row: pd.Series) -> str:
    """Whether the most helpful samples matter, as far as the difference from a control tells."""
    if row["beyond"]:
        return "The top samples matter."
    if pd.notna(row["ci_low"]) and row["ci_low"] > 0:
        return "The top samples matter less than the random ones."
    return "We cannot tell whether the top samples matter."


def say_groups(table: pd.DataFrame) -> str:
    """Name the parameter group that shares least, beside the others.

    `table` comes from `sharing.by_group`.
    """
    is_single = ~table["group"].str.startswith("all")
    rows = table[(table["sign"] == "positive") & is_single].set_index("group")
    name, least = rows["share"].idxmin(), rows.loc[rows["share"].idxmin()]
    rest = rows["share"].drop(name)
    stands_out = least["ci_high"] < rows["ci_low"].drop(name).min()
    return (
        "When samples are ranked by one parameter group at a time, the share of other languages is "
        f"lowest in {_name_group(name)}: {say_share(least)}, against "
        f"{interval(rest.min(), rest.max())} in the other groups. Chance is {_chance(rows)}; "
        f"{_count(rows.iloc[:1])}."
        f"{'' if stands_out else ' We cannot tell whether this group differs from the others.'}"
    )


def _name_group(group: str) -> str:
    """Name a parameter group in words, as in 'the first layer (layer-00)'."""
    return {"layer-00": "the first layer (layer-00)", "embeddings": "the word embeddings"}.get(
        group, f"the {group}" if group == "head" else group
    )


def _count(rows: pd.DataFrame) -> str:
    """Return how many test samples these rows are about, as in '125 test samples'."""
    return f"{rows['test_samples'].sum()} test samples"


def _chance(rows: pd.DataFrame) -> str:
    """Return the mean chance level of these rows in percent."""
    return percent(rows["chance"].mean())
