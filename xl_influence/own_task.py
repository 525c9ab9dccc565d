"""Your own task, `task=own`: the files in `data_root`, whose columns parameters can name.

The columns are `text_a`, `label`, `lang` and, optionally, `text_b` and `item`. Samples with the
same item are translations of each other. Without items the task is not parallel, and the number of
a row in its file takes their place.
"""

from __future__ import annotations

import difflib
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from . import own_checks, prepared
from .languages import TAGS, is_tag
from .own_checks import place
from .own_files import SPLITS, TaskError, make_name, read, state, to_text
from .own_splits import Files, find_files
from .sections import Data

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("text_a", "text_b", "label", "lang", "item")  # also the parameters that rename them
NEEDED = ("text_a", "label", "lang")
NONE = "none"  # in place of a column: the files have none
SHOWN = 5  # how many classes or lines a message lists


class Description(NamedTuple):
    """What the training data say about the task."""

    class_names: list[str]
    paired: bool  # two texts per sample
    parallel: bool  # some items are in several languages


def find(params: Data) -> dict[str, Files]:
    """Find the files of each split, as `own_splits.find_files` does."""
    return find_files(params["data_root"], params["files"], params["languages"])


def read_own(params: Data, split: str) -> pd.DataFrame:
    """Read and check one split.

    Parameters
    ----------
    params
        The parameters of the run: `data_root`, `files`, the names of the columns, and `languages`.
    split
        'train', 'validation' or 'test'.

    Returns
    -------
    pandas.DataFrame
        Indexed by `line` or `row`: `text_a`, `text_b` (if there is one), `label`, `lang`, `item`
        (the line or row where the files have no items), as text, and `file`, the path.

    Raises
    ------
    TaskError
        A column is missing, or a row lacks a value; the message names file and line.
    """
    paths = find(params)[split].paths
    names = tuple(_name_columns(params).items())
    only = params["languages"][0] if len(params["languages"]) == 1 else ""
    return _read(tuple(paths.items()), names, only, tuple(map(state, paths.values())))


@functools.lru_cache(2 * len(SPLITS))
def _read(
    paths: tuple[tuple[str, Path], ...],
    names: tuple[tuple[str, str], ...],
    only: str,
    states: Any,
) -> pd.DataFrame:
    """Read it once for all languages, unless a file (its state) changes.

    `only` is the language of all rows if there is no column that says it.
    """
    import pandas as pd

    frames = [_read_file(path, dict(names), lang, only) for lang, path in paths]
    for (_, path), frame in zip(paths, frames, strict=True):
        if set(frame) != set(frames[0]):
            column = (set(frame) ^ set(frames[0])).pop()
            raise TaskError(f"{paths[0][1]} and {path}: only one of them has the column {column!r}")
    return pd.concat(frames).rename_axis(frames[0].index.name) if len(frames) > 1 else frames[0]


def _read_file(path: Path, names: dict[str, str], lang: str, only: str) -> pd.DataFrame:
    """Read and check a file; `lang` is its language, if each language has a file."""
    import pandas as pd

    rows = read(path)
    chosen = _find_columns(path, list(rows), names, lang or only)
    frame = rows[list(chosen.values())].set_axis(list(chosen), axis="columns")
    for column in frame:
        values = frame[column].items()
        texts = [to_text(path, f"{rows.index.name} {n}: {column}", each) for n, each in values]
        frame[column] = pd.Series(texts, frame.index, dtype=object)
    frame["file"] = str(path)
    if "lang" not in frame:
        frame["lang"] = lang or only
    _check_values(frame)
    other = frame[frame["lang"] != lang]
    if lang and len(other):
        raise TaskError(
            f"{place(other)}: lang {other['lang'].iloc[0]!r} in a file of {lang!r} "
            f"({len(other)} such rows)"
        )
    if "item" not in frame:
        frame["item"] = frame.index.astype(int)
    return frame


