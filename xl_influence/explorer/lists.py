"""For a test sample, the training samples that help and hurt it most, and all scores in bins."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np

from ..sharing import SIGNS
from ..sharing.top import terms_at
from .run_data import RunData, shorten

STRONGEST = 10  # training samples of each sign that a list shows, with and without near-duplicates
OF_EACH = 3  # training samples of each language and label that it shows, whatever their rank
BINS = 40  # of the histogram of all scores


def describe_tests(run: RunData, chunks: np.ndarray) -> list[dict[str, Any]]:
    """The parts of all test samples, see `describe_test`; the cube is read once.

    Parameters
    ----------
    run, chunks
        As in `describe_test`.
    """
    chosen = [{sign: choose(run, test, sign) for sign in SIGNS} for test in range(len(run.test))]
    rows = [np.array([*chain(*by_sign.values())], dtype=int) for by_sign in chosen]
    pairs = zip(chosen, terms_at(run.scores, rows), strict=True)
    return [describe_test(run, test, *found, chunks) for test, found in enumerate(pairs)]


def describe_test(
    run: RunData, test: int, chosen: dict[str, list[int]], terms: np.ndarray, chunks: np.ndarray
) -> dict[str, Any]:
    """The part of one test sample.

    Parameters
    ----------
    run
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
        what each of the `epochs` and `groups` adds to it (in their order), `again` (in the top k of
        how many models with another seed, if there are any), `twin` (whether it is a
        near-duplicate), `chunk` (the part that has its way back) and, in a parallel task, its
        `translations` (uid, influence, rank, chunk).
    """
    added = iter(terms)
    return {
        "histogram": _count_scores(run, test),
        "twins": int(run.near_duplicates[test].sum()),
        "without": {sign: _count_without_near_duplicates(run, test, sign) for sign in SIGNS},
        "rows": {
            sign: [
                _describe_row(run, test, sign, row, terms=next(added), chunks=chunks)
                for row in found
            ]
            for sign, found in chosen.items()
        },
    }


def choose(run: RunData, test: int, sign: str) -> list[int]:
    """The training samples that the list of a test sample shows, the strongest first.

    These are the strongest `STRONGEST`, the strongest `STRONGEST` of the near-duplicates and of the
    others, and in each of these two groups the strongest `OF_EACH` of each language and label.

    Parameters
    ----------
    run
        The run.
    test
        The row of the test sample.
    sign
        'positive' or 'negative'.
    """
    near_duplicates = run.near_duplicates[test]
    kinds = list(zip(run.train["lang"], run.train["label"], near_duplicates, strict=True))
    seen: dict[Any, int] = {}
    chosen = []
    for row in np.argsort(run.ranks[sign][test]):
        if run.values[test, row] * SIGNS[sign] <= 0:
            break
        limits = {"all": STRONGEST, near_duplicates[row]: STRONGEST, kinds[row]: OF_EACH}
        for kind in limits:
            seen[kind] = seen.get(kind, 0) + 1
        if any(seen[kind] <= limit for kind, limit in limits.items()):
            chosen.append(int(row))
    return chosen


def _describe_row(
    run: RunData, test: int, sign: str, row: int, *, terms: np.ndarray, chunks: np.ndarray
) -> dict[str, Any]:
    """One training sample of a list; `terms` ([checkpoint,] group) add up to its influence."""
    values, ranks = run.values[test], run.ranks[sign][test]
    uids = run.train["uid"]
    return run.described[row] | {
        "rank": int(ranks[row]),
        "influence": shorten(values[row]),
        "epochs": [shorten(value) for value in terms.sum(-1)] if run.epochs else [],
        "groups": [shorten(value) for value in terms.reshape(-1, terms.shape[-1]).sum(0)],
        **({"again": int(run.again[sign][test, row])} if run.seeds else {}),
        "twin": bool(run.near_duplicates[test, row]),
        "chunk": int(chunks[row]),
        "translations": [
            [uids.iloc[other], shorten(values[other]), int(ranks[other]), int(chunks[other])]
            for other in run.translations[row]
        ],
    }


def _count_scores(run: RunData, test: int) -> dict[str, list[int]]:
    """The histogram; scores that rounding has put beyond the ends count in the last bins."""
    own = (run.train["lang"] == run.test["lang"].iloc[test]).to_numpy()
    values = np.clip(run.values[test], -run.limit, run.limit)
    edges = np.linspace(-run.limit, run.limit, BINS + 1)
    parts = {"own": values[own], "other": values[~own]}
    return {name: np.histogram(part, edges)[0].tolist() for name, part in parts.items()}


def _count_without_near_duplicates(run: RunData, test: int, sign: str) -> dict[str, int]:
    """Languages of the top k of the training samples that are no near-duplicates."""
    ranks = np.where(run.near_duplicates[test], len(run.train) + 1, run.ranks[sign][test])
    top = np.argsort(ranks, kind="stable")[: run.top_k]
    mask = np.zeros(len(run.train), bool)
    mask[top] = True
    return run.count_languages(mask & ~run.near_duplicates[test])
