"""The study on a real Slurm of one node: the same bits as locally, whatever happens to its jobs."""

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import xarray as xr
from conftest import ROOT
from one_node_slurm import Cluster, find_obstacle, wait_for

from xl_influence import params, runs, scores, steps, workflow

pytestmark = pytest.mark.cluster

# 60 shards at each checkpoint, so that there is time to interfere
LONG = {
    "study": "smoke",
    "task": "marc",
    "test_pool": 60,
    "train_size": 120,
    "epochs": 4,
    "patience": 4,
    "shard_size": 10,
}
# in two parts
SPLIT = ("samples_per_job=1300", "retrainings_per_job=3", "threads=1", "gpus=1")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    obstacle = find_obstacle()
    if not importlib.util.find_spec("snakemake_executor_plugin_slurm"):
        obstacle = "snakemake-executor-plugin-slurm not installed (extra slurm)"
    if obstacle:
        pytest.skip(f"no Slurm to test with: {obstacle}")
    with contextlib.ExitStack() as stack:
        try:
            found = stack.enter_context(Cluster(tmp_path_factory.mktemp("slurm") / "one-node"))
        except (AssertionError, OSError) as error:
            pytest.skip(f"Slurm does not start here: {error}")
        yield found


def start(cluster, folder, given, *targets, split=SPLIT, more=()):
    """Start Snakemake with the profile for Slurm; what it says goes to a file in `folder`."""
    pairs = [f"{key}={value}" for key, value in given.items() if key != "task"]
    command = [
        *(sys.executable, "-m", "snakemake", *targets, "--profile", "profiles/slurm", "--nolock"),
        *("--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "20"),
        *("--seconds-between-status-checks", "1"),
        *("--default-resources", "mem_mb=1000", "runtime=10", *more),
        *("--config", *pairs, f"tasks={given['task']}", f"runs_root={folder}", "once="),
        *split,
    ]
    environment = os.environ | cluster.environment
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    folder.mkdir(exist_ok=True)
    with open(folder / "snakemake.log", "a") as log:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)


def read_log(folder):
    return (folder / "snakemake.log").read_text()


def finish(process, folder, seconds=400):
    """Wait for Snakemake to end well."""
    status = process.wait(timeout=seconds)
    assert status == 0, read_log(folder)[-6000:]


def of(given, folder, variant="base"):
    return params.merge(given | {"runs_root": str(folder), "variant": variant})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The cube of `LONG`, computed here without interruption."""
    folder = tmp_path_factory.mktemp("whole")
    command = [sys.executable, "-m", "xl_influence.scores"]
    pairs = [f"{key}={value}" for key, value in (LONG | {"runs_root": folder}).items()]
    subprocess.run(
        [*command, *pairs], cwd=ROOT, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    return scores.read_cube(runs.find_folder(of(LONG, folder)))


def test_the_study_on_slurm_has_the_same_bits_as_here(cluster, smoke, tmp_path):
    given = {"study": "smoke", "task": "marc"}
    split = ("samples_per_job=100", "retrainings_per_job=3", "threads=1", "gpus=1")
    began, before = time.time(), len(cluster.jobs("COMPLETED"))
    finish(start(cluster, tmp_path, given, split=split), tmp_path, 900)
    spent, jobs = time.time() - began, cluster.jobs("COMPLETED")
    print(f"smoke/marc on Slurm: {len(jobs)} jobs in {spent:.0f} s")
    for variant in ("base", "without-es", "plus-100-es"):
        here, there = (runs.find_folder(of(given, folder, variant)) for folder in (smoke, tmp_path))
        xr.testing.assert_identical(scores.read_cube(there), scores.read_cube(here))
    here, there = (runs.find_folder(of(given, folder)) for folder in (smoke, tmp_path))
    names = sorted(path.name for path in (here / "tables").glob("*.parquet"))
    assert len(names) > 10
    for name in names:
        pd.testing.assert_frame_equal(
            *(pd.read_parquet(run / "tables" / name) for run in (here, there)), check_exact=True
        )
    # Three runs fine-tuned. Two epochs of 120, 96 and 144 training samples, in parts of at most
    # 100, and gathered. Seven retrainings in parts of at most three, and gathered. All notebooks.
    notebooks = len(workflow.PER_TASK)
    assert len(jobs) - before == 3 + (3 + 2 + 3) + 3 + 3 + 1 + notebooks


def shards(run):
    return len(list(run.glob(".scores/shards/*.json")))


@contextlib.contextmanager
def computing(cluster, folder, **options):
    """Snakemake while it computes the cube of `LONG`, as soon as two shards are written."""
    given, run = of(LONG, folder), runs.find_folder(of(LONG, folder))
    target = str(steps.find_done_file(given, "influence"))
    process = start(cluster, folder, LONG, target, **options)
    try:
        wait_for(lambda: shards(run) >= 2 or process.poll() is not None, "shard", 300)
        assert process.poll() is None, read_log(folder)[-6000:]
        yield process, target
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()


def assert_same(folder, whole):
    run = runs.find_folder(of(LONG, folder))
    xr.testing.assert_identical(scores.read_cube(run), whole)
    assert not list(run.glob(".[!.]*")), "work folders remain"


def test_a_cancelled_job_is_sent_again_and_goes_on(cluster, whole, tmp_path):
    with computing(cluster, tmp_path) as (process, _):
        cancelled = cluster.jobs("RUNNING")
        cluster.call("scancel", *cancelled)
        finish(process, tmp_path)
    assert set(cancelled) & set(cluster.jobs("CANCELLED")), "nothing was cancelled"
    assert_same(tmp_path, whole)


@pytest.mark.parametrize("jobs", ["live on", "die too"])
def test_a_lost_node_is_waited_for(cluster, whole, tmp_path, jobs):
    with computing(cluster, tmp_path) as (process, _):
        cluster.stop("slurmd", signal.SIGKILL)
        if jobs == "die too":
            cluster.kill_jobs()
            assert shards(runs.find_folder(of(LONG, tmp_path))) < 60, "all was done before"
        lost = lambda: cluster.call("sinfo", "-h", "-o", "%T").startswith("down")  # noqa: E731
        wait_for(lost, "lost node", 120)
        cluster.start("slurmd")
        finish(process, tmp_path)
    assert_same(tmp_path, whole)


def test_after_a_kill_of_snakemake_its_jobs_are_cancelled_and_their_work_kept(
    cluster, whole, tmp_path
):
    with computing(cluster, tmp_path) as (process, target):
        process.send_signal(signal.SIGKILL)
        process.wait()
        orphans = cluster.jobs("RUNNING")
        assert orphans, "jobs outlive Snakemake"
        cluster.call("scancel", "--full", "--signal=STOP", *orphans)  # not done before it is back
        finish(start(cluster, tmp_path, LONG, target), tmp_path)
    assert "that a Snakemake left here when it was killed" in read_log(tmp_path)
    assert set(orphans) & set(cluster.jobs("CANCELLED"))
    assert_same(tmp_path, whole)


def test_a_job_that_hits_its_time_limit_goes_on_in_another(cluster, whole, tmp_path):
    limit = ("--set-resources", "influence_part:runtime=1", "influence_part:mem_mb=1000")
    with computing(cluster, tmp_path, more=limit) as (process, _):
        running = cluster.jobs("RUNNING")
        cluster.call("scancel", "--full", "--signal=STOP", *running)  # they stand still
        wait_for(lambda: cluster.jobs("TIMEOUT"), "time limit", 240)
        finish(process, tmp_path)
    assert_same(tmp_path, whole)
