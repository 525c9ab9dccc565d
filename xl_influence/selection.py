"""The test samples of section 5: which ones are chosen, and the model's confidence on each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from . import encoders, inputs, runs, tasks
from .engine.arithmetic import arithmetic
from .engine.batches import choose_max_tokens, find_pad_token_id, make_batches, pad_batch
from .sections import FineTuning, Influence

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SMOKE = "smoke"  # the study that tests whether everything runs; its numbers mean nothing


class SelectionError(ValueError):
    """The model labels too few test samples correctly."""


def choose_test(
    params: Influence,
    run: Path,
    epoch: int,
    device: torch.device,
    borrowed: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Choose `test_size` test samples per language that the model labels correctly (section 5).

    Items are tried in a random order, drawn with `test_seed`. In a parallel task, those that the
    model labels correctly in every language come first, so that languages share their items if
    enough of them are correct; then each language is filled up with its own.

    Parameters
    ----------
    params : dict
        The run's parameters.
    run : Path
        The run's folder.
    epoch : int
        The checkpoint that labels the samples.
    device : torch.device
        Where to compute.
    borrowed : sequence of str, optional
        Uids of another run's test samples, taken as they are, correct or not.

    Returns
    -------
    pandas.DataFrame
        uid, lang, item, label, text_a, text_b, …, `confidence` (probability of the gold class), by
        language.

    Raises
    ------
    SelectionError
        Too few correct samples in a language.
    """
    pool = _draw_pool(params, run, borrowed)
    model = encoders.load_checkpoint(run / "checkpoints" / f"epoch-{epoch}")
    model.to(device)  # type: ignore[arg-type]  # transformers wraps the method without its types
    sequences = runs.read_inputs(run, "test", pool["uid"])["input_ids"].tolist()
    probability = predict(model, sequences, params["max_tokens"])  # (samples, classes)
    pool = pool.assign(
        confidence=probability[np.arange(len(pool)), pool["label"]],
        correct=probability.argmax(1) == pool["label"],
    )
    if borrowed is not None:
        return pool.set_index("uid").loc[borrowed].reset_index().drop(columns=["place", "correct"])
    return choose_correct(params, pool)


def _draw_pool(params: FineTuning, run: Path, borrowed: Sequence[str] | None) -> pd.DataFrame:
    """The candidates, each with its `place` in the random order."""
    pool = pd.read_parquet(run / "pool.parquet")
    if borrowed is not None:
        pool = pool[pool["uid"].isin(borrowed)]
    pool["place"] = inputs.find_places(params, pool)
    if params["test_pool"] and borrowed is None:
        pool = pool[pool["place"] < params["test_pool"]]
    return pool


def choose_correct(params: Influence, pool: pd.DataFrame) -> pd.DataFrame:
    """Return the first `test_size` correct samples of each language.

    Parameters
    ----------
    params
        The parameters of the run.
    pool
        The rows to choose from: `uid`, `lang`, `item`, `label`, `correct` (whether the model labels
        the row correctly), `place` (in the random order).

    Raises
    ------
    SelectionError
        The model labels too few rows correctly.
    """
    correct = pool[pool["correct"]].copy()
    correct["rank"] = correct["place"]
    if tasks.find(params).parallel:  # items that are correct in every language come first
        everywhere = pool.groupby("item")["correct"].transform("all")[pool["correct"]]
        correct["rank"] += np.where(everywhere, 0, len(pool))
    chosen = []
    for lang in params["languages"]:
        part = correct[correct["lang"] == lang].sort_values("rank").head(params["test_size"])
        if len(part) < params["test_size"] and params["study"] == SMOKE:
            part = _fill_up(part, pool[pool["lang"] == lang], params["test_size"])
        if len(part) < params["test_size"]:
            tried = int((pool["lang"] == lang).sum())
            raise SelectionError(
                f"test_size={params['test_size']}: in {lang} the model labels {len(part)} of "
                f"{tried} test rows correctly; raise test_pool (now "
                f"{params['test_pool'] or 'all'}) or fine-tune longer"
            )
        chosen.append(part)
    return pd.concat(chosen, ignore_index=True).drop(columns=["place", "correct", "rank"])


def _fill_up(part: pd.DataFrame, pool: pd.DataFrame, size: int) -> pd.DataFrame:
    """Add rows that are labelled wrongly, in a study whose numbers mean nothing."""
    rest = pool[~pool["uid"].isin(part["uid"])].sort_values("place")
    return pd.concat([part, rest.head(size - len(part))])


def predict(
    model: PreTrainedModel, sequences: Sequence[Sequence[int]], max_tokens: int
) -> np.ndarray:
    """Compute class probabilities.

    Parameters
    ----------
    model : transformers sequence classifier
        The model, in eval mode.
    sequences : sequence of sequence of int
        Token ids of each sample.
    max_tokens : int
        Tokens in a batch, padding included; 0: as suits the device.

    Returns
    -------
    numpy.ndarray
        (samples, classes), float64, in the order given.
    """
    device = next(model.parameters()).device
    pad_token_id = find_pad_token_id(model)
    samples = [{"input_ids": ids, "label": 0} for ids in sequences]
    config: Any = model.config  # transformers types `num_labels` as optional
    result = np.zeros((len(samples), config.num_labels))  # (samples, classes)
    with torch.no_grad(), arithmetic(device):
        for rows in make_batches(samples, max_tokens or choose_max_tokens(device)):
            batch = pad_batch([samples[row] for row in rows], pad_token_id, device)
            batch.pop("labels")
            logits = model(**batch).logits.double()  # (batch, classes)
            result[rows] = functional.softmax(logits, dim=-1).cpu().numpy()
    return result
