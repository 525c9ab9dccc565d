"""The files of your own task: where they are, and their rows with line numbers.

A split is a file `train.csv`, `.tsv`, `.jsonl` or `.parquet` in `data_root`, or a file for each
language, or a folder, if `data_root` was written by `datasets.DatasetDict.save_to_disk`.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .languages import TAG

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("train", "validation", "test")
NAMES = {  # split → what files call it
    "train": ("train",),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}
FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")
UNPACKED = 4 * 2**30  # bytes that the rows of a Parquet file may take in memory
PARTS = ("{split}", "{lang}")  # of a pattern
SHOWN = 8  # how many files a message lists
SAVED = "dataset_dict.json"  # marks a folder written by `datasets`


class TaskError(ValueError):
    """The files of your own task are missing or malformed."""


class Files(NamedTuple):
    """The files of one split."""

    name: Path  # of the file; of several, their pattern, for messages
    paths: dict[str, Path]  # language → file; '' → a file with all languages


def find_files(
    data_root: str, pattern: str = "", languages: Sequence[str] = ()
) -> dict[str, Files]:
    """Find the files of each split.

    Parameters
    ----------
    data_root
        The folder.
    pattern
        Paths in it, with `{split}` and, where every language has a file, `{lang}`; empty: the split
        alone. Splits are called as in `NAMES`; the ending can be missing.
    languages
        The languages whose files are wanted; none: all.

    Raises
    ------
    TaskError
        `data_root` is not set, or a file is missing, or there are several for the same rows.
    """
    needed = f"{', '.join(SPLITS)}, each as {', '.join(FORMATS)}"
    if not data_root:
        raise TaskError(
            f"task=own: data_root must name the folder that contains {needed}, or a folder saved "
            "by datasets"
        )
    folder = Path(data_root).expanduser()
    if (folder / SAVED).is_file():
        paths = {split: [folder / split] for split in SPLITS if (folder / split).is_dir()}
    elif pattern:
        return _find_by_pattern(folder, pattern, languages)
    else:
        paths = {split: list(_match(folder, "{split}", split).values()) for split in SPLITS}
    _check_found(paths, folder, needed)
    return {split: Files(path, {"": path}) for split, (path,) in paths.items()}


def _match(folder: Path, pattern: str, split: str) -> dict[tuple[str, str], Path]:
    """Map (language, path without its folder) to a path, for the files of a split."""
    ends = ("",) if Path(pattern).suffix in FORMATS else FORMATS
    found = {}
    for name in NAMES[split]:
        for end in ends:
            path = f"{pattern}{end}".replace("{split}", name)
            inner = re.escape(path).replace(r"\{lang\}", "(?P=lang)")
            whole = inner.replace("(?P=lang)", f"(?P<lang>{TAG})", 1)
            for file in sorted(folder.glob(escape(path).replace("{lang}", "*"))):
                inside = file.relative_to(folder).as_posix()
                fits = re.fullmatch(whole, inside)
                if fits and file.is_file():
                    found[fits.groupdict().get("lang", ""), inside] = file
    return found


def _find_by_pattern(folder: Path, pattern: str, languages: Sequence[str]) -> dict[str, Files]:
    """Find the files whose paths fit `pattern`; of those with a language, the ones asked for."""
    where = f"data_root {folder}, files={pattern}"
    unknown = [part for part in re.findall(r"\{.*?\}", pattern) if part not in PARTS]
    if unknown or Path(pattern).is_absolute():
        raise TaskError(
            f"{where}: allowed is a path inside data_root, with {' and '.join(PARTS)}, as in "
            "{lang}/{split}.tsv"
        )
    found = {}
    for split in SPLITS:
        paths: dict[str, Path] = {}
        for (lang, inside), path in _match(folder, pattern, split).items():
            if lang in paths:
                first = paths[lang].relative_to(folder)
                raise TaskError(f"{where}: {first} and {inside}; allowed is one of them")
            paths[lang] = path
        found[split] = Files(folder / pattern.replace("{split}", split), paths)
    if not found["train"].paths:
        raise TaskError(f"{where}: no file for train; there is {_list_inside(folder)}")
    wanted: Sequence[str] = ("",)
    if "{lang}" in pattern:
        wanted = languages or list(found["train"].paths)
    for split, files in found.items():
        missing = [lang or "all languages" for lang in wanted if lang not in files.paths]
        if missing:
            there = ", ".join(filter(None, files.paths)) or "no language"
            raise TaskError(
                f"{where}: no file for {split} ({' or '.join(NAMES[split])}) in "
                f"{', '.join(missing)}; there is one in {there}. Set languages"
            )
    return {
        split: Files(
            next(iter(files.paths.values())) if wanted == ("",) else files.name,
            {lang: files.paths[lang] for lang in wanted},
        )
        for split, files in found.items()
    }


def _list_inside(folder: Path) -> str:
    """The names in a folder, for a message."""
    names = sorted(path.name for path in folder.iterdir())
    return ", ".join([*names[:SHOWN], *(["…"] if len(names) > SHOWN else [])]) or "nothing"


def _check_found(found: dict[str, list[Path]], folder: Path, needed: str) -> None:
    """Raise `TaskError` unless there is one file for each split."""
    for split in SPLITS:
        paths = found.get(split, [])
        if len(paths) > 1:
            several = " and ".join(path.name for path in paths)
            raise TaskError(f"data_root {folder}: {several}; allowed is one file for each split")
        if not paths:
            raise TaskError(
                f"data_root {folder}: no {split}.csv (or {', '.join(FORMATS[1:])}); required are "
                f"{needed}; there is {_list_inside(folder)}{_suggest_pattern(folder)}"
            )


def _suggest_pattern(folder: Path) -> str:
    """Say how to name one file per language, if the folder seems to have them; else nothing."""
    paths = [path.relative_to(folder).as_posix() for path in _list_data(folder)]
    names = [path for path in paths if re.search(r"(?<![a-z])train(?![a-z])", path.lower())]
    if len(names) < 2:
        return ""
    start = re.sub(r"[A-Za-z0-9]*$", "", _find_common_start(names))
    end = _find_common_start([name[len(start) :][::-1] for name in names])[::-1]
    end = re.sub(r"^[A-Za-z0-9]*", "", end)
    pattern = f"{start}{{lang}}{end}".replace("train", "{split}")
    if "{split}" not in pattern:
        return ""
    return f". If each language has a file of its own, say so by files={pattern}"


def _find_common_start(texts: Sequence[str]) -> str:
    """The characters with which all texts begin."""
    first, last = min(texts), max(texts)
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return first[: len(list(same))]


def _list_data(folder: Path) -> Iterator[Path]:
    """The data files in a folder and in the folders in it."""
    for depth in ("*", "*/*"):
        yield from sorted(path for path in folder.glob(depth) if path.suffix in FORMATS)


def state(path: Path) -> tuple[tuple[int, int], ...]:
    """Times and sizes of a file, or of all files in a folder: they differ once it has changed."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return tuple((file.stat().st_mtime_ns, file.stat().st_size) for file in files)


