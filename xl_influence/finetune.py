"""Fine-tuning on all languages at once (section 4.1), with Hugging Face's Trainer.

`finetune(params)` leaves, in the run's folder: `train.parquet`, `inputs.parquet` (token ids of every sample),
`checkpoints/epoch-<e>/` for e = 1 … the chosen epoch, `checkpoints/vocabulary.npy`, and its part of `manifest.json`.
The chosen epoch is the one with the best development accuracy: training stops `patience` epochs later.
"""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from accelerate import PartialState
from torch.utils.data import Dataset
from tqdm import tqdm
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_pt_utils import LengthGroupedSampler

from . import data, encoders, runs
from .tasks import TASKS

KEYS = (
    *data.KEYS, *encoders.KEYS, "variant", "learning_rate", "weight_decay", "warmup", "batch_size", "epochs", "patience",
    "seed", "bf16",
)  # fmt: skip
DONE = "complete"  # file in a Trainer checkpoint that was written to its end
FORMAT = 1


def fingerprint(params):
    """Hash of all that fine-tuning depends on: parameters and the data's source."""
    return runs.fingerprint("finetune", FORMAT, runs.pick(params, KEYS), data.source_fingerprint(params))


def finetune(params, progress=True):
    """Fine-tune, or find that it was done. Returns the run's folder (pathlib.Path).

    A run that was killed goes on after its last complete epoch and ends with the same weights.
    """
    run, mark = runs.folder(params), fingerprint(params)
    if runs.read_manifest(run).get("finetune_fingerprint") == mark:
        return run
    watch = runs.Stopwatch()
    samples = data.load(params)
    task, device = TASKS[params["task"]], pick_device(params["device"])
    tokenizer = encoders.load_tokenizer(params)
    sequences, n_cut = {}, {}
    for split, frame in samples.items():
        sequences[split], n_cut[split] = encoders.tokenize(tokenizer, frame, params["max_length"])
    kept = encoders.tokens_in_use([s for part in sequences.values() for s in part], tokenizer)
    sequences = {split: encoders.renumber(part, kept) for split, part in sequences.items()}
    model = encoders.load_model(params, task.class_names, params["seed"])
    encoders.cut_vocabulary(model, kept)

    work = run / ".finetune"
    with PartialState(cpu=device.type == "cpu").main_process_first():  # under torchrun the others find it prepared
        steps = _prepare(work, mark)
    trainer = _trainer(params, model, samples, sequences, tokenizer.pad_token_id, work, device, progress)
    trainer.train(resume_from_checkpoint=str(work / f"checkpoint-{steps[-1]}") if steps else None)
    if trainer.is_world_process_zero():
        _publish(params, run, work, mark, samples, sequences, kept, n_cut, trainer, watch, device)
    return run


def _prepare(work, mark):
    """The Trainer's folder, emptied if it belongs to other parameters. Returns the steps to resume from."""
    if not work.is_dir() or not (work / "fingerprint").exists() or (work / "fingerprint").read_text() != mark:
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
        raise ValueError(f"device={name}: this machine has no CUDA device; allowed here are auto and cpu")
    if name == "cuda":
        name = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    return torch.device(name)


def complete_steps(work):
    """Steps of the Trainer checkpoints in `work` that were written to their end, in order."""
    return sorted(int(path.parent.name.split("-")[1]) for path in Path(work).glob(f"checkpoint-*/{DONE}"))


def read_inputs(run, split):
    """Inputs of one split for the influence engine: DataFrame `uid, lang, item, label, input_ids`, as drawn."""
    inputs = pd.read_parquet(Path(run) / "inputs.parquet")
    return inputs[inputs["split"] == split].drop(columns="split").reset_index(drop=True)


class _Samples(Dataset):
    """Token ids and labels; padding is the collator's job."""

    def __init__(self, sequences, labels):
        self.sequences, self.labels = sequences, list(labels)

    def __len__(self):
        return len(self.sequences)

    def __getitem__(self, index):
        return {"input_ids": self.sequences[index], "labels": self.labels[index]}


class _EpochSampler(LengthGroupedSampler):
    """Batches of similar length, in an order that depends on seed and epoch alone, so a resumed run sees the same."""

    def __init__(self, batch_size, lengths, seed):
        super().__init__(batch_size=batch_size, lengths=lengths, generator=torch.Generator())
        self.seed = seed
        self.set_epoch(0)

    def set_epoch(self, epoch):
        self.generator.manual_seed(self.seed * 10_007 + epoch)


class _Trainer(Trainer):
    def _get_train_sampler(self, train_dataset=None):
        lengths = [len(sequence) for sequence in self.train_dataset.sequences]
        return _EpochSampler(self.args.train_batch_size * self.args.world_size, lengths, self.args.seed)


class _Keeper(TrainerCallback):
    """Marks finished checkpoints and drops the optimizer states of older ones."""

    def on_save(self, args, state, control, **kwargs):
        if not state.is_world_process_zero:
            return
        work = Path(args.output_dir)
        (work / f"checkpoint-{state.global_step}" / DONE).touch()
        for step in complete_steps(work)[:-1]:
            runs.remove(work / f"checkpoint-{step}" / "optimizer.pt")