def _find_columns(path: Path, there: list[str], names: dict[str, str], only: str) -> dict[str, str]:
    """Map each of `COLUMNS` that the file has to its name there."""
    found: dict[str, str] = {}
    for column in COLUMNS:
        name = names[column] or column
        required = column in NEEDED and not (column == "lang" and only)
        if name == NONE and column in ("text_b", "item"):
            continue
        if name in there:
            found[column] = name
        elif required or names[column]:
            raise TaskError(_describe_missing(path, there, column, name))
    twice = {name for name in found.values() if list(found.values()).count(name) > 1}
    if twice:
        both = " and ".join(key for key, name in found.items() if name in twice)
        raise TaskError(f"{path}: {both} are the same column, {twice.pop()!r}")
    return found


def _describe_missing(path: Path, there: list[str], column: str, name: str) -> str:
    """Say that there is no such column, what there is, and how to name another."""
    columns = ", ".join(map(repr, there))
    text = f"{path}: no column {name!r}; the columns are {columns}"
    if len(there) == 1 and any(mark in there[0] for mark in ";\t|"):
        return (
            f"{text}: are they separated by another character? Allowed is the comma (.csv) or tab"
        )
    close = difflib.get_close_matches(name.lower(), [other.lower() for other in there], 1)
    similar = [other for other in there if close and other.lower() == close[0]]
    return f"{text}; name yours by {column}={similar[0] if similar else '<column>'}"


def _check_values(frame: pd.DataFrame) -> None:
    """Raise `TaskError` for the first row with a value that is missing or malformed."""
    for column in (column for column in COLUMNS if column in frame):
        wrong = frame[frame[column].str.strip() == ""]
        if len(wrong):
            raise TaskError(
                f"{place(wrong)}: empty {column} ({len(wrong)} in all). Complete or remove these "
                "rows"
            )
    checked = {"lang": is_tag, "label": _is_trimmed, "item": _is_trimmed}
    for column, allowed in ((key, test) for key, test in checked.items() if key in frame):
        values = {value: allowed(value) for value in frame[column].unique()}
        wrong = frame[~frame[column].map(values).astype(bool)]
        if len(wrong):
            value = wrong[column].iloc[0]
            what = f"not a language tag; allowed are {TAGS}" if column == "lang" else "has spaces"
            if value != value.strip():
                what = "begins or ends with a space"
            raise TaskError(f"{place(wrong)}: {column} {value!r} {what} ({len(wrong)} such rows)")
    if "item" in frame:
        _check_items(frame)


def _is_trimmed(text: str) -> bool:
    return text == text.strip()


def _check_items(frame: pd.DataFrame) -> None:
    """Raise `TaskError` if an item occurs twice in a language."""
    again = frame[frame.duplicated(["lang", "item"])]
    if len(again):
        row = again.iloc[0]
        first = frame.index[(frame["lang"] == row["lang"]) & (frame["item"] == row["item"])][0]
        raise TaskError(
            f"{place(again)}: item {row['item']} in {row['lang']} is already on "
            f"{frame.index.name} {first} ({len(again)} such rows). If items do not say what is a "
            f"translation of what, set item={NONE}"
        )


def complete(params: Data) -> dict[str, Any]:
    """Return `data_name` and `languages`, from the data, where the parameters leave them empty.

    Parameters
    ----------
    params
        Parameters that are not checked yet.

    Raises
    ------
    TaskError, PreparedError
        The data cannot be read.
    """
    empty = [key for key in ("data_name", "languages") if not dict(params)[key]]
    folder, found = params["data_root"], {}
    if params["prepared"]:
        about = prepared.read_parameters(params)
        found = {"data_name": about.get("data_name", ""), "languages": about["languages"]}
    elif not folder:
        if not params["languages"]:
            find(params)  # which says that there is no folder
    elif isinstance(folder, str) and Path(folder).expanduser().is_dir():  # else the schema says so
        found["data_name"] = make_name(folder)
        if not params["languages"]:
            found["languages"] = find_languages(params)
    return {key: found[key] for key in empty if found.get(key)}


def find_languages(params: Data) -> list[str]:
    """The languages of the training data, in the order in which they occur."""
    return list(read_own(params, "train")["lang"].unique())


