"""`kill -9` during fine-tuning and the influence pass: the same numbers, little repeated."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import xarray as xr
from conftest import ROOT
from safetensors.numpy import load_file

from xl_influence import finetune, params, runs, scores, trainer
from xl_influence.manifest import read_manifest

pytestmark = pytest.mark.slow

TRAIN_SIZE, TEST_SIZE, LANGUAGES = 120, 3, 5  # PAWS-X has five languages in this study
SCRIPT = """
import sys
from xl_influence import params, scores
print(scores.make(params.merge(params.parse(sys.argv[1:])), progress=False))
"""
GIVEN = [
    "study=smoke",
    "task=pawsx",
    f"train_size={TRAIN_SIZE}",
    "epochs=4",
    "shard_size=60",
    f"test_size={TEST_SIZE}",
    "test_pool=60",
]


def start(folder):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *GIVEN, f"runs_root={folder}"], cwd=ROOT, env=environment
    )


def kill_when(process, seen):
    """SIGKILL as soon as `seen()` is true; the process must still be running then."""
    deadline = time.time() + 120
    while not seen():
        assert process.poll() is None, "the process ended before it could be killed"
        assert time.time() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def written(run, pattern):
    """When each of the run's marker files was written; one that vanishes meanwhile is ignored."""
    times = {}
    for path in run.glob(pattern):
        with contextlib.suppress(FileNotFoundError):
            times[str(path.relative_to(run))] = path.stat().st_mtime_ns
    return times


WEIGHTS = ".finetune/checkpoint-*/model.safetensors"


class Runs(NamedTuple):
    """A run that was killed twice, and one that was not."""

    killed: Path
    whole: Path
    complete: dict  # weights of each epoch complete at the first kill → when they were written
    seen: dict  # the same → the times seen while the second process ran
    repeated: set  # shards that the third process wrote again


@pytest.fixture(scope="module")
def killed_and_whole(tmp_path_factory):
    killed, whole = (tmp_path_factory.mktemp(name) for name in ("killed", "whole"))
    run = killed / "smoke" / "pawsx" / "base"
    kill_when(start(killed), lambda: len(list(run.glob(".finetune/checkpoint-*/complete"))) >= 2)
    complete = {
        name: at
        for name, at in written(run, WEIGHTS).items()
        if (run / name).with_name("complete").exists()
    }
    assert not (run / "manifest.json").exists(), "an unfinished run must not look finished"
    seen = {name: set() for name in complete}

    def look():
        for name, at in written(run, WEIGHTS).items():
            if name in seen:
                seen[name].add(at)
        return len(list(run.glob(".scores/shards/*"))) >= 3

    kill_when(start(killed), look)
    marks = written(run, ".scores/shards/*")
    assert not (run / "scores.zarr").exists()
    third = start(killed)
    repeated = set()
    while third.poll() is None:  # does it write again what was marked as written?
        now = written(run, ".scores/shards/*")
        repeated |= {name for name in now if name in marks and now[name] != marks[name]}
        time.sleep(0.01)
    assert third.returncode == 0
    assert start(whole).wait() == 0
    return Runs(run, whole / "smoke" / "pawsx" / "base", complete, seen, repeated)


def test_same_weights_bit_by_bit(killed_and_whole):
    killed, whole = killed_and_whole.killed, killed_and_whole.whole
    epochs = sorted(path.name for path in (whole / "checkpoints").glob("epoch-*"))
    assert epochs == sorted(path.name for path in (killed / "checkpoints").glob("epoch-*"))
    for epoch in epochs:
        a, b = (
            load_file(run / "checkpoints" / epoch / "model.safetensors") for run in (killed, whole)
        )
        assert all(np.array_equal(a[name], b[name]) for name in b), epoch
    a, b = read_manifest(killed), read_manifest(whole)
    for entry in ("dev_accuracy", "finetune_fingerprint"):
        assert a[entry] == b[entry]


def test_no_complete_epoch_is_trained_again(killed_and_whole):
    complete = killed_and_whole.complete
    assert len(complete) >= 2
    assert killed_and_whole.seen == {name: {at} for name, at in complete.items()}


def test_same_cube_bit_by_bit_and_no_shard_twice(killed_and_whole):
    cube = scores.read_cube(killed_and_whole.killed)
    xr.testing.assert_identical(cube, scores.read_cube(killed_and_whole.whole))
    assert not killed_and_whole.repeated
    assert set(cube.dims) == {"checkpoint", "group", "test", "train"}
    assert cube.sizes["train"] == LANGUAGES * TRAIN_SIZE
    assert cube.sizes["test"] == LANGUAGES * TEST_SIZE


def test_a_finished_run_is_found_and_left_alone(killed_and_whole):
    killed, whole = killed_and_whole.killed, killed_and_whole.whole
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*") if path.is_file()}
    assert start(whole.parents[2]).wait() == 0
    assert before == {path: path.stat().st_mtime_ns for path in whole.rglob("*") if path.is_file()}
    assert not list(killed.glob(".*")), "work folders remain"


def test_two_processes_share_a_cube_and_survive_being_killed(killed_and_whole, tmp_path):
    """Both start, are killed, and start again; each shard is written once, and nothing else."""
    whole = killed_and_whole.whole
    run = tmp_path / "smoke" / "pawsx" / "base"
    shutil.copytree(whole, run)
    runs.remove(run / "scores.zarr")
    processes = [start(tmp_path) for _ in range(2)]
    for process, enough in zip(processes, (2, 4), strict=True):
        kill_when(process, lambda n=enough: len(list(run.glob(".scores/shards/*.json"))) >= n)
    before = written(run, ".scores/shards/*.json")
    assert len(before) >= 4 and not (run / "scores.zarr").exists()
    processes = [start(tmp_path) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    xr.testing.assert_identical(scores.read_cube(run), scores.read_cube(whole))
    assert not list(run.glob(".*"))


class Killed(BaseException):
    """Ends a training as abruptly as a signal, right after an epoch's checkpoint is complete."""


@pytest.mark.parametrize("after", [1, 2, 3])
def test_patience_counts_on_across_a_kill(after, tmp_path, monkeypatch):
    """Nothing is learned, so no epoch is better than the first: patience 2 ends it at the third."""
    given = {"study": "smoke", "task": "pawsx", "epochs": 6, "patience": 2}
    given |= {"learning_rate": 1e-12, "runs_root": str(tmp_path)}
    merged = params.merge(given)
    on_save = trainer._Keeper.on_save

    def die(self, args, state, control, **kwargs):
        on_save(self, args, state, control, **kwargs)
        if round(state.epoch) == after:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(trainer._Keeper, "on_save", die)
        with pytest.raises(Killed):
            finetune.finetune(merged, progress=False)
    manifest = read_manifest(finetune.finetune(merged, progress=False))
    assert [row["epoch"] for row in manifest["dev_accuracy"]] == [1, 2, 3]
    assert manifest["chosen_epoch"] == 1
