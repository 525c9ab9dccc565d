"""Faults of disks, clocks and locks: a run resumes, or says in one message what to do."""

import errno
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import xarray as xr
from conftest import ROOT, run_python
from nbclient.exceptions import DeadKernelError

from xl_influence import disk, locks, notebook, params, runs, scores, tables
from xl_influence.cube import Cube, CubeError
from xl_influence.manifest import read_manifest

slow = pytest.mark.slow

GIVEN = {
    "study": "smoke",
    "task": "marc",
    "train_size": 60,
    "shard_size": 100,
    "test_pool": 60,
    "zero_shot_languages": "[]",
    "other_seeds": "[]",
}
LANGUAGES, EPOCHS = 5, 2  # of MARC in this study


def of(folder):
    return params.merge(
        GIVEN | {"zero_shot_languages": [], "other_seeds": [], "runs_root": str(folder)}
    )


def arguments(folder, step):
    pairs = [f"{key}={value}" for key, value in (GIVEN | {"runs_root": folder}).items()]
    return ["-m", "xl_influence.steps", step, *pairs]


def run(folder, step="influence", check=True, **environment):
    return run_python(*arguments(folder, step), check=check, OMP_NUM_THREADS="1", **environment)


def one_message(done):
    """The only line about an error, of a step that failed without a traceback."""
    assert done.returncode, "the step succeeded"
    assert "Traceback" not in done.stderr, done.stderr[-3000:]
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error")]
    return line


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a finished run; tests copy it."""
    folder = tmp_path_factory.mktemp("whole")
    run(folder, "finetuning")
    run(folder)
    return folder


@pytest.fixture
def copied(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "runs")
    return tmp_path / "runs"


def assert_same(folder, whole):
    cubes = [scores.read_cube(runs.find_folder(of(place))) for place in (folder, whole)]
    xr.testing.assert_identical(*cubes)


# ----------------------------------------------------------------------------- disks


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "x", "/a/b"), "/a/b: the disk is full"),
        (OSError(errno.EDQUOT, "x"), "quota"),
        (RuntimeError("IoError(Os { message: No space left on device })"), "the disk is full"),
        (RuntimeError("PytorchStreamWriter failed writing file data/3"), "the disk is full"),
        (ValueError("something else"), ""),
    ],
)
def test_errors_of_the_disk_in_words(error, words):
    message = disk.explain(error)
    assert words in message
    assert bool(message) == bool(words)


def test_the_cause_of_an_error_counts():
    error = RuntimeError("could not save")
    error.__cause__ = OSError(errno.EROFS, "x", "/a")
    assert disk.explain(error).startswith("/a: the disk is read-only")


@pytest.fixture
def small_disk(tmp_path):
    """A function that mounts a small disk of some megabytes, in memory, and returns its folder."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = []

    def mount(size):
        option = "remount," if mounted else ""
        command = ["mount", "-t", "tmpfs", "-o", f"{option}size={size}m", "tmpfs", str(place)]
        if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("no small disk to fill: only root may mount one")
        mounted.append(place)
        return place

    yield mount
    if mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)


@slow
def test_a_full_disk_is_one_message_and_the_run_goes_on_when_there_is_room(small_disk, whole):
    place = small_disk(1)  # an epoch takes 1.5 MB: the model and what the optimizer knows
    message = one_message(run(place, "finetuning", check=False))
    assert "the disk is full" in message
    assert read_manifest(runs.find_folder(of(place))) == {}, "an unfinished run looks finished"
    small_disk(200)
    run(place)
    assert_same(place, whole)


def limit_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))  # bytes; a shard has more


@slow
def test_a_shard_that_cannot_be_written_is_one_message_and_is_written_later(copied, whole):
    target = runs.find_folder(of(copied))
    runs.remove(target / "scores.zarr")
    command = [sys.executable, *arguments(copied, "influence")]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        preexec_fn=limit_files,
        capture_output=True,
        text=True,
    )
    assert "larger than is allowed" in one_message(done)
    assert not (target / "scores.zarr").exists()
    run(copied)
    assert_same(copied, whole)


