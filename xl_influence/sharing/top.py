"""The most influential training samples of each test sample, found slab by slab.

Memory grows with tests × k and with the size of a slab, not with tests × training samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from ..influence import compute_terms, influence
from ..slabs import read_slabs
from .base import SIGNS, SharingError, top_samples

# From the scores of a slab to the influence by which its training samples are ranked
View = Callable[[xr.Dataset], Any]


class Top(NamedTuple):
    """The most influential training samples of every test sample, the strongest first.

    Attributes
    ----------
    rows : numpy.ndarray
        Row numbers of training samples, ints (test, k).
    values : numpy.ndarray
        Their influence, (test, k).
    """

    rows: np.ndarray
    values: np.ndarray


def most_influential(scores: xr.Dataset, k: int) -> dict[str, Top]:
    """Find the `k` training samples of strongest influence of each sign, for each test sample.

    Equal to `top_samples` on the influence of the whole cube.

    Parameters
    ----------
    scores : xarray.Dataset
        Score cube, with dims ([checkpoint,] group, test, train), in memory or not.
    k : int
        How many training samples to take.

    Returns
    -------
    dict of str to Top
        'positive' and 'negative' → the samples.

    Raises
    ------
    SharingError
        `k` is less than 1 or exceeds the number of training samples, or a value is not finite.
    """
    return most_influential_by(scores, k, {"all": influence})["all"]


def most_influential_by(
    scores: xr.Dataset, k: int, views: Mapping[Any, View]
) -> dict[Any, dict[str, Top]]:
    """Find the most influential training samples by several kinds of influence, in one pass.

    Parameters
    ----------
    scores, k
        As for `most_influential`.
    views : mapping
        A name for each → the function that returns the influence (test, train) of a slab's scores.

    Returns
    -------
    dict
        Name → sign → the samples.
    """
    n_test, n_train = scores.sizes["test"], scores.sizes["train"]
    if not 1 <= k <= n_train:
        raise SharingError(f"top_k={k}: allowed are 1 to {n_train}, the number of training samples")
    found = {(name, sign): _Running(n_test, k, sign) for name in views for sign in SIGNS}
    for slab in read_slabs(scores):
        for name, view in views.items():
            values = np.asarray(view(slab.scores))  # (test, train) of the slab
            if not np.isfinite(values).all():
                raise SharingError(
                    "influence scores must be finite; the cube holds NaN or infinity"
                )
            for sign in SIGNS:
                found[name, sign].add(slab.test, np.r_[slab.train], values)
    return {name: {sign: found[name, sign].top() for sign in SIGNS} for name in views}


class _Running:
    """The top k so far; the slabs of a test sample come in the order of training samples."""

    def __init__(self, n_test: int, k: int, sign: str) -> None:
        self.k, self.sign = k, sign
        self.rows = [np.empty(0, int)] * n_test
        self.values = [np.empty(0)] * n_test

    def add(self, test: slice, train: np.ndarray, values: np.ndarray) -> None:
        """Take the influence (test, train) of later training samples, whose rows are `train`."""
        for row, of_test in zip(range(test.start, test.stop), values, strict=True):
            new = train
            if len(self.rows[row]) == self.k:  # an equal value comes later than those we have
                stronger = SIGNS[self.sign] * of_test > SIGNS[self.sign] * self.values[row][-1]
                of_test, new = of_test[stronger], new[stronger]
            if not len(new):
                continue
            both = np.concatenate([self.values[row], of_test])
            top = top_samples(both[None], min(self.k, len(both)), self.sign)[0]
            self.rows[row] = np.concatenate([self.rows[row], new])[top]
            self.values[row] = both[top]

    def top(self) -> Top:
        """The result, once every slab has been added."""
        return Top(np.stack(self.rows), np.stack(self.values))


def terms_at(scores: xr.Dataset, rows: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Read what groups and checkpoints add to the influence of some training samples.

    Parameters
    ----------
    scores : xarray.Dataset
        Score cube, with dims ([checkpoint,] group, test, train).
    rows : sequence of numpy.ndarray
        For each test sample the row numbers of the training samples, in any order.

    Returns
    -------
    list of numpy.ndarray
        For each test sample (training sample, checkpoint, group), see `influence.compute_terms`;
        without the dimension `checkpoint` if the cube has none.
    """
    dims = [dim for dim in ("checkpoint", "group") if dim in scores.dims]
    shape = [scores.sizes[dim] for dim in dims]
    found = [np.empty((len(part), *shape)) for part in rows]
    for slab in read_slabs(scores):
        for place, row in enumerate(range(slab.test.start, slab.test.stop)):
            there = (rows[row] >= slab.train.start) & (rows[row] < slab.train.stop)
            if not there.any():
                continue
            wanted = rows[row][there] - slab.train.start
            part = compute_terms(slab.scores.isel(test=place, train=wanted))
            found[row][there] = part.transpose("train", *dims).to_numpy()
    return found


def read_values(scores: xr.Dataset) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Yield ranges of test and training samples, and the influence (test, train) within them."""
    for slab in read_slabs(scores):
        yield slab.test, slab.train, influence(slab.scores).to_numpy()


def values_at(scores: xr.Dataset, rows: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Read the influence of some training samples.

    Parameters
    ----------
    scores, rows
        As for `terms_at`.

    Returns
    -------
    list of numpy.ndarray
        For each test sample (training sample,).
    """
    found = [np.empty(len(part)) for part in rows]
    for test, train, values in read_values(scores):
        for row, of_test in zip(range(test.start, test.stop), values, strict=True):
            there = (rows[row] >= train.start) & (rows[row] < train.stop)
            found[row][there] = of_test[rows[row][there] - train.start]
    return found
