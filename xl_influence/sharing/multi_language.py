"""Statistics over several languages, such as how many of them are their own largest source.

The intervals of the single languages do not yield the interval of such a statistic: translations of
one item are resampled together, and a count has no interval of its own. So we resample the items
and compute the whole statistic for each resample.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from .base import BOOTSTRAP, Bootstrap, WithInterval, interval_of


def by_language(
    each: pd.DataFrame,
    statistic: Callable[[xr.DataArray], Any],
    *,
    value: str = "share",
    bootstrap: Bootstrap = BOOTSTRAP,
) -> WithInterval:
    """Compute a statistic of the means by language, and its percentile bootstrap interval.

    If languages share no items, as in MARC, each language's items are resampled separately, so that
    every language keeps its number of items. A language that a resample leaves without items keeps
    its mean.

    Parameters
    ----------
    each : pandas.DataFrame
        A table by sample: `item`, `test_lang`, `value`, and `train_lang` if the statistic needs it.
    statistic : callable
        Takes the means, an xarray.DataArray with dims (draw, test_lang[, train_lang]), and returns
        one number per draw.
    value : str
        The column to average.
    bootstrap : Bootstrap
        How the interval is computed.

    Returns
    -------
    WithInterval
        `value`, `low` and `high`; the last two NaN if it rests on fewer than `FEWEST` items.
    """
    names = [name for name in ("test_lang", "train_lang") if name in each]
    columns = [each[name].to_numpy() for name in ("item", *names)]
    codes, levels = zip(*map(pd.factorize, columns), strict=True)
    sums = np.zeros([len(level) for level in levels])  # (item, test_lang[, train_lang])
    counts = np.zeros_like(sums)
    np.add.at(sums, codes, each[value].to_numpy())
    np.add.at(counts, codes, 1)
    coords = dict(zip(names, levels[1:], strict=True))
    overall = sums.sum(0) / counts.sum(0)  # (test_lang[, train_lang])

    def of(means: np.ndarray) -> np.ndarray:
        return np.asarray(statistic(xr.DataArray(means, coords, ["draw", *names])), dtype=float)

    def of_drawn(*drawn: np.ndarray, axis: int) -> np.ndarray:
        parts = [stratum[rows] for stratum, rows in zip(strata, drawn, strict=True)]
        rows = np.concatenate(parts, -1)  # (draw, item)
        total, number = sums[rows].sum(1), counts[rows].sum(1)  # (draw, test_lang[, train_lang])
        return of(np.where(number, total / np.where(number, number, 1), overall))

    strata = _strata(each["test_lang"], codes[0])
    low, high = interval_of(of_drawn, [len(stratum) for stratum in strata], bootstrap)
    return WithInterval(float(of(overall[None])[0]), low, high)


def _strata(test_lang: pd.Series, item: np.ndarray) -> list[np.ndarray]:
    """Return the sets of items that are resampled separately: one, or one per language.

    Parameters
    ----------
    test_lang : pandas.Series
        The test language of each row.
    item : numpy.ndarray
        The number of each row's item.
    """
    if (test_lang.groupby(item).nunique() > 1).any():
        return [np.unique(item)]
    return [np.unique(item[(test_lang == lang).to_numpy()]) for lang in test_lang.unique()]
