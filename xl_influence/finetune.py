"""Fine-tuning on all languages at once (section 4.1), with Hugging Face's Trainer.

`finetune(params)` writes to the run's folder: `train.parquet`, `pool.parquet` (all test samples),
`inputs.parquet` (token ids; for test samples, only those that `test_pool` needs),
`checkpoints/epoch-<e>/` for e = 1 … the chosen epoch, `checkpoints/vocabulary.npy`, and its part of
`manifest.json`. The chosen epoch is the one with the best development accuracy; training stops
`patience` epochs later.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from . import data, encoders, fingerprints, inputs, runs
from .inputs import Inputs
from .manifest import Stopwatch, check_data, describe_environment, write_manifest
from .sections import FineTuning, Influence

if TYPE_CHECKING:
    from transformers import Trainer


@dataclass(frozen=True)
class _Training:
    """One fine-tuning: its parameters, and the folder that it fills."""

    params: FineTuning
    run: Path
    fingerprint: str
    progress: bool

    @property
    def work(self) -> Path:
        """The Trainer's own folder, which exists until training is finished."""
        return self.run / ".finetune"

    @property
    def tokenized(self) -> list[int]:
        """How many test samples per language are tokenized (0: all), and the seed of their order.

        The vocabulary, and so the checkpoints, depend on it.
        """
        return [self.params[key] for key in ("test_pool", "test_seed")]

    @property
    def work_fingerprint(self) -> str:
        """Everything that unfinished checkpoints depend on, as a string."""
        pool = "-".join(map(str, self.tokenized)) if self.params["test_pool"] else ""
        return f"{self.fingerprint} {pool}".strip()


@dataclass(frozen=True)
class _Trained:
    """What a finished training leaves in memory."""

    inputs: Inputs
    trainer: Trainer
    device: torch.device
    watch: Stopwatch


def finetune(params: Influence, progress: bool = True) -> Path:
    """Fine-tune, unless it is already done.

    A run that was killed continues after its last complete epoch and ends with the same weights.

    Parameters
    ----------
    params
        The parameters of the run.
    progress
        Whether to show a bar.

    Returns
    -------
    pathlib.Path
        The run's folder.
    """
    run = runs.find_folder(params)
    fingerprints.check_published(run, params)
    if runs.is_published(run):
        return run
    training = _Training(params, run, fingerprints.hash_finetuning(params), progress)
    if fingerprints.is_finetuned(run, training.fingerprint, params):
        return run
    if os.environ.get("WORLD_SIZE", "1") != "1":  # torchrun: these processes work together
        _train(training)
        return run
    check_data(params, run)
    with runs.lock(run, "fine-tuning"):
        if not fingerprints.is_finetuned(run, training.fingerprint, params):
            _train(training)
    return run


def _train(training: _Training) -> None:
    """Train, from the last complete epoch if there is one, and write the results."""
    from accelerate import PartialState

    # Takes seconds to import, and a finished run does not need it.
    from .trainer import build, has_stopped, restore

    watch = Stopwatch()
    params, work = training.params, training.work
    found, device = inputs.load(params), pick_device(params["device"])
    model = encoders.load_model(params, found.class_names, params["seed"], found.kept)
    # Under torchrun the other processes find the folder prepared.
    with PartialState(cpu=device.type == "cpu").main_process_first():
        steps = _prepare(training)
    trainer = build(
        params,
        model,
        samples=found.samples,
        sequences=found.sequences,
        pad=found.pad,
        work=work,
        device=device,
        progress=training.progress,
    )
    last = work / f"checkpoint-{steps[-1]}" if steps else None
    if last and has_stopped(last, params["patience"]):
        restore(trainer, last)
    else:
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    if trainer.is_world_process_zero():
        _publish(training, _Trained(found, trainer, device, watch))


def _prepare(training: _Training) -> list[int]:
    """Prepare the Trainer's folder, and return the steps of its complete checkpoints.

    We empty the folder if it belongs to other parameters, and remove incomplete checkpoints.
    """
    from .trainer import find_complete_steps

    work = training.work
    if not runs.has_fingerprint(work, training.work_fingerprint):
        runs.remove(work)
        work.mkdir(parents=True)
        runs.write_fingerprint(work, training.work_fingerprint)
    steps = find_complete_steps(work)
    for checkpoint in work.glob("checkpoint-*"):
        if int(checkpoint.name.split("-")[1]) not in steps:
            runs.remove(checkpoint)
    return steps


