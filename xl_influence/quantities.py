"""What the paper's claims are about, from the tables of a run.

A quantity is a function of a `found.Run` that gives a `found.Found`, or None where the run does not have what it takes.
"""

import numpy as np

from . import removal
from .found import Found, Run
from .manifest import development_accuracy, majority_share

SMALL = 0.1  # a rank-biserial correlation that is called small by convention: less is no difference


def dev_accuracy(run):
    from scipy import stats

    manifest = run.tables.get("manifest")
    if not manifest:
        return None
    n, reached = manifest["rows"]["validation"], development_accuracy(manifest)
    level = run.choice.get("confidence_level", 0.95)
    low, high = stats.binomtest(round(reached * n), n).proportion_ci(level, method="wilson")
    return Found(reached, float(low), float(high), majority_share(manifest))


def removal_change(run, sign):
    return _removed(run, "removal_change", removal.change, "change", sign, "top")


def removal_control(run, sign, strategy):
    return _removed(run, "removal_controls", removal.against_controls, "difference", sign, strategy)


def _removed(run, name, function, value, sign, strategy):
    """The row of the largest k; made anew from single removals where test languages are left out."""
    if run.weak:
        each = run.rows("removal")
        run = Run({} if each is None else {name: function(each, **run.choice)})
    rows = run.rows(name, sign=sign, strategy=strategy)
    return None if rows is None else _of(rows[rows["k"] == rows["k"].max()], value)


def cross_share(run, sign):
    rows = run.rows("cross_language", test_lang="all", sign=sign)
    if rows is not None and not run.weak:
        return _of(rows)
    rows = run.sources(sign)
    found = run.whole(rows, lambda share: 1 - _own(share).mean("test_lang"))
    if found is not None and "chance" in rows:
        found.chance = 1 - rows.loc[rows["test_lang"] == rows["train_lang"], "chance"].mean()
    return found


def own_beyond_chance(run, sign):
    found = cross_share(run, sign)
    if found is None:
        return None
    beyond = found.flipped(found.chance)
    beyond.chance = np.nan  # it is in the value
    return beyond


def cross_difference(run, language, sign):
    def beyond_rest(share):
        others = 1 - _own(share)
        return others.sel(test_lang=language) - others.drop_sel(test_lang=language).mean(
            "test_lang"
        )

    return run.whole(run.sources(sign, language), beyond_rest)


def first_is_own(run, sign):
    return _first(run, sign, lambda share: _largest(share) == share["test_lang"])


def first_is(run, language, sign):
    return _first(run, sign, lambda share: _largest(share) == language)


def _first(run, sign, right):
    rows = run.sources(sign)
    found = run.count(rows, lambda share: right(share).mean("test_lang"))
    if found is not None:
        found.chance = 1 / rows["train_lang"].nunique()
    return found


def given_to_others(run, language, sign):
    rows = run.sources(sign, language)

    def given(share):
        return (
            share.sel(train_lang=language)
            .drop_sel(test_lang=language, errors="ignore")
            .mean("test_lang")
        )

    found = run.whole(rows, given)
    if found is not None and "chance" in rows:
        found.chance = rows.loc[rows["train_lang"] == language, "chance"].mean()
    return found


def given_beyond_rest(run, language, sign):
    def beyond(share):
        others = share.where(share["test_lang"] != share["train_lang"]).drop_sel(
            test_lang=language, errors="ignore"
        )
        rest = others.drop_sel(train_lang=language).mean(["test_lang", "train_lang"])
        return others.sel(train_lang=language).mean("test_lang") - rest

    return run.whole(run.sources(sign, language), beyond)


def rely_on_each_other(run, languages, sign):
    a, b = languages

    def right(share):
        first = _largest(share.where(share["test_lang"] != share["train_lang"], -1))
        return ((first.sel(test_lang=a) == b) * 1.0 + (first.sel(test_lang=b) == a)) / 2

    rows = run.sources(sign, a, b)
    found = run.whole(rows, right)
    if found is not None:
        found.of, found.chance = 2, 1 / (rows["train_lang"].nunique() - 1)
    return found


def script_share(run, language, sign):
    return _of(run.rows("scripts", train_lang=language, sign=sign))


def highest_mean(run, language):
    rows = run.either("mean_influence_by_sample", "mean_influence")
    found = run.count(rows, lambda mean: (_largest(mean) == language).mean("test_lang"), "mean")
    if found is not None:
        found.chance = 1 / rows["train_lang"].nunique()
    return found


