"""Cheaper dropout and attention for fine-tuning on a CPU.

PyTorch draws one random number for every entry that dropout may set to zero, which takes a tenth
of a training step. Here 64 random bits serve four entries, so the probability is a multiple of
2^-16. PyTorch's attention for CPUs is made for long sequences; for sentences plain products are
faster, and we drop their weights in the same way.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LEVELS = 1 << 16  # values that an entry's random number can take
NAME = "xl_influence"  # of this attention, in the registry of transformers


class _Drop(torch.autograd.Function):
    """Set entries to zero with probability `p`, and scale the others so that the mean stays."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, p: float) -> torch.Tensor:
        cut = round(p * LEVELS)
        # One int64 holds the 16-bit random numbers of four entries.
        bits = torch.empty(x.numel() // 4 + 1, dtype=torch.int64).random_(-(2**63), None)
        numbers = bits.view(torch.int16)[: x.numel()].view(x.shape)
        ctx.dropped = numbers < cut - LEVELS // 2  # (*x.shape), bool
        ctx.scale = LEVELS / (LEVELS - cut)
        return x.masked_fill(ctx.dropped, 0.0).mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        (grad,) = grads
        return grad.masked_fill(ctx.dropped, 0.0).mul_(ctx.scale), None


def drop(x: torch.Tensor, p: float) -> torch.Tensor:
    """Apply dropout to a tensor on the CPU.

    The random bits come from PyTorch's own generator, so seeds and resuming work.

    Parameters
    ----------
    x
        A tensor of any shape.
    p
        Probability that an entry becomes zero, from 0 to less than 1.
    """
    return _Drop.apply(x, p) if p else x


class Dropout(nn.Dropout):
    """`torch.nn.Dropout` that uses `drop`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Drop entries in training mode."""
        return drop(x, self.p if self.training else 0.0)


def attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Compute scaled dot-product attention, with the signature that transformers expects.

    Parameters
    ----------
    module
        The attention module; not used.
    query, key, value
        (batch, heads, tokens, dim).
    attention_mask
        (batch, 1, tokens, tokens), True where a token may be seen; None for no mask.
    scaling
        Factor of the products, by default dim ** -0.5.
    dropout
        Probability of dropping a weight.
    **options
        Not used.

    Returns
    -------
    tuple
        The result (batch, tokens, heads, dim), and None in place of the weights.
    """
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = torch.matmul(query * scaling, key.transpose(2, 3))  # (batch, heads, tokens, tokens)
    if attention_mask is not None:
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    weights = drop(scores.softmax(dim=-1), dropout)  # (batch, heads, tokens, tokens)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), None


@contextlib.contextmanager
def use_fast(model: PreTrainedModel) -> Iterator[None]:
    """Let a model use this dropout and attention inside the block.

    Its `nn.Dropout` modules are replaced, and its attention if it is PyTorch's own ('sdpa').
    """
    modules = [module for module in model.modules() if type(module) is nn.Dropout]
    before = model.config._attn_implementation
    for module in modules:
        module.__class__ = Dropout
    if before == "sdpa":
        _register()
        model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        for module in modules:
            module.__class__ = nn.Dropout
        if before == "sdpa":
            model.set_attn_implementation(before)


def _register() -> None:
    """Make the attention known to transformers."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, _make_mask)


def _make_mask(*args: Any, **options: Any) -> torch.Tensor | None:
    """Return the mask of transformers' own attention.

    Never None for 'causal': `attention` would not know that it is.
    """
    from transformers.masking_utils import sdpa_mask

    return sdpa_mask(*args, **options | {"allow_is_causal_skip": False})
