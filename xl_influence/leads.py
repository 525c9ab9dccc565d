"""One sentence for each result, from its table: what the evidence says, with chance and interval, and no more.

Each function takes a tidy table of one run and returns a sentence that stands after the name of the task.
"""

from .prose import interval, percent, points
from .tasks import LANGUAGES

FEW_EPOCHS = 2  # so many epochs show no trend


def accuracy(found, majority, weak):
    """How good a model is beside the most frequent class; `weak`: names of the languages in which it is at chance."""
    text = f"The model is right on {percent(found)} of the development samples; the most frequent class is {percent(majority)}."
    return f"{text} In {', '.join(weak)} it is no better than chance." if weak else text


def cross_language(by_k, top_k):
    """How much of the strongest samples comes from other languages, for the first, the first ten and the top k."""
    rows = by_k[(by_k["test_lang"] == "all") & (by_k["sign"] == "positive")].set_index("k")
    names = {
        1: "Of the single most helpful training samples,",
        10: "of the ten most helpful,",
        top_k: f"of the top {top_k},",
    }
    parts = [
        f"{name} {percent(rows.loc[k, 'share'])}{_range(rows.loc[k])}"
        for k, name in names.items()
        if k in rows.index
    ]
    return f"{'; '.join(parts)} are in another language than the test sample. By chance it would be {_chance(rows)}."


def reinforcement(table):
    """How many of the helpful samples from other languages repeat the test language's own."""
    rows = table[table["sign"] == "positive"]
    spread = interval(rows["share"].min(), rows["share"].max())
    return (
        f"{percent(rows['share'].mean())} of the helpful samples from other languages are translations of helpful samples in "
        f"the test language itself ({spread}, depending on the test language); by chance it would be {_chance(rows)}."
    )


def trend(composition, change):
    """How the test language's own share changes from the first epoch to the last; `change`: (value, low, high)."""
    own = composition[
        (composition["test_lang"] == composition["train_lang"])
        & (composition["sign"] == "positive")
    ]
    mean = own[own["checkpoint"] > 0].groupby("checkpoint")["share"].mean()
    text = f"{percent(mean.iloc[0])} of the helpful samples are in the test language after epoch {mean.index[0]}"
    if len(mean) == 1:
        return f"{text}. There is one epoch only."
    text += f" and {percent(mean.iloc[-1])} after epoch {mean.index[-1]}"
    if len(mean) <= FEW_EPOCHS:
        return f"{text}. Two epochs cannot show a trend."
    verdict = (
        "sharing grows"
        if change[2] < 0
        else "sharing shrinks"
        if change[1] > 0
        else "no clear change"
    )
    return f"{text}: {verdict} ({points(change[0])} points, interval {points(change[1])} to {points(change[2])})."


def zero_shot(table, weak=()):
    """What comes back in a language that was left out, one sentence for each language; `weak`: languages at chance."""
    sentences = []
    for (lang, what), row in (
        table[table["sign"] == "positive"].set_index(["language", "what"]).iterrows()
    ):
        if what != ("translations" if "translations" in set(table["what"]) else "same_samples"):
            continue
        name = LANGUAGES.get(lang, lang)
        known, seen = percent(row["accuracy"]), percent(row["accuracy_seen"])
        accuracy = f"Without {name} the model is right {known} of the time in it ({seen} with it)"
        if lang in weak:
            sentences.append(
                f"{accuracy}, which is no better than chance, so nothing follows from its influence."
            )
            continue
        found = (
            "translate a sample that helped before"
            if what == "translations"
            else "helped before as well"
        )
        share = f"{percent(row['share'])} of its helpful samples{_range(row)} {found}"
        sentences.append(f"{accuracy}; {share}, by chance {percent(row['chance'])}.")
    return " ".join(sentences)


def imbalance(table):
    """How the share of a language in its own helpful samples follows its part of the data."""
    mean = table[table["sign"] == "positive"].groupby("percent")[["share", "chance"]].mean()
    most = mean.index[-1]
    return (
        f"With {most} % more data, a language's share of its own helpful samples goes from {percent(mean.loc[0, 'share'])} to "
        f"{percent(mean.loc[most, 'share'])}; its share of the training data goes from {percent(mean.loc[0, 'chance'])} to "
        f"{percent(mean.loc[most, 'chance'])}."
    )


def removal(controls):
    """Whether removing the most helpful samples does more than removing random ones with the same labels."""
    rows = controls[(controls["sign"] == "positive") & (controls["strategy"] == "random_labels")]
    row = rows.loc[rows["k"].idxmax()]
    verdict = "they matter" if row["beyond"] else "this is inconclusive"
    known = f"interval {points(row['ci_low'])} to {points(row['ci_high'])}, {row['test_samples']} test samples"
    if row["ci_low"] != row["ci_low"]:  # not a number
        known = f"{row['test_samples']} test samples, too few for an interval"
    return (
        f"Removing the top {row['k']} changes the probability of the right answer by {points(row['difference'])} points "
        f"compared with removing as many random samples with the same labels ({known}): {verdict}."
    )


def groups(table):
    """The parameter group that shares least, beside the others."""
    rows = table[(table["sign"] == "positive") & ~table["group"].str.startswith("all")].set_index(
        "group"
    )
    least = rows["share"].idxmin()
    rest = rows["share"].drop(least)
    return (
        f"Taken over one group of parameters at a time, the share from other languages is lowest in {least} "
        f"({percent(rows.loc[least, 'share'])}{_range(rows.loc[least])}) and lies between {percent(rest.min())} and "
        f"{percent(rest.max())} elsewhere; by chance it would be {_chance(rows)}."
    )


def _range(row):
    """An interval in brackets; nothing where there is none."""
    known = row["ci_low"] == row["ci_low"]  # not a number: too few test samples
    return f" (interval {interval(row['ci_low'], row['ci_high'])})" if known else ""


def _chance(rows):
    return percent(rows["chance"].mean())
