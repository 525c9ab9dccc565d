"""What sets have in common, such as the tokens of two samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def count(samples: Sequence[Sequence[int] | np.ndarray], size: int) -> Any:
    """Count how often each sample has each token.

    Parameters
    ----------
    samples : sequence of sequence of int or of numpy.ndarray
        The tokens of each sample, or numbers that stand for anything else.
    size : int
        Size of the vocabulary; every token id is smaller.

    Returns
    -------
    scipy.sparse.csr_array
        (sample, token).
    """
    from scipy import sparse

    rows = np.repeat(np.arange(len(samples)), [len(part) for part in samples])
    columns = np.concatenate([np.empty(0, int), *(np.asarray(part, int) for part in samples)])
    ones = np.ones(len(columns), np.int64)
    return sparse.coo_array((ones, (rows, columns)), shape=(len(samples), size)).tocsr()


def jaccard(left: Any, right: Any) -> np.ndarray:
    """Compute Jaccard's index: of the tokens that either of two samples has, the share in both.

    Parameters
    ----------
    left, right : scipy.sparse.csr_array
        (left, token) and (right, token), from `count`; only zero or not zero matters.

    Returns
    -------
    numpy.ndarray
        (left, right), from 0 to 1; 0 for two samples without tokens.
    """
    left, right = ((part > 0).astype(np.int64) for part in (left, right))
    both = (left @ right.T).toarray()  # (left, right)
    sizes = [np.asarray(part.sum(1)).ravel() for part in (left, right)]
    return both / np.maximum(sizes[0][:, None] + sizes[1] - both, 1)
