"""Faults of parallel data sets: rows that were never translated, and rows in the wrong place.

Both are known of the real data. PAWS-X holds rows with `NS`, `WL` or nothing in place of a
translation. XNLI has no column that says which rows belong together, only their order.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

MISSING_LABEL = -1  # as the hub's data sets have it
INVISIBLE = "\u00ad\u200b\u200c\u200d\u2060\ufeff"  # characters without width

# Numbers and longer words in Latin letters (names, often) are the same in many languages.
TOKEN = re.compile("[0-9]+|[a-z\u00df-\u024f]{4,}")
NUMBER = re.compile(r"\d+")  # in any script
COMMON = 6  # a word in more rows than this says nothing about which row it is
COMPARED = 10_000  # of more rows we compare as many, in stretches of STRETCH
STRETCH = 1000
SHIFTS = (*range(-10, 0), *range(1, 11))  # rows
# Log likelihood, about, that two rows are translations of each other.
NUMBERS = 3.0  # they have the same numbers; minus this if not
WORD = 4.0  # they share a rare word or number
LEAST_SPREAD = 0.05  # of the difference in log length
CANDIDATES = 200  # rows that fit their translation least are tried in each other's place
# Where no rows changed places, 7,500 rows of XNLI reach 13 for a swap and 22 for a shift.
ENOUGH_SWAP = 20.0
ENOUGH_SHIFT = 40.0


def find_untranslated(frame: pd.DataFrame, marks: Sequence[str], paired: bool) -> pd.Series:
    """Return which rows hold no translation.

    Parameters
    ----------
    frame
        Columns `label` (as in the data), `text_a` and `text_b`.
    marks
        What stands in place of a text that was not translated; case does not matter.
    paired
        Whether every sample has two texts.

    Returns
    -------
    pandas.Series
        True where a text is missing, blank or one of the marks, or where the label is missing.
    """
    found = frame["label"].isna() | (frame["label"] == MISSING_LABEL)
    lowered = [mark.lower() for mark in marks]
    for column in ("text_a", "text_b") if paired else ("text_a",):
        text = clean(frame[column])
        found |= (text == "") | text.str.lower().isin(lowered)
    return found


def clean(texts: pd.Series) -> pd.Series:
    """Return texts without white space and invisible characters around them; '' for missing."""
    return texts.fillna("").astype(str).str.strip(INVISIBLE + " \t\n\r\f\v\u00a0\u3000").str.strip()


class _Language(NamedTuple):
    """What a language's rows can be recognised by."""

    lengths: np.ndarray  # log length of text_a and text_b: (rows, 1 or 2)
    numbers: np.ndarray  # the numbers in each row, sorted, as a string: (rows,)
    words: list[set[str]]  # rare words and numbers of each row


class _Fault(NamedTuple):
    """Rows `row` to `other` of the first language have their translations `shift` rows further on.

    With a shift of 0 the translations of these two rows changed places.
    """

    row: int
    other: int
    shift: int


