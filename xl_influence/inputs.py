"""What fine-tuning takes: samples as token ids over the vocabulary in use.

They are drawn from the data or from a prepared folder. Both give the same numbers and the same
fingerprints, but samples from a prepared folder have no texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from . import data, encoders, prepared, tasks, vocabulary


@dataclass
class Inputs:
    """The samples of a run; `samples` and `sequences` are in the same order."""

    samples: dict[str, pd.DataFrame]  # by split
    sequences: dict[str, list[list[int]]]  # by split: each sample's tokens, as rows of `kept`
    kept: np.ndarray  # the tokenizer's ids in use, sorted
    n_cut: dict[str, int]  # by split: samples longer than `max_length`
    pad: int  # row of the padding token, which is also its id
    class_names: tuple[str, ...]
    data_fingerprint: str
    revision: str | None  # of the encoder's hub repository


def load(params: dict[str, Any]) -> Inputs:
    """Load the inputs of a run, from its prepared folder if it names one, else from the data."""
    return _load_prepared(params) if params["prepared"] else _load_data(params)


def _load_data(params: dict[str, Any]) -> Inputs:
    samples, tokenizer = data.load(params), encoders.load_tokenizer(params)
    ids, n_cut = {}, {}
    for split, frame in samples.items():
        ids[split], cut = encoders.tokenize(tokenizer, frame, params["max_length"])
        n_cut[split] = len(cut)
    kept = _find_kept(ids, tokenizer.all_special_ids, tokenizer.pad_token_id)
    return Inputs(
        samples=samples,
        sequences=_renumber(ids, kept),
        kept=kept,
        n_cut=n_cut,
        pad=tokenizer.pad_token_id,
        class_names=tasks.find(params).class_names,
        data_fingerprint=data.fingerprint(samples),
        revision=encoders.find_revision(params["encoder"]),
    )


def _load_prepared(params: dict[str, Any]) -> Inputs:
    about, task = prepared.read(params), tasks.find(params)
    drawn = prepared.draw(params, data.train_sizes(params))
    if params["planted"]:
        drawn = data.plant(params, task, drawn)
    ids = {split: frame["input_ids"].tolist() for split, frame in drawn.items()}
    kept = _find_kept(ids, about["special_ids"], about["pad_id"])
    helpers = ["input_ids", "cut", "hash"]
    return Inputs(
        samples={split: frame.drop(columns=helpers) for split, frame in drawn.items()},
        sequences=_renumber(ids, kept),
        kept=kept,
        n_cut={split: int(frame["cut"].sum()) for split, frame in drawn.items()},
        pad=about["pad_id"],
        class_names=task.class_names,
        data_fingerprint=data.fingerprint(drawn),
        revision=about["revision"],
    )


def _find_kept(ids: dict[str, list[list[int]]], special: list[int], pad: int) -> np.ndarray:
    """Return the token ids that any split uses, sorted."""
    sequences = [sequence for part in ids.values() for sequence in part]
    return vocabulary.tokens_in_use(sequences, special, pad)


def _renumber(ids: dict[str, list[list[int]]], kept: np.ndarray) -> dict[str, list[list[int]]]:
    return {split: vocabulary.renumber(part, kept) for split, part in ids.items()}
