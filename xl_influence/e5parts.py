"""A part of the packed encoder (see `e5small`) as a Parquet file, for prepared folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from . import e5small

BLOCK_BYTES = 2 + e5small.BLOCK // 2  # of a 4-bit block: an fp16 scale, half a byte per weight


def write(
    target: Path, rows: Sequence[int] | np.ndarray, layers: int, file: Path | None = None
) -> None:
    """Write a part of the model to a Parquet file, in the wheel's own 4-bit blocks.

    We sort a tensor's bytes by their place in the block (all scales together), which makes the
    compressed file a tenth smaller. The sizes in the header stay those of the whole model.

    Parameters
    ----------
    target
        The file to write.
    rows
        Word embeddings to keep (token ids).
    layers
        How many layers to keep, from the first.
    file
        The packed model; by default the one in the wheel.
    """
    data = (file or e5small.find_packed_model()).read_bytes()
    sizes = e5small.parse_sizes(data)
    parts: list[tuple[Any, ...]] = [("", 0, 0, data[: e5small.HEADER])]
    for name, stored in e5small.read_directory(data).items():
        if name[0] == "l" and int(name[1:].partition(".")[0]) >= layers:
            continue
        part = np.frombuffer(data, np.uint8, stored.size, stored.offset)
        number = stored.number
        if name == e5small.WORDS:
            part = part.reshape(sizes["vocabulary"], -1)[rows].reshape(-1)
            number = len(rows) * sizes["hidden"]
        parts.append((name, number, part.size, *_sort_bytes(part, number)))
    frame = pd.DataFrame(parts)
    frame.columns = ["name", "number", "size", *(f"plane_{i}" for i in range(frame.shape[1] - 3))]
    frame.to_parquet(
        target,
        index=False,
        compression="zstd",
        compression_level=19,
        use_dictionary=False,
        data_page_size=2**26,
    )


def read(file: Path, rows: Sequence[int] | np.ndarray | None = None) -> dict[str, Any]:
    """Read a file that `write` wrote.

    Parameters
    ----------
    file
        The Parquet file.
    rows
        Read only these of the file's word embeddings (row numbers); by default all.

    Returns
    -------
    dict
        As from `e5small.read`, with no `pieces`.
    """
    header, *parts = pd.read_parquet(file).itertuples(index=False)
    sizes, special = e5small.read_header(header.plane_0)
    tensors = {}
    for name, number, size, *planes in parts:
        data = _restore_bytes(planes, number, size)
        stored = e5small.Stored(number, 0, size)
        tensors[name] = e5small.read_tensor(data, name, stored, sizes["hidden"], rows)
    return {"config": sizes, "pieces": [], "special": special, "tensors": tensors}


def _find_planes(number: int, size: int) -> tuple[int, list[slice]]:
    """Return the bytes of a weight or block, and the slices of it that are stored together."""
    if size == 4 * number:
        return 4, [slice(i, i + 1) for i in range(4)]
    return BLOCK_BYTES, [slice(0, 1), slice(1, 2), slice(2, None)]


def _sort_bytes(part: np.ndarray, number: int) -> list[bytes]:
    """Return a tensor's bytes, those of each plane together."""
    width, slices = _find_planes(number, part.size)
    return [part.reshape(-1, width)[:, plane].tobytes() for plane in slices]


def _restore_bytes(planes: Sequence[bytes], number: int, size: int) -> bytes:
    """Return a tensor's bytes in their own order: the inverse of `_sort_bytes`."""
    width, slices = _find_planes(number, size)
    data = np.empty((size // width, width), np.uint8)
    # Tensors with fewer planes than others have empty columns at the end.
    for plane, where in zip(planes, slices, strict=False):
        data[:, where] = np.frombuffer(plane, np.uint8).reshape(len(data), -1)
    return data.tobytes()
