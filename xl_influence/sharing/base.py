"""What the analyses have in common: signs, the top k, tables by sample, and bootstrap intervals.

Every share is the mean of a table *by sample*, which has one row per test sample and names the
sample's item. Shares are fractions from 0 to 1.

Intervals are percentile bootstraps over items: a repetition of the study would draw other items,
and all translations of an item would come with it, so they are resampled together. Where each item
occurs once, as within one language, this is the ordinary bootstrap over test samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from ..sections import Analysis

SIGNS = {"positive": 1, "negative": -1}
FEWEST = 6  # items that an interval needs; for five or fewer we show the values themselves


class SharingError(ValueError):
    """The cube, the samples and the parameters do not fit together."""


@dataclass(frozen=True)
class Bootstrap:
    """How the intervals of an analysis are computed.

    Parameters
    ----------
    resamples : int
        Number of bootstrap resamples.
    confidence_level : float
        Coverage of the intervals, between 0 and 1.
    seed : int
        Seed of the resampling: equal data and seed give equal intervals.

    Examples
    --------
    >>> Bootstrap(resamples=500, confidence_level=0.9)
    Bootstrap(resamples=500, confidence_level=0.9, seed=0)
    >>> shares = [0.7, 0.4, 0.9, 0.6, 0.8, 0.5]
    >>> low, high = interval_of_mean(shares, Bootstrap(resamples=1000))
    >>> 0.4 < low < 0.65 < high < 0.9
    True
    """

    resamples: int = 2000
    confidence_level: float = 0.95
    seed: int = 0

    @classmethod
    def of(cls, params: Analysis) -> Bootstrap:
        """Return the bootstrap that a run's parameters ask for."""
        return cls(params["resamples"], params["confidence_level"])


BOOTSTRAP = Bootstrap()  # the default of every analysis


class WithInterval(NamedTuple):
    """A statistic and the ends of its interval, which are NaN if it has none."""

    value: float
    low: float
    high: float


def top_samples(values: np.ndarray, k: int, sign: str) -> np.ndarray:
    """Find the `k` training samples of strongest positive or negative influence per test sample.

    Parameters
    ----------
    values : numpy.ndarray
        Influence, of shape (test, train).
    k : int
        How many training samples to take.
    sign : str
        'positive' or 'negative'.

    Returns
    -------
    numpy.ndarray
        Row numbers of training samples, ints of shape (test, k), the strongest first. Among equal
        values the earlier training sample comes first, so the choice at rank k is deterministic.

    Raises
    ------
    SharingError
        `k` is less than 1 or exceeds the number of training samples, or a value is not finite.
    """
    if not 1 <= k <= values.shape[1]:
        raise SharingError(
            f"top_k={k}: allowed are 1 to {values.shape[1]}, the number of training samples"
        )
    if not np.isfinite(values).all():
        raise SharingError("influence scores must be finite; the cube holds NaN or infinity")
    weakness = -SIGNS[sign] * values  # (test, train), the strongest lowest
    top = np.sort(np.argpartition(weakness, k - 1, axis=1)[:, :k], 1)  # (test, k)
    found = np.take_along_axis(weakness, top, 1)  # (test, k)
    top = np.take_along_axis(top, np.argsort(found, axis=1, kind="stable"), 1)
    # Among samples that tie at rank k, `argpartition` takes any: sort those rows instead.
    tied = (weakness <= found.max(1, keepdims=True)).sum(1) > k  # (test,)
    top[tied] = np.argsort(weakness[tied], axis=1, kind="stable")[:, :k]
    return top


def interval_of_mean(
    values: Sequence[float] | np.ndarray | pd.Series,
    bootstrap: Bootstrap = BOOTSTRAP,
    items: Sequence[Any] | np.ndarray | pd.Series | None = None,
) -> tuple[float, float]:
    """Compute the percentile bootstrap interval of a mean.

    Parameters
    ----------
    values : array_like
        One value per test sample.
    bootstrap : Bootstrap
        How the interval is computed.
    items : array_like, optional
        The item of each value. Values of one item are resampled together (a cluster bootstrap);
        by default each value is its own item.

    Returns
    -------
    tuple of float
        Low and high; both NaN for fewer than `FEWEST` items.
    """
    codes = np.arange(len(values)) if items is None else pd.factorize(np.asarray(items))[0]
    sums = np.bincount(codes, np.asarray(values, dtype=float))  # (item,)
    counts = np.bincount(codes)  # (item,)

    def mean(drawn: np.ndarray, axis: int) -> np.ndarray:
        return sums[drawn].sum(axis) / counts[drawn].sum(axis)

    return interval_of(mean, [len(sums)], bootstrap)


def interval_of(
    statistic: Callable[..., np.ndarray], sizes: Sequence[int], bootstrap: Bootstrap
) -> tuple[float, float]:
    """Compute the percentile bootstrap interval of any statistic of resampled items.

    `scipy.stats.bootstrap` does the resampling. It resamples row numbers instead of the values
    because a statistic here reads several arrays at once: each item's sum and its count.

    Parameters
    ----------
    statistic : callable
        Takes one int array (..., size) of resampled row numbers per stratum, and `axis`, the axis
        to reduce.
    sizes : sequence of int
        Number of items in each stratum; as many are drawn from it.
    bootstrap : Bootstrap
        How the interval is computed.

    Returns
    -------
    tuple of float
        Low and high; both NaN if the strata have fewer than `FEWEST` items in all, or if one of
        them has a single item.
    """
    from scipy import stats  # takes most of a second to import

    if sum(sizes) < FEWEST or min(sizes) < 2:
        return np.nan, np.nan

    def of_rows(*drawn: np.ndarray, axis: int) -> np.ndarray:
        return statistic(*(rows.astype(int) for rows in drawn), axis=axis)

    found = stats.bootstrap(
        [np.arange(size) for size in sizes],
        of_rows,
        n_resamples=bootstrap.resamples,
        batch=min(bootstrap.resamples, 500),
        vectorized=True,
        confidence_level=bootstrap.confidence_level,
        method="percentile",
        rng=np.random.default_rng(bootstrap.seed),
    )
    low, high = found.confidence_interval
    return float(low), float(high)