def pick_device(name: str) -> torch.device:
    """Return the device that the parameter `device` names; 'auto' is CUDA if there is one.

    Raises
    ------
    ValueError
        The machine has no CUDA device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(
            f"device={name}: this machine has no CUDA device; allowed here are auto and cpu"
        )
    if name == "cuda":
        name = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    return torch.device(name)


def read_history(log: Sequence[dict[str, Any]], languages: Sequence[str]) -> list[dict[str, Any]]:
    """Return the development accuracy after each epoch.

    Parameters
    ----------
    log
        The Trainer's `log_history`.
    languages
        The languages of the development samples.

    Returns
    -------
    list of dict
        One per epoch: `epoch`, `train_loss`, `accuracy` (over the languages trained on), and the
        accuracy in each language under its code.
    """
    losses = {round(entry["epoch"]): entry["loss"] for entry in log if "loss" in entry}
    rows = []
    for entry in log:
        if "eval_accuracy" not in entry:
            continue
        epoch = round(entry["epoch"])
        row = {
            "epoch": epoch,
            "train_loss": losses.get(epoch),
            "accuracy": entry["eval_accuracy"],
        }
        rows.append(row | {lang: entry[f"eval_accuracy_{lang}"] for lang in languages})
    return rows


def _publish(training: _Training, trained: _Trained) -> None:
    """Write the finished artefacts to the run's folder.

    The manifest comes last: without it nothing counts as done.
    """
    run, samples = training.run, trained.inputs.samples
    log = read_history(trained.trainer.state.log_history, training.params["languages"])
    chosen = max(log, key=lambda row: (row["accuracy"], -row["epoch"]))["epoch"]
    for name in ("manifest.json", "scores.zarr", "test.parquet", "tables"):  # of an earlier run
        runs.remove(run / name)
    steps_per_epoch = trained.trainer.state.global_step // len(log)
    _write_checkpoints(training, trained.inputs.kept, chosen, steps_per_epoch)
    _write_samples(run, trained.inputs)
    majority = {
        split: float(frame["label"].value_counts(normalize=True).max())
        for split, frame in samples.items()
    }
    write_manifest(
        run,
        finetune_fingerprint=training.fingerprint,
        parameters=training.params,
        prepared=bool(training.params["prepared"]),
        data_fingerprint=trained.inputs.data_fingerprint,
        encoder={"source": training.params["encoder"], "revision": trained.inputs.revision},
        rows={split: len(frame) for split, frame in samples.items()},
        class_counts=data.count_classes(samples),
        majority_share=majority,
        inputs_cut_to_max_length=trained.inputs.n_cut,
        untranslated=trained.inputs.untranslated,
        unknown_tokens=trained.inputs.unknown,
        test_tokenized=training.tokenized,
        vocabulary_size=len(trained.inputs.kept),
        dev_accuracy=log,
        chosen_epoch=chosen,
        finetune_environment=describe_environment(trained.device)
        | {"bf16": trained.trainer.args.bf16},
        finetune_cost=trained.watch.read(),
    )
    runs.remove(training.work)


def _write_checkpoints(
    training: _Training, kept: np.ndarray, chosen: int, steps_per_epoch: int
) -> None:
    """Write the models after epochs 1 to `chosen`, and their vocabulary."""
    with runs.write_atomically(training.run / "checkpoints") as folder:
        folder.mkdir()
        for epoch in range(1, chosen + 1):
            source = training.work / f"checkpoint-{epoch * steps_per_epoch}"
            target = folder / f"epoch-{epoch}"
            target.mkdir()
            for name in ("model.safetensors", "config.json"):
                os.link(source / name, target / name)
        np.save(folder / "vocabulary.npy", kept)


def _write_samples(run: Path, found: Inputs) -> None:
    """Write the training samples, all test samples, and the token ids of both."""
    for split, name in (("train", "train.parquet"), ("test", "pool.parquet")):
        with runs.write_atomically(run / name) as path:
            found.samples[split].to_parquet(path, index=False)
    parts = []
    for split, frame in (("train", found.samples["train"]), ("test", found.pool)):
        part = frame[["uid", "lang", "item", "label"]]
        parts.append(part.assign(split=split, input_ids=found.sequences[split]))
    with runs.write_atomically(run / "inputs.parquet") as path:
        pd.concat(parts).to_parquet(path, index=False)


if __name__ == "__main__":  # for torchrun: key=value on the command line
    import sys

    from .params import merge, parse

    print(finetune(merge(parse(sys.argv[1:]))))
