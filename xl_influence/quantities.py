"""The quantities that the paper's claims are about, computed from the tables of a run.

Each takes `RunTables` and returns an `Estimate` (module `claim_estimates`), or None if the run
lacks what it needs. `sign` is the sign of the influence, 'positive' or 'negative'. *The top k* are
the k training samples of strongest influence of that sign on a test sample. Shares and differences
of shares are fractions: 0.01 is one percentage point. A count of languages or tests is a share of
their number. Means over languages give every language the same weight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from . import removal
from .claim_estimates import (
    Estimate,
    RunTables,
    change_between,
    count_of_languages,
    mean_chance,
    mean_of_independent,
    read_row,
)
from .manifest import development_accuracy, majority_share

SMALL = 0.1  # by convention the least rank-biserial correlation that counts as a difference


def dev_accuracy(run: RunTables) -> Estimate | None:
    """Development accuracy at the chosen epoch, a share, with Wilson's interval (section 4.1).

    Chance is the share of the most frequent class.
    """
    from scipy import stats  # takes most of a second to import

    manifest = run.tables.get("manifest")
    if not manifest:
        return None
    n, reached = manifest["rows"]["validation"], development_accuracy(manifest)
    test = stats.binomtest(round(reached * n), n)
    low, high = test.proportion_ci(run.bootstrap.confidence_level, method="wilson")
    return Estimate(reached, float(low), float(high), majority_share(manifest))


def removal_change(run: RunTables, sign: str) -> Estimate | None:
    """Change of the gold class's probability in `run` without the top k of `sign` (section 6).

    In probability: −0.01 is one point less. For the largest k.
    """
    rows = _removed(run, "removal_change", removal.measure_change, sign, "top")
    return read_row(rows, "change")


def removal_control(run: RunTables, sign: str, strategy: str) -> Estimate | None:
    """Change from removing the top k of `sign`, minus that from a control (beyond section 6).

    In probability, for the largest k of `run`; `strategy` names the control. Negative: the top k
    lowers confidence more than the control.
    """
    rows = _removed(run, "removal_controls", removal.compare_with_controls, sign, strategy)
    return read_row(rows, "difference")


def _removed(
    run: RunTables, name: str, average: Callable[..., pd.DataFrame], sign: str, strategy: str
) -> pd.DataFrame | None:
    """Find the row of the largest k; averaged again if test languages are left out."""
    if run.at_chance:
        each = run.find_rows("removal")
        run = RunTables({} if each is None else {name: average(each, bootstrap=run.bootstrap)})
    rows = run.find_rows(name, sign=sign, strategy=strategy)
    return None if rows is None else rows[rows["k"] == rows["k"].max()]


def cross_share(run: RunTables, sign: str) -> Estimate | None:
    """Share of the top k of `sign` in other languages, over all of `run` (section 7)."""
    rows = run.find_rows("cross_language", test_lang="all", sign=sign)
    if rows is not None and not run.at_chance:
        return read_row(rows)
    rows = run.find_shares(sign)
    if rows is None:
        return None
    found = run.estimate(rows, lambda share: 1 - _own(share).mean("test_lang"))
    return found._replace(chance=1 - mean_chance(rows[rows["test_lang"] == rows["train_lang"]]))


def own_beyond_chance(run: RunTables, sign: str) -> Estimate | None:
    """Share of the test language in its own top k of `sign`, minus its share of the data (7.1).

    Positive: a language of `run` relies on its own data more than random scores would.
    """
    found = cross_share(run, sign)
    return None if found is None else found.complement().beyond_chance()


def cross_difference(run: RunTables, language: str, sign: str) -> Estimate | None:
    """Share of other languages in the top k of `language`, minus the rest's mean (section 7.1).

    For one `sign`, in `run`. Negative: the language relies on others less than the rest do.
    """
    rows = run.find_shares(sign, language)

    def beyond_rest(share: xr.DataArray) -> xr.DataArray:
        other = 1 - _own(share)
        rest = other.drop_sel(test_lang=language).mean("test_lang")
        return other.sel(test_lang=language) - rest

    return None if rows is None else run.estimate(rows, beyond_rest)


def first_is_own(run: RunTables, sign: str) -> Estimate | None:
    """How many test languages of `run` come first in their own top k of `sign` (section 7.1)."""
    return _count_first(run, sign, lambda share: _largest(share) == share["test_lang"])


def first_is(run: RunTables, language: str, sign: str) -> Estimate | None:
    """For how many test languages of `run` the top k of `sign` is mostly `language` (7.1)."""
    return _count_first(run, sign, lambda share: _largest(share) == language)


def _count_first(
    run: RunTables, sign: str, is_so: Callable[[xr.DataArray], xr.DataArray]
) -> Estimate | None:
    """Count, as a share of the test languages, those whose largest source is the right one."""
    rows = run.find_shares(sign)
    if rows is None:
        return None
    found = run.estimate(rows, lambda share: is_so(share).mean("test_lang"))
    return count_of_languages(found, rows)


def given_to_others(run: RunTables, language: str, sign: str) -> Estimate | None:
    """Mean share of `language` in the top k of `sign` of the others in `run` (section 7.1)."""
    rows = run.find_shares(sign, language)
    if rows is None:
        return None

    def given(share: xr.DataArray) -> xr.DataArray:
        shares = share.sel(train_lang=language)
        return shares.drop_sel(test_lang=language, errors="ignore").mean("test_lang")

    found = run.estimate(rows, given)
    return found._replace(chance=mean_chance(rows[rows["train_lang"] == language]))


def given_beyond_rest(run: RunTables, language: str, sign: str) -> Estimate | None:
    """What `language` gives to the others' top k, minus what the rest give each (section 7.2).

    A difference of shares in `run`, for one `sign`; positive: the language gives more than the rest
    do on average. What languages give to themselves is left out.
    """
    rows = run.find_shares(sign, language)

    def beyond(share: xr.DataArray) -> xr.DataArray:
        given = share.where(share["test_lang"] != share["train_lang"])
        given = given.drop_sel(test_lang=language, errors="ignore")
        rest = given.drop_sel(train_lang=language).mean(["test_lang", "train_lang"])
        return given.sel(train_lang=language).mean("test_lang") - rest

    return None if rows is None else run.estimate(rows, beyond)


def rely_on_each_other(run: RunTables, languages: Sequence[str], sign: str) -> Estimate | None:
    """How many of two `languages` take more from each other than from any third (section 7.2).

    By the top k of `sign` in `run`. What they take from themselves does not count.
    """
    a, b = languages
    rows = run.find_shares(sign, a, b)
    if rows is None:
        return None

    def on_each_other(share: xr.DataArray) -> xr.DataArray:
        first = _largest(share.where(share["test_lang"] != share["train_lang"], -1))
        return ((first.sel(test_lang=a) == b) * 1.0 + (first.sel(test_lang=b) == a)) / 2

    found = run.estimate(rows, on_each_other)
    return found._replace(total=2, chance=1 / (rows["train_lang"].nunique() - 1))


def script_share(run: RunTables, language: str, sign: str) -> Estimate | None:
    """Share of the samples of `language` in the others' top k wholly in its script (section 7.1).

    The top k of `sign`, in `run`.
    """
    return read_row(run.find_rows("scripts", train_lang=language, sign=sign))


def highest_mean(run: RunTables, language: str) -> Estimate | None:
    """For how many test languages of `run` `language` has the highest mean influence (7)."""
    rows = run.find_first("mean_influence_by_sample", "mean_influence")
    if rows is None:
        return None
    found = run.estimate(rows, lambda mean: (_largest(mean) == language).mean("test_lang"), "mean")
    return count_of_languages(found, rows)


def own_beyond_other_tasks(run: RunTables, sign: str) -> Estimate | None:
    """Own share of the top k of `sign` in `run`, minus its mean over parallel tasks (section 7.2).

    A difference of shares; positive: languages rely on their own data more than in XNLI and PAWS-X.
    Runs of different tasks are independent.
    """
    runs = [run, run.of_task("xnli"), run.of_task("pawsx")]
    cross = [cross_share(each, sign) for each in runs]
    own = [found.complement() for found in cross if found is not None]
    if len(own) < len(runs):
        return None
    return own[0].minus(mean_of_independent(own[1:]))


def reinforcing(run: RunTables, sign: str) -> Estimate | None:
    """Share of other languages' samples in the top k of `sign` that are reinforcing (section 8.1).

    Reinforcing samples translate a sample of `run` in the test language that is in the top k, too.
    """
    rows = run.find_first("reinforcement_by_sample", "reinforcement", sign=sign)
    if rows is None:
        return None
    found = run.estimate(rows, _mean)
    if "chance" not in rows:
        return found
    return found._replace(chance=rows.groupby("test_lang")["chance"].mean().mean())


def own_change(run: RunTables, first: int) -> Estimate | None:
    """Own share of the positive top k after the last epoch, minus after `first` (section 8.2).

    A difference of shares, paired by test sample of `run`; negative: sharing grows.
    """
    rows = run.find_first("epochs_by_sample", "composition", sign="positive")
    if rows is None:
        return None
    own = rows[(rows["test_lang"] == rows["train_lang"]) & (rows["checkpoint"] > 0)]
    change = change_between(own, "checkpoint", first, own["checkpoint"].max())
    return None if change is None else run.estimate(change, _mean)


def epochs_that_differ(run: RunTables) -> Estimate | None:
    """In how many pairs of epochs influence differs, over all test languages (section 8.2).

    Two epochs differ if the rank-biserial correlation is at least `SMALL`. The ends of the interval
    count the tests whose own interval lies that far from zero in whole, and in part.
    """
    rows = run.find_rows("epoch_tests")
    if rows is None:
        return None
    found = Estimate((rows["effect"].abs() >= SMALL).mean(), total=len(rows))
    if "ci_low" not in rows:
        return found
    low, high = rows["ci_low"], rows["ci_high"]
    nearest = np.minimum(low.abs(), high.abs()).where(low * high > 0, 0)  # 0: zero is inside
    farthest = np.maximum(low.abs(), high.abs())
    return found._replace(low=(nearest >= SMALL).mean(), high=(farthest >= SMALL).mean())


def zero_shot(run: RunTables, language: str, what: str, sign: str) -> Estimate | None:
    """One share of `sharing.zero_shot`, `what`: 'translations' or 'same_samples' (section 8.3).

    For the top k of `sign`, without `language`; None if the model of `run` with or without the
    language is at chance in it.
    """
    if run.is_at_chance(f"without-{language}", language) or run.is_at_chance("base", language):
        return None
    return read_row(run.find_rows("zero_shot", language=language, what=what, sign=sign))


def imbalance_change(run: RunTables, sign: str) -> Estimate | None:
    """Own share of the top k of `sign` with the most added data, minus without (section 8.4).

    A difference of shares, the mean over languages of `run`; positive: a language with more data
    relies on itself more.
    """
    rows = run.find_imbalance(sign)
    if rows is None:
        return None
    change = change_between(rows, "percent", 0, rows["percent"].max())
    return None if change is None else run.estimate(change, _mean)


def imbalance_others(run: RunTables, sign: str, but: str) -> Estimate | None:
    """Share of other languages in the top k of a language with twice the data (section 8.4).

    The top k of `sign`; the mean over languages of `run`, without `but`.
    """
    rows = run.find_imbalance(sign)
    rows = None if rows is None else rows[(rows["percent"] == 100) & (rows["test_lang"] != but)]
    if rows is None or rows.empty:
        return None
    return run.estimate(rows, _mean)._replace(chance=mean_chance(rows)).complement()


UNITS: dict[str, tuple[Callable[..., Estimate | None], ...]] = {
    "share": (
        dev_accuracy,
        cross_share,
        given_to_others,
        script_share,
        reinforcing,
        zero_shot,
        imbalance_others,
    ),
    "count": (  # a share of the `total` counted
        first_is_own,
        first_is,
        rely_on_each_other,
        highest_mean,
        epochs_that_differ,
    ),
    "points": (  # a difference of shares or probabilities: 0.01 is one point
        removal_change,
        removal_control,
        own_beyond_chance,
        cross_difference,
        given_beyond_rest,
        own_beyond_other_tasks,
        own_change,
        imbalance_change,
    ),
}
QUANTITIES = {function.__name__: function for functions in UNITS.values() for function in functions}
UNIT_OF = {function.__name__: unit for unit, functions in UNITS.items() for function in functions}


def _mean(share: xr.DataArray) -> xr.DataArray:
    """Average over test languages."""
    return share.mean("test_lang")


def _own(share: xr.DataArray) -> xr.DataArray:
    """Return the share of the test language itself: (draw, test_lang)."""
    return share.where(share["test_lang"] == share["train_lang"]).sum("train_lang")


def _largest(share: xr.DataArray) -> xr.DataArray:
    """Return the training language with the largest share: (draw, test_lang)."""
    return share["train_lang"][share.argmax("train_lang")].drop_vars("train_lang")
