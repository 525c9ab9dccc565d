"""Time and memory of every step after the gradients, as the number of training samples grows.

`python benchmarks/scale.py` makes score cubes of random numbers, with the sizes of a tiny encoder
(two checkpoints, four parameter groups, 125 test samples), runs the analyses of each notebook on
them, every notebook in its own process, and writes time and peak memory to `benchmarks/scale.json`.
`python benchmarks/scale.py fill FOLDER N` and the like run one step.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import xarray as xr

from xl_influence import explorer, publish, retraining, scores, sharing
from xl_influence.cube import Cube
from xl_influence.tasks import TASKS

SIZES = (20_000, 50_000, 100_000, 200_000)  # training samples
LANGUAGES = ("de", "en", "es", "fr", "zh")
GROUPS = ("embeddings", "layer-00", "layer-01", "head")
EPOCHS, TESTS = 2, 25  # checkpoints; test samples per language
TOKENS, VOCABULARY = 30, 5000
CHOICE = {"top_k": 100, "bootstrap": sharing.Bootstrap(200)}
RESULTS = Path(__file__).with_name("scale.json")


def make_samples(per_language: int, first: int) -> pd.DataFrame:
    """Samples of a parallel task; items count from `first`."""
    rows = [(lang, item) for lang in LANGUAGES for item in range(first, first + per_language)]
    frame = pd.DataFrame(rows, columns=["lang", "item"])
    words = np.where(frame["lang"] == "zh", "汉字", "words of a text")
    return frame.assign(
        uid=frame["lang"] + frame["item"].astype(str),
        label=frame["item"] % 3,
        text_a=pd.Series(words) + " " + frame["item"].astype(str),
        text_b="and of another",
        phenomenon=(frame["item"] % 7).map("p{}".format),
        confidence=0.9,
    )


def read_samples(folder: Path) -> list[pd.DataFrame]:
    """Training and test samples of a made-up run."""
    return [pd.read_parquet(folder / f"{split}.parquet") for split in ("train", "test")]


def fill(folder: Path, n: int) -> None:
    """A cube of random numbers, written shard by shard as the influence pass does."""
    folder.mkdir(parents=True, exist_ok=True)
    train, test = make_samples(n // 5, 0), make_samples(TESTS, 10_000_000)
    for name, frame in (("train", train), ("test", test)):
        frame.to_parquet(folder / f"{name}.parquet", index=False)
    cube = Cube.create(
        folder / ".scores",
        groups=GROUPS,
        epochs=range(1, EPOCHS + 1),
        test=test.to_dict("records"),
        train=train.to_dict("records"),
        test_tile=len(test),
        train_tile=1000,
        shard_size=1000,
    )
    for shard in cube.claims():
        rng = np.random.default_rng([shard.checkpoint, shard.train[0]])
        dot = rng.standard_normal((len(GROUPS), len(test), shard.n_train), dtype=np.float32)
        norms = {
            dim: (("group", dim), np.ones((len(GROUPS), size), np.float32))
            for dim, size in (("test", len(test)), ("train", shard.n_train))
        }
        values = {"dot": (("group", "test", "train"), dot)}
        values |= {f"{dim}_sqnorm": norm for dim, norm in norms.items()}
        cube.write(shard, xr.Dataset(values, coords={"group": list(GROUPS)}))
    shutil.move(cube.gather(), folder / "scores.zarr")
    shutil.rmtree(cube.work)


def _tokens(samples: pd.DataFrame) -> list[np.ndarray]:
    rng = np.random.default_rng(len(samples))
    return list(rng.integers(0, VOCABULARY, (len(samples), TOKENS)))


def _run(cube: Any, train: pd.DataFrame, test: pd.DataFrame, *names: str, **more: Any) -> None:
    for name in names:
        getattr(sharing, name)(cube, train, test, **(more or CHOICE))


ANALYSES = {  # (notebook, analysis) → what runs
    "02 examples": lambda c: [sharing.influential_samples(*c, uid) for uid in c[2]["uid"]],
    "02 explorer": lambda c: explorer.describe(*c, TASKS["pawsx"], top_k=100),
    "03 plan": lambda c: retraining.plan(*c, ks=[50, 250], samples=25, seeds=[0]),
    "04 share_by_k": lambda c: sharing.share_by_k(*c),
    "04 cross_language": lambda c: sharing.cross_language(*c, **CHOICE),
    "04 composition": lambda c: sharing.composition(*c, **CHOICE),
    "04 mean_influence": lambda c: sharing.mean_influence(*c),
    "04 distribution": lambda c: sharing.distribution(*c),
    "04 scripts": lambda c: sharing.scripts(*c, **CHOICE),
    "04 planted": lambda c: sharing.planted(*c, **CHOICE),
    "04 translation_rank": lambda c: sharing.translation_rank(*c),
    "05 reinforcement": lambda c: sharing.reinforcement(*c, **CHOICE),
    "06 epoch_tests": lambda c: sharing.epoch_tests(*c),
    "08 imbalance": lambda c: sharing.imbalance({0: c}, "de", top_k=100),
    "10 by_group": lambda c: sharing.by_group(*c, **CHOICE),
    "10 contributions": lambda c: sharing.contributions(*c, **CHOICE),
    "10 shared_tokens": lambda c: sharing.shared_tokens(
        *c,
        [_tokens(c[1]), _tokens(c[2])],
        dict.fromkeys(range(VOCABULARY), "word"),
        **CHOICE,
    ),
    "publish": lambda c: publish._compute_influence(c[0], by_checkpoint=True),
}


def measure(step: str, folder: Path, n: int) -> dict[str, Any]:
    """Run one step in this process; seconds, and GiB beyond what Python and its libraries take."""
    before, start = psutil.Process().memory_info().rss, time.perf_counter()
    if step == "fill":
        fill(folder, n)
    else:
        cube = scores.read_cube(folder)
        found = time.perf_counter()
        if step != "read":
            start = found
            ANALYSES[step]((cube, *read_samples(folder)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    seconds = time.perf_counter() - start
    return {"step": step, "n": n, "seconds": round(seconds, 2), "gib": (peak - before) / 2**30}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--one", nargs=2)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--steps", nargs="*")
    parser.add_argument("--keep")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one[0], Path(given.one[1]), given.sizes[0])))
        sys.exit()
    for n in given.sizes:
        with tempfile.TemporaryDirectory() as temporary:
            place = Path(given.keep or temporary) / str(n)
            for step in given.steps or ["fill", "read", *ANALYSES]:
                done = subprocess.run(
                    [sys.executable, __file__, "--one", step, str(place), "--sizes", str(n)],
                    capture_output=True,
                    text=True,
                )
                print(
                    done.stdout.strip() or (step, done.returncode, done.stderr[-300:]), flush=True
                )
