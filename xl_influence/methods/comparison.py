"""Methods side by side: the same questions put to each, with interval, chance and sample count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from ..influence import from_values
from ..sharing import BOOTSTRAP, Bootstrap, summary
from ..sharing.base import samples_of
from ..sharing.examples import planted_by_sample
from ..sharing.languages import share_by_k_by_sample
from ..sharing.translations import translation_rank_by_sample
from .base import MethodInput
from .catalogue import PAPER

KS = (10, 100)  # of the share from other languages
MEASURES = {  # name in the table → what it measures
    "other languages": "share of the top k from other languages",
    "planted": "share of the top k with the test sample's phenomenon and label",
    "own translation": "reciprocal rank of the test sample's own translation",
    "agreement": "rank correlation with the paper's cosine",
}
KEYS = ["method", "measure", "k"]


def compare(
    values: Mapping[str, np.ndarray],
    given: MethodInput,
    *,
    ks: Sequence[int] = KS,
    translated: bool = False,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> pd.DataFrame:
    """Put the same questions to every method.

    Parameters
    ----------
    values : mapping of str to numpy.ndarray
        Method → values (test, train), or (draw, test, train), whose results are averaged; the
        paper's cosine must be among them.
    given : MethodInput
        The run.
    ks : sequence of int
        Where to cut the ranking for the share from other languages; those above the number of
        training samples are skipped.
    translated : bool
        Whether equal items of test and training samples are translations of each other, as in the
        demo corpora.
    bootstrap : Bootstrap
        How the intervals are computed.

    Returns
    -------
    pandas.DataFrame
        `method`, `measure` (one of `MEASURES`, as far as the run allows), `k` (0 where the whole
        ranking counts), `value`, `ci_low`, `ci_high`, `chance`, `test_samples`, `items`.
    """
    paper, tables = values[PAPER], []
    for name, found in values.items():
        draws = found if found.ndim == 3 else found[None]
        parts = [_by_sample(draw, paper, given, ks, translated) for draw in draws]
        each = pd.concat(parts).assign(method=name)
        keys = [*KEYS, "test", "item"]
        tables.append(each.groupby(keys, sort=False)[["value", "chance"]].mean().reset_index())
    return summary(pd.concat(tables, ignore_index=True), KEYS, bootstrap, value="value")


def correlate_ranks(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Compute Spearman's rank correlation of two methods for each test sample.

    Parameters
    ----------
    a, b : numpy.ndarray
        Values (test, train).

    Returns
    -------
    numpy.ndarray
        (test,); 0 where a method gives all training samples the same value.
    """
    x, y = centre_ranks(a), centre_ranks(b)
    lengths = np.sqrt((x**2).sum(1) * (y**2).sum(1))
    return (x * y).sum(1) / np.where(lengths == 0, 1, lengths)


def centre_ranks(values: np.ndarray) -> np.ndarray:
    """Rank the values in each row and subtract the mean rank; `values` has two dimensions.

    >>> centre_ranks(np.array([[5.0, 7.0, 7.0]])).tolist()
    [[-1.0, 0.5, 0.5]]
    """
    from scipy import stats  # takes most of a second to import

    ranks = stats.rankdata(values, axis=1)
    return np.asarray(ranks - ranks.mean(1, keepdims=True))


def _by_sample(
    values: np.ndarray, paper: np.ndarray, given: MethodInput, ks: Sequence[int], translated: bool
) -> pd.DataFrame:
    """All measures of one array of values (test, train), by test sample."""
    columns = ["measure", "k", "test", "item", "value", "chance"]
    return pd.concat([table[columns] for table in _measures(values, paper, given, ks, translated)])


def _measures(
    values: np.ndarray, paper: np.ndarray, given: MethodInput, ks: Sequence[int], translated: bool
) -> Iterator[pd.DataFrame]:
    """Yield the table by sample of each measure that the run allows."""
    samples = (given.train, given.test)
    scores = from_values(values, *samples)
    ks = [k for k in ks if k <= len(given.train)]
    if ks:
        shares = share_by_k_by_sample(scores, *samples, ks=ks).rename(columns={"share": "value"})
        yield shares[shares["sign"] == "positive"].assign(measure="other languages")
    if "phenomenon" in given.train:
        top_k = min(given.top_k, len(given.train))
        found = planted_by_sample(scores, *samples, top_k=top_k).rename(columns={"share": "value"})
        found = found[(found["what"] == "both") & (found["sign"] == "positive")]
        yield found.assign(measure="planted", k=top_k)
    if translated:
        ranks = translation_rank_by_sample(scores, *samples)
        ranks = ranks.rename(columns={"mean_reciprocal_rank": "value"})
        yield ranks.assign(measure="own translation", k=0)
    agreement = correlate_ranks(values, paper)
    base = samples_of(given.test).assign(value=agreement, chance=0.0)
    yield base.assign(measure="agreement", k=0)
