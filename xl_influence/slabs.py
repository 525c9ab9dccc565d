"""Read a score cube slab by slab, for cubes that do not fit into memory.

A slab is a range of test samples by a range of training samples: what an analysis reads at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import xarray as xr

# Bytes of the dot products of a slab in float64; a chunk on disk is read as a whole, so a slab
# is larger where a chunk is.
SLAB_BYTES = 2**27
# Bytes of a cube up to which it is read into memory once; a larger one is read slab by slab.
IN_MEMORY = 2**28
# Raised by a lack of memory or a bug, never by a damaged file
PROGRAM_ERRORS = (MemoryError, AttributeError, NameError, AssertionError)


class Slab(NamedTuple):
    """A part of a cube, in memory.

    Attributes
    ----------
    test, train : slice
        Its test and training samples in the cube.
    scores : xarray.Dataset
        Their scores, with all checkpoints and parameter groups.
    """

    test: slice
    train: slice
    scores: xr.Dataset


def read_slabs(scores: xr.Dataset, size: int | None = None) -> Iterator[Slab]:
    """Read a score cube slab by slab.

    The slabs of a range of test samples come one after the other, those of earlier training
    samples first. Each chunk of the file is read once.

    Parameters
    ----------
    scores : xarray.Dataset
        Score cube, in memory or not, with dims ([checkpoint,] group, test, train).
    size : int, optional
        Bytes of a slab's dot products in float64; default: `SLAB_BYTES`.
    """
    sizes = dict(scores["dot"].sizes)
    chunks = _find_chunks(scores["dot"])
    test = min(chunks.get("test", sizes["test"]), sizes["test"])
    pair = 8 * scores["dot"].size // max(1, sizes["test"] * sizes["train"])  # bytes
    fit = (size or SLAB_BYTES) // max(1, pair * test)  # training samples
    step = chunks.get("train", 1)
    train = max(step, fit // step * step)
    for first in range(0, sizes["test"], max(1, test)):
        for start in range(0, sizes["train"], train):
            place = {
                "test": slice(first, min(first + test, sizes["test"])),
                "train": slice(start, min(start + train, sizes["train"])),
            }
            yield Slab(place["test"], place["train"], scores.isel(place).load())


def _find_chunks(dot: xr.DataArray) -> dict[str, int]:
    """Sizes of a chunk on disk, by dimension; nothing for scores that were never on disk."""
    found = dot.encoding.get("chunks")
    if not found or len(found) != dot.ndim:
        return {}
    return {str(dim): size for dim, size in zip(dot.dims, found, strict=True)}


def open_lazily(path: Path, consolidated: bool | None = None) -> xr.Dataset:
    """Open a cube without reading its arrays; what is read later is not kept in memory.

    Parameters
    ----------
    path : Path
        The Zarr array.
    consolidated : bool, optional
        Whether to read the metadata from one consolidated file; default: if there is one.
    """
    return xr.open_dataset(path, engine="zarr", cache=False, consolidated=consolidated)


def load_if_small(scores: xr.Dataset) -> xr.Dataset:
    """Load a cube of up to `IN_MEMORY` bytes; of a larger one, load all but the dot products."""
    if scores["dot"].nbytes <= IN_MEMORY:
        return scores.load()
    return scores.drop_vars("dot").load().assign(dot=scores["dot"])


def has_nan(scores: xr.Dataset) -> bool:
    """Whether some scores, in memory, are not numbers."""
    return any(bool(scores[name].isnull().any()) for name in scores.data_vars)
