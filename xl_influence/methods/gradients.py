"""Methods that need nothing but the score cube: other sums of the same gradient products."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..influence import influence
from ..sharing import SIGNS, top_samples
from .base import MethodInput, NotAvailableError

EMBEDDINGS, HEAD = "embeddings", "head"


def cosine(given: MethodInput, groups: Sequence[str] | None = None) -> np.ndarray:
    """Compute the paper's influence: the cosine of gradients, summed over checkpoints.

    Parameters
    ----------
    given : MethodInput
        The run.
    groups : sequence of str, optional
        Parameter groups to use; default: all, as in the paper.

    Returns
    -------
    numpy.ndarray
        (test, train); read-only for all groups, since methods share it.

    Raises
    ------
    NotAvailableError
        The cube lacks one of the groups.
    """
    if groups is None:
        return given.cosine
    given.need_groups(*groups)
    return influence(given.cube, groups).to_numpy()


def dot_product(given: MethodInput) -> np.ndarray:
    """Compute TracIn's plain dot product (equation 2 without normalisation): (test, train).

    Raises
    ------
    NotAvailableError
        The cube holds cosines only.
    """
    given.need_lengths()
    return influence(given.cube, normalize=False).to_numpy()


def last_checkpoint(given: MethodInput) -> np.ndarray:
    """Compute the cosine at the last checkpoint alone: (test, train)."""
    if not given.epochs:
        raise NotAvailableError("needs influence by checkpoint; this run holds their sum only")
    if len(given.epochs) == 1:
        raise NotAvailableError("the run has one checkpoint, so this is the paper's cosine")
    return cosine(given.at(given.epochs[-1]))


def without_embeddings(given: MethodInput) -> np.ndarray:
    """Compute the cosine over all parameters but the word embeddings: (test, train)."""
    given.need_groups(EMBEDDINGS)
    groups = [str(group) for group in given.cube["group"].values if group != EMBEDDINGS]
    return cosine(given, groups)


def mean_rank(given: MethodInput) -> np.ndarray:
    """Rank the training samples by each layer's cosine, and average the ranks over layers.

    Returns
    -------
    numpy.ndarray
        (test, train): the mean rank divided by the number of training samples, so above 0 and at
        most 1; 1 where a sample is the most helpful by every layer.
    """
    from scipy import stats  # takes most of a second to import

    given.need_groups(*_some_layers(given))
    ranks = [stats.rankdata(cosine(given, [layer]), axis=1) for layer in given.layers]
    return np.mean(ranks, axis=0) / len(given.train)


def layer_votes(given: MethodInput) -> np.ndarray:
    """Let every layer vote for its top k and against its bottom k.

    Returns
    -------
    numpy.ndarray
        (test, train): votes for minus votes against, plus the mean rank (at most 1), which orders
        samples with equal votes.
    """
    ranks = mean_rank(given)
    found = np.zeros_like(ranks)
    for layer in given.layers:
        values = cosine(given, [layer])
        for sign, vote in SIGNS.items():
            top = top_samples(values, min(given.top_k, values.shape[1]), sign)  # (test, k)
            np.put_along_axis(found, top, np.take_along_axis(found, top, 1) + vote, 1)
    return found + ranks


def _some_layers(given: MethodInput) -> list[str]:
    """Return the layers, or, where there are none, a name that the cube lacks."""
    return given.layers or ["layer-00"]
