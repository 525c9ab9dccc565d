"""Hugging Face's Trainer as section 4.1 uses it.

Batches of similar length, a checkpoint per epoch, early stopping.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset
from tqdm import tqdm
from transformers import (
    EarlyStoppingCallback,
    EvalPrediction,
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_pt_utils import LengthGroupedSampler

from . import dropout, runs
from .engine import memory
from .engine.arithmetic import arithmetic, multiplies_bf16
from .engine.batches import pad_batch
from .sections import FineTuning

DONE = "complete"  # file in a Trainer checkpoint that was written completely
EPOCHS_PER_SEED = 10_007  # more than any training has, so no two epochs share their order


def has_stopped(checkpoint: Path, patience: int) -> bool:
    """Whether `patience` had ended the training when this checkpoint was written.

    A training that was killed after its last checkpoint must not go on.

    Parameters
    ----------
    checkpoint
        A complete checkpoint of the Trainer.
    patience
        Epochs without a better development accuracy after which training ends.
    """
    state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
    kept: Any = state.stateful_callbacks[EarlyStoppingCallback.__name__]
    counted = (kept if isinstance(kept, dict) else kept[-1])["attributes"]
    return counted["early_stopping_patience_counter"] >= patience


def restore(trainer: Trainer, checkpoint: Path) -> None:
    """Give a Trainer the state of a training that has ended, without training.

    Parameters
    ----------
    trainer
        As `build` returns it.
    checkpoint
        The last checkpoint.
    """
    trainer.state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
    trainer.state.is_world_process_zero = trainer.is_world_process_zero()


def find_complete_steps(work: str | Path) -> list[int]:
    """Return the steps of the Trainer's complete checkpoints in a folder, in order."""
    done = Path(work).glob(f"checkpoint-*/{DONE}")
    return sorted(int(path.parent.name.split("-")[1]) for path in done)


class _Samples(Dataset):
    """Token ids and labels; the collator pads them."""

    def __init__(
        self, sequences: Sequence[Sequence[int]], labels: Sequence[int] | pd.Series
    ) -> None:
        self.sequences, self.labels = sequences, list(labels)

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"input_ids": self.sequences[index], "label": self.labels[index]}


class _EpochSampler(LengthGroupedSampler):
    """Batches of similar length, in an order that depends only on seed and epoch.

    So a run that is resumed sees the same batches.
    """

    def __init__(self, batch_size: int, lengths: list[int], seed: int) -> None:
        super().__init__(batch_size=batch_size, lengths=lengths, generator=torch.Generator())
        self.seed = seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        self.generator.manual_seed(self.seed * EPOCHS_PER_SEED + epoch)


class _Trainer(Trainer):
    """A Trainer with our sampler, our arithmetic and, on a CPU, our dropout."""

    def train(self, *args: Any, **kwargs: Any) -> Any:
        on_cpu = self.args.device.type == "cpu"
        with (
            memory.keep_freed_memory(),
            arithmetic(self.args.device),
            dropout.use_fast(cast(PreTrainedModel, self.model)) if on_cpu else nullcontext(),
        ):
            return super().train(*args, **kwargs)

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> _EpochSampler:
        sequences = cast(_Samples, self.train_dataset).sequences
        lengths = [len(sequence) for sequence in sequences]
        size = self.args.train_batch_size * self.args.world_size
        return _EpochSampler(size, lengths, self.args.seed)


class _Keeper(TrainerCallback):
    """Marks finished checkpoints and deletes the optimizer states of older ones."""

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if not state.is_world_process_zero:
            return
        work = Path(cast(str, args.output_dir))
        (work / f"checkpoint-{state.global_step}" / DONE).touch()
        for step in find_complete_steps(work)[:-1]:
            runs.remove(work / f"checkpoint-{step}" / "optimizer.pt")


