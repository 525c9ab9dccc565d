"""The vocabulary cut to the tokens in use: which they are, and a model and samples to match."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def find_tokens_in_use(
    sequences: Iterable[Sequence[int]], special: Iterable[int], pad: int
) -> np.ndarray:
    """Return the sorted token ids that a run needs.

    Parameters
    ----------
    sequences
        Token ids of all samples.
    special
        The special tokens; they stay whether used or not.
    pad
        The padding token. All ids up to it stay, so its row in the cut vocabulary is its id.
    """
    used = set(special) | set(range(pad + 1))
    return np.array(sorted(used.union(*map(set, sequences))), dtype=np.int64)


def renumber(sequences: Iterable[Sequence[int]], kept: np.ndarray) -> list[list[int]]:
    """Return token ids as rows of a cut vocabulary.

    Parameters
    ----------
    sequences
        The tokenizer's ids, all of them in `kept`.
    kept
        The ids of the cut vocabulary, sorted.
    """
    return [np.searchsorted(kept, sample).tolist() for sample in sequences]


def count_rows(model: PreTrainedModel) -> int:
    """Return how many tokens a model has embeddings for."""
    embedding: Any = model.get_input_embeddings()  # (tokens, dim)
    return len(embedding.weight)


def cut(model: PreTrainedModel, kept: np.ndarray) -> None:
    """Cut a model's embeddings to some rows; changes the model in place.

    Parameters
    ----------
    model
        Any model of `transformers`.
    kept
        The rows that stay, sorted.
    """
    old: Any = model.get_input_embeddings()
    pad = old.padding_idx
    if pad is not None:
        pad = int(np.searchsorted(kept, pad))
    new = nn.Embedding(len(kept), old.embedding_dim, padding_idx=pad, dtype=old.weight.dtype)
    new.weight.data.copy_(old.weight.data[torch.from_numpy(kept)])  # (rows, dim)
    model.set_input_embeddings(new)
    model.config.vocab_size = len(kept)
    for name in ("bos_token_id", "eos_token_id"):
        old_id = getattr(model.config, name, None)
        if isinstance(old_id, int):
            setattr(model.config, name, int(np.searchsorted(kept, old_id)))