@slow
def test_a_folder_that_is_read_only_is_one_message(small_disk, whole):
    place = small_disk(200)
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    assert "the disk is read-only" in one_message(run(place, "finetuning", check=False))


# ----------------------------------------------------------------------------- dead kernels


def test_only_a_dead_kernel_is_put_down_to_memory(monkeypatch, capsys):
    def main_after(error):
        def run(*given):
            raise error

        monkeypatch.setattr(notebook, "run", run)
        return notebook.main(["04"])

    assert main_after(DeadKernelError("Kernel died")) == 1
    assert "error in 04: Kernel died; was there enough memory?" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match="a bug"):
        main_after(RuntimeError("a bug"))


# ----------------------------------------------------------------------------- damaged files


def cut(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


@slow
@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9])
def test_a_chunk_cut_short_is_never_another_number(copied, share):
    target = runs.find_folder(of(copied))
    chunks = [path for path in (target / "scores.zarr/dot/c").rglob("*") if path.is_file()]
    assert len(chunks) > 1
    cut(sorted(chunks)[1], share)
    with pytest.raises(scores.ScoreError, match=r"scores\.zarr (is damaged|holds values)"):
        scores.read(of(copied))


@slow
def test_a_chunk_cut_short_before_the_cube_is_gathered(copied, tmp_path):
    """As after the loss of a node that had not yet written all to the disk."""
    target = runs.find_folder(of(copied))
    frame = [{"uid": f"u{row}"} for row in range(4)]
    cube = Cube.create(
        tmp_path / "work",
        groups=["a"],
        epochs=[1],
        test=frame,
        train=frame,
        test_tile=4,
        train_tile=4,
        shard_size=2,
    )
    whole = xr.open_zarr(target / "scores.zarr").load()
    part = whole.isel(checkpoint=0, group=[0], test=slice(4))
    for shard in cube.claim_shards():
        cube.write(shard, part.isel(train=slice(*shard.train)).drop_vars("checkpoint"))
    cut(cube.path / "dot" / "c" / "0" / "0" / "0" / "1", 0.5)
    with pytest.raises(CubeError, match=r"is damaged.*Remove .*work"):
        cube.gather()


@slow
def test_a_manifest_cut_short_is_one_message(copied):
    target = runs.find_folder(of(copied))
    cut(target / "manifest.json", 0.5)
    message = one_message(run(copied, check=False))
    assert f"{target}/manifest.json is damaged" in message
    done = run_python(*PLAN, "tasks=marc", f"runs_root={copied}", check=False)
    assert "manifest.json is damaged" in one_message(done)


# ----------------------------------------------------------------------------- clocks

PLAN = (
    *("-m", "snakemake", "--profile", "profiles/local", "--cores", "1", "--nolock", "--dry-run"),
    *("--quiet", "host", "--config", "study=smoke", "threads=1", "once="),
)


def plan_steps(folder):
    """The steps that Snakemake would compute for the influence of the base run."""
    target = [str(tables.find_output_dir(of(folder)) / "notebooks" / "02-influence.ipynb")]
    pairs = [f"{key}={value}" for key, value in GIVEN.items() if key not in ("study", "task")]
    options = (*PLAN[:2], *target, *PLAN[2:], "tasks=marc", f"runs_root={folder}", *pairs)
    done = run_python(*options)
    rules = re.findall(r"^(?:local)?rule (\w+):", done.stdout + done.stderr, re.MULTILINE)
    assert "notebook" in rules
    return set(rules) - {"notebook"}


@slow
@pytest.mark.parametrize("hours", [-48, 48])
def test_a_clock_that_is_wrong_computes_nothing_again(copied, hours):
    then = time.time() + 3600 * hours
    for path in copied.rglob("*"):
        os.utime(path, (then, then))
    assert plan_steps(copied) == set()
    before = {path: path.stat().st_mtime_ns for path in copied.rglob("scores.zarr/**/*")}
    assert before
    run(copied)
    assert before == {path: path.stat().st_mtime_ns for path in copied.rglob("scores.zarr/**/*")}


