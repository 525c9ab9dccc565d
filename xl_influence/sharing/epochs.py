"""How influence changes over the epochs (section 8.2)."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import xarray as xr

from ..influence import influence
from ..slabs import read_slabs
from .base import BOOTSTRAP, SharingError, WithInterval, check, samples_of

COLUMNS = [
    "test_lang",
    "checkpoint_a",
    "checkpoint_b",
    "statistic",
    "p",
    "effect",
    "ci_low",
    "ci_high",
    "test_samples",
    "items",
]


def epoch_tests(
    scores: xr.Dataset,
    train: pd.DataFrame,
    test: pd.DataFrame,
    *,
    confidence_level: float = BOOTSTRAP.confidence_level,
) -> pd.DataFrame:
    """Test whether influence differs between epochs (section 8.2): a Wilcoxon test for every pair.

    The signed-rank test pairs training samples: the influence of each after one epoch and after
    another, averaged over the test samples of a language. With thousands of training samples a
    small p-value is almost certain, so read the effect size.

    Parameters
    ----------
    scores : xarray.Dataset
        Score cube of a run, with the dimension `checkpoint`.
    train, test : pandas.DataFrame
        The cube's samples, in the cube's order.
    confidence_level : float
        Coverage of the effect's interval.

    Returns
    -------
    pandas.DataFrame
        `test_lang`, `checkpoint_a`, `checkpoint_b`, `statistic`, `p`, `p_adjusted` (Holm, over all
        rows), `effect` (matched-pairs rank-biserial correlation from −1 to 1; positive: more
        influence at `checkpoint_b`), `ci_low`, `ci_high` (of the effect, by Fisher's z, over
        training samples like the test itself), `test_samples`, `items`. Empty for a single epoch.

    Raises
    ------
    SharingError
        The cube has no checkpoints: it was summed over them.
    """
    check(scores, train, test)
    if "checkpoint" not in scores.dims:
        raise SharingError(
            "the cube holds influence summed over checkpoints (keep=sum); to compare epochs, "
            "compute it with keep=checkpoints or keep=groups"
        )
    epochs, samples = [int(epoch) for epoch in scores["checkpoint"]], samples_of(test)
    changes = _mean_changes(scores, samples["test_lang"])
    rows = []
    for test_lang, part in samples.groupby("test_lang", sort=False):
        counts = [len(part), part["item"].nunique()]
        for a, b in itertools.combinations(epochs, 2):
            change = changes.pop((test_lang, a, b))  # (train,)
            found = [*_signed_rank_test(change), *_effect(change, confidence_level)]
            rows.append([test_lang, a, b, *found, *counts])
    table = pd.DataFrame(rows, columns=COLUMNS)
    table.insert(5, "p_adjusted", adjust_by_holm(table["p"].to_numpy()))
    return table


def _mean_changes(
    scores: xr.Dataset, test_lang: pd.Series
) -> dict[tuple[str, int, int], np.ndarray]:
    """Average the change of influence from one epoch to another over each language's test samples.

    Returns (test language, earlier epoch, later epoch) → (train,).
    """
    epochs, langs = scores["checkpoint"].to_numpy(), test_lang.to_numpy()
    pairs = list(itertools.combinations(map(int, epochs), 2))
    keys = [(lang, *pair) for lang in test_lang.unique() for pair in pairs]
    changes = {key: np.zeros(scores.sizes["train"]) for key in keys}
    for slab in read_slabs(scores):
        values = {
            int(epoch): influence(slab.scores.sel(checkpoint=epoch)).to_numpy() for epoch in epochs
        }
        for (lang, a, b), change in changes.items():
            rows = langs[slab.test] == lang
            change[slab.train] += (values[b][rows] - values[a][rows]).sum(0)
    for (lang, _, _), change in changes.items():
        change /= (langs == lang).sum()
    return changes


def _signed_rank_test(change: np.ndarray) -> tuple[float, float]:
    """Return Wilcoxon's statistic and p-value for paired changes."""
    from scipy import stats  # takes most of a second to import

    if not change.any():
        return 0.0, 1.0
    found = stats.wilcoxon(change)
    return float(found.statistic), float(found.pvalue)


def _effect(change: np.ndarray, confidence_level: float) -> WithInterval:
    """Return the matched-pairs rank-biserial correlation of paired changes, and its interval.

    Zero changes are dropped, as in the test; all three numbers are 0 where nothing changes.
    """
    from scipy import stats

    change = change[change != 0]
    n, ranks = len(change), stats.rankdata(np.abs(change))
    if not n:
        return WithInterval(0.0, 0.0, 0.0)
    effect = float(2 * ranks[change > 0].sum() / ranks.sum() - 1)
    # standard error under the null hypothesis: that of the signed-rank sum, over its maximum
    error = np.sqrt(n * (n + 1) * (2 * n + 1) / 6) / (n * (n + 1) / 2)
    middle = np.arctanh(np.clip(effect, -1 + 1e-12, 1 - 1e-12))
    half = stats.norm.isf((1 - confidence_level) / 2) * error
    return WithInterval(effect, float(np.tanh(middle - half)), float(np.tanh(middle + half)))


def adjust_by_holm(p: np.ndarray) -> np.ndarray:
    """Adjust p-values by Holm's step-down procedure, which scipy does not have.

    Parameters
    ----------
    p : numpy.ndarray
        (tests,): the p-value of each test of a family.

    Returns
    -------
    numpy.ndarray
        (tests,): the adjusted p-values, at most 1.

    Examples
    --------
    >>> adjust_by_holm(np.array([0.04, 0.01, 0.03])).tolist()
    [0.06, 0.03, 0.06]
    """
    order = np.argsort(p)  # (tests,)
    stepped = p[order] * np.arange(len(p), 0, -1)  # (tests,)
    adjusted = np.empty(len(p))  # (tests,)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return adjusted