class _Places:
    """How well rows of one language fit rows of another one."""

    def __init__(self, first: _Language, second: _Language) -> None:
        difference = second.lengths - first.lengths
        center = np.median(difference, axis=0)
        spread = 1.4826 * np.median(np.abs(difference - center), axis=0)
        self.spread = np.maximum(spread, LEAST_SPREAD)
        self.first, self.second = first, second
        self.lengths = second.lengths - center
        self.size = len(difference)

    def fit(self, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Return log likelihoods that rows are translations of rows of the other language."""
        z = (self.lengths[others] - self.first.lengths[rows]) / self.spread  # (pairs, 1 or 2)
        lengths = -2.5 * np.log1p(z**2 / 4).sum(axis=1)  # Student's t, four degrees of freedom
        one, other = self.first.numbers[rows], self.second.numbers[others]
        numbers = np.where(one == other, NUMBERS, -NUMBERS)
        numbers[(one == "") & (other == "")] = 0
        words, other_words = self.first.words, self.second.words
        pairs = zip(rows.tolist(), others.tolist(), strict=True)
        shared = np.array([not words[i].isdisjoint(other_words[j]) for i, j in pairs])
        return lengths + numbers + WORD * shared


def describe_misplaced(frames: Mapping[str, pd.DataFrame]) -> str | None:
    """Say which language's rows are in other places than the others'; None if there is none.

    Rows are compared by the numbers, rare words (names, often) and lengths that translations have
    in common. So we notice a shift of 20 rows or more, and about half of all pairs of rows that
    have changed places; between scripts, where only numbers and lengths remain, about a third.
    Of more than 10,000 rows we compare ten stretches of 1,000.

    Parameters
    ----------
    frames
        Language → samples, indexed by row number: `text_a`, and `text_b` or missing.
    """
    first = "en" if "en" in frames else next(iter(frames))
    items = sorted(set.intersection(*(set(frame.index) for frame in frames.values())))
    items = _choose_stretches(items)
    if not items:
        return None
    described = {lang: _describe(frame.loc[items]) for lang, frame in frames.items()}
    reference = described.pop(first)
    found: dict[str, _Fault] = {}
    for lang, language in described.items():
        places = _Places(reference, language)
        if fault := _find_shift(places) or _find_swap(places):
            found[lang] = fault
    if len(found) == len(described) > 1:  # then it is the first one
        fault = next(iter(found.values()))
        moved = fault._replace(shift=-fault.shift)
        return f"{first} beside {', '.join(found)}: {_put(moved, items)}"
    words = []
    for lang, fault in found.items():
        moved = fault._replace(row=fault.row + fault.shift, other=fault.other + fault.shift)
        words.append(f"{lang} beside {first}: {_put(moved, items)}")
    return "; ".join(words) or None


def _put(fault: _Fault, items: Sequence[int]) -> str:
    """Say which rows of the language at fault are where."""
    row, other = items[fault.row], items[fault.other]
    by = "by the numbers, names and lengths in them"
    if not fault.shift:
        return f"rows {row} and {other} have changed places, {by}"
    count = f"{abs(fault.shift)} row{'s' if abs(fault.shift) > 1 else ''}"
    way = "up" if fault.shift > 0 else "down"
    return f"rows {row} to {other} belong {count} further {way}, {by}"


def _choose_stretches(items: list[int]) -> list[int]:
    """Return all items if they are few, otherwise evenly spaced stretches of them."""
    if len(items) <= COMPARED:
        return items
    starts = np.linspace(0, len(items) - STRETCH, COMPARED // STRETCH).astype(int)
    return [item for start in starts for item in items[start : start + STRETCH]]


def _describe(frame: pd.DataFrame) -> _Language:
    """Find what a language's rows can be recognised by."""
    texts = [frame["text_a"], *([frame["text_b"]] if frame["text_b"].notna().all() else [])]
    lengths = np.stack([np.log1p(text.str.len().to_numpy(float)) for text in texts], axis=1)
    joined = texts[0] if len(texts) == 1 else texts[0] + " " + texts[1]
    numbers = [" ".join(sorted(str(int(n)) for n in NUMBER.findall(text))) for text in joined]
    words = [set(TOKEN.findall(text.lower())) for text in joined]
    counts = Counter(word for row in words for word in row)
    rare = [{word for word in row if counts[word] <= COMMON} for row in words]
    return _Language(lengths, np.array(numbers, dtype=object), rare)


def _find_shift(places: _Places) -> _Fault | None:
    """Find rows whose translations are some rows further on."""
    rows = np.arange(places.size)
    home = places.fit(rows, rows)
    shifted = [_try_shift(places, home, shift) for shift in SHIFTS if abs(shift) < places.size]
    evidence, fault = max(shifted, default=(0.0, None))
    return fault if evidence >= ENOUGH_SHIFT else None


def _try_shift(places: _Places, home: np.ndarray, shift: int) -> tuple[float, _Fault]:
    """Find successive rows whose translations fit best `shift` rows on, and the evidence for it.

    Parameters
    ----------
    places
        Two languages.
    home
        How well each row fits the row in its own place.
    shift
        Rows.
    """
    rows = np.arange(max(0, -shift), places.size - max(0, shift))
    gain = places.fit(rows, rows + shift) - home[rows]
    sums = np.concatenate([[0.0], np.cumsum(gain)])
    above = sums - np.minimum.accumulate(sums)  # of the best rows that end before each row
    end = int(above.argmax())
    if end == 0:
        return 0.0, _Fault(0, 0, shift)
    start = int(sums[:end].argmin())
    return float(above[end]), _Fault(int(rows[start]), int(rows[end - 1]), shift)


def _find_swap(places: _Places) -> _Fault | None:
    """Find two rows whose translations changed places."""
    rows = np.arange(places.size)
    worst = np.argsort(places.fit(rows, rows), kind="stable")[:CANDIDATES]
    n = len(worst)
    fit = places.fit(np.repeat(worst, n), np.tile(worst, n)).reshape(n, n)
    gain = fit + fit.T - fit.diagonal()[:, None] - fit.diagonal()[None]
    np.fill_diagonal(gain, 0)
    if gain.max() < ENOUGH_SWAP:
        return None
    row, other = sorted(worst[list(np.unravel_index(gain.argmax(), gain.shape))].tolist())
    return _Fault(row, other, 0)