def read(path: Path) -> pd.DataFrame:
    """Read one split with all its columns.

    Parameters
    ----------
    path
        A file, or a folder of `datasets`.

    Returns
    -------
    pandas.DataFrame
        Values as the file has them, indexed by `line`, or by `row` (from 1) for formats without
        lines.

    Raises
    ------
    TaskError
        The file is not of its format; the message names the line.
    """
    if path.is_dir():
        return _read_saved(path)
    readers = {
        ".csv": _read_csv,
        ".tsv": _read_tsv,
        ".jsonl": _read_jsonl,
        ".parquet": _read_parquet,
    }
    return readers[path.suffix](path)


def _read_csv(path: Path) -> pd.DataFrame:
    return _read_separated(path, ",")


def _read_tsv(path: Path) -> pd.DataFrame:
    return _read_separated(path, "\t")


def _read_separated(path: Path, separator: str) -> pd.DataFrame:
    """Read a CSV or TSV file; every row must have as many fields as the first line names."""
    reader = csv.reader(io.StringIO(decode(path), newline=""), delimiter=separator, strict=True)
    rows: dict[int, list[str]] = {}  # by the line on which the row begins
    line = 1
    try:
        for fields in reader:
            if fields:
                rows[line] = fields
            line = reader.line_num + 1
    except csv.Error as error:
        raise TaskError(
            f"{path}, line {line}: {error}. A text with a quote or a line break stands in quotes, "
            "and quotes in it are doubled"
        ) from None
    if not rows:
        raise TaskError(f"{path}: the file is empty")
    header = rows.pop(min(rows))
    for line, fields in rows.items():
        if len(fields) != len(header):
            raise TaskError(
                f"{path}, line {line}: {len(fields)} fields, but the first line names "
                f"{len(header)} ({', '.join(header)}). {_explain(len(fields), len(header))}"
            )
    return _make_frame(list(rows.values()), list(rows), "line", header, path)


def _explain(fields: int, columns: int) -> str:
    """Say what may be wrong with a row of so many fields."""
    if fields < columns:
        return "The row is cut short"
    return "A text that contains the separator must stand in quotes"


