"""Methods that compare what the model computes of two samples, not how it learns from them.

The similarity is the cosine of hidden states of the last layer, after the last of the run's
checkpoints: of the first token, which the head reads, or of the mean over all tokens.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import runs
from .base import Given, NotAvailableError, cosines

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BATCH = 64  # samples in a forward pass


def first_token(given: Given) -> np.ndarray:
    """Compute the similarity of the first token's representation: (test, train)."""
    return _similarity(given, 0)


def mean_of_tokens(given: Given) -> np.ndarray:
    """Compute the similarity of the mean representation of all tokens: (test, train)."""
    return _similarity(given, 1)


def _similarity(given: Given, which: int) -> np.ndarray:
    """Compare the first tokens (0) or the means (1): (test, train)."""
    if not given.epochs:
        raise NotAvailableError("needs the model's checkpoints; published runs have none")
    epoch = given.epochs[-1]
    folder = given.need_folder(f"checkpoints/epoch-{epoch}", "the model's checkpoints").parents[1]
    given.need_folder("inputs.parquet", "token ids")
    parts = [
        _encode(folder, epoch, split, tuple(samples["uid"]))[which]
        for split, samples in (("test", given.test), ("train", given.train))
    ]
    return cosines(*parts)


@functools.lru_cache(maxsize=32)
def _encode(
    folder: Path, epoch: int, split: str, uids: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first tokens' and the mean representations of samples: both (sample, dim)."""
    from ..encoders import load_checkpoint  # imports torch, which takes seconds

    inputs = runs.read_inputs(folder, split).set_index("uid")["input_ids"].loc[list(uids)]
    model = load_checkpoint(folder / "checkpoints" / f"epoch-{epoch}")
    return encode(model, [list(ids) for ids in inputs])


def encode(
    model: PreTrainedModel, samples: Sequence[Sequence[int]]
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the representations of samples by the model's last layer.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A classifier; its encoder is used, its head is not.
    samples : sequence of sequence of int
        The token ids of each sample.

    Returns
    -------
    first, mean : numpy.ndarray
        Of the first token, and the mean over tokens: both (sample, dim), in the order given.
    """
    import torch

    encoder: Any = model.base_model
    pad = getattr(model.config, "pad_token_id", None) or 0
    order = sorted(range(len(samples)), key=lambda row: len(samples[row]))
    first, mean = [], []
    for start in range(0, len(order), BATCH):
        batch = [torch.tensor(list(samples[row])) for row in order[start : start + BATCH]]
        ids = torch.nn.utils.rnn.pad_sequence(batch, batch_first=True, padding_value=pad)
        lengths = torch.tensor([len(part) for part in batch])  # (batch,)
        mask = torch.arange(ids.shape[1])[None] < lengths[:, None]  # (batch, tokens)
        with torch.no_grad():
            states = encoder(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        first.append(states[:, 0])  # (batch, dim)
        mean.append((states * mask[..., None]).sum(1) / lengths[:, None])  # (batch, dim)
    back = np.argsort(order)
    return torch.cat(first).numpy()[back], torch.cat(mean).numpy()[back]
