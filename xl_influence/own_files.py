"""The files of your own task: where they are, and their rows with line numbers.

A split is a file `train.csv`, `.tsv`, `.jsonl` or `.parquet` in `data_root`, or a file for each
language, or a folder, if `data_root` was written by `datasets.DatasetDict.save_to_disk`.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .sections import Run

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("train", "validation", "test")
FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")
UNPACKED = 4 * 2**30  # bytes that the rows of a Parquet file may take in memory
SAVED = "dataset_dict.json"  # marks a folder written by `datasets`


class TaskError(ValueError):
    """The files of your own task are missing or malformed."""


def state(path: Path) -> tuple[tuple[int, int], ...]:
    """Return times and sizes of a file, or of all files in a folder, to notice when it changes."""
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
    line, longest = 1, csv.field_size_limit(sys.maxsize)
    try:
        for fields in reader:
            if separator == "\t" and any(mark in field for field in fields for mark in "\t\n"):
                raise TaskError(
                    f"{path}, line {line}: a text that begins with a quote goes on over a tab or "
                    "line break. If the quote belongs to the text, put it in quotes and double it"
                )
            if fields:
                rows[line] = fields
            line = reader.line_num + 1
    except csv.Error as error:
        raise TaskError(
            f"{path}, line {line}: {error}. A text with a quote or a line break must be in quotes, "
            "with the quotes inside it doubled"
        ) from None
    finally:
        csv.field_size_limit(longest)
    if not rows:
        raise TaskError(f"{path}: the file is empty")
    header = rows.pop(min(rows))
    if not rows:
        raise TaskError(f"{path} has no rows, only the names of columns")
    for line, fields in rows.items():
        if len(fields) != len(header):
            raise TaskError(
                f"{path}, line {line}: {len(fields)} fields, but the first line names "
                f"{len(header)} ({', '.join(header)}). {_explain(len(fields), len(header))}"
            )
    return _make_frame(list(rows.values()), list(rows), "line", header, path)


def _explain(fields: int, columns: int) -> str:
    """Say what may be wrong with a row that has this many fields."""
    if fields < columns:
        return "The row is cut short"
    return "A text that contains the separator must be in quotes"


def _read_jsonl(path: Path) -> pd.DataFrame:
    """Read a file with a JSON object on each line."""
    rows: dict[int, dict[str, Any]] = {}
    for line, text in enumerate(decode(path).split("\n"), 1):
        if not text.strip():
            continue
        try:
            rows[line] = json.loads(text, parse_float=_read_number, object_pairs_hook=_read_object)
        except ValueError as error:
            raise TaskError(f"{path}, line {line}: not JSON: {error}") from None
        if not isinstance(rows[line], dict):
            raise TaskError(f"{path}, line {line}: {text[:40]!r} is not a JSON object {{...}}")
    if not rows:
        raise TaskError(f"{path}: the file is empty")
    columns = list(dict.fromkeys(key for row in rows.values() for key in row))
    values = [[row.get(column) for column in columns] for row in rows.values()]
    return _make_frame(values, list(rows), "line", columns, path)


def _read_number(text: str) -> float | str:
    """A number; as it is written (2024.10) where the number would be written otherwise."""
    return float(text) if repr(float(text)) == text else text


def _read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; `ValueError` if it has a key twice, of which Python would drop the first."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"two values for {twice!r}")
    return found


def _read_parquet(path: Path) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    _check_unpacked(path)
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise TaskError(f"{path}: not a Parquet file: {error}") from None
    table = table.reset_index() if table.index.names != [None] else table
    return table.set_axis(pd.RangeIndex(1, len(table) + 1, name="row"))


def _check_unpacked(path: Path) -> None:
    """Raise `TaskError` if a Parquet file's rows take more memory than `UNPACKED`.

    A few kilobytes can hold a text that is repeated a billion times, so we add up what the rows
    take before any text is repeated in memory.
    """
    import pyarrow as pa
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
                    for column in (leaf for each in batch.columns for leaf in _find_texts(each)):
                        lengths = pc.binary_length(column.dictionary)
                        unpacked += pc.sum(lengths.take(column.indices)).as_py() or 0
                    if unpacked > UNPACKED:
                        break
    except (OSError, ValueError, pa.ArrowException) as error:
        raise TaskError(f"{path}: not a Parquet file: {error}") from None
    if unpacked > UNPACKED:
        raise TaskError(
            f"{path}: {path.stat().st_size:,} bytes that take more than {UNPACKED / 2**30:.0f} GB "
            f"when unpacked ({about.num_rows:,} rows); leave out what the study does not need"
        )


def _find_texts(column: Any) -> list[Any]:
    """The columns of texts, read as dictionaries, in an Arrow column, which may be nested."""
    import pyarrow as pa

    if pa.types.is_struct(column.type):
        return [found for part in column.flatten() for found in _find_texts(part)]
    if pa.types.is_nested(column.type):
        return _find_texts(column.flatten())
    return [column] if pa.types.is_dictionary(column.type) else []


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


def to_text(path: Path, where: str, value: Any) -> str:
    """Return a value as text; whole numbers without a fraction, and nothing for a missing value.

    Parameters
    ----------
    path, where
        The file, and the line and column in it, for the message.
    value
        The value.

    Raises
    ------
    TaskError
        The value is a list, a mapping, an array or bytes.
    """
    import pandas as pd

    if isinstance(value, str):
        return value
    if isinstance(value, list | dict | tuple | bytes) or (hasattr(value, "shape") and value.shape):
        raise TaskError(f"{path}, {where} holds {value!r:.80}; allowed are texts and numbers")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if pd.isna(value) else str(value)


def name_folder(params: Run) -> str:
    """The folder of a task: its name, for your own with that of its data set: `own-reviews`."""
    name = params.get("data_name")
    return f"{params['task']}-{name}" if name else params["task"]
