"""Check the items that languages share, and describe what is wrong with them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from . import sources
from .sources import DataError
from .tasks import Task

Untranslated = dict[str, Any]  # see `data.load_and_count`


def describe_items(task: Task, split: str, frames: dict[str, pd.DataFrame]) -> str:
    """Say that in `split` of `task` no item is in all languages, and which items there are.

    `frames`: language → samples, indexed by item.
    """
    items = [
        f"{lang} has {', '.join(map(str, frame.index[:3]))}{', …' if len(frame) > 3 else ''}"
        for lang, frame in frames.items()
    ]
    return (
        f"{task.title}, {split}: no item is in every language ({'; '.join(items)}). Equal items "
        "are translations of each other"
    )


def check_uids(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame; raise `DataError` if language and item do not identify its samples."""
    again = frame["uid"].duplicated(keep=False)
    if again.any():
        rows = frame[again]
        pairs = " and ".join(
            f"{row.lang}, item {row.item}"
            for row in rows[rows["uid"] == rows["uid"].iloc[0]].itertuples()
        )
        raise DataError(f"{pairs}: both would be named {rows['uid'].iloc[0]!r}; rename the items")
    return frame


def describe_untranslated(counts: Untranslated | None) -> str:
    """Say how many items were dropped because they were never translated; '' if none were."""
    if not counts or not counts["items"]:
        return ""
    rows = ", ".join(f"{n} in {lang}" for lang, n in counts["rows"].items() if n)
    return f" ({counts['items']} dropped: blank, untranslated or without a label: {rows})"


def check_aligned(frames: dict[str, pd.DataFrame], split: str) -> None:
    """Raise `DataError` unless equal items have equal labels in every language.

    `frames`: language → samples of `split`, indexed by item. Classes come first, then the labels of
    the data, of which several may be one class.
    """
    (first, reference), *others = frames.items()
    for column in ("label", sources.SOURCE_LABEL):
        for lang, frame in others:
            if column not in frame or column not in reference:
                continue
            both = reference[[column]].join(frame[column], how="inner", rsuffix="_other")
            one, other = both[column], both[f"{column}_other"]
            wrong = both.index[one != other]
            if len(wrong):
                item = wrong[0]
                raise DataError(
                    f"{split}: misaligned translations: item {item} is labelled {one[item]} in "
                    f"{first} and {other[item]} in {lang} ({len(wrong)} such items)"
                )
