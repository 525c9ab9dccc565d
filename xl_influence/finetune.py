"""Fine-tuning on all languages at once (section 4.1), with Hugging Face's Trainer.

`finetune(params)` leaves, in the run's folder: `train.parquet`, `inputs.parquet` (token ids of every sample),
`checkpoints/epoch-<e>/` for e = 1 … the chosen epoch, `checkpoints/vocabulary.npy`, and its part of `manifest.json`.
The chosen epoch is the one with the best development accuracy: training stops `patience` epochs later.
"""

import os

import numpy as np
import pandas as pd
import torch

from . import data, encoders, fingerprints, inputs, runs
from .manifest import Stopwatch, environment, write_manifest


def finetune(params, progress=True):
    """Fine-tune, or find that it was done. Returns the run's folder (pathlib.Path).

    A run that was killed goes on after its last complete epoch and ends with the same weights.
    """
    run = runs.folder(params)
    if fingerprints.is_published(run, params):
        return run
    mark = fingerprints.finetuned(params)
    if fingerprints.is_finetuned(run, mark):
        return run
    if os.environ.get("WORLD_SIZE", "1") != "1":  # torchrun: these processes work together
        _train(params, run, mark, progress)
        return run
    with runs.lock(run, "fine-tuning"):
        if not fingerprints.is_finetuned(run, mark):
            _train(params, run, mark, progress)
    return run


def _train(params, run, mark, progress):
    from accelerate import PartialState

    from .trainer import (  # seconds to import, and not needed for a run that is done
        build,
        complete_steps,
    )

    watch = Stopwatch()
    found, device = inputs.load(params), pick_device(params["device"])
    model = encoders.load_model(params, found.class_names, params["seed"], found.kept)

    work = run / ".finetune"
    with PartialState(
        cpu=device.type == "cpu"
    ).main_process_first():  # under torchrun the others find it prepared
        steps = _prepare(work, complete_steps, mark)
    trainer = build(
        params, model, found.samples, found.sequences, found.pad, work, device, progress
    )
    trainer.train(resume_from_checkpoint=str(work / f"checkpoint-{steps[-1]}") if steps else None)
    if trainer.is_world_process_zero():
        _publish(params, run, work, mark, found, trainer, watch, device)


def _prepare(work, complete_steps, mark):
    """The Trainer's folder, emptied if it belongs to other parameters. Returns the steps to resume from."""
    if (
        not work.is_dir()
        or not (work / "fingerprint").exists()
        or (work / "fingerprint").read_text() != mark
    ):
        runs.remove(work)
        work.mkdir(parents=True)
        (work / "fingerprint").write_text(mark)
    steps = complete_steps(work)
    for folder in work.glob("checkpoint-*"):
        if int(folder.name.split("-")[1]) not in steps:
            runs.remove(folder)
    return steps


def pick_device(name):
    """torch.device for a `device` parameter; auto takes CUDA where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(
            f"device={name}: this machine has no CUDA device; allowed here are auto and cpu"
        )
    if name == "cuda":
        name = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    return torch.device(name)


def history(log, languages):
    """Development accuracy per epoch from the Trainer's log: list of {epoch, loss, accuracy, <lang>: accuracy}."""
    losses = {round(entry["epoch"]): entry["loss"] for entry in log if "loss" in entry}
    return [
        {
            "epoch": round(entry["epoch"]),
            "train_loss": losses.get(round(entry["epoch"])),
            "accuracy": entry["eval_accuracy"],
        }
        | {lang: entry[f"eval_accuracy_{lang}"] for lang in languages}
        for entry in log
        if "eval_accuracy" in entry
    ]


def _publish(params, run, work, mark, found, trainer, watch, device):
    """Put the finished artefacts in place; the manifest comes last, so without it nothing counts as done."""
    log = history(trainer.state.log_history, params["languages"])
    chosen = max(log, key=lambda row: (row["accuracy"], -row["epoch"]))["epoch"]
    samples = found.samples
    steps_per_epoch = trainer.state.global_step // len(log)
    for name in (
        "manifest.json",
        "scores.zarr",
        "test.parquet",
        "tables",
    ):  # of the run that this one replaces
        runs.remove(run / name)
    with runs.complete(run / "checkpoints") as folder:
        folder.mkdir()
        for epoch in range(1, chosen + 1):
            target = folder / f"epoch-{epoch}"
            target.mkdir()
            for name in ("model.safetensors", "config.json"):
                os.link(work / f"checkpoint-{epoch * steps_per_epoch}" / name, target / name)
        np.save(folder / "vocabulary.npy", found.kept)
    with runs.complete(run / "train.parquet") as path:
        samples["train"].to_parquet(path, index=False)
    columns = ["uid", "lang", "item", "label"]
    parts = [
        frame[columns].assign(split=split, input_ids=found.sequences[split])
        for split, frame in samples.items()
        if split != "validation"
    ]
    with runs.complete(run / "inputs.parquet") as path:
        pd.concat(parts).to_parquet(path, index=False)
    with runs.complete(run / "pool.parquet") as path:
        samples["test"].to_parquet(path, index=False)
    write_manifest(
        run,
        finetune_fingerprint=mark,
        parameters=params,
        prepared=bool(params["prepared"]),
        data_fingerprint=found.data_fingerprint,
        encoder={"source": params["encoder"], "revision": found.revision},
        rows={split: len(frame) for split, frame in samples.items()},
        class_counts=data.class_counts(samples),
        majority_share={
            split: float(frame["label"].value_counts(normalize=True).max())
            for split, frame in samples.items()
        },
        inputs_cut_to_max_length=found.n_cut,
        vocabulary_size=len(found.kept),
        dev_accuracy=log,
        chosen_epoch=chosen,
        finetune_environment=environment(device) | {"bf16": trainer.args.bf16},
        finetune_cost=watch.read(),
    )
    runs.remove(work)


if __name__ == "__main__":  # for torchrun: key=value on the command line
    import sys

    from .params import merge, parse

    print(finetune(merge(parse(sys.argv[1:]))))
