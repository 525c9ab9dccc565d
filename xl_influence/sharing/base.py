"""What the analyses share: the signs, the top k, tables by sample, bootstrap intervals, and the check that cube and
samples fit together.

Every share is the mean of a table *by sample*, which has one row for each test sample, with its item. Shares are
fractions from 0 to 1. Intervals are percentile bootstraps over items: which items were drawn is what another study would
draw again, and translations of one item are drawn together. Where each item is there once, as within a language, that
is the plain bootstrap over test samples.
"""

import numpy as np
import pandas as pd

from ..influence import influence

SIGNS = {"positive": 1, "negative": -1}
FEWEST = 6  # items behind an interval: of five values or fewer the values themselves are shown


class SharingError(ValueError):
    """The cube, the samples and the parameters do not fit together."""


def top_samples(values, k, sign):
    """Rows of the `k` most positively or negatively influential training samples of every test sample.

    `values`: array (test, train). Returns an int array (test, k), the strongest first; of equal values the earlier
    training sample comes first, so the choice at rank k is deterministic.
    """
    if not 1 <= k <= values.shape[1]:
        raise SharingError(
            f"top_k={k}: allowed are 1 to {values.shape[1]}, the number of training samples"
        )
    if not np.isfinite(values).all():
        raise SharingError("influence scores must be numbers; the cube holds NaN or infinity")
    weakness = -SIGNS[sign] * values
    top = np.sort(np.argpartition(weakness, k - 1, axis=1)[:, :k], 1)
    found = np.take_along_axis(weakness, top, 1)
    top = np.take_along_axis(top, np.argsort(found, axis=1, kind="stable"), 1)
    tied = (weakness <= found.max(1, keepdims=True)).sum(
        1
    ) > k  # at rank k: which of them were found is chance
    top[tied] = np.argsort(weakness[tied], axis=1, kind="stable")[:, :k]
    return top


def bootstrap(each, resamples, confidence_level, seed, items=None):
    """Percentile bootstrap interval (low, high) of the mean of `each` (n,); NaN where there are fewer than `FEWEST` items.

    `items` (n,): the item that each value belongs to; values of one item are drawn together (a cluster bootstrap).
    Default: every value has an item of its own.
    """
    codes = np.arange(len(each)) if items is None else pd.factorize(np.asarray(items))[0]
    sums, counts = np.bincount(codes, np.asarray(each, dtype=float)), np.bincount(codes)

    def mean(drawn, axis):
        return sums[drawn].sum(axis) / counts[drawn].sum(axis)

    return percentile(mean, [len(sums)], resamples, confidence_level, seed)


def percentile(statistic, sizes, resamples, confidence_level, seed):
    """Percentile bootstrap interval (low, high) of any statistic of items drawn with replacement.

    `sizes`: how many items each stratum has, from which as many are drawn. `statistic`: function of one int array
    (..., size) of drawn items for each stratum, and of `axis`, over which it reduces. NaN where all strata together
    have fewer than `FEWEST` items, or one has a single item.
    """
    from scipy import stats  # most of a second to import

    if sum(sizes) < FEWEST or min(sizes) < 2:
        return np.nan, np.nan

    def of_items(*drawn, axis):
        return statistic(*(part.astype(int) for part in drawn), axis=axis)

    found = stats.bootstrap(
        [np.arange(size) for size in sizes],
        of_items,
        n_resamples=resamples,
        batch=min(resamples, 500),
        vectorized=True,
        confidence_level=confidence_level,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return tuple(map(float, found.confidence_interval))


def summary(each, keys, *, value="share", resamples=2000, confidence_level=0.95, seed=0):
    """Means of a table by sample, with their intervals.

    `each`: the columns `keys`, `item` and `value`, and `chance` where there is one; one row for each test sample.

    Returns
    -------
    pandas.DataFrame
        `keys`, `value` (mean), `ci_low, ci_high` (NaN: fewer than `FEWEST` items), `chance` (mean), `test_samples`,
        `items` (how many different ones).
    """
    rows, chance = [], ["chance"] if "chance" in each else []
    for key, part in each.groupby(keys, sort=False):
        interval = bootstrap(part[value], resamples, confidence_level, seed, part["item"])
        expected = [part[name].mean() for name in chance]
        rows.append(
            [*key, part[value].mean(), *interval, *expected, len(part), part["item"].nunique()]
        )
    return pd.DataFrame(
        rows, columns=[*keys, value, "ci_low", "ci_high", *chance, "test_samples", "items"]
    )


def samples_of(train, test):
    """The test samples as a table by sample begins: `test` (uid), `item`, `test_lang`.

    Samples with one `item` are translations of each other; in a task that is not parallel each has its own.
    """
    shared = parallel(train) and ("label" not in test or parallel(test))
    item = test["item" if shared else "uid"].astype(str)
    return pd.DataFrame({"test": test["uid"], "item": item, "test_lang": test["lang"]}).reset_index(
        drop=True
    )


def spread(samples, column, names, values, value="share"):
    """A table by sample, each row once for every one of `names` in `column`; `values`: array (sample, name)."""
    table = samples.loc[samples.index.repeat(len(names))].reset_index(drop=True)
    return table.assign(**{column: np.tile(names, len(samples)), value: np.asarray(values).ravel()})


def with_all(each):
    """A table by sample, and once more with the test language 'all'."""
    return pd.concat([each.assign(test_lang="all"), each], ignore_index=True)


def by_sign(table):
    """The rows of positive influence first."""
    return table.sort_values(
        "sign", key=lambda sign: sign.map(list(SIGNS).index), kind="stable", ignore_index=True
    )


def parallel(train):
    """Whether equal items can be translations of each other: their labels are equal."""
    return bool((train.groupby("item")["label"].nunique() <= 1).all())


def by_checkpoint(scores):
    """(0, summed influence), then (epoch, influence at that checkpoint) for each, as arrays (test, train)."""
    yield 0, influence(scores).to_numpy()
    for checkpoint in scores["checkpoint"].to_numpy() if "checkpoint" in scores.dims else []:
        yield int(checkpoint), influence(scores.sel(checkpoint=checkpoint)).to_numpy()


def languages_of(train):
    """Training languages in their order, and each one's share of the training samples."""
    counts = train["lang"].value_counts(normalize=True)
    return list(dict.fromkeys(train["lang"])), counts.to_dict()


def check(scores, train, test):
    for name, frame in (("train", train), ("test", test)):
        if list(scores[name].to_numpy()) != list(frame["uid"]):
            raise SharingError(
                f"the cube's {name} samples are not those of the table given, or in another order"
            )
