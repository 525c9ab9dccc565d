"""Where samples come from: the hub, clones of its repositories, demo corpora, or your own files.

`read` gives one language and one split as a checked frame. `hash_source` identifies the source.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from . import demo, hub, prepared, runs, tasks, translations
from .sections import Data, FineTuning, Run
from .tasks import Task

UNTRANSLATED = -1  # in place of a class
SOURCE_LABEL = "source_label"  # column: the label in the data, where several are one class


class DataError(ValueError):
    """The data are missing, too few, or not what the task expects."""


class _Rows(NamedTuple):
    """One language and split as its source has it."""

    frame: pd.DataFrame  # indexed by item: label, text_a, text_b (and the demo's tags)
    where: str  # names task, language and split in errors
    classes: dict[Any, int | None]  # label → class; None: the row is left out


def read(params: Data, task: Task, lang: str, split: str) -> pd.DataFrame:
    """Read and check all samples of one language and split.

    Parameters
    ----------
    params
        The parameters of the run.
    task
        Its task, as from `tasks.find`.
    lang
        A language of the task.
    split
        'train', 'validation' or 'test'.

    Returns
    -------
    pandas.DataFrame
        Indexed by `item`: `label` (class number), `text_a`, `text_b`, and for the demo corpora
        `template` and `phenomenon`; without the rows whose label the study leaves out. In the
        parallel data sets of the hub, rows that were never translated have the label
        `UNTRANSLATED`, and the labels of the data are in `SOURCE_LABEL` if several are one class.

    Raises
    ------
    DataError
        No such language, split or column, an unknown label, an empty text, or a repeated item.
    """
    read_source = _choose_source(params["data"], task)
    frame, where, classes = read_source(params, task, lang, split)
    untranslated = frame.iloc[:0]
    if has_translations(params["data"], task):
        paired = task.columns[1] is not None
        lacking = translations.find_untranslated(frame, task.untranslated, paired)
        if len(set(classes.values())) < len(classes):
            frame = frame.assign(**{SOURCE_LABEL: frame["label"]})
        frame, untranslated = frame[~lacking], frame[lacking].assign(label=UNTRANSLATED)
    unknown = sorted(set(frame["label"]) - set(classes))
    if unknown:
        allowed = ", ".join(map(str, classes))
        raise DataError(f"{where}: unknown label {unknown[0]!r}; allowed are {allowed}")
    frame = frame.assign(label=frame["label"].map(classes))
    frame = frame.dropna(subset="label").astype({"label": int})
    _check_texts(frame, ("text_a", "text_b") if task.columns[1] else ("text_a",), where)
    if len(untranslated):
        frame = pd.concat([frame, untranslated])
    repeated = frame.index[frame.index.duplicated()]
    if len(repeated):
        raise DataError(f"{where}: item {repeated[0]} occurs more than once")
    return frame


def has_translations(data: str, task: Task) -> bool:
    """Whether samples of `task` come from a parallel data set of the hub, or a clone of it.

    `data` is the parameter of that name, 'hub' or 'demo'.
    """
    return task.name != "own" and data == "hub" and task.parallel


def _choose_source(data: str, task: Task) -> Callable[..., _Rows]:
    if task.name == "own":
        return _read_own
    return _read_demo if data == "demo" else _read_hub


def _check_texts(frame: pd.DataFrame, columns: Sequence[str], where: str) -> None:
    """Raise `DataError` for a text that is missing or blank."""
    for column in columns:
        empty = frame.index[frame[column].fillna("").str.strip() == ""]
        if len(empty):
            raise DataError(
                f"{where}: empty text in {column}, item {empty[0]} ({len(empty)} in all)"
            )


def _read_own(params: Data, task: Task, lang: str, split: str) -> _Rows:
    """Read one language from the files of a task of your own."""
    path = tasks.find_files(params)[split].name
    rows = tasks.read_own(params, split)
    found = rows[rows["lang"] == lang]
    if found.empty:
        languages = ", ".join(rows["lang"].unique())
        raise DataError(f"{path}: no rows in {lang}; there are {languages}. Set languages")
    texts = {column: found.get(column) for column in ("text_a", "text_b")}
    frame = pd.DataFrame({"label": found["label"], **texts})
    items = pd.Index(found["item"], name="item")
    return _Rows(frame.set_index(items), f"{path}, {lang}", task.classes)


def _read_demo(params: Run, task: Task, lang: str, split: str) -> _Rows:
    """Read the demo corpus."""
    where = f"{task.title} demo corpus, {lang}, {split}"
    rows = pd.DataFrame(demo.load(task.name))
    found = rows[(rows["lang"] == lang) & (rows["split"] == split)]
    if found.empty:
        raise DataError(f"{where}: no rows; the demo corpus has no such language or split")
    frame = found.set_index("item").drop(columns=["lang", "split"])
    return _Rows(frame, where, task.demo_classes or task.classes)


def _read_hub(params: Data, task: Task, lang: str, split: str) -> _Rows:
    """Read a data set of the hub, from a clone under `data_root` if one is given."""
    repository = task.hub.format(lang=lang)
    where = f"{task.title}, {lang}, {split} ({repository})"
    source = repository
    if params["data_root"]:
        clone = Path(params["data_root"]).expanduser().resolve() / repository
        if not clone.is_dir():
            raise DataError(
                f"{task.title}, {lang}: no folder {repository} in data_root {params['data_root']}"
            )
        source = str(clone)
    else:
        hub.go_offline_if_unreachable("datasets", repository)
    config = lang if task.config_is_language else None
    try:
        table = hub.read_split(source, config, split, task.withdrawn)
    except hub.HubError as error:
        raise DataError(f"{where}: {error}") from error
    wanted = [column for column in (*task.columns, task.item_column, "label") if column]
    missing = [column for column in wanted if column not in table]
    if missing:
        raise DataError(f"{where}: no column {missing[0]!r}; there are {', '.join(table.columns)}")
    items = table[task.item_column] if task.item_column else table.index
    text_a, text_b = (table[column] if column else None for column in task.columns)
    frame = pd.DataFrame({"label": table["label"], "text_a": text_a, "text_b": text_b})
    return _Rows(frame.set_index(pd.Index(items, name="item")), where, task.classes)


def hash_source(params: FineTuning) -> str:
    """Hash where the data come from.

    That is the corpus file, your own files, the files under `data_root`, or the hub's name of the
    data set. A prepared folder has the fingerprint of the data that it was made from.
    """
    if params["prepared"]:
        return prepared.read(params)["source_fingerprint"]
    task = tasks.find(params)
    if task.name == "own":
        hashes = {
            f"{split} {lang}".strip(): _hash_file(path)
            for split, files in tasks.find_files(params).items()
            for lang, path in files.paths.items()
        }
        return runs.hash_parts(hashes)
    if params["data"] == "demo":
        return runs.hash_parts(demo.read_corpus(task.name))
    if not params["data_root"]:
        return runs.hash_parts("hub", task.hub)
    return runs.hash_parts(_hash_clones(params, task))


def _hash_clones(params: Data, task: Task) -> dict[str, str]:
    """Map '<language>/<file>' to a hash, for the files that the study reads under `data_root`."""
    hashes = {}
    for lang in params["languages"]:
        clone = Path(params["data_root"]).expanduser() / task.hub.format(lang=lang)
        folder = clone / lang if task.config_is_language else clone
        for path in sorted(folder.rglob("*")):
            if path.is_file() and ".git" not in path.parts:
                hashes[f"{lang}/{path.name}"] = _hash_file(path)
    return hashes


def _hash_file(path: Path) -> str:
    if path.is_dir():  # a split saved by `datasets`
        files = (file for file in sorted(path.rglob("*")) if file.is_file())
        return runs.hash_parts({file.name: _hash_file(file) for file in files})
    state = path.stat()
    return _hash_unchanged_file(path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(256)
def _hash_unchanged_file(path: Path, *state: int) -> str:
    """Hash a file, once per process as long as its time and size stay the same."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
