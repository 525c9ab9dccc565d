"""For a test sample, the training samples that help and hurt it most, and all scores in bins."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np

from ..sharing import SIGNS
from ..sharing.top import terms_at
from .case import Case, shorten

STRONGEST = 10  # training samples of each sign that a list shows, with and without near-duplicates
OF_EACH = 3  # training samples of each language and label that it shows, whatever their rank
BINS = 40  # of the histogram of all scores


def describe_tests(case: Case, chunks: np.ndarray) -> list[dict[str, Any]]:
    """The parts of all test samples, see `describe_test`; the cube is read once.

    Parameters
    ----------
    case, chunks
        As in `describe_test`.
    """
    chosen = [{sign: choose(case, test, sign) for sign in SIGNS} for test in range(len(case.test))]
    rows = [np.array([*chain(*by_sign.values())], dtype=int) for by_sign in chosen]
    pairs = zip(chosen, terms_at(case.scores, rows), strict=True)
    return [describe_test(case, test, *found, chunks) for test, found in enumerate(pairs)]


def describe_test(
    case: Case, test: int, chosen: dict[str, list[int]], terms: np.ndarray, chunks: np.ndarray
) -> dict[str, Any]:
    """The part of one test sample.

    Parameters
    ----------
    case
        The run.
    test
        The row of the test sample.
    chosen
        Sign → training samples, from `choose`.
    terms
        What checkpoints and groups add to the influence of each of them, the signs one after the
        other: (row, [checkpoint,] group).
    chunks
        In which part each training sample is described, (train).

    Returns
    -------
    dict
        `histogram`: how many training samples have a score in each of `BINS` equal bins from
        −limit to +limit, in the test sample's `own` language and in `other` languages. `twins`: how
        many near-duplicates it has among them. `without`: sign → language → samples in the top k of
        those that are no near-duplicates.

        `rows`: sign → training samples, the strongest first, and only those whose influence has
        that sign. Each is what `Describer.describe_train` says, with `rank` (from 1), `influence`,
        what each of the `epochs` and `groups` adds to it (in their order), `twin` (whether it is a
        near-duplicate), `chunk` (the part that has its way back) and, in a parallel task, its
        `translations` (uid, influence, rank, chunk).
    """
    added = iter(terms)
    return {
        "histogram": _count_scores(case, test),
        "twins": int(case.twins[test].sum()),
        "without": {sign: _count_without_twins(case, test, sign) for sign in SIGNS},
        "rows": {
            sign: [_describe_row(case, test, sign, row, next(added), chunks) for row in found]
            for sign, found in chosen.items()
        },
    }


def choose(case: Case, test: int, sign: str) -> list[int]:
    """The training samples that the list of a test sample shows, the strongest first.

    These are the strongest `STRONGEST`, the strongest `STRONGEST` of the near-duplicates and of the
    others, and in each of these two groups the strongest `OF_EACH` of each language and label.

    Parameters
    ----------
    case
        The run.
    test
        The row of the test sample.
    sign
        'positive' or 'negative'.
    """
    twins = case.twins[test]
    kinds = list(zip(case.train["lang"], case.train["label"], twins, strict=True))
    seen: dict[Any, int] = {}
    chosen = []
    for row in np.argsort(case.ranks[sign][test]):
        if case.values[test, row] * SIGNS[sign] <= 0:
            break
        limits = {"all": STRONGEST, twins[row]: STRONGEST, kinds[row]: OF_EACH}
        for kind in limits:
            seen[kind] = seen.get(kind, 0) + 1
        if any(seen[kind] <= limit for kind, limit in limits.items()):
            chosen.append(int(row))
    return chosen


def _describe_row(
    case: Case, test: int, sign: str, row: int, terms: np.ndarray, chunks: np.ndarray
) -> dict[str, Any]:
    """One training sample of a list; `terms` ([checkpoint,] group) add up to its influence."""
    values, ranks = case.values[test], case.ranks[sign][test]
    uids = case.train["uid"]
    return case.described[row] | {
        "rank": int(ranks[row]),
        "influence": shorten(values[row]),
        "epochs": [shorten(value) for value in terms.sum(-1)] if case.epochs else [],
        "groups": [shorten(value) for value in terms.reshape(-1, terms.shape[-1]).sum(0)],
        "twin": bool(case.twins[test, row]),
        "chunk": int(chunks[row]),
        "translations": [
            [uids.iloc[other], shorten(values[other]), int(ranks[other]), int(chunks[other])]
            for other in case.translations[row]
        ],
    }


def _count_scores(case: Case, test: int) -> dict[str, list[int]]:
    """The histogram; scores that rounding has put beyond the ends count in the last bins."""
    own = (case.train["lang"] == case.test["lang"].iloc[test]).to_numpy()
    values = np.clip(case.values[test], -case.limit, case.limit)
    edges = np.linspace(-case.limit, case.limit, BINS + 1)
    parts = {"own": values[own], "other": values[~own]}
    return {name: np.histogram(part, edges)[0].tolist() for name, part in parts.items()}


def _count_without_twins(case: Case, test: int, sign: str) -> dict[str, int]:
    """Languages of the top k of the training samples that are no near-duplicates."""
    ranks = np.where(case.twins[test], len(case.train) + 1, case.ranks[sign][test])
    top = np.argsort(ranks, kind="stable")[: case.top_k]
    mask = np.zeros(len(case.train), bool)
    mask[top] = True
    return case.count_languages(mask & ~case.twins[test])
