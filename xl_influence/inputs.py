"""What fine-tuning takes: samples as token ids over the vocabulary in use, drawn from the data or from a prepared folder.

The two ways give the same numbers and the same fingerprints; samples from a prepared folder have no texts.
"""

from dataclasses import dataclass

import numpy as np

from . import data, encoders, prepared, tasks


@dataclass
class Inputs:
    """The samples of a run. `samples` and `sequences` (rows of `kept`) by split, in the same order."""

    samples: dict
    sequences: dict
    kept: np.ndarray  # the tokenizer's ids in use, sorted
    n_cut: dict  # split → samples longer than `max_length`
    pad: int  # row of the padding token, which is also its id
    class_names: tuple
    data_fingerprint: str
    revision: str | None  # of the encoder's hub repository


def load(params):
    """The `Inputs` of a run, from its prepared folder where there is one, else from the data and the tokenizer."""
    return _from_prepared(params) if params["prepared"] else _from_data(params)


def _from_data(params):
    samples, tokenizer = data.load(params), encoders.load_tokenizer(params)
    ids, n_cut = {}, {}
    for split, frame in samples.items():
        ids[split], n_cut[split] = encoders.tokenize(tokenizer, frame, params["max_length"])
    special, revision = tokenizer.all_special_ids, encoders.revision(params["encoder"])
    return _renumbered(
        params,
        samples,
        ids,
        n_cut,
        special,
        tokenizer.pad_token_id,
        data.fingerprint(samples),
        revision,
    )


def _from_prepared(params):
    about, task = prepared.read(params), tasks.find(params)
    samples = prepared.draw(params, data.train_sizes(params))
    if params["planted"]:
        samples = data.plant(params, task, samples)
    ids = {split: frame["input_ids"].tolist() for split, frame in samples.items()}
    n_cut = {split: int(frame["cut"].sum()) for split, frame in samples.items()}
    mark = data.fingerprint(samples)
    samples = {
        split: frame.drop(columns=["input_ids", "cut", "hash"]) for split, frame in samples.items()
    }
    return _renumbered(
        params, samples, ids, n_cut, about["special_ids"], about["pad_id"], mark, about["revision"]
    )


def _renumbered(params, samples, ids, n_cut, special, pad, mark, revision):
    kept = encoders.tokens_in_use([s for part in ids.values() for s in part], special, pad)
    sequences = {split: encoders.renumber(part, kept) for split, part in ids.items()}
    return Inputs(
        samples, sequences, kept, n_cut, pad, tasks.find(params).class_names, mark, revision
    )
