"""Fine-tuning in two processes, as on a machine with two GPUs: here on the CPU, through gloo."""

import sys

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
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--no-python"]
    finetune = [sys.executable, "-m", "xl_influence.finetune"]
    pairs = [f"{key}={value}" for key, value in given.items()]
    run_python(*torchrun, *finetune, *pairs, OMP_NUM_THREADS="1")
    run = tmp_path / "smoke" / "xnli" / "base"
    manifest = read_manifest(run)
    assert manifest["dev_accuracy"][0]["epoch"] == 1
    assert (run / "checkpoints" / "epoch-1" / "model.safetensors").exists()
    written = times(run / "checkpoints")
    assert scores.make(params.merge(given), progress=False) == run
    assert times(run / "checkpoints") == written, "the influence pass trains nothing"


def times(folder):
    """When each file in a folder was written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