def describe(params: Data) -> Description:
    """Describe a task from its training data.

    Raises `TaskError` if these have only one class, or if labels, items and translations of the
    files do not fit each other.
    """
    files = find(params)
    frames = {split: read_own(params, split) for split in SPLITS}
    own_checks.check_languages(frames, params["languages"])
    _check_forms(params, files)
    rows = frames["train"]
    names = sorted(rows["label"].unique(), key=_sort_numbers_first)
    if len(names) < 2:
        raise TaskError(
            f"{files['train'].name}: labels are {', '.join(names)}; at least two classes are needed"
        )
    own_checks.check_spelling(frames)
    if languages := params["languages"]:
        frames = {split: frame[frame["lang"].isin(languages)] for split, frame in frames.items()}
    own_checks.check_known(frames, names)
    languages_per_item = frames["train"].groupby("item")["lang"].nunique()
    parallel = _has_items(rows) and bool((languages_per_item > 1).any())
    if parallel:
        own_checks.check_translations(frames)
    return Description(names, "text_b" in rows, parallel)


def _check_forms(params: Data, files: dict[str, Files]) -> None:
    """Raise `TaskError` if one file has a second text, or items, and another has not."""
    frames = {split: read_own(params, split) for split in SPLITS}
    has = {
        "text_b": {split: "text_b" in frame for split, frame in frames.items()},
        "item": {split: _has_items(frame) for split, frame in frames.items()},
    }
    for column, found in has.items():
        named = _name_columns(params)[column] or column
        if len(set(found.values())) > 1:
            have, lack = (
                " and ".join(files[split].name.name for split in SPLITS if found[split] == there)
                for there in (True, False)
            )
            raise TaskError(
                f"{params['data_root']}: the column {named!r} is in {have}, "
                f"but not in {lack}; allowed is all files or none ({column}={NONE} ignores it)"
            )


def _name_columns(params: Data) -> dict[str, str]:
    """Map each of `COLUMNS` to the name that the files give it; empty: the same."""
    return {key: str(value) for key, value in params.items() if key in COLUMNS}


def _has_items(frame: pd.DataFrame) -> bool:
    """Whether the items are the file's own, and not the numbers of rows."""
    return frame["item"].dtype.kind != "i"


def _sort_numbers_first(name: str) -> tuple[int, float, str]:
    """Sort classes by number where their names are numbers: 2 before 10."""
    return (0, float(name), name) if name.lstrip("-").isdecimal() else (1, 0.0, name)


def list_left_out(params: Data, parallel: bool) -> pd.DataFrame:
    """List the rows that the study cannot draw.

    Parameters
    ----------
    params
        The parameters of the run.
    parallel
        Whether the task is parallel: then every language must have a row's item.

    Returns
    -------
    pandas.DataFrame
        `file`, `line`, `lang`, `item`, `reason`, `missing` (in which languages there is no such
        item).
    """
    import pandas as pd

    parts = []
    for split in SPLITS:
        frame = read_own(params, split)
        inside = frame["lang"].isin(params["languages"])
        parts.append(frame[~inside].assign(reason="language not in the study", missing=""))
        if parallel:
            parts.append(_find_incomplete(frame[inside], params["languages"]))
    found = pd.concat(parts).rename_axis("line").reset_index()
    found["item"] = found["item"].astype(str)
    root = Path(params["data_root"]).expanduser()
    found["file"] = found["file"].map(lambda path: Path(path).relative_to(root).as_posix())
    return found[["file", "line", "lang", "item", "reason", "missing"]]


def _find_incomplete(frame: pd.DataFrame, languages: list[str]) -> pd.DataFrame:
    """The rows whose item is not in every language."""
    having = frame.groupby("item")["lang"].agg(set)
    missing = having.map(lambda have: ", ".join(lang for lang in languages if lang not in have))
    lacking = frame["item"].map(missing)
    return frame.assign(reason="item not in every language", missing=lacking)[lacking != ""]


def count_left_out(rows: pd.DataFrame) -> pd.DataFrame:
    """Count rows of `list_left_out` by file, reason and language, with the first lines of each."""
    keys = ["file", "reason", "lang"]
    lines = rows.groupby(keys, sort=False)["line"]
    return lines.agg(rows="size", lines=_list_lines).reset_index()


def _list_lines(lines: pd.Series) -> str:
    first = ", ".join(map(str, lines.iloc[:SHOWN]))
    return f"{first}, …" if len(lines) > SHOWN else first