def own_beyond_other_tasks(run, sign):
    mine, *others = [
        cross_share(each, sign) for each in (run, run.other("xnli"), run.other("pawsx"))
    ]
    if mine is None or None in others:
        return None
    value, n = np.mean([other.value for other in others]) - mine.value, len(others)
    down = np.sqrt(
        sum((o.value - o.low) ** 2 for o in others) / n**2 + (mine.high - mine.value) ** 2
    )
    up = np.sqrt(sum((o.high - o.value) ** 2 for o in others) / n**2 + (mine.value - mine.low) ** 2)
    return Found(value, value - down, value + up)  # runs of different tasks are independent


def reinforcing(run, sign):
    rows = run.either("reinforcement_by_sample", "reinforcement", sign=sign)
    found = run.whole(rows, _mean)
    if found is not None and "chance" in rows:
        found.chance = rows.groupby("test_lang")["chance"].mean().mean()
    return found


def own_change(run, first):
    rows = run.either("epochs_by_sample", "composition", sign="positive")
    if rows is None:
        return None
    own = rows[(rows["test_lang"] == rows["train_lang"]) & (rows["checkpoint"] > 0)]
    return run.whole(_change(own, "checkpoint", first, own["checkpoint"].max()), _mean)


def epochs_that_differ(run):
    rows = run.rows("epoch_tests")
    if rows is None:
        return None
    found = Found((rows["effect"].abs() >= SMALL).mean(), of=len(rows))
    if "ci_low" in rows:
        low, high = rows["ci_low"], rows["ci_high"]
        least = np.minimum(low.abs(), high.abs()).where(low * high > 0, 0)
        found.low, found.high = (
            (least >= SMALL).mean(),
            (np.maximum(low.abs(), high.abs()) >= SMALL).mean(),
        )
    return found


def zero_shot(run, language, what, sign):
    if run.weak_in(f"without-{language}", language) or run.weak_in("base", language):
        return None
    return _of(run.rows("zero_shot", language=language, what=what, sign=sign))


def imbalance_change(run, sign):
    rows = _imbalance(run, sign)
    return (
        None
        if rows is None
        else run.whole(_change(rows, "percent", 0, rows["percent"].max()), _mean)
    )


def imbalance_others(run, sign, but):
    rows = _imbalance(run, sign)
    rows = None if rows is None else rows[(rows["percent"] == 100) & (rows["test_lang"] != but)]
    if rows is None or rows.empty:
        return None
    found = run.whole(rows, _mean)
    found.chance = rows["chance"].mean() if "chance" in rows else np.nan
    return found.flipped(1)


def _imbalance(run, sign):
    """Shares by test language (that which was given more) and percent, without languages of which a model is at chance."""
    rows = run.either("imbalance_by_sample", "imbalance", sign=sign)
    if rows is None:
        return None
    models = rows[["percent", "language"]].drop_duplicates().itertuples(index=False)
    weak = {
        lang
        for percent, lang in models
        if run.weak_in(f"plus-{percent}-{lang}", lang) or run.weak_in("base", lang)
    }
    rows = rows[~rows["language"].isin(weak)].rename(columns={"language": "test_lang"})
    return rows if len(rows) else None


SHARES = (
    dev_accuracy,
    cross_share,
    given_to_others,
    script_share,
    reinforcing,
    zero_shot,
    imbalance_others,
)
COUNTS = (first_is_own, first_is, rely_on_each_other, highest_mean, epochs_that_differ)
DIFFERENCES = (
    removal_change,
    removal_control,
    own_beyond_chance,
    cross_difference,
    given_beyond_rest,
    own_beyond_other_tasks,
    own_change,
    imbalance_change,
)
UNITS = {
    "share": SHARES,
    "count": COUNTS,
    "points": DIFFERENCES,
}  # counts as shares of `of`, points as fractions
QUANTITIES = {function.__name__: function for functions in UNITS.values() for function in functions}


def _of(rows, value="share"):
    """The only row of a table as it stands."""
    if rows is None or rows[value].isna().any():
        return None
    row = rows.iloc[0]
    return Found(
        *(float(row[name]) for name in (value, "ci_low", "ci_high")),
        float(row.get("chance", np.nan)),
    )


def _change(rows, column, before, after):
    """The share at one value of a column minus that at another, by sample where there are such; None where one is missing."""
    keys = [name for name in ("test", "item", "test_lang") if name in rows]
    wide = rows.pivot(index=keys, columns=column, values="share")
    if before == after or not {before, after} <= set(wide):
        return None
    return (wide[after] - wide[before]).rename("share").dropna().reset_index()


def _mean(share):
    return share.mean("test_lang")


def _own(share):
    """The share of the test language itself: (draw, test_lang)."""
    return share.where(share["test_lang"] == share["train_lang"]).sum("train_lang")


def _largest(share):
    """The training language with the largest share: (draw, test_lang)."""
    return share["train_lang"][share.argmax("train_lang")].drop_vars("train_lang")