def summary(
    each: pd.DataFrame,
    keys: Sequence[str],
    bootstrap: Bootstrap = BOOTSTRAP,
    *,
    value: str = "share",
) -> pd.DataFrame:
    """Average a table by sample, with an interval for every mean.

    Parameters
    ----------
    each : pandas.DataFrame
        One row per test sample and key: the columns `keys`, `item`, `value` and, optionally,
        `chance`.
    keys : sequence of str
        Columns whose combinations become the rows of the result, in order of appearance.
    bootstrap : Bootstrap
        How the intervals are computed.
    value : str
        The column to average.

    Returns
    -------
    pandas.DataFrame
        `keys`, `value` (mean), `ci_low`, `ci_high` (NaN for fewer than `FEWEST` items), `chance`
        (mean, if `each` has it), `test_samples`, `items` (the number of distinct ones).
    """
    chance = [name for name in ("chance",) if name in each]
    rows = []
    for key, part in each.groupby(list(keys), sort=False):
        interval = interval_of_mean(part[value], bootstrap, part["item"])
        expected = [part[name].mean() for name in chance]
        counts = [len(part), part["item"].nunique()]
        rows.append([*key, part[value].mean(), *interval, *expected, *counts])
    columns = [*keys, value, "ci_low", "ci_high", *chance, "test_samples", "items"]
    return pd.DataFrame(rows, columns=columns)


def samples_of(test: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that every table by sample begins with: `test` (uid), `item`, `test_lang`.

    Samples of the same `item` are translations of each other; in a task that is not parallel, every
    sample is its own item (see `scores.read`).
    """
    columns = {
        "test": test["uid"],
        "item": test["item"].astype(str),
        "test_lang": test["lang"],
    }
    return pd.DataFrame(columns).reset_index(drop=True)


def expand(
    samples: pd.DataFrame,
    column: str,
    names: Sequence[Any],
    values: np.ndarray,
    value: str = "share",
) -> pd.DataFrame:
    """Repeat each row of a table by sample for every name, with the value that belongs to both.

    Parameters
    ----------
    samples : pandas.DataFrame
        A table by sample.
    column : str
        The new column for the names.
    names : sequence
        What each row is repeated for, such as the training languages.
    values : numpy.ndarray
        Of shape (sample, name).
    value : str
        The new column for the values.
    """
    table = samples.loc[samples.index.repeat(len(names))].reset_index(drop=True)
    return table.assign(**{column: np.tile(names, len(samples)), value: np.asarray(values).ravel()})


def with_all(each: pd.DataFrame) -> pd.DataFrame:
    """Put a copy with test language 'all' in front of a table by sample."""
    return pd.concat([each.assign(test_lang="all"), each], ignore_index=True)


def by_sign(table: pd.DataFrame) -> pd.DataFrame:
    """Sort a table so that positive influence comes first."""
    order = list(SIGNS).index
    return table.sort_values(
        "sign", key=lambda sign: sign.map(order), kind="stable", ignore_index=True
    )


def parallel(train: pd.DataFrame) -> bool:
    """Whether samples are translations of each other, so that languages share items.

    In a task that is not parallel, `scores.read` makes each sample its own item.
    """
    return bool(train["item"].duplicated().any())


def languages_of(train: pd.DataFrame) -> tuple[list[str], dict[str, float]]:
    """Return the training languages in order, and each one's share of the training samples."""
    counts = train["lang"].value_counts(normalize=True)
    return list(dict.fromkeys(train["lang"])), counts.to_dict()


def language_codes(train: pd.DataFrame, test: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return a number for the language of each sample: arrays of `train` and of `test`."""
    codes = pd.factorize(np.concatenate([train["lang"].to_numpy(), test["lang"].to_numpy()]))[0]
    return codes[: len(train)], codes[len(train) :]


def other_language_at(train: pd.DataFrame, test: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
    """Whether training samples are in another language than the test sample.

    Parameters
    ----------
    train, test
        The cube's samples.
    rows
        Row numbers of training samples, (test, k).

    Returns
    -------
    numpy.ndarray
        Bool, (test, k).
    """
    of_train, of_test = language_codes(train, test)
    return of_train[rows] != of_test[:, None]


def in_other_language(train: pd.DataFrame, test: pd.DataFrame) -> np.ndarray:
    """Whether a training sample is in another language than a test sample: bool, (test, train)."""
    return train["lang"].to_numpy()[None] != test["lang"].to_numpy()[:, None]


def check(scores: xr.Dataset, train: pd.DataFrame, test: pd.DataFrame) -> None:
    """Raise a `SharingError` unless `train` and `test` are the samples of `scores`, in order."""
    for name, frame in (("train", train), ("test", test)):
        if list(scores[name].to_numpy()) != list(frame["uid"]):
            raise SharingError(
                f"the cube's {name} samples are not those of the table given, or in another order"
            )
