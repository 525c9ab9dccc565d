"""What a score cube keeps (parameter `keep`), and how much disk that takes.

groups       scores by checkpoint and parameter group: what every analysis can read
checkpoints  scores by checkpoint, summed over groups as they are computed (not for notebook 10)
sum          influence summed over both; checkpoints are summed once all are there (not for
             notebooks 06 and 10)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from . import runs
from .influence import influence
from .slabs import open_lazily, read_slabs

DIMS = {
    "dot": ("checkpoint", "group", "test", "train"),
    "test_sqnorm": ("checkpoint", "group", "test"),
    "train_sqnorm": ("checkpoint", "group", "train"),
}
NUMBER = 4  # bytes, float32


def count_cube_bytes(
    keep: str, *, checkpoint: int, group: int, test: int, train: int
) -> tuple[int, int]:
    """Return the bytes that a cube's dot products take on disk; random digits hardly compress.

    Parameters
    ----------
    keep : {'groups', 'checkpoints', 'sum'}
        What the finished cube keeps.
    checkpoint, group, test, train : int
        Sizes of the dimensions; `group` counts only if groups are kept.

    Returns
    -------
    tuple of int
        While the cube is computed, and when it is finished.
    """
    computed = NUMBER * checkpoint * (group if keep == "groups" else 1) * test * train
    return computed, computed // checkpoint if keep == "sum" else computed


def describe_bytes(keep: str, *, checkpoint: int, group: int, test: int, train: int) -> str:
    """Say how much disk a cube takes.

    Parameters
    ----------
    keep, checkpoint, group, test, train
        As for `count_cube_bytes`.
    """
    computed, finished = count_cube_bytes(
        keep, checkpoint=checkpoint, group=group, test=test, train=train
    )
    words = f"{computed / 2**30:.1f} GB of disk"
    if finished < computed:
        words += f" until its checkpoints are summed, {finished / 2**30:.1f} GB afterwards"
    return f"{words} (keep={keep})"


def count_bad(path: Path) -> dict[str, int]:
    """Count the values of each array of a cube that are not numbers, slab by slab."""
    with open_lazily(path, consolidated=False) as cube:
        norms = {name: int(cube[name].isnull().sum()) for name in DIMS if name != "dot"}
        bad = (int(slab.scores["dot"].isnull().sum()) for slab in read_slabs(cube))
        return {"dot": sum(bad)} | norms


def sum_checkpoints(path: Path, target: Path) -> Path:
    """Write a cube of the influence summed over checkpoints, whose lengths are all 1.

    Parameters
    ----------
    path : Path
        A finished cube, which stays as it is.
    target : Path
        The new one; what is there is removed.

    Returns
    -------
    Path
        `target`.
    """
    runs.remove(target)  # left by a process that was killed
    with open_lazily(path, consolidated=False) as cube:
        dims, chunks = DIMS["dot"][1:], cube["dot"].encoding["chunks"][1:]
        empty = cube.isel(checkpoint=0, drop=True)
        shape = [empty.sizes[dim] for dim in dims]
        arrays: dict[str, Any] = {"dot": (dims, np.broadcast_to(np.float32(np.nan), shape))}
        arrays |= {name: xr.ones_like(empty[name].load()) for name in DIMS if name != "dot"}
        encoding = {"dot": {"chunks": [1, *chunks[1:]]}}
        whole = empty.assign(arrays).drop_encoding()
        whole.to_zarr(target, mode="w", encoding=encoding, consolidated=False)
        for slab in read_slabs(cube):
            values = influence(slab.scores).to_numpy().astype(np.float32)
            place = {"group": slice(None), "test": slab.test, "train": slab.train}
            part = xr.Dataset({"dot": (dims, values[None])})
            part.to_zarr(target, region=place, consolidated=False)
    return target
