"""What the analyses share: the signs, the top k, bootstrap intervals, and the check that cube and samples fit together.

Shares are fractions from 0 to 1. Intervals are percentile bootstraps over test samples: which test samples were drawn is
what another study would draw again.
"""

import numpy as np

from ..cosine import influence

SIGNS = {"positive": 1, "negative": -1}
FEWEST = 5  # test samples behind an interval from which something may be concluded: two give a narrow one by accident


class SharingError(ValueError):
    """The cube, the samples and the parameters do not fit together."""


def top_samples(values, k, sign):
    """Rows of the `k` most positively or negatively influential training samples of every test sample.

    `values`: array (test, train). Returns an int array (test, k), the strongest first; of equal values the earlier
    training sample comes first, so the choice at rank k is deterministic.
    """
    if not 1 <= k <= values.shape[1]:
        raise SharingError(f"top_k={k}: allowed are 1 to {values.shape[1]}, the number of training samples")
    if not np.isfinite(values).all():
        raise SharingError("influence scores must be numbers; the cube holds NaN or infinity")
    return np.argsort(-SIGNS[sign] * values, axis=1, kind="stable")[:, :k]


def bootstrap(each, resamples, confidence_level, seed):
    """Percentile bootstrap interval (low, high) of the mean of `each` (n,)."""
    each = np.asarray(each, dtype=float)
    rng = np.random.default_rng(seed)
    means = each[rng.integers(len(each), size=(resamples, len(each)))].mean(1)
    tail = (1 - confidence_level) / 2
    return tuple(np.quantile(means, [tail, 1 - tail]))


def mean_of(each, resamples, confidence_level, seed):
    low, high = bootstrap(each, resamples, confidence_level, seed)
    return {"share": float(np.mean(each)), "ci_low": float(low), "ci_high": float(high)}


def by_checkpoint(scores):
    """(0, summed influence), then (epoch, influence at that checkpoint) for each, as arrays (test, train)."""
    yield 0, influence(scores).to_numpy()
    for checkpoint in scores["checkpoint"].to_numpy() if "checkpoint" in scores.dims else []:
        yield int(checkpoint), influence(scores.sel(checkpoint=checkpoint)).to_numpy()


def languages_of(train):
    """Training languages in their order, and each one's share of the training samples."""
    counts = train["lang"].value_counts(normalize=True)
    return list(dict.fromkeys(train["lang"])), counts.to_dict()


def check(scores, train, test):
    for name, frame in (("train", train), ("test", test)):
        if list(scores[name].to_numpy()) != list(frame["uid"]):
            raise SharingError(f"the cube's {name} samples are not those of the table given, or in another order")
