"""How influence changes over the epochs (section 8.2)."""

import itertools

import numpy as np
import pandas as pd

from .base import by_checkpoint, check, samples_of

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


def epoch_tests(scores, train, test, *, confidence_level=0.95):
    """Whether influence differs between epochs (section 8.2): Wilcoxon signed-rank tests for every pair of epochs.

    The pairs of a test are the training samples: their influence after one epoch and after another, each the mean over
    the test samples of a language.

    Returns
    -------
    pandas.DataFrame
        `test_lang, checkpoint_a, checkpoint_b, statistic, p`, `p_adjusted` (Holm, over all rows), `effect` (matched-pairs
        rank-biserial correlation, −1 to 1; positive: more influence at `checkpoint_b`), `ci_low, ci_high` (of the effect,
        by Fisher's z, over training samples, as the test itself), `test_samples, items`. With thousands of training
        samples a small p is nearly necessary: the effect is what tells. Empty where there is one epoch.
    """
    from scipy import stats  # most of a second to import

    check(scores, train, test)
    by_epoch = {epoch: values for epoch, values in by_checkpoint(scores) if epoch}
    rows = []
    for test_lang, part in samples_of(train, test).groupby("test_lang", sort=False):
        of = {"test_samples": len(part), "items": part["item"].nunique()}
        for a, b in itertools.combinations(by_epoch, 2):
            change = (by_epoch[b] - by_epoch[a])[part.index].mean(0)  # (train,)
            found = stats.wilcoxon(change) if change.any() else None
            effect, low, high = _effect(change[change != 0], confidence_level)
            rows.append(
                {"test_lang": test_lang, "checkpoint_a": a, "checkpoint_b": b}
                | {
                    "statistic": float(found.statistic) if found else 0.0,
                    "p": float(found.pvalue) if found else 1.0,
                }
                | {"effect": effect, "ci_low": low, "ci_high": high}
                | of
            )
    table = pd.DataFrame(rows, columns=COLUMNS)
    table.insert(5, "p_adjusted", _holm(table["p"].to_numpy()))
    return table


def _effect(change, confidence_level):
    """Matched-pairs rank-biserial correlation of changes without zeros, and its interval; all 0 where nothing changes."""
    from scipy import stats

    n, ranks = len(change), stats.rankdata(np.abs(change))
    if not n:
        return 0.0, 0.0, 0.0
    effect = float(2 * ranks[change > 0].sum() / ranks.sum() - 1)
    error = np.sqrt(n * (n + 1) * (2 * n + 1) / 6) / (
        n * (n + 1) / 2
    )  # of the statistic where nothing differs
    middle, half = (
        np.arctanh(np.clip(effect, -1 + 1e-12, 1 - 1e-12)),
        stats.norm.isf((1 - confidence_level) / 2) * error,
    )
    return effect, float(np.tanh(middle - half)), float(np.tanh(middle + half))


def _holm(p):
    """P-values adjusted by Holm's step-down procedure, in the order given."""
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)) if len(p) else p
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted
