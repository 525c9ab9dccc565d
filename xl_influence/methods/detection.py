"""Label noise: how well a score finds the training samples whose labels were changed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from ..sharing import BOOTSTRAP, Bootstrap
from ..sharing.base import interval_of


def flip_labels(
    labels: pd.Series, lang: pd.Series, language: str, *, share: float = 0.1, seed: int = 0
) -> tuple[pd.Series, np.ndarray]:
    """Change some labels of one language to another class.

    Parameters
    ----------
    labels, lang : pandas.Series
        Label and language of each training sample.
    language : str
        The language.
    share : float
        Share of its samples that get another label, drawn from the other classes.
    seed : int
        Seed of the draw.

    Returns
    -------
    labels : pandas.Series
        The new labels.
    flipped : numpy.ndarray
        (train,), bool: whether a label was changed.

    Raises
    ------
    ValueError
        No sample is in the language, or no label would change.
    """
    rows, classes = np.flatnonzero((lang == language).to_numpy()), np.unique(labels)
    size = round(share * len(rows))
    if not 0 < size <= len(rows) or len(classes) < 2:
        raise ValueError(
            f"{size} of {len(rows)} samples in {language!r}, {len(classes)} classes: allowed are "
            "one sample or more, and two classes or more"
        )
    rng = np.random.default_rng(seed)
    flipped, new = np.zeros(len(labels), bool), labels.to_numpy().copy()
    flipped[rng.choice(rows, size, replace=False)] = True
    for row in np.flatnonzero(flipped):
        new[row] = rng.choice(classes[classes != new[row]])
    return pd.Series(new, index=labels.index, name=labels.name), flipped


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
    rows = []
    for name, values in scores.items():
        for language in dict.fromkeys(lang[flipped]):
            part = (lang == language).to_numpy()
            found, marked = values[part], flipped[part]
            ends = _interval(found[marked], found[~marked], bootstrap)
            counts = [int(marked.sum()), len(marked)]
            rows.append([name, language, auroc(found, marked), *ends, 0.5, *counts])
    columns = ["score", "language", "auroc", "ci_low", "ci_high", "chance", "flipped", "samples"]
    return pd.DataFrame(rows, columns=columns)


def squared_lengths(cube: xr.Dataset) -> np.ndarray:
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


def _interval(above: np.ndarray, below: np.ndarray, bootstrap: Bootstrap) -> tuple[float, float]:
    """Return the bootstrap interval of the AUROC."""
    wins = (above[:, None] > below) + 0.5 * (above[:, None] == below)  # (flipped, other)
    if not wins.size:
        return np.nan, np.nan

    def areas(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
        return np.array([wins[np.ix_(x, y)].mean() for x, y in zip(a, b, strict=True)])

    return interval_of(areas, list(wins.shape), bootstrap)
