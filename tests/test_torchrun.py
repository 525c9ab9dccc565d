"""Fine-tuning in two processes, as on a machine with two GPUs: here on the CPU, through gloo."""

import sys
from pathlib import Path

import pytest
from conftest import run_python

from xl_influence import params, scores
from xl_influence.manifest import read_manifest

pytestmark = pytest.mark.slow

GIVEN = {
    "study": "smoke",
    "task": "xnli",
    "train_size": 16,
    "epochs": 1,
    "device": "cpu",
    "test_size": 1,
}


def test_two_processes_fine_tune_one_model(tmp_path):
    given = GIVEN | {"runs_root": str(tmp_path)}
    run_python(
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--no-python",
        sys.executable,
        "-m",
        "xl_influence.finetune",
        *[f"{key}={value}" for key, value in given.items()],
        OMP_NUM_THREADS="1",
    )
    run = tmp_path / "smoke" / "xnli" / "base"
    manifest = read_manifest(run)
    assert (
        manifest["dev_accuracy"][0]["epoch"] == 1
        and (run / "checkpoints" / "epoch-1" / "model.safetensors").exists()
    )
    written = {path: path.stat().st_mtime_ns for path in Path(run / "checkpoints").rglob("*")}
    assert (
        scores.make(params.merge(given), progress=False) == run
    )  # the influence pass finds it done
    assert written == {
        path: path.stat().st_mtime_ns for path in Path(run / "checkpoints").rglob("*")
    }
