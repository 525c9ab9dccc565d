"""The loss of each sample of a batch, from a model's logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class UncoveredError(NotImplementedError):
    """The engine cannot give the per-sample gradients of a model."""


def compute_losses(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Cross-entropy of `model` on each sample of `batch`, (batch,)."""
    logits = read_logits(model, batch)  # (batch, classes)
    return functional.cross_entropy(logits, batch["labels"], reduction="none")


def read_logits(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the model's logits for a batch, (batch, classes).

    Raises `UncoveredError` if its output holds none, as that of a model without a head.
    """
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    output: Any = model(**inputs)
    is_tuple = isinstance(output, tuple) and output  # with `return_dict=False`
    logits: Any = output[0] if is_tuple else getattr(output, "logits", None)
    config: Any = model.config
    wanted = (len(batch["labels"]), config.num_labels)
    shape = tuple(logits.flatten(1).shape) if torch.is_tensor(logits) and logits.dim() > 1 else None
    if shape != wanted:
        given = f"logits of shape {tuple(logits.shape)}" if shape else "no logits"
        raise UncoveredError(
            f"{type(model).__name__} gives {given}; required is one number per sample and class, "
            f"{wanted}, as the models that AutoModelForSequenceClassification loads give them"
        )
    return logits.flatten(1)
