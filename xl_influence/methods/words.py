"""Methods that look at tokens only, BM25 and token overlap. They do not depend on the model.

Languages meet in the tokens that the multilingual vocabulary has in common: names, numbers,
punctuation, and pieces of words with the same spelling. Tokens that all samples contain, such as
the special ones, do not distinguish samples and are dropped.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import overlap, runs
from .base import MethodInput

K1, B = 1.5, 0.75  # BM25's usual saturation of counts and correction for length


def bm25(given: MethodInput) -> np.ndarray:
    """Score training samples as documents and test samples as queries by Okapi BM25.

    Returns
    -------
    numpy.ndarray
        (test, train), never negative.

    Raises
    ------
    NotAvailableError
        The run has no token ids.
    """
    train, test = count_tokens(given)
    return score_bm25(train, test)


def token_overlap(given: MethodInput) -> np.ndarray:
    """Compute the share of distinct tokens that two samples have in common (Jaccard's index).

    Returns
    -------
    numpy.ndarray
        (test, train), from 0 to 1.

    Raises
    ------
    NotAvailableError
        The run has no token ids.
    """
    train, test = count_tokens(given)
    return overlap.jaccard(test, train)


def score_bm25(documents: Any, queries: Any) -> np.ndarray:
    """Score documents for queries by Okapi BM25 (Robertson and Zaragoza 2009).

    Parameters
    ----------
    documents, queries : scipy.sparse.csr_array
        How often each has each token: (documents, tokens) and (queries, tokens).

    Returns
    -------
    numpy.ndarray
        (queries, documents).
    """
    from scipy import sparse

    n = documents.shape[0]
    lengths = np.asarray(documents.sum(1)).ravel()
    holding = np.asarray((documents > 0).sum(0)).ravel()  # documents with each token
    idf = np.log1p((n - holding + 0.5) / (holding + 0.5))
    weights = documents.astype(float).tocoo()
    slack = K1 * (1 - B + B * lengths / max(lengths.mean(), 1e-12))  # (documents,)
    weights.data = weights.data * (K1 + 1) / (weights.data + slack[weights.row])
    return (queries @ sparse.diags_array(idf) @ weights.tocsr().T).toarray()


def count_tokens(given: MethodInput) -> tuple[Any, Any]:
    """Count the tokens of the training and test samples, without those that all samples have.

    Returns
    -------
    tuple of scipy.sparse.csr_array
        (train, tokens) and (test, tokens).

    Raises
    ------
    NotAvailableError
        The run has no token ids.
    """
    from scipy import sparse

    folder = given.need_folder("inputs.parquet", "token ids").parent
    counts = []
    for split, samples in (("train", given.train), ("test", given.test)):
        inputs = runs.read_inputs(folder, split, samples["uid"])["input_ids"]
        counts.append([np.asarray(ids, int) for ids in inputs])
    size = 1 + max(int(ids.max()) for part in counts for ids in part)
    train, test = (overlap.count(part, size) for part in counts)
    both = sparse.vstack([train, test])
    kept = np.asarray((both > 0).sum(0)).ravel() < both.shape[0]
    return train[:, kept], test[:, kept]
