"""Near-duplicates: training samples that say almost the same as a test sample."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .. import overlap
from .samples import TEXTS

LETTERS = 3  # of a text's overlapping pieces that are compared
ALIKE = 0.5  # of the pieces that either text has, the part that both must have


def name_rule(train: pd.DataFrame, test: pd.DataFrame) -> str | None:
    """By what near-duplicates are found: 'template', 'text' or, if neither is known, None.

    Parameters
    ----------
    train, test
        The samples.
    """
    if "template" in train and "template" in test:
        return "template"
    if TEXTS[0] in train and TEXTS[0] in test:
        return "text"
    return None


def find_near_duplicates(train: pd.DataFrame, test: pd.DataFrame) -> np.ndarray:
    """Which training samples are near-duplicates of which test samples.

    In the demo corpora these are made from the same template and have the same label, in any
    language. Elsewhere they are in the same language and have the same label, and of all the pieces
    of three letters that the texts of the two have, at least half are in both.

    Parameters
    ----------
    train, test
        The samples.

    Returns
    -------
    numpy.ndarray
        bool, (test, train); all False if the samples have neither templates nor texts.
    """
    label = test["label"].to_numpy()[:, None] == train["label"].to_numpy()  # (test, train)
    rule = name_rule(train, test)
    if rule == "template":
        return label & (test["template"].to_numpy()[:, None] == train["template"].to_numpy())
    if rule == "text":
        lang = test["lang"].to_numpy()[:, None] == train["lang"].to_numpy()
        return label & lang & (_compare(_join_texts(test), _join_texts(train)) >= ALIKE)
    return np.zeros(label.shape, bool)


def _join_texts(frame: pd.DataFrame) -> list[str]:
    """Every sample's texts as one, in lower case."""
    columns = [frame[name] for name in TEXTS if name in frame]
    rows = zip(*columns, strict=True)
    return ["\n".join(text for text in row if isinstance(text, str)).casefold() for row in rows]


def _compare(left: list[str], right: list[str]) -> np.ndarray:
    """The overlap (Jaccard) of the pieces of every two texts, (left, right)."""
    numbers: dict[str, int] = {}  # of the pieces
    found = [
        [
            numbers.setdefault(text[i : i + LETTERS], len(numbers))
            for i in range(len(text) - LETTERS + 1)
        ]
        for text in (*left, *right)
    ]
    counts = overlap.count(found, len(numbers))
    return overlap.jaccard(counts[: len(left)], counts[len(left) :])
