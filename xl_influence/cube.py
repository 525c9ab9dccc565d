"""The score cube on disk, filled shard by shard, by one process or several at once.

A shard is one checkpoint × one tile of test samples × one range of training samples. It is one
chunk of the Zarr array, so no two shards share a file. A process claims a shard by locking it (the
system releases the lock if the process dies), writes it, and then leaves a small file that says
which cells were written. From these, `Cube.gather` checks that every cell was written exactly once.
"""

from __future__ import annotations

import itertools
import json
import math
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import xarray as xr
import zarr

from . import cube_contents, locks, runs
from .cube_contents import DIMS
from .influence import ALL, make_coords
from .slabs import PROGRAM_ERRORS

WAIT = 0.2  # seconds between looks at what other processes do
REPORT_AFTER = 60.0  # seconds after which we report the process that we are waiting for
# Keys of a layout as unfinished cubes of earlier versions have them
OLD_KEYS = {"tile": "test_tile", "step": "shard_size", "together": "train_tile"}


class CubeError(runs.RunError):
    """A cube with missing or overlapping shards or with values that are not numbers.

    Also raised if another process is computing the cube with other parameters.
    """


@dataclass(frozen=True)
class Shard:
    """Ranges [start, stop) of one checkpoint's part of the cube; `checkpoint` counts from 0."""

    checkpoint: int
    test: tuple[int, int]
    train: tuple[int, int]

    @property
    def name(self) -> str:
        """The name of its files."""
        return f"{self.checkpoint}-{self.test[0]}-{self.train[0]}"

    @property
    def box(self) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        """Ranges of (checkpoint, test, train)."""
        return ((self.checkpoint, self.checkpoint + 1), self.test, self.train)

    @property
    def n_train(self) -> int:
        """Number of training samples."""
        return self.train[1] - self.train[0]


