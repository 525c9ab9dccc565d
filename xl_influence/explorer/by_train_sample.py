"""The way back: for a training sample, the test samples that it influences most."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..sharing import SIGNS
from .run_data import RunData, shorten

CHUNK = 50  # training samples of a part, or a few more: translations are never parted
N_MOST_INFLUENCED = 5  # test samples of each sign that the page shows for a training sample
BUSIEST = 8  # training samples in the top k of the most test samples that the page offers


def find_chunks(run: RunData) -> np.ndarray:
    """Assign each training sample to a part, (train); translations go to the same one.

    Parameters
    ----------
    run
        The run.
    """
    if not run.describer.parallel:
        return np.arange(len(run.train)) // CHUNK
    chunks = np.empty(len(run.train), int)
    number, filled = 0, 0
    for rows in run.train.groupby("item", sort=False).indices.values():
        if filled >= CHUNK:
            number, filled = number + 1, 0
        chunks[rows] = number
        filled += len(rows)
    return chunks


def describe_train(run: RunData, chunks: np.ndarray) -> dict[str, Any]:
    """Describe the training samples, part by part.

    Parameters
    ----------
    run
        The run.
    chunks
        As from `find_chunks`.

    Returns
    -------
    dict
        `train-<number>`: uid → what `Describer.describe_train` says, with `means` (test language →
        mean influence on its test samples), `in_top` (sign → in the top k of how many test samples
        it is) and `sways` (sign → test samples that it influences most: row, influence, its rank
        for them, whether it is a near-duplicate of them).

        `train`: `chunks` (the uids in each part), and `busiest` (sign → the training samples in the
        top k of the most test samples: uid, how many, part).
    """
    in_top = {sign: (run.ranks[sign] <= run.top_k).sum(0) for sign in SIGNS}  # (train,) each
    means = _average_by_language(run)
    parts: dict[str, Any] = {f"train-{number}": {} for number in range(int(chunks.max()) + 1)}
    for row, sample in enumerate(run.described):
        parts[f"train-{chunks[row]}"][sample["uid"]] = sample | {
            "means": {lang: shorten(value[row]) for lang, value in means.items()},
            "in_top": {sign: int(in_top[sign][row]) for sign in SIGNS},
            "sways": {sign: _find_most_influenced(run, row, sign) for sign in SIGNS},
        }
    uids = run.train["uid"].to_numpy()
    parts["train"] = {
        "chunks": [list(part) for part in parts.values()],
        "busiest": {sign: _find_busiest(in_top[sign], uids, chunks) for sign in SIGNS},
    }
    return parts


def _average_by_language(run: RunData) -> dict[str, np.ndarray]:
    """Test language → the mean influence of every training sample on its test samples, (train)."""
    lang = run.test["lang"]
    return {name: run.values[(lang == name).to_numpy()].mean(0) for name in dict.fromkeys(lang)}


def _find_most_influenced(run: RunData, row: int, sign: str) -> list[list[Any]]:
    """Return the test samples that a training sample influences most, with this sign."""
    strength = run.values[:, row] * SIGNS[sign]  # (test,)
    order = np.argsort(-strength, kind="stable")[:N_MOST_INFLUENCED]
    return [
        [
            int(test),
            shorten(run.values[test, row]),
            int(run.ranks[sign][test, row]),
            bool(run.near_duplicates[test, row]),
        ]
        for test in order
        if strength[test] > 0
    ]


def _find_busiest(counts: np.ndarray, uids: np.ndarray, chunks: np.ndarray) -> list[list[Any]]:
    """The training samples with the highest counts; among equal ones the earlier first."""
    order = np.argsort(-counts, kind="stable")[:BUSIEST]
    return [[uids[row], int(counts[row]), int(chunks[row])] for row in order if counts[row]]
