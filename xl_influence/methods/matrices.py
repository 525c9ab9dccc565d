"""Matrices of languages beside each other: influence, similarity, and what leaving one out costs.

Cells of such a matrix are not independent: a language has a row and a column. So the p-value comes
from permuting the languages, rows and columns together (Mantel's test, also called QAP).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..manifest import development_accuracy
from .comparison import correlate_ranks

PERMUTATIONS = 5040  # all of them up to seven languages; beyond, as many at random
FEWEST_CELLS = 4  # that a rank correlation is computed of


def average_by_language(
    values: np.ndarray, train: pd.DataFrame, test: pd.DataFrame
) -> pd.DataFrame:
    """Average values over all samples of each pair of languages (as in Tables 3 and 6).

    Parameters
    ----------
    values : numpy.ndarray
        (test, train).
    train, test : pandas.DataFrame
        The samples.

    Returns
    -------
    pandas.DataFrame
        Test languages × training languages, both in the order of the training languages.
    """
    rows = pd.DataFrame(values, index=test["lang"].to_numpy(), columns=train["lang"].to_numpy())
    means = rows.T.groupby(level=0, sort=False).mean().T.groupby(level=0, sort=False).mean()
    languages = list(dict.fromkeys(train["lang"]))
    order = [lang for lang in languages if lang in means.index]
    return means.loc[order + [lang for lang in means.index if lang not in order], languages]


def measure_accuracy_lost(
    base: dict[str, Any], without: Mapping[str, dict[str, Any]], languages: list[str]
) -> pd.DataFrame:
    """Compute how much development accuracy each language loses if one is left out.

    Parameters
    ----------
    base : dict
        The manifest of the run trained on all languages.
    without : mapping
        Language left out → the manifest of the run without it.
    languages : list of str
        The languages of the rows and columns.

    Returns
    -------
    pandas.DataFrame
        Tested language × language left out; NaN where no such run exists. Positive: training on
        the column's language helped the row's.
    """
    table = pd.DataFrame(np.nan, index=languages, columns=languages)
    for left_out, manifest in without.items():
        for lang in languages:
            change = development_accuracy(base, lang) - development_accuracy(manifest, lang)
            table.loc[lang, left_out] = change
    return table


def correlate(a: pd.DataFrame, b: pd.DataFrame, *, diagonal: bool = False) -> dict[str, float]:
    """Correlate the ranks of two matrices of languages, with an exact permutation p-value.

    Parameters
    ----------
    a, b : pandas.DataFrame
        Square matrices with the same languages; cells of `b` may be missing.
    diagonal : bool
        Whether each language's own cell counts. It dominates most matrices.

    Returns
    -------
    dict
        `correlation` (Spearman's), `p` (share of permutations of the languages, the present one
        among them, with a correlation at least as far from zero), `cells`, `permutations`. NaN for
        fewer than `FEWEST_CELLS` cells.

    Raises
    ------
    ValueError
        The matrices have different languages, or rows and columns differ.
    """
    languages = list(a.columns)
    if any(sorted(part) != sorted(languages) for part in (a.index, b.index, b.columns)):
        raise ValueError(
            f"matrices of {list(a.index)} × {languages} and {list(b.index)} × {list(b.columns)}: "
            "allowed are the same languages in rows and columns"
        )
    x, y = (part.loc[languages, languages].to_numpy(float) for part in (a, b))
    used = ~np.isnan(y)
    if not diagonal:
        used &= ~np.eye(len(languages), dtype=bool)
    if used.sum() < FEWEST_CELLS:
        return {"correlation": np.nan, "p": np.nan, "cells": int(used.sum()), "permutations": 0}
    orders = list(_orders(len(languages)))
    permuted = np.stack([x[np.ix_(order, order)][used] for order in orders])  # (order, cell)
    found = correlate_ranks(permuted, np.broadcast_to(y[used], permuted.shape))  # (order,)
    as_far = np.abs(found) >= abs(found[0]) - 1e-12
    return {
        "correlation": float(found[0]),
        "p": float(as_far.mean()),
        "cells": int(used.sum()),
        "permutations": len(orders),
    }


def correlate_matrices(influence: pd.DataFrame, others: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Correlate the matrix of influence with others of the same run, off the diagonal.

    A language that is only tested, since it was left out of training, has a row and no column. It
    does not count, because permuting languages moves rows and columns together.

    Parameters
    ----------
    influence : pandas.DataFrame
        From `average_by_language`.
    others : mapping of str to pandas.DataFrame
        Name → matrix of the same languages.

    Returns
    -------
    pandas.DataFrame
        `matrix`, `correlation`, `p`, `cells`, `permutations`, as from `correlate`.
    """
    both = [lang for lang in influence.columns if lang in influence.index]
    whole = influence.loc[both, both]
    rows = [
        {"matrix": name} | correlate(whole, other.loc[both, both]) for name, other in others.items()
    ]
    return pd.DataFrame(rows, columns=["matrix", "correlation", "p", "cells", "permutations"])


def _orders(n: int) -> Iterator[list[int]]:
    """Yield the orders of n languages, the present one first: all, or some drawn at random."""
    if math.factorial(n) <= PERMUTATIONS:
        yield from map(list, itertools.permutations(range(n)))
        return
    rng = np.random.default_rng(0)
    yield list(range(n))
    for _ in range(PERMUTATIONS - 1):
        yield rng.permutation(n).tolist()
