"""Influence among the nearest training samples only: what this shortcut misses (section 10).

To save time, one can look for influential samples among the k nearest neighbours of the test
sample's representation. The paper does not, because that would favour samples with similar
representations. Here we measure by how much, and for which languages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ..sharing import BOOTSTRAP, SIGNS, Bootstrap, summary, top_samples
from ..sharing.base import in_other_language, samples_of
from .base import MethodInput
from .gradients import cosine

FRACTIONS = (0.05, 0.1, 0.2, 0.5, 1.0)  # of the training samples that are looked at; 1: of all
KEYS = ["similarity", "fraction", "sign", "what"]


def measure_nearest(
    similarities: Mapping[str, np.ndarray],
    given: MethodInput,
    *,
    top_k: int,
    fractions: Sequence[float] = FRACTIONS,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> pd.DataFrame:
    """Measure how much of the top k is found among the nearest training samples, and in which.

    Parameters
    ----------
    similarities : mapping of str to numpy.ndarray
        Name → similarity (test, train), higher where nearer.
    given : MethodInput
        The run.
    top_k : int
        How many training samples per test sample count as the most influential.
    fractions : sequence of float
        Which part of the training samples to look at.
    bootstrap : Bootstrap
        How the intervals are computed.

    Returns
    -------
    pandas.DataFrame
        `similarity`, `fraction`, `sign`, `what`, `share`, `ci_low`, `ci_high`, `chance`,
        `test_samples`, `items`. *what*: 'found, own language' and 'found, other languages' (share
        of the true top k in that language that is among the nearest; chance: the fraction);
        'nearest in other languages' (share of the nearest) and 'top k in other languages' (share of
        the top k among the nearest, where these are at least k; compare with fraction 1); chance:
        the share of other languages in the training samples.
    """
    values, other = cosine(given), in_other_language(given.train, given.test)
    tops = {sign: _marked(top_samples(values, top_k, sign), other.shape) for sign in SIGNS}
    samples, tables = samples_of(given.test), []
    sizes = {fraction: max(1, round(fraction * len(given.train))) for fraction in fractions}
    for name, similarity in similarities.items():
        order = top_samples(similarity, max(sizes.values()), "positive")  # (test, largest size)
        for fraction, size in sizes.items():
            near = _marked(order[:, :size], other.shape)
            for sign, top in tops.items():
                kept = _kept(values, near, sign, top_k) if size >= top_k else None
                for what, share, chance in _shares(near, top, kept, other):
                    each = samples.assign(similarity=name, fraction=fraction, sign=sign, what=what)
                    tables.append(each.assign(share=share, chance=chance).dropna())
    return summary(pd.concat(tables, ignore_index=True), KEYS, bootstrap)


def _shares(
    near: np.ndarray, top: np.ndarray, kept: np.ndarray | None, other: np.ndarray
) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """List what is measured, its share and chance by test sample; NaN where there is nothing.

    All arrays are bool (test, train): the nearest, the top k of all, the top k of the nearest, and
    what is in another language.
    """
    fraction = near.mean(1)  # (test,)
    found = [("nearest in other languages", _part(other, near), other.mean(1))]
    if fraction.min() < 1:
        for source, mask in (("own language", ~other), ("other languages", other)):
            found.append((f"found, {source}", _part(near, top & mask), fraction))
    if kept is not None:
        found.append(("top k in other languages", _part(other, kept), other.mean(1)))
    return found


def _kept(values: np.ndarray, near: np.ndarray, sign: str, top_k: int) -> np.ndarray:
    """Mark the top k among the nearest: bool (test, train)."""
    lowest = -SIGNS[sign] * (np.abs(values).max() + 1)  # below all, or above for harmful
    return _marked(top_samples(np.where(near, values, lowest), top_k, sign), near.shape)


def _part(mask: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Return the share of `of` that is marked, by test sample; NaN where `of` is empty."""
    count = of.sum(1)
    return (mask & of).sum(1) / np.where(count, count, np.nan)


def _marked(top: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Turn row numbers (test, k) into a bool array (test, train)."""
    marked = np.zeros(shape, bool)
    np.put_along_axis(marked, top, True, 1)
    return marked
