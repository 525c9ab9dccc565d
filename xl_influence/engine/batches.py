"""Batches: which samples go through the model in one pass, and how they are padded.

A sample is a dict with `input_ids` (list of int), `label` (int) and optionally `token_type_ids`
(list of int).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Sample = Mapping[str, Any]

MAX_TOKENS = {"cpu": 1024, "cuda": 65_536}  # in a batch; on a CPU, about what fits into its caches
MULTIPLE = 32  # sizes that are a multiple of it are read fastest, and tensor cores need them


def choose_max_tokens(device: torch.device) -> int:
    """Return the number of tokens in a batch, padding included, that suits a device."""
    return MAX_TOKENS.get(device.type, MAX_TOKENS["cuda"])


def find_pad_token_id(model: PreTrainedModel) -> int:
    """Return the model's own padding token, or 0 if it has none."""
    own = getattr(model.config, "pad_token_id", None)
    return 0 if own is None else own


def find_lengths(samples: Iterable[Sample]) -> list[int]:
    """Count the tokens in each sample."""
    return [len(sample["input_ids"]) for sample in samples]


def round_down(size: int) -> int:
    """Round down to a multiple of `MULTIPLE`; a size below it is returned unchanged."""
    return size - size % MULTIPLE if size > MULTIPLE else size


def make_batches(
    samples: Sequence[Sample],
    max_tokens: int,
    max_samples: int = 0,
    *,
    equal_length: bool = False,
) -> Iterator[list[int]]:
    """Divide samples into batches of similar length.

    Parameters
    ----------
    samples : sequence of dict
        Only the length of `input_ids` matters.
    max_tokens : int
        Tokens in a batch, padding included. A longer sample is a batch of its own.
    max_samples : int
        Samples in a batch; 0: any number.
    equal_length : bool
        Whether all samples of a batch must have the same number of tokens.

    Yields
    ------
    list of int
        Row numbers of one batch, from the shortest sample to the longest. Every row comes once.
    """
    lengths = find_lengths(samples)

    def is_full(count: int, width: int) -> bool:
        return count == max_samples or (count + 1) * width > max_tokens

    batch: list[int] = []
    for row in np.argsort(lengths, kind="stable").tolist():
        if equal_length and batch and lengths[row] != lengths[batch[0]]:
            yield batch
            batch = []
        while batch and is_full(len(batch), lengths[row]):
            count = round_down(len(batch))
            yield batch[:count]
            batch = batch[count:]
        batch.append(row)
    if batch:
        yield batch


def group_batches(batches: Iterable[list[int]], max_samples: int) -> Iterator[list[list[int]]]:
    """Divide batches into the tiles that are kept in memory at once.

    Parameters
    ----------
    batches : iterable of list of int
        As `make_batches` yields them.
    max_samples : int
        Samples in a tile, unless its only batch has more; 0: all batches are one tile.

    Yields
    ------
    list of list of int
        The batches of one tile, at least one.
    """
    tile: list[list[int]] = []
    size = 0
    for batch in batches:
        if tile and max_samples and size + len(batch) > max_samples:
            yield tile
            tile, size = [], 0
        tile.append(batch)
        size += len(batch)
    yield tile


def pad_batch(
    samples: Sequence[Sample], pad_token_id: int, device: torch.device
) -> dict[str, torch.Tensor]:
    """Pad samples on the right to the longest of them.

    Parameters
    ----------
    samples : sequence of dict
        `token_type_ids` are used if the first sample has them.
    pad_token_id : int
        The token that fills `input_ids`.
    device : torch.device
        Where to put the tensors.

    Returns
    -------
    dict of torch.Tensor
        `input_ids`, `attention_mask` and, where given, `token_type_ids`, each of shape
        (batch, tokens), and `labels` (batch,): int64.
    """
    counts = np.array(find_lengths(samples))  # (batch,)
    shape = (len(counts), counts.max())
    tensors = {
        "input_ids": _padded([sample["input_ids"] for sample in samples], shape, pad_token_id),
        "attention_mask": torch.tensor(np.arange(shape[1]) < counts[:, None]).long(),
        "labels": torch.tensor([sample["label"] for sample in samples]),  # (batch,)
    }
    if "token_type_ids" in samples[0]:
        types = [sample["token_type_ids"] for sample in samples]
        tensors["token_type_ids"] = _padded(types, shape, 0)
    if device.type == "cuda":
        tensors = {name: tensor.pin_memory() for name, tensor in tensors.items()}
    return {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}


def _padded(rows: Sequence[Sequence[int]], shape: tuple[int, int], filler: int) -> torch.Tensor:
    padded = np.full(shape, filler, np.int64)  # (batch, tokens)
    for place, row in zip(padded, rows, strict=True):
        place[: len(row)] = row
    return torch.from_numpy(padded)