def _read_jsonl(path: Path) -> pd.DataFrame:
    """Read a file with a JSON object on each line."""
    rows: dict[int, dict[str, Any]] = {}
    for line, text in enumerate(decode(path).split("\n"), 1):
        if not text.strip():
            continue
        try:
            rows[line] = json.loads(text)
        except ValueError as error:
            raise TaskError(f"{path}, line {line}: not JSON: {error}") from None
        if not isinstance(rows[line], dict):
            raise TaskError(f"{path}, line {line}: {text[:40]!r} is not a JSON object {{...}}")
    if not rows:
        raise TaskError(f"{path}: the file is empty")
    columns = list(dict.fromkeys(key for row in rows.values() for key in row))
    values = [[row.get(column) for column in columns] for row in rows.values()]
    return _make_frame(values, list(rows), "line", columns, path)


def _read_parquet(path: Path) -> pd.DataFrame:
    import pandas as pd

    _check_unpacked(path)
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are among these
        raise TaskError(f"{path}: not a Parquet file: {error}") from None
    table = table.reset_index() if table.index.names != [None] else table
    return table.set_axis(pd.RangeIndex(1, len(table) + 1, name="row"))


def _check_unpacked(path: Path) -> None:
    """Raise `TaskError` if a Parquet file's rows take more memory than `UNPACKED`.

    A few kilobytes can hold a text that is repeated a billion times, so we add up what the rows
    take before any text is repeated in memory.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            about = file.metadata
            parts = [about.row_group(number) for number in range(about.num_row_groups)]
            unpacked = sum(part.total_byte_size for part in parts)
            unpacked = max(unpacked, 8 * about.num_rows * about.num_columns)
            columns = [file.schema.column(number) for number in range(about.num_columns)]
            texts = [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]
        if unpacked <= UNPACKED and texts:
            with pq.ParquetFile(path, read_dictionary=texts) as file:
                for batch in file.iter_batches(columns=texts):
                    for column in batch.columns:
                        lengths = pc.binary_length(column.dictionary)
                        unpacked += pc.sum(lengths.take(column.indices)).as_py() or 0
                    if unpacked > UNPACKED:
                        break
    except (OSError, ValueError) as error:
        raise TaskError(f"{path}: not a Parquet file: {error}") from None
    if unpacked > UNPACKED:
        raise TaskError(
            f"{path}: {path.stat().st_size:,} bytes that take more than {UNPACKED / 2**30:.0f} GB "
            f"when unpacked ({about.num_rows:,} rows); leave out what the study does not need"
        )


def _read_saved(path: Path) -> pd.DataFrame:
    """Read a split that `datasets` saved; its classes get their names."""
    import datasets
    import pandas as pd

    try:
        split = datasets.load_from_disk(str(path))
    except (OSError, ValueError) as error:
        raise TaskError(f"{path}: not a folder saved by datasets: {error}") from None
    table = split.to_pandas()
    for name, feature in split.features.items():
        if isinstance(feature, datasets.ClassLabel):
            names = dict(enumerate(feature.names))
            table[name] = table[name].map(names)  # -1, which stands for no label, becomes NaN
    return table.set_axis(pd.RangeIndex(1, len(table) + 1, name="row"))


def _make_frame(
    values: list[list[Any]], lines: list[int], unit: str, columns: list[str], path: Path
) -> pd.DataFrame:
    import pandas as pd

    repeated = [name for name in columns if columns.count(name) > 1]
    if repeated:
        raise TaskError(f"{path}: two columns are named {repeated[0]!r}")
    index = pd.Index(lines, name=unit, dtype=int)
    return pd.DataFrame(values, index=index, columns=columns, dtype=object)


def decode(path: Path) -> str:
    """The text of a file; `TaskError` with the line where it is not UTF-8."""
    raw = path.read_bytes()
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in raw:
        line = raw[: max(raw.find(b"\0"), 0)].count(b"\n") + 1
        raise TaskError(f"{path}, line {line}: not UTF-8, but UTF-16 perhaps; save it as UTF-8")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        start, number = raw.rfind(b"\n", 0, error.start) + 1, raw.count(b"\n", 0, error.start)
        shown = raw[start : error.end + 20].decode("utf-8", "backslashreplace").splitlines()[0]
        raise TaskError(
            f"{path}, line {number + 1}: not UTF-8: {shown!r}; save it as UTF-8"
        ) from None


def make_name(folder: str) -> str:
    """The name that a data set gets from its folder, fit for the name of a folder."""
    return re.sub(r"[^\w.-]+", "-", Path(folder).expanduser().absolute().name).strip("-.")


def name_folder(params: Mapping[str, Any]) -> str:
    """The folder of a task: its name, for your own with that of its data set: `own-reviews`."""
    name = params.get("data_name")
    return f"{params['task']}-{name}" if name else params["task"]