class _Progress(TrainerCallback):
    """A bar over the steps, with the development accuracy so far."""

    def on_train_begin(self, args, state, control, **kwargs):
        self.bar = tqdm(total=state.max_steps, initial=state.global_step, desc="fine-tuning", unit="step", mininterval=10)

    def on_step_end(self, args, state, control, **kwargs):
        self.bar.update(state.global_step - self.bar.n)

    def on_evaluate(self, args, state, control, metrics=None, **kwargs):
        self.bar.set_postfix_str(f"epoch {round(state.epoch)}: dev accuracy {metrics['eval_accuracy']:.2f}")

    def on_train_end(self, args, state, control, **kwargs):
        self.bar.close()


def _trainer(params, model, samples, sequences, pad, work, device, progress):
    order = np.argsort([len(s) for s in sequences["validation"]], kind="stable")  # short batches pad less
    dev = samples["validation"].iloc[order]
    arguments = TrainingArguments(
        output_dir=str(work),
        learning_rate=params["learning_rate"],
        weight_decay=params["weight_decay"],
        warmup_steps=params["warmup"],
        num_train_epochs=params["epochs"],
        per_device_train_batch_size=params["batch_size"],
        per_device_eval_batch_size=4 * params["batch_size"],
        eval_strategy="epoch",
        save_strategy="epoch",
        logging_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="accuracy",
        greater_is_better=True,
        restore_callback_states_from_checkpoint=True,
        seed=params["seed"],
        bf16=params["bf16"] and device.type == "cuda",
        use_cpu=device.type == "cpu",
        dataloader_pin_memory=device.type == "cuda",
        disable_tqdm=True,  # _Progress instead: the same bar in a terminal and in a notebook
        report_to="none",
    )

    def collate(batch):
        width = max(len(sample["input_ids"]) for sample in batch)
        ids = torch.full((len(batch), width), pad)  # (batch, tokens)
        mask = torch.zeros_like(ids)
        for row, sample in enumerate(batch):
            length = len(sample["input_ids"])
            ids[row, :length] = torch.tensor(sample["input_ids"])
            mask[row, :length] = 1
        return {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor([s["labels"] for s in batch])}

    def metrics(prediction):
        right = pd.Series(prediction.predictions.argmax(-1) == prediction.label_ids, index=dev["lang"].to_numpy())
        by_language = right.groupby(level=0).mean()
        return {"accuracy": float(right.mean())} | {f"accuracy_{lang}": float(v) for lang, v in by_language.items()}

    trainer = _Trainer(
        model=model,
        args=arguments,
        train_dataset=_Samples(sequences["train"], samples["train"]["label"]),
        eval_dataset=_Samples([sequences["validation"][i] for i in order], dev["label"]),
        data_collator=collate,
        compute_metrics=metrics,
        callbacks=[EarlyStoppingCallback(params["patience"]), _Keeper(), *([_Progress()] if progress else [])],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def history(log, languages):
    """Development accuracy per epoch from the Trainer's log: list of {epoch, loss, accuracy, <lang>: accuracy}."""
    losses = {round(entry["epoch"]): entry["loss"] for entry in log if "loss" in entry}
    return [
        {"epoch": round(entry["epoch"]), "train_loss": losses.get(round(entry["epoch"])), "accuracy": entry["eval_accuracy"]}
        | {lang: entry[f"eval_accuracy_{lang}"] for lang in languages}
        for entry in log
        if "eval_accuracy" in entry
    ]


def _publish(params, run, work, mark, samples, sequences, kept, n_cut, trainer, watch, device):
    """Put the finished artefacts in place; the manifest comes last, so without it nothing counts as done."""
    log = history(trainer.state.log_history, params["languages"])
    chosen = max(log, key=lambda row: (row["accuracy"], -row["epoch"]))["epoch"]
    steps_per_epoch = trainer.state.global_step // len(log)
    for name in ("manifest.json", "scores.zarr", "test.parquet", "tables"):  # of the run that this one replaces
        runs.remove(run / name)
    with runs.complete(run / "checkpoints") as folder:
        folder.mkdir()
        for epoch in range(1, chosen + 1):
            target = folder / f"epoch-{epoch}"
            target.mkdir()
            for name in ("model.safetensors", "config.json"):
                os.link(work / f"checkpoint-{epoch * steps_per_epoch}" / name, target / name)
        np.save(folder / "vocabulary.npy", kept)
    with runs.complete(run / "train.parquet") as path:
        samples["train"].to_parquet(path, index=False)
    columns = ["uid", "lang", "item", "label"]
    parts = [
        frame[columns].assign(split=split, input_ids=sequences[split])
        for split, frame in samples.items()
        if split != "validation"
    ]
    with runs.complete(run / "inputs.parquet") as path:
        pd.concat(parts).to_parquet(path, index=False)
    with runs.complete(run / "pool.parquet") as path:
        samples["test"].to_parquet(path, index=False)
    runs.write_manifest(
        run,
        finetune_fingerprint=mark,
        parameters=params,
        data_fingerprint=data.fingerprint(samples),
        encoder={"source": params["encoder"], "revision": encoders.revision(params["encoder"])},
        rows={split: len(frame) for split, frame in samples.items()},
        majority_share={split: float(frame["label"].value_counts(normalize=True).max()) for split, frame in samples.items()},
        inputs_cut_to_max_length=n_cut,
        vocabulary_size=len(kept),
        dev_accuracy=log,
        chosen_epoch=chosen,
        finetune_environment=runs.environment(device),
        finetune_cost=watch.read(),
    )
    runs.remove(work)


if __name__ == "__main__":  # for torchrun: key=value on the command line
    import sys

    from .params import merge, parse

    print(finetune(merge(parse(sys.argv[1:]))))
