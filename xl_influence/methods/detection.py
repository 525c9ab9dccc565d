"""How well a score finds the training samples that were made wrong, such as by another label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from ..sharing import BOOTSTRAP, Bootstrap
from ..sharing.base import interval_of

ALL = "all"  # in place of a language: the mean over languages


def auroc(scores: np.ndarray, marked: np.ndarray) -> float:
    """Compute the area under the ROC curve: how likely a marked sample outscores an unmarked one.

    Parameters
    ----------
    scores : numpy.ndarray
        (sample,); ties count half.
    marked : numpy.ndarray
        (sample,), bool.

    Returns
    -------
    float
        0.5 by chance; NaN if all samples are marked, or none.

    Examples
    --------
    >>> auroc(np.array([0.9, 0.4, 0.7, 0.1]), np.array([True, False, False, False]))
    1.0
    """
    from scipy import stats  # takes most of a second to import

    above, below = scores[marked], scores[~marked]
    if not len(above) or not len(below):
        return float("nan")
    wins = stats.mannwhitneyu(above, below, method="asymptotic").statistic  # ties count half
    return float(wins / (len(above) * len(below)))


class Draw(NamedTuple):
    """One training on samples of which some were made wrong.

    Attributes
    ----------
    scores : mapping of str to numpy.ndarray
        Name → (train,), higher where a sample is more suspect; or (repeat, train), of which the
        mean AUROC counts, for scores drawn at random.
    lang : pandas.Series
        The language of each training sample.
    marked : numpy.ndarray
        (train,), bool: the samples to find.
    ignored : numpy.ndarray, optional
        (train,), bool: samples that count neither as right nor as wrong.
    """

    scores: Mapping[str, np.ndarray]
    lang: pd.Series
    marked: np.ndarray
    ignored: np.ndarray | None = None


def find_flipped(
    scores: Mapping[str, np.ndarray],
    lang: pd.Series,
    flipped: np.ndarray,
    *,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> pd.DataFrame:
    """Measure how well each score finds the changed labels, within each language.

    Parameters
    ----------
    scores : mapping of str to numpy.ndarray
        Name → (train,), higher where a sample is more suspect.
    lang : pandas.Series
        The language of each training sample.
    flipped : numpy.ndarray
        (train,), bool.
    bootstrap : Bootstrap
        How the intervals are computed; flipped and other samples are resampled separately.

    Returns
    -------
    pandas.DataFrame
        `score`, `language` (those with flipped samples), `auroc`, `ci_low`, `ci_high`, `chance`
        (0.5), `flipped`, `samples`. A constant score has an AUROC of 0.5.
    """
    found = find_marked([Draw(scores, lang, flipped)], bootstrap=bootstrap)
    found = found[found["language"] != ALL].drop(columns="draws")
    return found.rename(columns={"marked": "flipped"}).reset_index(drop=True)


def find_marked(draws: Sequence[Draw], *, bootstrap: Bootstrap = BOOTSTRAP) -> pd.DataFrame:
    """Measure how well each score finds the samples made wrong, within each language.

    Parameters
    ----------
    draws : sequence of Draw
        Trainings that differ in which samples were made wrong.
    bootstrap : Bootstrap
        How the intervals are computed. Within each draw and language, samples made wrong and other
        samples are resampled separately; draws are not resampled.

    Returns
    -------
    pandas.DataFrame
        `score`, `language` ('all': the mean over languages), `auroc` (mean over draws), `ci_low`,
        `ci_high`, `chance` (0.5), `marked` and `samples` (of all draws together), `draws`. A
        constant score has an AUROC of 0.5. A draw with a single sample to find in a language is
        left out there if other draws have more.
    """
    rows = []
    for name in draws[0].scores:
        found = {}  # language → each draw's (wrong, other) scores
        for language in dict.fromkeys(lang for draw in draws for lang in draw.lang[draw.marked]):
            found[language] = [_split(draw, name, language) for draw in draws]
        pairs = {lang: part for lang, each in found.items() if (part := _drop_small(each))}
        every = [pair for of_language in pairs.values() for pair in of_language]
        for language, of_language in {ALL: every, **pairs}.items():
            wins = [_compare(*pair) for pair in of_language]  # (wrong, other) each
            wrong, other = np.sum([won.shape for won in wins], axis=0)
            ends = _interval(wins, bootstrap)
            area = np.mean([won.mean() for won in wins])
            counts = [wrong, wrong + other, len(draws)]
            rows.append([name, language, area, *ends, 0.5, *counts])
    columns = ["score", "language", "auroc", "ci_low", "ci_high", "chance"]
    return pd.DataFrame(rows, columns=[*columns, "marked", "samples", "draws"])


def _split(draw: Draw, name: str, language: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a score of the samples made wrong in a language, and of its others: (repeat, …)."""
    part = (draw.lang == language).to_numpy()
    if draw.ignored is not None:
        part = part & ~draw.ignored
    values = np.atleast_2d(np.asarray(draw.scores[name], dtype=np.float64))
    return values[:, part & draw.marked], values[:, part & ~draw.marked]


def _drop_small(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Drop pairs with a group of one; drop only those with an empty group if no others are left."""
    smallest = [min(values.shape[1] for values in pair) for pair in pairs]
    least = 2 if max(smallest) > 1 else 1
    return [pair for pair, size in zip(pairs, smallest, strict=True) if size >= least]


def _compare(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return how often each score is above each other one, ties half: (wrong, other).

    Its mean is the AUROC.
    """
    wins = np.zeros((above.shape[1], below.shape[1]))
    for a, b in zip(above, below, strict=True):  # repeats
        wins += (a[:, None] > b) + 0.5 * (a[:, None] == b)
    return wins / len(above)


def sum_squared_lengths(cube: xr.Dataset) -> np.ndarray:
    """Sum the squared gradient lengths over groups and checkpoints: (train,).

    This is TracIn's self-influence. That of the cosine is the number of checkpoints for every
    sample, so it finds nothing.

    Parameters
    ----------
    cube : xarray.Dataset
        Score cube of a run.
    """
    lengths = cube["train_sqnorm"].astype(np.float64)
    return lengths.sum([dim for dim in lengths.dims if dim != "train"]).to_numpy()


def _interval(wins: Sequence[np.ndarray], bootstrap: Bootstrap) -> tuple[float, float]:
    """Return the bootstrap interval of the mean AUROC; each of `wins` is from `_compare`."""
    if not all(each.size for each in wins):
        return np.nan, np.nan

    def mean_area(*drawn: np.ndarray, axis: int) -> np.ndarray:
        areas = [
            ((_count(a, len(won)) @ won) * _count(b, won.shape[1])).sum(axis) / won.size
            for won, a, b in zip(wins, drawn[::2], drawn[1::2], strict=True)
        ]
        return np.mean(areas, axis=0)

    return interval_of(mean_area, [size for won in wins for size in won.shape], bootstrap)


def _count(drawn: np.ndarray, size: int) -> np.ndarray:
    """Count how often each row was drawn: (resample, drawn) → (resample, size)."""
    rows = drawn.reshape(-1, drawn.shape[-1])
    places = rows + size * np.arange(len(rows))[:, None]  # each resample has numbers of its own
    counts = np.bincount(places.ravel(), minlength=len(rows) * size)
    return counts.reshape(*drawn.shape[:-1], size).astype(np.float64)
