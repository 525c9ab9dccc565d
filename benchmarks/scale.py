"""Time and memory of the steps after the gradients, as the number of training samples grows.

`.venv/bin/python benchmarks/scale.py` writes `scale.json`; minutes on one core, 1 GB of disk. It
makes score cubes of random numbers with the sizes of a tiny encoder (two checkpoints, four
parameter groups, 125 test samples), shard by shard as the influence pass does, and runs every
analysis on them, each in a process of its own. Memory is the peak beyond what Python and its
libraries take.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import xarray as xr
from common import HERE

from xl_influence import explorer, publish, retraining, scores, sharing
from xl_influence.cube import Cube
from xl_influence.manifest import measure_peak_memory, read_processor_name
from xl_influence.tasks import TASKS

SIZES = (20_000, 50_000, 100_000, 200_000)  # training samples
LANGUAGES = ("de", "en", "es", "fr", "zh")
GROUPS = ("embeddings", "layer-00", "layer-01", "head")
CHECKPOINTS, TESTS = 2, 25  # TESTS: per language
SHARD = 1000  # training samples
TOKENS, VOCABULARY = 30, 5000  # tokens of a sample
CHOICE: dict[str, Any] = {"top_k": 100, "bootstrap": sharing.Bootstrap(200)}
FILL, READ = "02 fill the cube", "02 read the cube"
LONG, REPEATS = 5.0, 3  # a step that takes fewer seconds than LONG is timed REPEATS times


def make_samples(per_language: int, split: str) -> pd.DataFrame:
    """Samples of a parallel task; items have the same number in all splits, as in the demo."""
    pairs = [(lang, item) for lang in LANGUAGES for item in range(per_language)]
    frame = pd.DataFrame(pairs, columns=["lang", "item"])
    words = pd.Series(np.where(frame["lang"] == "zh", "汉字", "the words of a text"))
    return frame.assign(
        uid=f"{split}-" + frame["lang"] + frame["item"].astype(str),
        label=frame["item"] % 2,
        text_a=words + " " + frame["item"].astype(str),
        text_b="and those of another",
        phenomenon="phenomenon " + (frame["item"] % 7).astype(str),
        confidence=0.9,
    )


def fill(folder: Path, n_train: int) -> None:
    """Make a run's folder with samples and a cube of random numbers."""
    folder.mkdir(parents=True)
    train, test = make_samples(n_train // len(LANGUAGES), "train"), make_samples(TESTS, "test")
    for name, frame in (("train", train), ("test", test)):
        frame.to_parquet(folder / f"{name}.parquet", index=False)
    cube = Cube.create(
        folder / ".scores",
        groups=GROUPS,
        epochs=range(1, CHECKPOINTS + 1),
        test=test.to_dict("records"),
        train=train.to_dict("records"),
        test_tile=len(test),
        train_tile=SHARD,
        shard_size=SHARD,
    )
    for shard in cube.claim_shards():
        rng = np.random.default_rng([shard.checkpoint, shard.train[0]])
        cube.write(shard, make_products(rng, len(test), shard.n_train))
    shutil.move(cube.gather(), folder / "scores.zarr")
    shutil.rmtree(cube.work)


def make_products(rng: np.random.Generator, n_test: int, n_train: int) -> xr.Dataset:
    """Random dot products, and lengths of 1 in each group."""
    dot = rng.standard_normal((len(GROUPS), n_test, n_train), dtype=np.float32)
    values: dict[str, Any] = {"dot": (("group", "test", "train"), dot)}
    for dim, size in (("test", n_test), ("train", n_train)):
        values[f"{dim}_sqnorm"] = (("group", dim), np.ones((len(GROUPS), size), np.float32))
    return xr.Dataset(values, coords={"group": list(GROUPS)})


def make_tokens(samples: pd.DataFrame) -> list[np.ndarray]:
    """Random token ids for each sample."""
    rng = np.random.default_rng(len(samples))
    return list(rng.integers(0, VOCABULARY, (len(samples), TOKENS), dtype=np.int32))


def count_tokens(cube: xr.Dataset, train: pd.DataFrame, test: pd.DataFrame) -> None:
    """The analysis of tokens in common."""
    kinds = {token: ("name", "word")[token % 2] for token in range(VOCABULARY)}
    tokens = [make_tokens(train), make_tokens(test)]
    sharing.shared_tokens(cube, train, test, tokens, kinds, **CHOICE)


def compare_runs(cube: xr.Dataset, train: pd.DataFrame, test: pd.DataFrame) -> None:
    """A run beside itself without the German training samples."""
    kept = (train["lang"] != "de").to_numpy()
    less = (cube.isel(train=kept), train[kept].reset_index(drop=True), test)
    sharing.zero_shot((cube, train, test), less, "de", **CHOICE)
    sharing.composition_with_and_without((cube, train, test), less, "de", **CHOICE)


def publish_influence(cube: xr.Dataset, train: pd.DataFrame, test: pd.DataFrame) -> None:
    """What `make publish` writes of a cube."""
    values = publish.compute_influence(cube, by_checkpoint=True)
    with tempfile.TemporaryDirectory() as folder:
        publish.write_influence(Path(folder) / "influence.zarr", values, train, test)


# Notebook and analysis → what runs on (cube, train, test)
STEPS: dict[str, Callable[..., Any]] = {
    "02 examples": lambda *run: sharing.all_examples(*run),
    "02 explorer": lambda *run: explorer.describe(*run, TASKS["pawsx"], top_k=100),
    "03 samples to remove": lambda *run: retraining.plan_removals(
        *run, ks=[50, 250], samples=25, seeds=[0]
    ),
    "04 share by k": lambda *run: sharing.share_by_k(*run),
    "04 cross-language": lambda *run: sharing.cross_language(*run, **CHOICE),
    "04 composition": lambda *run: sharing.composition(*run, **CHOICE),
    "04 mean influence": lambda *run: sharing.mean_influence(*run),
    "04 distribution": lambda *run: sharing.distribution(*run),
    "04 scripts": lambda *run: sharing.scripts(*run, **CHOICE),
    "04 planted": lambda *run: sharing.planted(*run, **CHOICE),
    "04 translation rank": lambda *run: sharing.translation_rank(*run),
    "05 reinforcement": lambda *run: sharing.reinforcement(*run, **CHOICE),
    "06 epochs": lambda *run: sharing.epoch_tests(*run),
    "07 zero-shot": compare_runs,
    "08 imbalance": lambda *run: sharing.imbalance({0: run}, "de", top_k=100),
    "10 groups": lambda *run: sharing.by_group(*run, **CHOICE),
    "10 contributions": lambda *run: sharing.contributions(*run, **CHOICE),
    "10 shared tokens": count_tokens,
    "publish": publish_influence,
}


def clock(step: Callable[..., Any], *given: Any) -> float:
    """Run a step and return the seconds it took."""
    start = time.perf_counter()
    step(*given)
    return time.perf_counter() - start


def measure(step: str, folder: Path, n_train: int) -> dict[str, Any]:
    """Run one step in this process, and measure its seconds (the fewest) and its peak memory."""
    before = psutil.Process().memory_info().rss
    if step == FILL:
        seconds = clock(fill, folder, n_train)
    elif step == READ:
        seconds = clock(scores.read_cube, folder)
    else:
        samples = [pd.read_parquet(folder / f"{split}.parquet") for split in ("train", "test")]
        run = (scores.read_cube(folder), *samples)
        seconds = clock(STEPS[step], *run)
        if seconds < LONG:
            seconds = min([seconds, *(clock(STEPS[step], *run) for _ in range(REPEATS - 1))])
    peak = measure_peak_memory() - before
    row = {"step": step, "n_train": n_train, "seconds": round(seconds, 2)}
    return row | {"peak_gb": round(peak / 2**30, 3)}


def run_all(sizes: list[int], steps: list[str], folder: Path) -> list[dict[str, Any]]:
    """Run each step at each size in a process of its own; `folder`: room for one cube."""
    rows = []
    for n_train in sizes:
        place = folder / str(n_train)
        for step in [FILL, READ, *steps]:
            command = [sys.executable, __file__, "--one", step, "--sizes", str(n_train)]
            done = subprocess.run(
                [*command, "--folder", str(place)], stdout=subprocess.PIPE, text=True, check=True
            )
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            print(rows[-1], flush=True)
        shutil.rmtree(place)
    return rows


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--results", type=Path, default=HERE / "scale.json")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one, given.folder, given.sizes[0])))
        return
    with tempfile.TemporaryDirectory() as folder:
        rows = run_all(given.sizes, given.steps, Path(folder))
    machine = {"processor": read_processor_name(), "cores": len(os.sched_getaffinity(0))}
    cube = {"checkpoints": CHECKPOINTS, "groups": len(GROUPS), "tests": TESTS * len(LANGUAGES)}
    found = {"machine": machine, "cube": cube, "rows": rows}
    given.results.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