class _Stop(TrainerCallback):
    """Ends training after an epoch; the learning rate falls as if training continued."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        control.should_training_stop = round(state.epoch) >= self.epoch


class _Progress(TrainerCallback):
    """A bar over the steps, with the development accuracy so far.

    It names the task because others may run at the same time.
    """

    def __init__(self, task: str) -> None:
        self.task = task

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.bar = tqdm(
            total=state.max_steps,
            initial=state.global_step,
            desc=f"{self.task}: fine-tuning",
            unit="step",
            mininterval=10,
        )

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.bar.update(state.global_step - self.bar.n)

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        accuracy = kwargs["metrics"]["eval_accuracy"]
        self.bar.set_postfix_str(f"epoch {round(state.epoch)}: dev accuracy {accuracy:.2f}")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.bar.close()


class _Accuracy:
    """The accuracy in each language, and over all languages that the model is trained on."""

    def __init__(self, languages: np.ndarray, trained_on: np.ndarray) -> None:
        self.languages = languages  # (development samples,) in the order of the predictions
        self.trained_on = trained_on

    def __call__(self, prediction: EvalPrediction) -> dict[str, float]:
        predicted = np.argmax(prediction.predictions, axis=-1)  # (samples, classes) → (samples,)
        right = pd.Series(predicted == prediction.label_ids, index=self.languages)
        accuracy = {"accuracy": float(right[right.index.isin(self.trained_on)].mean())}
        for lang, share in right.groupby(level=0).mean().items():
            accuracy[f"accuracy_{lang}"] = float(share)
        return accuracy


def build(
    params: FineTuning,
    model: PreTrainedModel,
    *,
    samples: Mapping[str, pd.DataFrame],
    sequences: Mapping[str, Sequence[Sequence[int]]],
    pad: int,
    work: str | Path,
    device: torch.device,
    progress: bool = False,
    stop_after: int | None = None,
) -> Trainer:
    """Return the Trainer for these samples.

    The best epoch is the one with the best development accuracy over the languages trained on.

    Parameters
    ----------
    params
        The parameters of the run.
    model
        The classifier to train.
    samples
        'train' and 'validation' → the samples, with `lang` and `label`.
    sequences
        'train' and 'validation' → token ids of each sample, in the same order.
    pad
        Id of the padding token.
    work
        The folder for checkpoints and state.
    device
        Where to train.
    progress
        Whether to show a bar.
    stop_after
        End training after this epoch (from 1), with no checkpoints and no development accuracy.
        By default training ends `patience` epochs after the best one.
    """
    # Development samples in the order of their lengths: batches with little padding.
    lengths = [len(sequence) for sequence in sequences["validation"]]
    order = np.argsort(lengths, kind="stable")
    dev, train = samples["validation"].iloc[order], samples["train"]
    callbacks: list[TrainerCallback] = (
        [_Stop(stop_after)]
        if stop_after
        else [EarlyStoppingCallback(params["patience"]), _Keeper()]
    )
    if progress:
        callbacks.append(_Progress(params["task"]))
    trainer = _Trainer(
        model=model,
        args=_make_arguments(params, work, device, evaluate=not stop_after),
        train_dataset=_Samples(sequences["train"], train["label"]),
        eval_dataset=_Samples([sequences["validation"][row] for row in order], dev["label"]),
        data_collator=partial(pad_batch, pad_token_id=pad, device=torch.device("cpu")),
        compute_metrics=_Accuracy(dev["lang"].to_numpy(), train["lang"].unique()),
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _make_arguments(
    params: FineTuning, work: str | Path, device: torch.device, *, evaluate: bool
) -> TrainingArguments:
    """Return the Trainer's arguments; `evaluate`: after each epoch, and save a checkpoint."""
    often = "epoch" if evaluate else "no"
    return TrainingArguments(
        output_dir=str(work),
        learning_rate=params["learning_rate"],
        weight_decay=params["weight_decay"],
        warmup_steps=params["warmup"],  # the Trainer takes a number below 1 as a share of all steps
        num_train_epochs=params["epochs"],
        per_device_train_batch_size=params["batch_size"],
        per_device_eval_batch_size=4 * params["batch_size"],  # fits: no gradients, no optimizer
        eval_strategy=often,
        save_strategy=often,
        logging_strategy=often,
        load_best_model_at_end=evaluate,
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
