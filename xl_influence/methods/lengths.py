"""Whether a method puts training samples with long gradients first, whatever the test sample."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ..sharing import BOOTSTRAP, Bootstrap, summary, top_samples
from ..sharing.base import samples_of
from .base import MethodInput
from .catalogue import PAPER
from .detection import sum_squared_lengths

PLAIN = "dot product"
FRACTION = 0.1  # of the training samples, those with the longest gradients
TOP = 10  # the most helpful samples of each test sample


def measure_long_gradients(
    values: Mapping[str, np.ndarray], given: MethodInput, bootstrap: Bootstrap = BOOTSTRAP
) -> pd.DataFrame:
    """Measure how many of the most helpful samples are among those with the longest gradients.

    The plain dot product grows with the length of a training sample's gradient, so long gradients
    may come first for every test sample; the paper's cosine has no length.

    Parameters
    ----------
    values : mapping of str to numpy.ndarray
        Method → values (test, train), from `compute_all`.
    given : MethodInput
        The run.
    bootstrap : Bootstrap
        How the intervals are computed.

    Returns
    -------
    pandas.DataFrame
        For the dot product and the cosine: `method`, `k` (`TOP`), `share` of the top k that are
        among the `FRACTION` of training samples with the longest gradients, `ci_low`, `ci_high`,
        `chance`, `test_samples`, `items`. Empty if the run cannot compute the dot product. The
        length is over all parameters and epochs.
    """
    n_train = len(given.train)
    k = min(TOP, n_train)
    if PLAIN not in values:
        return pd.DataFrame(columns=["method", "k", "share", "ci_low", "ci_high", "chance"])
    n_long = max(1, round(FRACTION * n_train))
    longest = np.argsort(-sum_squared_lengths(given.cube), kind="stable")[:n_long]
    parts = []
    for name in (PLAIN, PAPER):
        is_long = np.isin(top_samples(values[name], k, "positive"), longest)  # (test, k)
        about = {"method": name, "k": k, "chance": n_long / n_train}
        parts.append(samples_of(given.test).assign(share=is_long.mean(1), **about))
    return summary(pd.concat(parts), ["method", "k"], bootstrap)
