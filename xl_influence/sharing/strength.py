"""How strong influence is between languages: averages and histograms (section 7, Appendix B)."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import xarray as xr

from .base import BOOTSTRAP, Bootstrap, check, expand, languages_of, samples_of, summary
from .top import read_values


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
    languages, _ = languages_of(train)
    columns = [(train["lang"] == lang).to_numpy() for lang in languages]
    sums = np.zeros((len(test), len(languages)))  # (test, language)
    for rows, samples, values in read_values(scores):
        for number, column in enumerate(columns):
            sums[rows, number] += values[:, column[samples]].sum(1)
    means = sums / [column.sum() for column in columns]
    return expand(samples_of(test), "train_lang", languages, means, "mean")


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
    languages, _ = languages_of(train)
    counts, edges = _count_in_bins(scores, train, test, bins)
    tables = []
    for test_lang, part in samples_of(test).groupby("test_lang", sort=False):
        for train_lang in languages:
            found = {
                "test_lang": test_lang,
                "train_lang": train_lang,
                "low": edges[:-1],
                "high": edges[1:],
                "share": counts[test_lang, train_lang] / counts[test_lang, train_lang].sum(),
                "test_samples": len(part),
                "items": part["item"].nunique(),
            }
            tables.append(pd.DataFrame(found))
    return pd.concat(tables, ignore_index=True)


def _count_in_bins(
    scores: xr.Dataset, train: pd.DataFrame, test: pd.DataFrame, bins: int
) -> tuple[dict[tuple[str, str], np.ndarray], np.ndarray]:
    """Return (test language, training language) → scores in each bin, and the bins' edges."""
    ends = [(values.min(), values.max()) for _, _, values in read_values(scores)]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    edges = np.linspace(low, high, bins + 1)
    counts = {pair: np.zeros(bins, int) for pair in product(set(test["lang"]), set(train["lang"]))}
    for rows, samples, values in read_values(scores):
        for (test_lang, train_lang), found in counts.items():
            of_test = (test["lang"].iloc[rows] == test_lang).to_numpy()
            of_train = (train["lang"].iloc[samples] == train_lang).to_numpy()
            found += np.histogram(values[of_test][:, of_train], edges)[0]
    return counts, edges
