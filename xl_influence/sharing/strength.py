"""How strong influence is between languages: averages and histograms (section 7, Appendix B)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from ..influence import influence
from .base import BOOTSTRAP, Bootstrap, check, languages_of, samples_of, spread, summary


def mean_influence(
    scores: xr.Dataset,
    train: pd.DataFrame,
    test: pd.DataFrame,
    *,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> pd.DataFrame:
    """Average influence between languages, over all their samples (Tables 3 and 6).

    Parameters
    ----------
    scores : xarray.Dataset
        Score cube of a run, with dims (checkpoint, group, test, train).
    train, test : pandas.DataFrame
        The cube's samples, in the cube's order.
    bootstrap : Bootstrap
        How the intervals are computed.

    Returns
    -------
    pandas.DataFrame
        `test_lang`, `train_lang`, `mean`, `ci_low`, `ci_high` (cosines summed over checkpoints),
        `test_samples`, `items`.
    """
    each = mean_influence_by_sample(scores, train, test)
    return summary(each, ["test_lang", "train_lang"], bootstrap, value="mean")


def mean_influence_by_sample(
    scores: xr.Dataset, train: pd.DataFrame, test: pd.DataFrame
) -> pd.DataFrame:
    """Average each training language's influence on each test sample.

    `mean_influence` is the mean of this table.

    Parameters
    ----------
    scores, train, test
        As for `mean_influence`.

    Returns
    -------
    pandas.DataFrame
        `test` (uid), `item`, `test_lang`, `train_lang`, `mean`.
    """
    check(scores, train, test)
    values, (languages, _) = influence(scores).to_numpy(), languages_of(train)
    columns = [(train["lang"] == lang).to_numpy() for lang in languages]
    means = np.stack([values[:, column].mean(1) for column in columns], 1)  # (test, language)
    return spread(samples_of(train, test), "train_lang", languages, means, "mean")


def distribution(
    scores: xr.Dataset, train: pd.DataFrame, test: pd.DataFrame, *, bins: int = 40
) -> pd.DataFrame:
    """Compute the histogram of influence scores for every pair of languages (Figures 9 to 11).

    Parameters
    ----------
    scores : xarray.Dataset
        Score cube of a run, with dims (checkpoint, group, test, train).
    train, test : pandas.DataFrame
        The cube's samples, in the cube's order.
    bins : int
        Number of bins between the lowest and the highest score of the run.

    Returns
    -------
    pandas.DataFrame
        `test_lang`, `train_lang`, `low`, `high` (edges of the bin), `share` (of the pair's scores
        that fall into the bin), `test_samples`, `items`.
    """
    check(scores, train, test)
    values, (languages, _) = influence(scores).to_numpy(), languages_of(train)
    edges = np.linspace(values.min(), values.max(), bins + 1)
    tables = []
    for test_lang, part in samples_of(train, test).groupby("test_lang", sort=False):
        for train_lang in languages:
            column = (train["lang"] == train_lang).to_numpy()
            counts, _ = np.histogram(values[part.index][:, column], edges)
            found = {
                "test_lang": test_lang,
                "train_lang": train_lang,
                "low": edges[:-1],
                "high": edges[1:],
                "share": counts / counts.sum(),
                "test_samples": len(part),
                "items": part["item"].nunique(),
            }
            tables.append(pd.DataFrame(found))
    return pd.concat(tables, ignore_index=True)
