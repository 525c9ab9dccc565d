"""Does a method predict retraining? The linear datamodeling score, also by language (LDS).

A model is trained on many subsets of the training samples. A method predicts each test sample's
outcome, the log-odds of the right class, by the sum of its scores over the subset. The LDS is the
rank correlation of prediction and outcome over subsets (Park et al. 2023, TRAK).

Random halves hardly vary the mix of languages. Subsets that lack a part of one language do, so only
these speak to a claim about languages. They differ in size, and with less data a model is less
sure; so we correlate among subsets of equal size, else any positive scores would predict something.
Subsets also differ in how many samples of each label they have, which alone moves a model; `lds`
can take that out (`labels`). Training is noisy; the ceiling is what even a perfect method could
reach. And there are few subsets; `equal_sizes` shows what luck gives.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..sharing import BOOTSTRAP, Bootstrap, interval_of_mean
from .base import find_range_of_items
from .catalogue import find_kind
from .equal_sizes import (
    ROUNDING,
    SHUFFLES,
    compare_with_luck,
    correlate_by_size,
    correlate_shuffled,
    draw_orders,
)

DROPPED = (0.25, 0.5, 0.75, 1.0)  # parts of a language that stratified subsets lack
SPLITS = 100  # of the seeds into halves, at most
NOISE = 0.17  # ceiling that noise alone gives, with 100 subsets and two seeds
LEAST = 1e-6  # probabilities are kept this far from 0 and 1


def draw_subsets(n_train: int, n: int, *, share: float = 0.5, seed: int = 0) -> np.ndarray:
    """Draw random subsets of the training samples, all of one size.

    Parameters
    ----------
    n_train : int
        Number of training samples.
    n : int
        Number of subsets.
    share : float
        Share of the training samples in each.
    seed : int
        Seed of the draw.

    Returns
    -------
    numpy.ndarray
        (subset, train), bool: whether a sample is in a subset.

    Raises
    ------
    ValueError
        A subset would hold no sample, or all.
    """
    size = round(share * n_train)
    if not 0 < size < n_train:
        raise ValueError(f"share={share}: {size} of {n_train} samples; allowed are some, not all")
    rng = np.random.default_rng(seed)
    masks = np.zeros((n, n_train), bool)
    for mask in masks:
        mask[rng.choice(n_train, size, replace=False)] = True
    return masks


def draw_language_subsets(
    lang: pd.Series, n: int, *, dropped: Sequence[float] = DROPPED, seed: int = 0
) -> np.ndarray:
    """Draw subsets that lack a part of one language and nothing of the others.

    Languages take turns, and so do the parts.

    Parameters
    ----------
    lang : pandas.Series
        The language of each training sample.
    n : int
        Number of subsets.
    dropped : sequence of float
        Parts of the language that are dropped, above 0 and at most 1.
    seed : int
        Seed of the draw.

    Returns
    -------
    numpy.ndarray
        (subset, train), bool.

    Raises
    ------
    ValueError
        There is one language only, or a part is out of range.
    """
    languages = list(dict.fromkeys(lang))
    if len(languages) < 2 or not all(0 < part <= 1 for part in dropped):
        raise ValueError(
            f"languages {languages}, dropped {list(dropped)}: allowed are two or more languages, "
            "and parts above 0 and at most 1"
        )
    rng = np.random.default_rng(seed)
    masks = np.ones((n, len(lang)), bool)
    for number, mask in enumerate(masks):
        turn, place = divmod(number, len(languages))
        rows = np.flatnonzero((lang == languages[place]).to_numpy())
        size = max(1, round(dropped[turn % len(dropped)] * len(rows)))
        mask[rng.choice(rows, size, replace=False)] = False
    return masks


def log_odds(probability: np.ndarray) -> np.ndarray:
    """Turn probabilities of the right class into log-odds; 0 and 1 give large finite numbers.

    >>> log_odds(np.array([0.5, 0.8])).round(3).tolist()
    [0.0, 1.386]
    """
    from scipy import special

    return special.logit(np.clip(np.asarray(probability, dtype=np.float64), LEAST, 1 - LEAST))


def lds_by_sample(values: np.ndarray, masks: np.ndarray, outcomes: np.ndarray) -> np.ndarray:
    """Correlate predictions and outcomes over subsets of equal size, for each test sample.

    Parameters
    ----------
    values : numpy.ndarray
        A method's values (test, train).
    masks : numpy.ndarray
        (subset, train), bool.
    outcomes : numpy.ndarray
        Log-odds of the right class, (subset, test); averaged over seeds beforehand.

    Returns
    -------
    numpy.ndarray
        (test,), see `correlate_by_size`.

    Raises
    ------
    ValueError
        The shapes do not match.
    """
    predicted = _predict(_check(values, masks, outcomes), masks)
    return correlate_by_size(predicted, outcomes.T, masks.sum(1))


def _check(values: np.ndarray, masks: np.ndarray, outcomes: np.ndarray) -> np.ndarray:
    """Return the values, if the shapes match."""
    allowed = values.ndim == 2 and masks.shape[1:] == values.shape[1:]
    if not allowed or outcomes.shape != (len(masks), len(values)):
        raise ValueError(
            f"values {values.shape}, masks {masks.shape}, outcomes {outcomes.shape}: allowed are "
            "(test, train), (subset, train) and (subset, test)"
        )
    return values


def take_out_labels(
    values: np.ndarray, masks: np.ndarray, labels: Sequence[Any] | np.ndarray
) -> np.ndarray:
    """Take out of values what the number of samples of each label in a subset explains.

    Among subsets of equal size, we regress the values on these numbers and keep the residuals.

    Parameters
    ----------
    values : numpy.ndarray
        (…, subset).
    masks : numpy.ndarray
        (subset, train), bool.
    labels : sequence or numpy.ndarray
        The label of each training sample.

    Returns
    -------
    numpy.ndarray
        (…, subset), float64; 0 where nothing is left but rounding.
    """
    kinds, sizes = np.unique(np.asarray(labels)), masks.sum(1)
    counts = np.stack([masks[:, np.asarray(labels) == kind].sum(1) for kind in kinds], axis=1)
    left = np.zeros(values.shape)
    for size in np.unique(sizes):
        rows = np.flatnonzero(sizes == size)
        some = values[..., rows].reshape(-1, len(rows)).astype(np.float64).T  # (subset, …)
        design = counts[rows].astype(np.float64)  # (subset, label); its sum is the size
        residual = some - design @ np.linalg.lstsq(design, some, rcond=None)[0]
        residual[:, np.abs(residual).max(0) <= ROUNDING * np.abs(some).max(0)] = 0
        left[..., rows] = residual.T.reshape(*values.shape[:-1], len(rows))
    return left


def _predict(values: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Sum the values (test, train) over each subset: (test, subset)."""
    return (masks.astype(np.float64) @ values.T).T


