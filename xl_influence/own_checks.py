"""Check whether the languages, labels and items of your own task fit each other in all files."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from .languages import normalize
from .own_files import TaskError

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 8  # how many classes a message lists


def place(rows: pd.DataFrame) -> str:
    """Name the first of some rows for a message: its file and line."""
    return f"{rows['file'].iloc[0]}, {rows.index.name} {rows.index[0]}"


def check_languages(frames: Mapping[str, pd.DataFrame], languages: Sequence[str]) -> None:
    """Raise `TaskError` if the files, or they and `languages`, spell a language in two ways.

    Parameters
    ----------
    frames
        Split → its rows, as `own_task.read_own` returns them.
    languages
        The parameter.
    """
    seen: dict[str, tuple[str, str]] = {}
    for lang in languages:
        seen.setdefault(normalize(lang), (lang, "languages"))
    _check_column(frames, "lang", normalize, seen)


def check_spelling(frames: Mapping[str, pd.DataFrame]) -> None:
    """Raise `TaskError` if labels, or the items of two languages, are the same in two spellings.

    Parameters
    ----------
    frames
        Split → its rows, as `own_task.read_own` returns them.
    """
    _check_column(frames, "label", _normalize, {})
    for frame in frames.values():
        _check_items(frame)


def _check_column(
    frames: Mapping[str, pd.DataFrame],
    column: str,
    normalize: Callable[[str], str],
    seen: dict[str, tuple[str, str]],
) -> None:
    """Raise `TaskError` if a column has the same value in two spellings.

    `seen` maps a normalized value to its first spelling and where that is.
    """
    for frame in frames.values():
        for value, part in frame.groupby(column, sort=False):
            first, where = seen.setdefault(normalize(str(value)), (str(value), place(part)))
            if first != value:
                raise TaskError(
                    f"{place(part)}: {column} {value!r} is {first!r} in another spelling ({where}; "
                    f"{len(part)} such rows). Use one spelling"
                )


def _check_items(frame: pd.DataFrame) -> None:
    """Raise `TaskError` if languages spell the same item differently: 1 and 1.0, say."""
    if frame["item"].dtype.kind == "i":  # the numbers of rows
        return
    spelt = frame["item"].drop_duplicates()
    alike = dict(zip(spelt, map(_normalize, spelt), strict=True))
    rows = frame.assign(alike=frame["item"].map(alike))
    spellings = rows.groupby("alike")["item"].nunique()
    in_one_language = rows.groupby(["alike", "lang"])["item"].nunique().groupby("alike").max()
    wrong = spellings.index[(spellings > 1) & (in_one_language == 1)]
    if len(wrong):
        rows = rows[rows["alike"] == wrong[0]]
        one, other = rows.iloc[:1], rows[rows["item"] != rows["item"].iloc[0]]
        raise TaskError(
            f"{place(other)}: item {other['item'].iloc[0]!r} in {other['lang'].iloc[0]} is "
            f"{one['item'].iloc[0]!r} in {one['lang'].iloc[0]} in another spelling ({place(one)}; "
            f"{len(wrong)} such items). Use one spelling"
        )


def _normalize(text: str) -> str:
    """The same for a word in capitals or not, and for 1, 01 and 1.0; but 2024.10 is not 2024.1."""
    number = re.fullmatch(r"([+-]?)0*([0-9]+?)(\.0*)?", text)
    return f"{number[1].strip('+')}{number[2]}" if number else text.casefold()


def check_known(frames: Mapping[str, pd.DataFrame], names: Sequence[str]) -> None:
    """Raise `TaskError` for a label that the training data do not have.

    Parameters
    ----------
    frames
        Split → its rows in the study's languages.
    names
        The labels in the training data.
    """
    for frame in frames.values():
        unknown = frame[~frame["label"].isin(names)]
        if len(unknown):
            shown = ", ".join([*names[:SHOWN], *(["…"] if len(names) > SHOWN else [])])
            first = unknown.iloc[0]
            raise TaskError(
                f"{place(unknown)}: unknown label {first['label']!r}; allowed are {shown}, the "
                f"labels in the training data ({len(unknown)} such rows, the first in "
                f"{first['lang']})"
            )


def check_translations(frames: Mapping[str, pd.DataFrame]) -> None:
    """Raise `TaskError` if rows that are translations of each other have different labels.

    Parameters
    ----------
    frames
        Split → its rows in the study's languages; equal items are translations.
    """
    for frame in frames.values():
        labels = frame.groupby("item")["label"].nunique()
        wrong = set(labels.index[labels > 1])
        if not wrong:
            continue
        rows = frame[frame["item"].isin(wrong)]
        rows = rows[rows["item"] == rows["item"].iloc[0]]
        one, other = rows.iloc[:1], rows[rows["label"] != rows["label"].iloc[0]]
        raise TaskError(
            f"{place(other)}: misaligned translations: item {other['item'].iloc[0]} is labelled "
            f"{other['label'].iloc[0]} in {other['lang'].iloc[0]} and {one['label'].iloc[0]} in "
            f"{one['lang'].iloc[0]} ({place(one)}; {len(wrong)} such items). Equal items are "
            "translations of each other; item=none says that they are not"
        )
