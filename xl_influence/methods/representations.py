"""Methods that compare the model's representations of two samples, not how it learns from them.

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
from .base import MethodInput, NotAvailableError, cosines

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from ..engine.batches import Sample


def first_token(given: MethodInput) -> np.ndarray:
    """Compute the similarity of the first token's representation: (test, train)."""
    return _similarity(given, 0)


def mean_of_tokens(given: MethodInput) -> np.ndarray:
    """Compute the similarity of the mean representation of all tokens: (test, train)."""
    return _similarity(given, 1)


def _similarity(given: MethodInput, which: int) -> np.ndarray:
    """Compare the first tokens (0) or the means (1): (test, train)."""
    if not given.epochs:
        raise NotAvailableError("needs the last of the checkpoints; this run holds only their sum")
    epoch = given.epochs[-1]
    folder = given.need_folder(f"checkpoints/epoch-{epoch}", "the model's checkpoints").parents[1]
    given.need_folder("inputs.parquet", "token ids")
    parts = [
        _encode(folder, epoch, split, tuple(samples["uid"]), given.device)[which]
        for split, samples in (("test", given.test), ("train", given.train))
    ]
    return cosines(*parts)


@functools.lru_cache(maxsize=32)
def _encode(
    folder: Path, epoch: int, split: str, uids: tuple[str, ...], device: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first tokens' and the mean representations of samples: both (sample, dim)."""
    from ..finetune import pick_device  # imports torch, which takes seconds
    from ..head import load_model

    model = load_model(folder / "checkpoints" / f"epoch-{epoch}", pick_device(device))
    return encode(model, runs.read_inputs(folder, split, uids).to_dict("records"))


def encode(
    model: PreTrainedModel, samples: Sequence[Sample], *, max_tokens: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the representations of samples by the model's last layer.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A classifier, on the device that computes; its encoder is used, its head is not.
    samples : sequence of dict
        `input_ids` and `label`, which is not used.
    max_tokens : int
        Tokens in a batch, padding included; 0: as suits the device.

    Returns
    -------
    first, mean : numpy.ndarray
        Of the first token, and the mean over tokens: both (sample, dim), in the order given.
    """
    import torch

    from ..engine.arithmetic import arithmetic
    from ..engine.batches import choose_max_tokens, find_pad_token_id, make_batches, pad_batch

    encoder: Any = model.base_model
    device, order, first, mean = model.device, [], [], []
    with torch.no_grad(), arithmetic(device):
        for rows in make_batches(samples, max_tokens or choose_max_tokens(device)):
            batch = pad_batch([samples[row] for row in rows], find_pad_token_id(model), device)
            del batch["labels"]
            states = encoder(**batch).last_hidden_state  # (batch, tokens, dim)
            mask = batch["attention_mask"][..., None]  # (batch, tokens, 1)
            first.append(states[:, 0].cpu())  # (batch, dim)
            mean.append(((states * mask).sum(1) / mask.sum(1)).cpu())  # (batch, dim)
            order += rows
    back = np.argsort(order)
    return torch.cat(first).numpy()[back], torch.cat(mean).numpy()[back]