class Cube:
    """An unfinished `scores.zarr`.

    Parameters
    ----------
    work : Path
        The folder that `create` made.

    Attributes
    ----------
    path : Path
        The Zarr array.
    written, locks : Path
        Folders with a file for each shard that was written or claimed.
    keep : str
        What the finished cube holds, see `create`.
    layout : dict of int
        `checkpoint`, `group`, `test`, `train`: the cube's sizes; `test_tile`: test samples in a
        shard; `shard_size`: training samples in a shard; `train_tile`: training samples whose
        gradients are in memory at the same time.
    """

    def __init__(self, work: Path) -> None:
        self.work, self.path = Path(work), Path(work) / "scores.zarr"
        self.written, self.locks = self.work / "shards", self.work / "locks"
        layout = json.loads((self.work / "layout.json").read_text())
        self.keep: str = layout.pop("keep", "groups")
        self.layout = {OLD_KEYS.get(key, key): size for key, size in layout.items()}

    @staticmethod
    def create(
        work: Path,
        *,
        groups: Sequence[str],
        epochs: Sequence[int],
        test: Sequence[Mapping[str, Any]],
        train: Sequence[Mapping[str, Any]],
        test_tile: int,
        train_tile: int,
        shard_size: int,
        keep: str = "groups",
    ) -> Cube:
        """Create an empty cube, filled with NaN.

        The layout is written last. A cube without one was left behind by a process that was killed
        while creating it, and is created again.

        Parameters
        ----------
        work : Path
            The folder to create; whatever is there is removed.
        groups : sequence of str
            Parameter groups.
        epochs : sequence of int
            The coordinate `checkpoint`.
        test, train : sequence of dict
            The samples, see `influence.make_coords`.
        test_tile, train_tile : int
            See `engine.layout.Layout`.
        shard_size : int
            Training samples in a shard.
        keep : {'groups', 'checkpoints', 'sum'}
            What the finished cube holds: scores by checkpoint and parameter group; by checkpoint,
            with the one group 'all'; or influence summed over both, without the dimension
            `checkpoint`.
        """
        runs.remove(work)
        groups = groups if keep == "groups" else [ALL]
        sizes = {
            "checkpoint": len(epochs),
            "group": len(groups),
            "test": len(test),
            "train": len(train),
        }
        # Takes no memory, and no disk: chunks that hold only NaN are not written
        empty = {
            name: (dims, np.broadcast_to(np.float32(np.nan), [sizes[dim] for dim in dims]))
            for name, dims in DIMS.items()
        }
        coords: dict[str, Any] = {
            "checkpoint": list(epochs),
            "group": np.array(groups, dtype=object),
        }
        coords |= make_coords(test, "test") | make_coords(train, "train")
        shard = {"checkpoint": 1, "test": test_tile, "train": min(shard_size, sizes["train"])}
        chunks = sizes | shard
        encoding = {name: {"chunks": [chunks[dim] for dim in dims]} for name, dims in DIMS.items()}
        for name in ("shards", "locks"):
            (work / name).mkdir(parents=True)
        xr.Dataset(empty, coords=coords).to_zarr(
            work / "scores.zarr", mode="w", encoding=encoding, consolidated=False
        )
        tiles = {"test_tile": test_tile, "train_tile": train_tile, "shard_size": shard_size}
        with runs.write_atomically(work / "layout.json") as path:
            path.write_text(json.dumps(sizes | tiles | {"keep": keep}))
        return Cube(work)

    def list_shards(self) -> list[Shard]:
        """Return every shard of the cube, checkpoint by checkpoint, tile by tile."""
        checkpoints = range(self.layout["checkpoint"])
        tests = _ranges(self.layout["test"], self.layout["test_tile"])
        trains = _ranges(self.layout["train"], self.layout["shard_size"])
        return [Shard(*place) for place in itertools.product(checkpoints, tests, trains)]

    def is_written(self, shard: Shard) -> bool:
        """Whether this or another process has written the shard."""
        return (self.written / f"{shard.name}.json").exists()

    def claim_shards(self, part: int = 0, parts: int = 1) -> Iterator[Shard]:
        """Yield shards for this process to write, until all have been written by some process.

        A shard is locked while the caller has it. If another process dies, its shard is claimed
        again.

        Parameters
        ----------
        part, parts
            Which of `parts` equal parts of the cube to write; `part` counts from 0. A part is a
            range of training samples at one checkpoint, or several in a row.
        """
        wanted = self.list_shards()
        wanted = wanted[part * len(wanted) // parts : (part + 1) * len(wanted) // parts]
        waiting = [shard for shard in wanted if not self.is_written(shard)]
        last = time.monotonic()
        while waiting:
            locked = []
            for shard in waiting:
                gathered = not self.work.is_dir()  # by another process
                if gathered or self.is_written(shard):
                    continue
                try:
                    lock = locks.make(self.locks / f"{shard.name}.lock")
                    lock.acquire(timeout=0)
                except filelock.Timeout:
                    locked.append(shard)
                    continue
                except FileNotFoundError:  # gathered since we looked
                    continue
                try:
                    if not self.is_written(shard):
                        yield shard
                        last = time.monotonic()
                finally:
                    lock.release()
            if len(locked) == len(waiting):
                time.sleep(WAIT)
                if time.monotonic() - last > REPORT_AFTER:
                    self._report_lock_holder(locked)
                    last = math.inf
            waiting = locked

    def _report_lock_holder(self, locked: Sequence[Shard]) -> None:
        """Report that we are waiting for shards locked by other processes."""
        holder = locks.describe_holder(self.locks / f"{locked[0].name}.lock")
        print(
            f"{self.work}: waiting for {len(locked)} shard(s) of other processes{holder}",
            flush=True,
        )

    def is_busy(self) -> bool:
        """Whether another process has locked a shard."""
        for path in self.locks.glob("*.lock"):
            lock = locks.make(path)
            try:
                lock.acquire(timeout=0)
                lock.release()
            except filelock.Timeout:
                return True
        return False

    def write(self, shard: Shard, products: xr.Dataset) -> None:
        """Write a shard into its chunks, then note that it was written.

        Norms of test samples come from the first range of training samples, those of training
        samples from the first tile of test samples, so that these arrays too are written once.
        Unless groups are kept, everything is summed over them first.

        Parameters
        ----------
        shard : Shard
            A shard from `claim_shards`.
        products : xarray.Dataset
            Its values, as `Engine.products` returns them.
        """
        names = ["dot"]
        if shard.train[0] == 0:
            names.append("test_sqnorm")
        if shard.test[0] == 0:
            names.append("train_sqnorm")
        edges = zip(("checkpoint", "test", "train"), shard.box, strict=True)
        region = {"group": slice(None)} | {dim: slice(*edge) for dim, edge in edges}
        data = products.drop_vars([*products.coords]).expand_dims("checkpoint")
        if self.keep != "groups":
            data = data.astype(np.float64).sum("group", skipna=False).expand_dims("group")
        data = data.astype(np.float32)
        for name in names:
            place = {dim: region[dim] for dim in DIMS[name]}
            values = data[[name]].transpose(*DIMS[name])
            values.to_zarr(self.path, region=place, consolidated=False)
        with runs.write_atomically(self.written / f"{shard.name}.json") as path:
            path.write_text(json.dumps(shard.box))

    def gather(self) -> Path:
        """Check that the cube is complete, and make it ready to be read.

        Returns
        -------
        Path
            The finished Zarr array, in `work`.

        Raises
        ------
        CubeError
            A cell was not written, or written more than once, or is not a number.
        """
        self._check_written()
        for name, bad in self._count_bad().items():
            if bad:
                raise CubeError(
                    f"{self.path}: {bad} values of {name} are not numbers: training diverged, "
                    f"or a shard is lost"
                )
        path = self.path
        if self.keep == "sum":
            path = cube_contents.sum_checkpoints(path, self.work / "sum.zarr")
        with warnings.catch_warnings():
            # zarr: consolidated metadata are not yet part of its version 3
            warnings.simplefilter("ignore")
            zarr.consolidate_metadata(path)
        return path

    def describe_size(self) -> str:
        """Say how much disk space the cube takes."""
        return cube_contents.describe_bytes(self.keep, **runs.select_keys(self.layout, DIMS["dot"]))

    def _count_bad(self) -> dict[str, int]:
        """Count the values that are not numbers, by array; `CubeError` if a file is damaged."""
        try:
            return cube_contents.count_bad(self.path)
        except PROGRAM_ERRORS:
            raise
        except Exception as error:  # each codec has its own
            raise CubeError(
                f"{self.path} is damaged ({error}). Remove {self.work}, and its influence is "
                "computed again"
            ) from error

    def _check_written(self) -> None:
        """Raise `CubeError` unless the shards that were written cover the cube exactly once.

        We count on the grid formed by the edges of all shards, which is small.
        """
        whole = [[0, self.layout[dim]] for dim in ("checkpoint", "test", "train")]
        boxes = [json.loads(path.read_text()) for path in self.written.glob("*.json")]
        edges = [np.unique([box[axis] for box in (whole, *boxes)]) for axis in range(3)]
        times = np.zeros([len(axis) - 1 for axis in edges], dtype=int)  # (checkpoint, test, train)
        for box in boxes:
            ends = (np.searchsorted(*pair) for pair in zip(edges, box, strict=True))
            times[tuple(slice(*pair) for pair in ends)] += 1
        if (times == 1).all():
            return
        cells = np.einsum(
            "i,j,k->ijk", *map(np.diff, edges)
        )  # as many as each part of the grid has
        wrong = np.argwhere(times != 1)[0]
        first = tuple(int(axis[place]) for axis, place in zip(edges, wrong, strict=True))
        raise CubeError(
            f"{self.path}: {int(cells[times == 0].sum())} cells were never written, "
            f"{int(cells[times > 1].sum())} more than once, the first at (checkpoint, test, train) "
            f"{first}; allowed is exactly once"
        )


def _ranges(size: int, step: int) -> list[tuple[int, int]]:
    """Ranges [start, stop) of `step` numbers each that cover `size`; the last may be shorter."""
    return [(start, min(start + step, size)) for start in range(0, size, step)]