def split_half_ceiling(outcomes: np.ndarray, sizes: np.ndarray | None = None) -> np.ndarray:
    """Estimate the highest correlation that any method can reach, from disagreement of seeds.

    Methods are compared with the mean over all n seeds, so its reliability is wanted, and halves of
    the seeds are less reliable. From the rank correlation r of two halves of h seeds each, averaged
    over splits, Spearman and Brown predict that of n: with m = n / h, it is m·r / (1 + (m − 1)·r).
    If n is odd, each split leaves one seed out. A perfect prediction correlates with a measurement
    by the root of the measurement's reliability.

    The estimate is close where seeds agree. With 100 subsets and two seeds whose mean has a
    reliability of 0.1 or more, its mean over test samples is at most 0.05 lower than what the truth
    reaches. Where seeds hardly agree it is too high, since a negative r counts as 0: noise alone
    gives about 0.17, not 0.

    Parameters
    ----------
    outcomes : numpy.ndarray
        (seed, subset, test), with two seeds or more.
    sizes : numpy.ndarray, optional
        (subset,): only subsets of equal size are compared; default: all have the same.

    Returns
    -------
    numpy.ndarray
        (test,), from 0 (the halves do not agree at all) to 1.

    Raises
    ------
    ValueError
        There is one seed only.
    """
    if outcomes.ndim != 3 or len(outcomes) < 2:
        raise ValueError(f"outcomes {outcomes.shape}: allowed are (seed, subset, test), two seeds")
    sizes = np.zeros(outcomes.shape[1]) if sizes is None else sizes
    found = []
    for split in itertools.islice(_splits(len(outcomes)), SPLITS):
        first, second = (outcomes[list(seeds)].mean(0).T for seeds in split)  # (test, subset)
        found.append(correlate_by_size(first, second, sizes))
    r, longer = np.clip(np.mean(found, axis=0), 0, 1), len(outcomes) / (len(outcomes) // 2)
    return np.sqrt(longer * r / (1 + (longer - 1) * r))


def _splits(n: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Yield all pairs of equally large halves of n seeds; if n is odd, one seed is in neither."""
    for first in itertools.combinations(range(n), n // 2):
        rest = [seed for seed in range(n) if seed not in first]
        for second in itertools.combinations(rest, n // 2):
            if first < second:
                yield first, second


def lds(
    values: Mapping[str, np.ndarray],
    masks: np.ndarray,
    outcomes: np.ndarray,
    items: pd.Series,
    *,
    groups: Sequence[str] | np.ndarray | None = None,
    labels: Sequence[Any] | np.ndarray | None = None,
    shuffles: int = SHUFFLES,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> pd.DataFrame:
    """Compute every method's LDS, with interval, ceiling and what luck gives.

    Parameters
    ----------
    values : mapping of str to numpy.ndarray
        Method → values (test, train).
    masks : numpy.ndarray
        (subset, train), bool.
    outcomes : numpy.ndarray
        (seed, subset, test), with two seeds or more.
    items : pandas.Series
        The item of each test sample; they are resampled together.
    groups : sequence of str or numpy.ndarray, optional
        The group of each subset, see `draw_orders`; default: all are one group.
    labels : sequence or numpy.ndarray, optional
        The label of each training sample. If given, what the number of samples of each label in a
        subset explains linearly is taken out of predictions and outcomes, among subsets of a size.
    shuffles : int
        How often the outcomes are shuffled, with the same orders for all methods.
    bootstrap : Bootstrap
        How the intervals are computed.

    Returns
    -------
    pandas.DataFrame
        `method`, `lds` (mean over test samples), `ci_low`, `ci_high`, `least`, `most` (the lowest
        and the highest mean of an item), `null_low`, `null_high`, `p`, `best_low`,
        `best_high`, `p_best` (see `compare_with_luck`; controls do not count as tried), `ceiling`,
        `of_ceiling` (NaN where the ceiling is 0), `subsets`, `shuffles`, `seeds`, `test_samples`,
        `items`.
    """
    sizes, rows = masks.sum(1), []
    predicted = {
        name: _predict(_check(found, masks, outcomes[0]), masks) for name, found in values.items()
    }
    if labels is not None:
        outcomes = take_out_labels(outcomes.swapaxes(1, 2), masks, labels).swapaxes(1, 2)
        predicted = {name: take_out_labels(each, masks, labels) for name, each in predicted.items()}
    mean = outcomes.mean(0)  # (subset, test)
    ceiling = float(split_half_ceiling(outcomes, sizes).mean())
    orders = draw_orders(sizes, groups, n=shuffles)
    for name, found in predicted.items():
        each = correlate_by_size(found, mean.T, sizes)  # (test,)
        ends = [*interval_of_mean(each, bootstrap, items), *find_range_of_items(each, items)]
        rows.append([name, each.mean(), *ends])
    table = pd.DataFrame(rows, columns=["method", "lds", "ci_low", "ci_high", "least", "most"])
    lucky = np.stack(
        [correlate_shuffled(each, mean.T, sizes, orders) for each in predicted.values()]
    )
    tested = np.array([find_kind(name) != "control" for name in values])
    luck = compare_with_luck(table["lds"].to_numpy(), lucky, tested)
    return pd.concat([table, luck], axis=1).assign(
        ceiling=ceiling,
        of_ceiling=table["lds"] / ceiling if ceiling else np.nan,
        subsets=len(masks),
        shuffles=shuffles,
        seeds=len(outcomes),
        test_samples=len(items),
        items=items.nunique(),
    )
