"""How a model uses its parameters, found with a probe, and a check that the rules cover them.

The structure of a model does not show everything: DeBERTa reads a table of relative positions as a
whole and shares it between samples, a classifier may read only the first token, a custom forward
pass may use a weight outside its module.

The check compares, for one made-up sample, each parameter's gradient by rule with plain autograd's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from .factors import Factor, Outer, dense, join
from .gradients import RULES, Recorder, UncoveredError, sample_losses, trainable

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Largest length of the difference between a gradient by rule and by autograd, relative to the
# length of autograd's. Rounding gives about 1e-16, 1e-7, 5e-4 and 5e-3 on a CPU, so there is room
# for other orders of sums; a wrong gradient is wrong by about its own length.
TOLERANCE = {
    torch.float64: 1e-9,
    torch.float32: 1e-4,
    torch.float16: 1e-2,
    torch.bfloat16: 3e-2,
}
# Some gradients are zero but for rounding (attention's key biases shift all scores alike). So a
# gradient shorter than this share of the longest parameter's is compared relative to that share.
SHORTEST = 0.03


@dataclass(frozen=True)
class Plan:
    """What `Recorder` and `Store` need to know about a model.

    Attributes
    ----------
    whole_tables : frozenset of str
        Tables that the model reads as a whole; their gradients come from plain autograd.
    single_sample : bool
        The model shares tensors between samples, so each batch is one sample.
    first_position : frozenset of str
        Parameters whose gradient at the output is zero after the first position.
    """

    whole_tables: frozenset[str] = frozenset()
    single_sample: bool = False
    first_position: frozenset[str] = frozenset()


def probe(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> Plan:
    """Find out how a model uses its parameters, and check the rules against plain autograd.

    Parameters
    ----------
    model : transformers sequence classifier
        The model, left as it was.
    batch : dict of torch.Tensor
        A batch of one sample, as `batches.pad_batch` makes it. With a single token, nothing shows
        whether the model reads only the first.

    Returns
    -------
    Plan
        How the model uses its parameters.

    Raises
    ------
    UncoveredError
        A parameter whose gradient by rule differs from autograd's; the message names it.
    """
    shared, called = _call_twice(model, batch)
    read_whole = _tables(model) - called
    parameters = trainable(model)
    tables = {name for name, parameter in parameters.items() if id(parameter) in read_whole}
    whole_tables = frozenset(tables) if shared else frozenset()
    autograd = _gradients(model, batch)
    errors = {name: _length(gradient) for name, gradient in autograd.items()}  # if none arrives
    first_position = set()

    def receive(name: str, factors: list[Factor]) -> None:
        shape = parameters[name].shape
        factor = join(factors, shape)
        errors[name] = _length(dense(factor, shape)[0] - autograd[name])
        if isinstance(factor, Outer) and _is_first_only(factor):
            first_position.add(name)

    with Recorder(model, whole_tables, shared) as recorder:
        recorder.run(batch, receive)
    _check(errors, autograd)
    return Plan(whole_tables, shared, frozenset(first_position))


def _gradients(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Each parameter's gradient by plain autograd, flattened to (weights,)."""
    parameters, training = trainable(model), model.training
    model.eval()
    try:
        with torch.enable_grad():
            loss = sample_losses(model, batch).sum()  # ()
            found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    finally:
        model.train(training)
    return {
        name: torch.zeros_like(parameter).flatten() if gradient is None else gradient.flatten()
        for (name, parameter), gradient in zip(parameters.items(), found, strict=True)
    }


def _check(errors: dict[str, float], autograd: dict[str, torch.Tensor]) -> None:
    """Raise `UncoveredError` for a parameter whose gradient by rule is not autograd's."""
    lengths = {name: _length(gradient) for name, gradient in autograd.items()}
    shortest = SHORTEST * max(lengths.values())
    for name, error in errors.items():
        tolerance = TOLERANCE[autograd[name].dtype]
        if error > tolerance * max(lengths[name], shortest):
            raise UncoveredError(
                f"the gradient of {name} does not come only from calls of its module: by rule it "
                f"differs from autograd's by {error:.4g}, of a length of {lengths[name]:.4g} "
                f"(allowed is {tolerance:g} of it). Freeze the parameter to leave it out"
            )


def _length(gradient: torch.Tensor) -> float:
    """Euclidean norm, computed at least in float32."""
    dtype = torch.promote_types(gradient.dtype, torch.float32)
    return float(torch.linalg.vector_norm(gradient, dtype=dtype))


def _is_first_only(factor: Outer) -> bool:
    """Whether there are several positions, and a gradient at the first of them only."""
    return factor.left.shape[1] > 1 and not bool(factor.left[:, 1:].any())


def _call_twice(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> tuple[bool, set[int]]:
    """Run the sample twice in one batch.

    Returns whether a tensor is shared between samples, and the ids of the embedding tables that
    were called.
    """
    inputs = {
        name: value.expand(2, *value.shape[1:])  # (2, tokens)
        for name, value in batch.items()
        if name != "labels"
    }
    shared, called, handles = [], set(), []

    def watch(module: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        if isinstance(module, nn.Embedding):
            called.add(id(module.weight))
        elif output.shape[0] != 2:
            shared.append(module)

    for module in model.modules():
        if type(module) in RULES:
            handles.append(module.register_forward_hook(watch))
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            model(**inputs)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return bool(shared), called


def _tables(model: nn.Module) -> set[int]:
    """The ids of all embedding tables."""
    return {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}


def group_of(name: str) -> str:
    """The group of a parameter by its name: 'layer-00', 'layer-01', …, 'embeddings' or 'head'."""
    number = re.search(r"(?:^|\.)(?:layers?|h|blocks?)\.(\d+)\.", name)
    if number:
        return f"layer-{int(number[1]):02d}"
    return "embeddings" if re.search(r"embed|encoder\.|wte|wpe", name) else "head"
