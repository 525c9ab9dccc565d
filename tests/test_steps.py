"""The steps of a study as jobs: done files, how they are split, notebooks started at once."""

import json
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import xarray as xr
from conftest import ROOT

from xl_influence import leftovers, notebook, params, steps
from xl_influence.cube import Cube
from xl_influence.engine import layout

GIVEN = {"study": "smoke", "task": "marc"}


def merged(**changes):
    return params.merge(GIVEN | changes)


# ------------------------------------------------------------------------ done files


@pytest.mark.parametrize(
    ("changes", "differing"),
    [
        ({}, ()),
        ({"top_k": 3, "resamples": 100, "device": "cpu"}, ()),
        ({"removal_ks": [3]}, ("retraining",)),
        ({"shard_size": 10}, ("influence", "retraining")),
        ({"learning_rate": 0.1}, steps.STEPS),
        ({"variant": "without-es"}, steps.STEPS),
    ],
)
def test_the_mark_of_a_step_depends_on_what_the_step_depends_on(changes, differing):
    one, other = merged(), merged(**changes)
    found = [
        step for step in steps.STEPS if steps.find_hash(one, step) != steps.find_hash(other, step)
    ]
    assert found == list(differing)


def test_the_marks_of_a_variant_depend_on_the_run_that_chose_its_test_samples():
    one, other = (merged(variant="without-es", shard_size=size) for size in (50, 60))
    assert one["test_from"] == "base"
    assert steps.find_hash(one, "finetuning") == steps.find_hash(other, "finetuning")
    assert steps.find_hash(one, "influence") != steps.find_hash(other, "influence")


@pytest.mark.parametrize(
    ("step", "size", "expected"),
    [
        ("influence", 0, 1),
        ("influence", 100, 3),  # 2 epochs of 5 × 24 training samples
        ("influence", 240, 1),
        ("retraining", 3, 3),  # 2 signs × 3 sets for one sample, and one set for all: 7
        ("retraining", 25, 1),
    ],
)
def test_a_step_is_split_into_jobs_of_at_most_a_size(step, size, expected):
    assert steps.count_parts(merged(), step, size) == expected


@pytest.mark.parametrize("size", [-1, 1.5, "ten", True])
def test_a_size_of_jobs_that_is_no_number(size):
    with pytest.raises(params.ParameterError, match="in a job of influence: allowed is a whole"):
        steps.count_parts(merged(), "influence", size)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tuning"], "step 'tuning': allowed are finetuning, influence, retraining"),
        (["influence", "part=3", "parts=3"], "part=3 parts=3: allowed are part=0 to parts - 1"),
        (["influence", "part=first", "parts=3"], "part=first parts=3: allowed are part=0"),
        (["finetuning", "part=0", "parts=2"], "fine-tuning has one part"),
    ],
)
def test_wrong_steps_are_one_message(arguments, message, capsys):
    assert steps.main([*arguments, "study=smoke", "task=marc"]) == 2
    assert message in capsys.readouterr().err


# ----------------------------------------------------------------------------- parts of a cube


@pytest.mark.parametrize("parts", [1, 2, 3, 5, 40])
def test_parts_cover_a_cube_exactly_once_and_range_by_range(tmp_path, parts):
    samples = [{"uid": f"u{row}"} for row in range(10)]
    cube = Cube.create(
        tmp_path / "work",
        groups=["a"],
        epochs=[1, 2],
        test=samples[:4],
        train=samples,
        test_tile=4,
        train_tile=4,
        shard_size=2,
    )
    ones = xr.Dataset(
        {
            "dot": (("group", "test", "train"), np.ones((1, 4, 2))),
            "test_sqnorm": (("group", "test"), np.ones((1, 4))),
            "train_sqnorm": (("group", "train"), np.ones((1, 2))),
        }
    )
    found = []
    for part in range(parts):
        own = []
        for shard in cube.claim_shards(part, parts):
            cube.write(shard, ones)
            own.append(shard)
        assert len(own) in (10 // parts, -(-10 // parts))
        found += own
    assert found == cube.list_shards()
    cube.gather()


# ----------------------------------------------------------------------------- a job's memory


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/", {}, sys.maxsize),
        ("0::/slurm/job_7/step_0", {"slurm/job_7/memory.max": "4000"}, 4000),
        ("0::/a/b", {"a/memory.max": "5000", "a/b/memory.max": "max"}, 5000),
        ("9:memory:/job\n0::/", {"memory/job/memory.limit_in_bytes": "6000"}, 6000),
        ("3:cpu:/job", {"memory/job/memory.limit_in_bytes": "6000"}, sys.maxsize),
    ],
)
def test_the_memory_that_a_job_was_granted(tmp_path, groups, files, expected):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(f"{groups}\n")
    for name, text in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    assert layout.read_granted_bytes(tmp_path) == expected


# ----------------------------------------------------------------------------- left-over jobs


def test_jobs_that_a_killed_snakemake_left_are_cancelled_and_no_others(monkeypatch, tmp_path):
    here, log = params.find_root(), tmp_path / "cancelled"
    listed = [
        f"1|{here}|xl-influence_0f3a",
        f"2|{here}|somebody-else",
        "3|/another/folder|xl-influence_0f3a",
        f"4|{here}|xl-influence_77bc",
    ]
    for name, text in (
        ("squeue", "\n".join(f"echo '{line}'" for line in listed)),
        ("scancel", f"echo $* >> {log}"),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert "Cancelled 2 job(s)" in leftovers.cancel()
    assert log.read_text() == "1 4\n"
    monkeypatch.setenv("PATH", "/nowhere")
    assert leftovers.cancel() == ""


# ----------------------------------------------------------------------------- notebooks


def test_who_waits_for_a_notebook_takes_what_the_other_process_executed(monkeypatch, tmp_path):
    executed = []

    def execute(source, target, given):
        executed.append(source.stem)
        time.sleep(0.3)
        target.write_text("{}")

    monkeypatch.setattr(notebook, "_run_all_cells", execute)
    given = GIVEN | {"runs_root": str(tmp_path)}
    both = [threading.Thread(target=notebook.run, args=("04", given)) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert executed == ["04-cross-language-influence"]
    notebook.run("04", given)
    assert len(executed) == 2, "whoever did not wait executes it"


KERNEL = """
import json, sys
from pathlib import Path
import nbformat
from xl_influence import notebook
folder = Path(sys.argv[1])
cell = nbformat.v4.new_code_cell("import os\\nprint(os.getpid())")
book = nbformat.v4.new_notebook(cells=[cell])
book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
nbformat.write(book, folder / f"source-{sys.argv[2]}.ipynb")
notebook._run_all_cells(folder / f"source-{sys.argv[2]}.ipynb", folder / f"{sys.argv[2]}.ipynb", {})
"""


@pytest.mark.slow
def test_kernels_that_start_at_once_do_not_meet(tmp_path):
    count = 8
    command = [sys.executable, "-c", KERNEL, str(tmp_path)]
    started = [
        subprocess.Popen([*command, str(n)], cwd=ROOT, stderr=subprocess.PIPE) for n in range(count)
    ]
    errors = [process.communicate()[1].decode() for process in started]
    assert [process.returncode for process in started] == [0] * count, "\n".join(errors)[-3000:]
    assert "starting another kernel" not in "".join(errors)
    texts = [(tmp_path / f"{n}.ipynb").read_text() for n in range(count)]
    printed = {json.loads(text)["cells"][-1]["outputs"][0]["text"][0] for text in texts}
    assert len(printed) == count, "each had a kernel of its own"
