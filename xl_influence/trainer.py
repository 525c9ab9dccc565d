"""Hugging Face's Trainer as section 4.1 uses it: batches of similar length, a checkpoint per epoch, early stopping."""

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset
from tqdm import tqdm
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.trainer_pt_utils import LengthGroupedSampler

from . import dropout, runs
from .engine import memory
from .engine.arithmetic import arithmetic, multiplies_bf16

DONE = "complete"  # file in a Trainer checkpoint that was written to its end


def complete_steps(work):
    """Steps of the Trainer checkpoints in `work` that were written to their end, in order."""
    return sorted(
        int(path.parent.name.split("-")[1]) for path in Path(work).glob(f"checkpoint-*/{DONE}")
    )


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
    def train(self, *args, **kwargs):
        on_cpu = self.args.device.type == "cpu"
        with (
            memory.kept(),
            arithmetic(self.args.device),
            dropout.fast(self.model) if on_cpu else nullcontext(),
        ):
            return super().train(*args, **kwargs)

    def _get_train_sampler(self, train_dataset=None):
        lengths = [len(sequence) for sequence in self.train_dataset.sequences]
        return _EpochSampler(
            self.args.train_batch_size * self.args.world_size, lengths, self.args.seed
        )


class _Keeper(TrainerCallback):
    """Marks finished checkpoints and drops the optimizer states of older ones."""

    def on_save(self, args, state, control, **kwargs):
        if not state.is_world_process_zero:
            return
        work = Path(args.output_dir)
        (work / f"checkpoint-{state.global_step}" / DONE).touch()
        for step in complete_steps(work)[:-1]:
            runs.remove(work / f"checkpoint-{step}" / "optimizer.pt")


class _Stop(TrainerCallback):
    """Ends training after an epoch; the learning rate falls as if it went on."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, args, state, control, **kwargs):
        control.should_training_stop = round(state.epoch) >= self.epoch


class _Progress(TrainerCallback):
    """A bar over the steps, with the development accuracy so far. It names the task: others may run beside it."""

    def __init__(self, task):
        self.task = task

    def on_train_begin(self, args, state, control, **kwargs):
        title = f"{self.task}: fine-tuning"
        self.bar = tqdm(
            total=state.max_steps,
            initial=state.global_step,
            desc=title,
            unit="step",
            mininterval=10,
        )

    def on_step_end(self, args, state, control, **kwargs):
        self.bar.update(state.global_step - self.bar.n)

    def on_evaluate(self, args, state, control, metrics=None, **kwargs):
        self.bar.set_postfix_str(
            f"epoch {round(state.epoch)}: dev accuracy {metrics['eval_accuracy']:.2f}"
        )

    def on_train_end(self, args, state, control, **kwargs):
        self.bar.close()


def build(params, model, samples, sequences, pad, work, device, progress, stop_after=None):
    """The Trainer for these samples; its checkpoints and state go to the folder `work`.

    The best epoch is that with the best development accuracy in the languages trained on. With `stop_after` training ends
    after that epoch instead, and neither development accuracy nor checkpoints are made.
    """
    often = "no" if stop_after else "epoch"
    order = np.argsort(
        [len(s) for s in sequences["validation"]], kind="stable"
    )  # short batches pad less
    dev = samples["validation"].iloc[order]
    arguments = TrainingArguments(
        output_dir=str(work),
        learning_rate=params["learning_rate"],
        weight_decay=params["weight_decay"],
        warmup_steps=params["warmup"],
        num_train_epochs=params["epochs"],
        per_device_train_batch_size=params["batch_size"],
        per_device_eval_batch_size=4 * params["batch_size"],
        eval_strategy=often,
        save_strategy=often,
        logging_strategy=often,
        load_best_model_at_end=not stop_after,
        metric_for_best_model="accuracy",
        greater_is_better=True,
        restore_callback_states_from_checkpoint=True,
        seed=params["seed"],
        bf16=params["bf16"] and multiplies_bf16(device),
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
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "labels": torch.tensor([s["labels"] for s in batch]),
        }

    def metrics(prediction):
        right = pd.Series(
            prediction.predictions.argmax(-1) == prediction.label_ids, index=dev["lang"].to_numpy()
        )
        by_language, trained = (
            right.groupby(level=0).mean(),
            right.index.isin(samples["train"]["lang"].unique()),
        )
        return {"accuracy": float(right[trained].mean())} | {
            f"accuracy_{lang}": float(v) for lang, v in by_language.items()
        }

    ends = (
        [_Stop(stop_after)]
        if stop_after
        else [EarlyStoppingCallback(params["patience"]), _Keeper()]
    )
    trainer = _Trainer(
        model=model,
        args=arguments,
        train_dataset=_Samples(sequences["train"], samples["train"]["label"]),
        eval_dataset=_Samples([sequences["validation"][i] for i in order], dev["label"]),
        data_collator=collate,
        compute_metrics=metrics,
        callbacks=[*ends, *([_Progress(params["task"])] if progress else [])],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer
