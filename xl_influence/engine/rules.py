"""Rules: from a module's input and the gradient at its output to its per-sample gradients.

There are rules for what today's models are made of: Linear, transformers' Conv1D, Embedding,
LayerNorm and RMSNorm in its variants. For any other module of few parameters, `by_vjp`
differentiates the module alone, sample by sample. `coverage` checks every rule on the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.func import functional_call, vjp, vmap
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from .factors import Factor, Outer, Rows, Vector

FEW = 1 << 18  # parameters of a module, up to which `by_vjp` builds its gradients in full


@dataclass
class Call:
    """One call of a module on a batch.

    Attributes
    ----------
    args, kwargs : tuple, dict
        What it was called with.
    split : tuple of int, optional
        Which of the values in them hold one part for each sample; default: as `find_split` finds.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    split: tuple[int, ...] | None = None

    @property
    def x(self) -> torch.Tensor:
        """The module's input: the first argument, (batch, ..., columns)."""
        return self.args[0] if self.args else next(iter(self.kwargs.values()))

    def find_split(self, size: int) -> tuple[int, ...]:
        """Find the values whose first dimension is that of the batch."""
        flat, _ = torch.utils._pytree.tree_flatten((self.args, self.kwargs))
        return tuple(
            i for i, each in enumerate(flat) if torch.is_tensor(each) and each.shape[:1] == (size,)
        )


Rule = Callable[[Any, Call, torch.Tensor], dict[str, Factor]]


def linear(module: nn.Linear, call: Call, grad: torch.Tensor) -> dict[str, Factor]:
    """Rule for `torch.nn.Linear`.

    Parameters
    ----------
    module : torch.nn.Linear
        The module that was called.
    call : Call
        The call; its input is (batch, ..., columns).
    grad : torch.Tensor
        The gradient at its output, (batch, ..., rows).

    Returns
    -------
    dict of factors
        By the parameter's name in the module. All rules have this form.
    """
    x = _with_positions(call.x)  # (batch, positions, columns)
    grad = _with_positions(grad)  # (batch, positions, rows)
    factors: dict[str, Factor] = {"weight": Outer(grad, x)}
    if module.bias is not None:
        factors["bias"] = Vector(grad.sum(1))  # (batch, rows)
    return factors


def conv1d(module: Conv1D, call: Call, grad: torch.Tensor) -> dict[str, Factor]:
    """Rule for `transformers.pytorch_utils.Conv1D` (GPT-2): a Linear with its weight transposed.

    `module`, `call` and `grad` are those of `linear`.
    """
    x = _with_positions(call.x)  # (batch, positions, rows)
    grad = _with_positions(grad)  # (batch, positions, columns)
    bias = grad.sum(1)  # (batch, columns)
    return {"weight": Outer(x, grad), "bias": Vector(bias)}


def embedding(module: nn.Embedding, call: Call, grad: torch.Tensor) -> dict[str, Factor]:
    """Rule for `torch.nn.Embedding`.

    `module` is the table, `call` its call with indices (batch, ...), and `grad` the gradient at its
    output, (batch, ..., columns).
    """
    if call.x.dim() == 1:  # one index per sample
        index, grad = call.x[:, None], grad[:, None]  # (batch, 1), (batch, 1, columns)
    else:
        index = call.x.flatten(1)  # (batch, positions)
        grad = grad.flatten(1, -2)  # (batch, positions, columns)
    if module.padding_idx is not None:  # autograd gives this row no gradient
        grad = grad * (index != module.padding_idx)[..., None]  # (batch, positions, columns)
    return {"weight": Rows(index, grad)}


def layer_norm(module: nn.LayerNorm, call: Call, grad: torch.Tensor) -> dict[str, Factor]:
    """Rule for `torch.nn.LayerNorm` over the last dimension.

    `module`, `call` and `grad` are those of `linear`; input and gradient are (batch, ..., size).
    """
    normal = functional.layer_norm(call.x, module.normalized_shape, eps=module.eps)
    factors: dict[str, Factor] = {"weight": Vector(_sum_positions(grad * normal))}  # (batch, size)
    if module.bias is not None:
        factors["bias"] = Vector(_sum_positions(grad))  # (batch, size)
    return factors


