"""How influence changes over the epochs (section 8.2)."""

import itertools

import numpy as np
import pandas as pd

from .base import by_checkpoint, check


def epoch_tests(scores, train, test):
    """Whether influence differs between epochs (section 8.2): Wilcoxon signed-rank tests for every pair of epochs.

    The pairs of a test are the training samples: their influence after one epoch and after another, each the mean over
    the test samples of a language.

    Returns
    -------
    pandas.DataFrame
        `test_lang, checkpoint_a, checkpoint_b, statistic, p`, `p_adjusted` (Holm, over all rows), `effect` (matched-pairs
        rank-biserial correlation, −1 to 1; positive: more influence at `checkpoint_b`). Empty where there is one epoch.
    """
    from scipy import stats  # most of a second to import

    check(scores, train, test)
    by_epoch = {epoch: values for epoch, values in by_checkpoint(scores) if epoch}
    rows = []
    for test_lang, part in test.reset_index(drop=True).groupby("lang", sort=False):
        for a, b in itertools.combinations(by_epoch, 2):
            change = (by_epoch[b] - by_epoch[a])[part.index].mean(0)  # (train,)
            ranks = stats.rankdata(np.abs(change[change != 0]))
            up = ranks[change[change != 0] > 0].sum()
            found = stats.wilcoxon(change) if len(ranks) else None
            rows.append(
                {"test_lang": test_lang, "checkpoint_a": a, "checkpoint_b": b}
                | {"statistic": float(found.statistic) if found else 0.0, "p": float(found.pvalue) if found else 1.0}
                | {"effect": float(2 * up / ranks.sum() - 1) if found else 0.0}
            )
    table = pd.DataFrame(rows, columns=["test_lang", "checkpoint_a", "checkpoint_b", "statistic", "p", "effect"])
    table.insert(5, "p_adjusted", _holm(table["p"].to_numpy()))
    return table


def _holm(p):
    """P-values adjusted by Holm's step-down procedure, in the order given."""
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)) if len(p) else p
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted
