"""The score cube on disk, filled shard by shard, by one process or several at once.

A shard is one checkpoint × one tile of test samples × one range of training samples: one chunk of the Zarr array, so no
two shards share a file. A process claims a shard by locking it (the lock falls with the process), writes it, and then
leaves a mark that says what was written. `Cube.gather` proves from the marks that every cell was written exactly once.
"""

import itertools
import json
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import filelock
import numpy as np
import xarray as xr
import zarr

from . import runs
from .influence import sample_coords

DIMS = {
    "dot": ("checkpoint", "group", "test", "train"),
    "test_sqnorm": ("checkpoint", "group", "test"),
    "train_sqnorm": ("checkpoint", "group", "train"),
}
WAIT = 0.2  # seconds between looks at what other processes do


class ScoreError(ValueError):
    """Too few test samples that the model labels correctly, or a damaged cube."""


class CubeError(RuntimeError):
    """Shards of a cube are missing, overlap or hold values that are not numbers."""


@dataclass(frozen=True)
class Shard:
    """Ranges [start, stop) of one checkpoint's part of the cube; `checkpoint` counts from 0."""

    checkpoint: int
    test: tuple[int, int]
    train: tuple[int, int]

    @property
    def name(self):
        return f"{self.checkpoint}-{self.test[0]}-{self.train[0]}"

    @property
    def box(self):
        return ((self.checkpoint, self.checkpoint + 1), self.test, self.train)


class Cube:
    """An unfinished `scores.zarr` in the folder `work`. `layout`: dict with the sizes of cube, tile and shard."""

    def __init__(self, work):
        self.work, self.path = Path(work), Path(work) / "scores.zarr"
        self.marks, self.locks = self.work / "shards", self.work / "locks"
        self.layout = json.loads((self.work / "layout.json").read_text())

    @staticmethod
    def create(work, groups, epochs, test_samples, train_samples, tile, step, together):
        """An empty cube of not-a-number. What a process killed in here leaves has no layout, and is made anew."""
        runs.remove(work)
        sizes = {
            "checkpoint": len(epochs),
            "group": len(groups),
            "test": len(test_samples),
            "train": len(train_samples),
        }
        chunks = sizes | {"checkpoint": 1, "test": tile, "train": min(step, sizes["train"])}
        empty = {
            name: (dims, np.full([sizes[d] for d in dims], np.nan, dtype=np.float32))
            for name, dims in DIMS.items()
        }
        coords = {"checkpoint": list(epochs), "group": np.array(groups, dtype=object)}
        coords |= sample_coords(test_samples, "test") | sample_coords(train_samples, "train")
        encoding = {name: {"chunks": [chunks[d] for d in dims]} for name, dims in DIMS.items()}
        work.mkdir(parents=True)
        xr.Dataset(empty, coords=coords).to_zarr(
            work / "scores.zarr", mode="w", encoding=encoding, consolidated=False
        )
        for name in ("shards", "locks"):
            (work / name).mkdir()
        layout = sizes | {"tile": tile, "step": step, "together": together}
        with runs.write_atomically(work / "layout.json") as path:
            path.write_text(json.dumps(layout))
        return Cube(work)

    def shards(self):
        """Every shard of the cube, checkpoint by checkpoint, tile by tile."""
        tests, trains = (
            [
                (start, min(start + step, self.layout[dim]))
                for start in range(0, self.layout[dim], step)
            ]
            for dim, step in (("test", self.layout["tile"]), ("train", self.layout["step"]))
        )
        return [
            Shard(*where)
            for where in itertools.product(range(self.layout["checkpoint"]), tests, trains)
        ]

    def is_written(self, shard):
        return (self.marks / f"{shard.name}.json").exists()

    def claims(self):
        """Yields shards for this process to write, until each is written by this or another process.

        The shard is locked while the caller has it. Where another process dies, its shard is claimed again.
        """
        waiting = [shard for shard in self.shards() if not self.is_written(shard)]
        while waiting:
            left = []
            for shard in waiting:
                if not self.work.is_dir() or self.is_written(
                    shard
                ):  # no folder: another process has gathered it
                    continue
                lock = filelock.FileLock(self.locks / f"{shard.name}.lock")
                try:
                    lock.acquire(timeout=0)
                except filelock.Timeout:
                    left.append(shard)
                    continue
                try:
                    if not self.is_written(shard):
                        yield shard
                finally:
                    lock.release()
            if len(left) == len(waiting):
                time.sleep(WAIT)
            waiting = left

    def busy(self):
        """Whether another process holds a shard."""
        for path in self.locks.glob("*.lock"):
            lock = filelock.FileLock(path)
            try:
                lock.acquire(timeout=0)
                lock.release()
            except filelock.Timeout:
                return True
        return False

    def write(self, shard, products):
        """Write a shard's `gradient_products` into its chunks, then its mark.

        Norms of test samples come from the first range of training samples, those of training samples from the first
        tile of test samples, so that these arrays too are written once.
        """
        starts = {"test_sqnorm": shard.train[0], "train_sqnorm": shard.test[0]}
        region = dict(
            zip(
                ("checkpoint", "test", "train"), (slice(*edges) for edges in shard.box), strict=True
            )
        )
        data = products.drop_vars([*products.coords]).expand_dims("checkpoint").astype(np.float32)
        for name, dims in DIMS.items():
            if not starts.get(name, 0):
                where = {dim: region.get(dim, slice(None)) for dim in dims}
                data[[name]].transpose(*dims).to_zarr(self.path, region=where, consolidated=False)
        with runs.write_atomically(self.marks / f"{shard.name}.json") as path:
            path.write_text(json.dumps(shard.box))

    def gather(self):
        """Prove that the cube is whole: the marks cover it, none overlap, every value is a number. Returns its path."""
        sizes = [self.layout[dim] for dim in ("checkpoint", "test", "train")]
        written = np.zeros(sizes, dtype=np.uint8)
        for path in self.marks.glob("*.json"):
            written[tuple(slice(*edges) for edges in json.loads(path.read_text()))] += 1
        if not (written == 1).all():
            where = tuple(int(i) for i in np.argwhere(written != 1)[0])
            raise CubeError(
                f"{self.path}: {int((written == 0).sum())} cells were never written, {int((written > 1).sum())} more than "
                f"once, the first at (checkpoint, test, train) {where}; allowed is exactly once"
            )
        with xr.open_zarr(self.path, consolidated=False) as cube:
            for name in DIMS:
                bad = int(cube[name].isnull().sum())
                if bad:
                    raise CubeError(
                        f"{self.path}: {bad} values of {name} are not numbers: training diverged, or a shard is lost"
                    )
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # zarr: consolidated metadata are not yet part of its version 3
            zarr.consolidate_metadata(self.path)
        return self.path