@slow
def test_a_finished_run_is_found_without_its_marks_and_a_mark_alone_is_not_enough(copied):
    target = runs.find_folder(of(copied))
    shutil.rmtree(target / "steps")
    assert plan_steps(copied) == set()
    runs.remove(target / "scores.zarr")
    assert plan_steps(copied) == {"influence"}


# ----------------------------------------------------------------------------- locks


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("nfs4", "rw,relatime,vers=4.2", ""),
        ("nfs", "rw,nolock,vers=3", "on one node only"),
        ("nfs", "rw,vers=3,local_lock=all", "on one node only"),
        ("lustre", "rw,flock,lazystatfs", ""),
        ("lustre", "rw,lazystatfs", "without flock"),
        ("lustre", "rw,localflock", "without flock"),
    ],
)
def test_folders_whose_locks_hold_on_one_node_only_are_noticed(
    monkeypatch, tmp_path, kind, options, words
):
    monkeypatch.setattr(locks, "find_mount", lambda folder: (kind, set(options.split(","))))
    found = locks.find_weakness(tmp_path)
    assert words in found
    assert bool(found) == bool(words)


def test_the_mount_of_a_folder_is_the_nearest(monkeypatch, tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    parts = [
        ("/", "ext4", "rw"),
        (str(tmp_path / "a"), "lustre", "rw,flock"),
        (str(tmp_path / "aa"), "nfs", "rw"),
    ]
    names = ("mountpoint", "fstype", "opts")
    mounts = [SimpleNamespace(**dict(zip(names, part, strict=True))) for part in parts]
    monkeypatch.setattr(locks.psutil, "disk_partitions", lambda all: mounts)
    assert locks.find_mount(tmp_path / "a" / "b") == ("lustre", {"rw", "flock"})


# Python that refuses flock as such a file system does, then runs a step.
WITHOUT_FLOCK = f"""
import fcntl, runpy, sys
def refuse(*_):
    raise OSError({errno.ENOTSUP}, "Operation not supported")
fcntl.flock = refuse
sys.argv = ["steps", *sys.argv[1:]]
runpy.run_module("xl_influence.steps", run_name="__main__")
"""


@slow
def test_without_flock_processes_share_a_cube_and_outlive_a_kill(copied, whole):
    target = runs.find_folder(of(copied))
    runs.remove(target / "scores.zarr")

    def start():
        command = [sys.executable, "-c", WITHOUT_FLOCK, *arguments(copied, "influence")[2:]]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE)

    first = start()
    while not list(target.glob(".scores/shards/*.json")):
        assert first.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)
    first.send_signal(signal.SIGKILL)
    assert b"this file system has no locks" in first.communicate()[1]
    both = [start(), start()]
    assert [process.wait() for process in both] == [0, 0]
    for process in both:
        process.stderr.close()
    assert_same(copied, whole)


def test_a_lock_of_a_process_killed_before_it_wrote_its_name_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "GRACE", 0.3)
    marker = tmp_path / ".lock"
    marker.touch()
    began = time.monotonic()
    with locks.LockFile(marker).acquire(timeout=20, poll_interval=0.05):
        assert time.monotonic() - began >= 0.3, "its owner may be about to write"
        assert locks.describe_holder(marker), "it has an owner now"
        with pytest.raises(locks.filelock.Timeout):
            locks.LockFile(marker).acquire(timeout=0.6, poll_interval=0.05)
    assert list(tmp_path.iterdir()) == []


def test_who_waits_for_another_node_is_told_the_file(tmp_path, monkeypatch, capsys):
    marker = tmp_path / "run" / ".lock"
    marker.parent.mkdir()
    marker.write_text("123\nnode7\n")

    class EnoughError(Exception):
        pass

    class Lock(locks.filelock.SoftFileLock):
        def acquire(self, timeout=None):
            if timeout is None:
                raise EnoughError
            return super().acquire(timeout=timeout)

    monkeypatch.setattr(locks, "make", lambda path: Lock(path))
    with pytest.raises(EnoughError), runs.lock(marker.parent, "fine-tuning"):
        pass
    message = capsys.readouterr().out
    assert "process 123 on node7" in message and f"remove {marker}" in message