def rms_norm(module: nn.Module, call: Call, grad: torch.Tensor) -> dict[str, Factor]:
    """Rule for RMSNorm over the last dimension, with a weight that scales or adds to 1.

    `module`, `call` and `grad` are those of `linear`; input and gradient are (batch, ..., size).
    """
    x = call.x.float() if call.x.dtype != torch.float64 else call.x  # (batch, ..., size)
    normal = functional.rms_norm(x, x.shape[-1:], eps=_find_epsilon(module))  # (batch, ..., size)
    return {"weight": Vector(_sum_positions(grad * normal.to(grad.dtype)))}  # (batch, size)


def by_vjp(module: nn.Module, call: Call, grad: torch.Tensor) -> dict[str, Factor]:
    """Rule for any `module`: differentiate it alone, for each sample of the batch.

    `call.split` says which arguments of `call` belong to the samples; they share all others. `grad`
    is the gradient at the output, (batch, ...).
    """
    own = {name: parameter.detach() for name, parameter in module.named_parameters(recurse=False)}
    flat, spec = torch.utils._pytree.tree_flatten((call.args, call.kwargs))
    split = call.find_split(len(grad)) if call.split is None else call.split

    def one(sample_grad: torch.Tensor, *values: torch.Tensor) -> dict[str, torch.Tensor]:
        inputs = list(flat)
        for i, value in zip(split, values, strict=True):
            inputs[i] = value[None]  # (1, ...)

        def forward(parameters: Mapping[str, torch.Tensor]) -> torch.Tensor:
            args, kwargs = torch.utils._pytree.tree_unflatten(inputs, spec)
            return functional_call(module, dict(parameters), args, kwargs)

        pull_back = vjp(forward, own)[1]
        return pull_back(sample_grad[None])[0]

    values = [flat[i].detach() for i in split]
    try:
        found = vmap(one)(grad, *values)  # name → (batch, *shape)
    except RuntimeError:  # what vmap cannot do, a loop can
        each = [one(grad[b], *(value[b] for value in values)) for b in range(len(grad))]
        found = {name: torch.stack([sample[name] for sample in each]) for name in own}
    return {name: Vector(gradient.flatten(1)) for name, gradient in found.items()}


RULES: dict[type[nn.Module], Rule] = {
    nn.Linear: linear,
    Conv1D: conv1d,
    nn.Embedding: embedding,
    nn.LayerNorm: layer_norm,
    nn.RMSNorm: rms_norm,
}


def find_rule(module: nn.Module) -> Rule | None:
    """Find the rule for a module by its type; None if it has too many parameters for `by_vjp`.

    A subclass that inherits its `forward` has the rule of its base. An RMSNorm is recognised by its
    parameters. The check in `coverage` decides whether a rule is right for a model.
    """
    for kind, rule in RULES.items():
        if isinstance(module, kind) and type(module).forward is kind.forward:
            return rule
    own = dict(module.named_parameters(recurse=False))
    if isinstance(module, nn.Embedding):  # `Recorder` watches the look-ups inside it
        return embedding
    if set(own) == {"weight"} and own["weight"].dim() == 1 and _find_epsilon(module) is not None:
        return rms_norm
    return by_vjp if sum(each.numel() for each in own.values()) <= FEW else None


def _find_epsilon(module: nn.Module) -> float | None:
    """The number that a norm adds to a mean square; None if the module has none."""
    for name in ("eps", "variance_epsilon", "epsilon", "norm_eps"):
        value = getattr(module, name, None)
        if isinstance(value, float):
            return value
    return None


def _with_positions(x: torch.Tensor) -> torch.Tensor:
    """(batch, ..., size) as (batch, positions, size); no dimension in between is one position."""
    return x.flatten(1, -2) if x.dim() > 2 else x[:, None]


def _sum_positions(x: torch.Tensor) -> torch.Tensor:
    """(batch, ..., size) summed to (batch, size)."""
    middle = tuple(range(1, x.dim() - 1))
    return x.sum(middle) if middle else x
