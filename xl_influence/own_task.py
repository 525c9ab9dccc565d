"""Your own task, `task=own`: `train.csv`, `validation.csv` and `test.csv` in `data_root`.

The columns are `text_a`, `label`, `lang` and, optionally, `text_b` and `item`. Samples with the
same item are translations of each other.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("train", "validation", "test")
NEEDED = ("text_a", "label", "lang")  # columns


class TaskError(ValueError):
    """The files of your own task are missing or malformed."""


class Description(NamedTuple):
    """What the training data say about the task."""

    class_names: list[str]
    paired: bool  # two texts per sample
    parallel: bool  # some items are in several languages


def own_files(params: dict[str, Any]) -> dict[str, Path]:
    """The CSV file of each split; `TaskError` if `data_root` is not set or a file is missing."""
    needed = ", ".join(f"{split}.csv" for split in SPLITS)
    if not params["data_root"]:
        raise TaskError(
            f"task={params['task']}: data_root must name the folder that contains {needed}"
        )
    folder = Path(params["data_root"]).expanduser()
    files = {split: folder / f"{split}.csv" for split in SPLITS}
    missing = [path.name for path in files.values() if not path.is_file()]
    if missing:
        raise TaskError(
            f"data_root {params['data_root']}: no {', '.join(missing)}; required are {needed}"
        )
    return files


def read_own(path: Path) -> pd.DataFrame:
    """Read one file as text; without a column `item`, items are row numbers within a language."""
    state = path.stat()
    return _read_own(path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(len(SPLITS))
def _read_own(path: Path, *state: int) -> pd.DataFrame:
    """Read it once for all languages, unless the file (its `state`) changes."""
    import pandas as pd

    rows = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    missing = [column for column in NEEDED if column not in rows]
    if missing:
        raise TaskError(
            f"{path}: no column {missing[0]!r}; the columns are {', '.join(rows)}, "
            f"required are {', '.join(NEEDED)}"
        )
    if "item" not in rows:
        rows["item"] = rows.groupby("lang").cumcount()
    return rows


def describe(files: dict[str, Path]) -> Description:
    """Find classes and form of the task in its training data; `TaskError` if there is one class."""
    rows = read_own(files["train"])
    names = sorted(rows["label"].unique())
    if len(names) < 2:
        raise TaskError(
            f"{files['train']}: labels are {', '.join(names)}; at least two classes are needed"
        )
    languages_per_item = rows.groupby("item")["lang"].nunique()
    return Description(names, "text_b" in rows, bool((languages_per_item > 1).any()))
