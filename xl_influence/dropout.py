"""Dropout and attention for fine-tuning on a CPU, at less cost.

PyTorch draws a random number for every entry that dropout may set to zero, and that takes a tenth of a training step. Here
64 random bits serve four entries: the probability is a multiple of 2^-16. Its attention for CPUs is made for long sequences;
for sentences the plain products are faster, and their weights are dropped in the same way.
"""

import contextlib

import torch
import torch.nn.functional as F
from torch import nn

LEVELS = 1 << 16  # values of the random number of an entry
NAME = "xl_influence"  # of this attention, as transformers knows it


class _Drop(torch.autograd.Function):
    """Entries set to zero with probability `p`, the others scaled so that the mean stays."""

    @staticmethod
    def forward(ctx, x, p):
        cut = round(p * LEVELS)
        bits = torch.empty(x.numel() // 4 + 1, dtype=torch.int64).random_(-(2**63), None)
        ctx.dropped = bits.view(torch.int16)[: x.numel()].view(x.shape) < cut - LEVELS // 2
        ctx.scale = LEVELS / (LEVELS - cut)
        return x.masked_fill(ctx.dropped, 0.0).mul_(ctx.scale)

    @staticmethod
    def backward(ctx, grad):
        return grad.masked_fill(ctx.dropped, 0.0).mul_(ctx.scale), None


def drop(x, p):
    """Dropout of a tensor on the CPU, with random bits of PyTorch's own generator, so that seeds and resuming work."""
    return _Drop.apply(x, p) if p else x


class Dropout(nn.Dropout):
    """`torch.nn.Dropout` by `drop`."""

    def forward(self, x):
        return drop(x, self.p if self.training else 0.0)


def attention(module, query, key, value, attention_mask, scaling=None, dropout=0.0, **options):
    """Scaled dot-product attention as transformers calls it: (batch, heads, tokens, dim) to (batch, tokens, heads, dim)."""
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = torch.matmul(query * scaling, key.transpose(2, 3))  # (batch, heads, tokens, tokens)
    if attention_mask is not None:  # True where a token may be seen
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    weights = drop(F.softmax(scores, dim=-1), dropout)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), None


@contextlib.contextmanager
def fast(model):
    """Inside, the model drops and attends as above, where it is made of `nn.Dropout` and takes another attention."""
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


def _register():
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, _mask)


def _mask(*args, **options):
    """The mask of transformers' own attention, and never None for 'causal', which `attention` would not see."""
    from transformers.masking_utils import sdpa_mask

    return sdpa_mask(*args, **options | {"allow_is_causal_skip": False})
