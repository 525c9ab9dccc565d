"""Statistics of several languages at once, such as in how many of them their own language comes first.

Their interval cannot be put together from those of the languages: translations of one item are drawn together, and a
count has none. So the items are drawn again and the whole statistic computed anew.
"""

import numpy as np
import pandas as pd
import xarray as xr

from .base import percentile


def by_language(each, statistic, *, value="share", resamples=2000, confidence_level=0.95, seed=0):
    """A statistic of the means by language, and its percentile bootstrap interval: (value, low, high).

    Where languages share no items, as in MARC, those of each language are drawn apart, so that every language keeps its
    number. A language of which a draw holds no item keeps its mean.

    Parameters
    ----------
    each : pandas.DataFrame
        A table by sample: `item, test_lang`, `value`, and `train_lang` where the statistic needs it.
    statistic : callable
        From means, an xarray.DataArray (draw, test_lang[, train_lang]), to one number for each draw.

    Returns
    -------
    tuple of float
        Low and high are NaN where fewer than `FEWEST` items are behind the statistic.
    """
    names = [name for name in ("test_lang", "train_lang") if name in each]
    items, codes = _codes(each["item"]), [_codes(each[name]) for name in names]
    sums, counts = (
        np.zeros([len(part[1]) for part in (items, *codes)]) for _ in range(2)
    )  # (item, test_lang[, train_lang])
    where = tuple(part[0] for part in (items, *codes))
    np.add.at(sums, where, each[value].to_numpy())
    np.add.at(counts, where, 1)
    coords = dict(zip(names, (part[1] for part in codes), strict=True))
    whole = sums.sum(0) / counts.sum(0)

    def of(means):
        return np.asarray(statistic(xr.DataArray(means, coords, ["draw", *names])), dtype=float)

    def of_drawn(*drawn, axis):
        rows = np.concatenate(
            [stratum[part] for stratum, part in zip(strata, drawn, strict=True)], -1
        )  # (draw, item)
        total, number = (table[rows].sum(1) for table in (sums, counts))
        return of(np.where(number, total / np.where(number, number, 1), whole))

    strata = _strata(each, items[0])
    interval = percentile(
        of_drawn, [len(part) for part in strata], resamples, confidence_level, seed
    )
    return float(of(whole[None])[0]), *interval


def _codes(column):
    """(number of its value for each row, the values in their order)."""
    return pd.factorize(column.to_numpy())


def _strata(each, item):
    """Sets of items that are drawn apart: all in one, or those of each language where no item is in two."""
    langs = each["test_lang"].groupby(item).nunique()
    if (langs > 1).any():
        return [np.unique(item)]
    return [
        np.unique(item[(each["test_lang"] == lang).to_numpy()])
        for lang in each["test_lang"].unique()
    ]
