"""Rank correlation among subsets of equal size, and how high it gets by luck.

All test samples share the subsets and the models trained on them, so their outcomes rise and fall
together, and an interval over test samples does not cover the choice of subsets. To see what luck
gives a method, we shuffle the outcomes among subsets of equal size, in the same order for all test
samples and seeds, and leave the method's predictions as they are.

Subsets that lack the same language have more in common than others, and there are few languages.
A method that knows nothing can rank a few languages as retraining does. So where subsets form
groups, such as these, whole groups exchange their outcomes, and subsets do so within a group only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pandas as pd

from .comparison import centre_ranks, correlate_ranks

FEWEST = 3  # subsets of equal size that we correlate
SHUFFLES = 10_000  # of the outcomes
MIDDLE = 95  # per cent of the shuffles that the range of luck holds
ROUNDING = 1e-9  # results that differ by less are equal


def correlate_by_size(a: np.ndarray, b: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Correlate ranks among subsets of equal size.

    Parameters
    ----------
    a, b : numpy.ndarray
        Values (test, subset).
    sizes : numpy.ndarray
        (subset,). Sizes of fewer than `FEWEST` subsets do not count.

    Returns
    -------
    numpy.ndarray
        (test,): Spearman's correlation, averaged over sizes, each by its number of subsets.

    Raises
    ------
    ValueError
        No size has enough subsets.
    """
    alike = _of_equal_size(sizes)
    found = [correlate_ranks(a[:, rows], b[:, rows]) for rows in alike]
    return np.average(found, axis=0, weights=[len(rows) for rows in alike])


def correlate_shuffled(
    a: np.ndarray, b: np.ndarray, sizes: np.ndarray, orders: np.ndarray
) -> np.ndarray:
    """Compute the mean of `correlate_by_size` over test samples for many orders of `b`.

    Shuffled outcomes have shuffled ranks. So the mean is a sum of entries of one matrix, by subset
    and subset, and takes no correlation anew.

    Parameters
    ----------
    a, b, sizes : numpy.ndarray
        As for `correlate_by_size`.
    orders : numpy.ndarray
        (order, subset), from `draw_orders`: whose value in `b` each subset gets.

    Returns
    -------
    numpy.ndarray
        (order,): the mean over test samples of `correlate_by_size(a, b[:, order], sizes)`.

    Raises
    ------
    ValueError
        No size has enough subsets.
    """
    alike = _of_equal_size(sizes)
    count, matrix = sum(map(len, alike)), np.zeros((len(sizes), len(sizes)))
    for rows in alike:
        x, y = _unit_ranks(a[:, rows]), _unit_ranks(b[:, rows])  # (test, subset)
        matrix[np.ix_(rows, rows)] = len(rows) / count * x.T @ y / len(x)
    return matrix[np.arange(len(sizes)), orders].sum(1)


def draw_orders(
    sizes: np.ndarray,
    groups: Sequence[str] | np.ndarray | None = None,
    *,
    n: int = SHUFFLES,
    seed: int = 0,
) -> np.ndarray:
    """Draw orders in which subsets of equal size exchange outcomes.

    Parameters
    ----------
    sizes : numpy.ndarray
        (subset,).
    groups : sequence of str or numpy.ndarray, optional
        The group of each subset, such as the language of which it lacks a part. Groups with the
        same sizes change places as a whole, and subsets change places within their group. Default:
        all subsets are one group.
    n : int
        Number of orders.
    seed : int
        Seed of the draw.

    Returns
    -------
    numpy.ndarray
        (order, subset), int: whose outcome each subset gets.
    """
    rng = np.random.default_rng(seed)
    groups = np.zeros(len(sizes)) if groups is None else np.asarray(groups)
    orders = np.tile(np.arange(len(sizes)), (n, 1))
    for rows in _same_sizes(sizes, groups):  # (group, subset)
        places = rng.permuted(np.tile(np.arange(len(rows)), (n, 1)), axis=1)
        drawn = rows[places]  # (order, group, subset)
        each = sizes[rows[0]]
        for size in np.unique(each):
            drawn[..., each == size] = rng.permuted(drawn[..., each == size], axis=2)
        orders[:, rows.ravel()] = drawn.reshape(n, -1)
    return orders


def compare_with_luck(found: np.ndarray, lucky: np.ndarray, tested: np.ndarray) -> pd.DataFrame:
    """Say where each method's result lies among those that luck gives.

    Parameters
    ----------
    found : numpy.ndarray
        (method,): what was measured.
    lucky : numpy.ndarray
        (method, order): the same with shuffled outcomes, in the same orders for all methods.
    tested : numpy.ndarray
        (method,), bool: the methods that count as tried, at least one. Controls do not.

    Returns
    -------
    pandas.DataFrame
        By method: `null_low`, `null_high` (the middle `MIDDLE` per cent of what luck gives) and `p`
        (one-sided: the share of orders that give as much or more, with what was measured among
        them); `best_low`, `best_high` and `p_best`, the same for the highest of the methods tried.

    Raises
    ------
    ValueError
        No method was tried.
    """
    if not tested.any():
        raise ValueError(f"{len(tested)} controls: allowed are one or more methods beside them")
    best = lucky[tested].max(0)[None]
    tails = [(100 - MIDDLE) / 2, (100 + MIDDLE) / 2]
    columns = {}
    for name, given in (("null", lucky), ("best", best)):
        columns[f"{name}_low"], columns[f"{name}_high"] = np.percentile(given, tails, axis=1)
        as_high = (given >= found[:, None] - ROUNDING).sum(1)
        columns["p" if name == "null" else "p_best"] = (1 + as_high) / (1 + lucky.shape[1])
    return pd.DataFrame({name: np.broadcast_to(each, len(found)) for name, each in columns.items()})


def _of_equal_size(sizes: np.ndarray) -> list[np.ndarray]:
    """Return the rows of each size that has enough subsets."""
    found = [np.flatnonzero(sizes == size) for size in np.unique(sizes)]
    found = [rows for rows in found if len(rows) >= FEWEST]
    if not found:
        raise ValueError(f"{len(sizes)} subsets: at least {FEWEST} must have the same size")
    return found


def _unit_ranks(values: np.ndarray) -> np.ndarray:
    """Return centred ranks, each row of length 1, or 0 where all values are the same."""
    ranks = centre_ranks(values)
    lengths = np.linalg.norm(ranks, axis=1, keepdims=True)
    return ranks / np.where(lengths == 0, 1, lengths)


def _same_sizes(sizes: np.ndarray, groups: np.ndarray) -> list[np.ndarray]:
    """Return the subsets of groups that hold the same sizes: (group, subset), in order of size."""
    found: dict[tuple[int, ...], list[np.ndarray]] = defaultdict(list)
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        rows = rows[np.argsort(sizes[rows], kind="stable")]
        found[tuple(sizes[rows])].append(rows)
    return [np.stack(rows) for rows in found.values()]
