"""How a model uses its parameters, found with a probe, and a check that the rules cover them.

The structure of a model does not show everything: DeBERTa reads a table of relative positions as a
whole and shares it between samples, a classifier may read only the first token, a custom forward
pass may use a weight outside its module, an answer may depend on the padding.

The check compares each parameter's gradient by rule with plain autograd's: of one sample first,
then of two in a batch. Parameters that fail the first get their gradients from autograd, in batches
of one sample. A model that fails the second gets batches of equal length, or of one sample.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from .batches import Sample, pad_batch
from .factors import Factor, Outer, dense, join
from .gradients import (
    Recorder,
    RuleError,
    UncoveredError,
    evaluating,
    read_logits,
    sample_losses,
    trainable,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Largest length of the difference between a gradient by rule and by autograd, relative to the
# length of autograd's. Rounding gives about 1e-16, 1e-7, 5e-4 and 5e-3 on a CPU, which leaves a
# margin for other summation orders; a wrong gradient is wrong by about its own length.
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
    by_autograd : frozenset of str
        Parameters for which no rule holds; plain autograd gives their gradients.
    single_sample : bool
        Each batch is one sample: some gradients come from autograd, or samples share tensors.
    equal_length : bool
        The model's answer depends on padding, so the samples of a batch are of equal length.
    first_position : frozenset of str
        Parameters whose gradient at the output is zero after the first position.
    split : mapping of str to tuple of int
        What belongs to the samples among the arguments of modules; see `Recorder`.
    """

    by_autograd: frozenset[str] = frozenset()
    single_sample: bool = False
    equal_length: bool = False
    first_position: frozenset[str] = frozenset()
    split: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def probe(model: PreTrainedModel, pad_token_id: int, samples: Sequence[Sample]) -> Plan:
    """Find out how a model uses its parameters, and check the rules against plain autograd.

    Parameters
    ----------
    model : transformers sequence classifier
        The model, left as it was.
    pad_token_id : int
        Pads the shorter sample in a batch of two.
    samples : sequence of dict
        Two samples of different lengths and a third of the first one's length, of several tokens
        where the model takes them: a single token does not show which modules read only the first.

    Returns
    -------
    Plan
        How the model uses its parameters.

    Raises
    ------
    UncoveredError
        The model gives different outputs for the same sample, or cannot be run on one sample.
    """
    long, short, other = ([sample] for sample in samples)
    device = next(model.parameters()).device

    def pad(group: Sequence[Sample]) -> dict[str, torch.Tensor]:
        return pad_batch(group, pad_token_id, device)

    _check_answers(model, pad(long))
    alone = [pad(group) for group in (long, short, other)]
    truth = [_gradients(model, batch) for batch in alone]
    by_autograd = _find_uncovered(model, alone[0], truth[0])
    if by_autograd:
        return _add_first_position(model, Plan(by_autograd, single_sample=True), alone[0])
    for equal_length, pair, expected in (
        (False, [*long, *short], [truth[0], truth[1]]),
        (True, [*long, *other], [truth[0], truth[2]]),
    ):
        split = _holds_in_batches(model, pad(pair), expected)
        if split is not None:
            plan = Plan(equal_length=equal_length, split=split)
            return _add_first_position(model, plan, alone[0])
    return _add_first_position(model, Plan(single_sample=True), alone[0])


def _check_answers(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> None:
    """Raise `UncoveredError` if the model gives different outputs for the same sample."""
    with evaluating(model), torch.no_grad():
        first, second = (read_logits(model, batch) for _ in range(2))  # (1, classes)
    largest = float(first.abs().max())
    if not float((first - second).abs().max()) <= TOLERANCE[first.dtype] * largest:
        raise UncoveredError(
            f"{type(model).__name__} gives different outputs for the same sample, "
            f"{first[0].tolist()} and {second[0].tolist()}, so its gradients are random too; "
            "allowed are models whose forward pass draws nothing at random in eval mode"
        )


def _find_uncovered(
    model: PreTrainedModel, batch: dict[str, torch.Tensor], truth: dict[str, torch.Tensor]
) -> frozenset[str]:
    """The parameters whose gradient by rule is not autograd's, on a single sample."""
    uncovered: frozenset[str] = frozenset()
    while True:
        try:
            found, _, _ = _by_rule(model, Plan(uncovered, single_sample=True), batch)
        except RuleError as error:
            wrong = error.names
        else:
            wrong = _find_wrong(found, [truth])
        if not wrong - uncovered:
            return uncovered
        uncovered |= wrong


def _holds_in_batches(
    model: PreTrainedModel, batch: dict[str, torch.Tensor], truth: list[dict[str, torch.Tensor]]
) -> dict[str, tuple[int, ...]] | None:
    """Check that each sample of a batch has the gradients that it has alone.

    Returns the `split` of a plan if so, else None.
    """
    try:
        found, _, split = _by_rule(model, Plan(), batch)
    except (RuleError, RuntimeError, ValueError, LookupError):  # it may take no batches at all
        return None
    return None if _find_wrong(found, truth) else split


def _add_first_position(model: PreTrainedModel, plan: Plan, batch: dict[str, torch.Tensor]) -> Plan:
    _, first_position, _ = _by_rule(model, replace(plan, single_sample=True), batch)
    return replace(plan, first_position=first_position)


def _by_rule(
    model: PreTrainedModel, plan: Plan, batch: dict[str, torch.Tensor]
) -> tuple[list[dict[str, torch.Tensor]], frozenset[str], dict[str, tuple[int, ...]]]:
    """Each sample's gradients as the plan gives them, its `first_position` and its `split`."""
    parameters = trainable(model)
    size = len(batch["labels"])
    found = [
        {name: torch.zeros_like(parameter).flatten() for name, parameter in parameters.items()}
        for _ in range(size)
    ]
    first_position = set()

    def receive(name: str, factors: list[Factor]) -> None:
        shape = parameters[name].shape
        wanted = (size, shape.numel())
        try:
            factor = join(factors, shape)
            gradients = dense(factor, shape)  # (batch, weights)
        except (RuntimeError, ValueError, LookupError) as error:
            raise RuleError(
                f"the factors of {name} do not fit each other: {error}", [name]
            ) from error
        if gradients.shape != wanted:
            raise RuleError(
                f"the rule gives {name}, of shape {tuple(shape)}, gradients of shape "
                f"{tuple(gradients.shape)}; allowed is {wanted}: (batch, weights)",
                [name],
            )
        if isinstance(factor, Outer) and _is_first_only(factor):
            first_position.add(name)
        for sample, gradient in zip(found, gradients, strict=True):
            sample[name] = gradient.detach()

    with Recorder(model, plan.by_autograd, plan.single_sample) as recorder:
        recorder.run(batch, receive)
    return found, frozenset(first_position), recorder.split


def _find_wrong(
    found: list[dict[str, torch.Tensor]], truth: list[dict[str, torch.Tensor]]
) -> frozenset[str]:
    """The parameters whose gradient differs from the truth in one of the samples."""
    wrong = set()
    for by_rule, autograd in zip(found, truth, strict=True):
        lengths = {name: _length(gradient) for name, gradient in autograd.items()}
        shortest = SHORTEST * max(lengths.values())
        for name, gradient in autograd.items():
            error = _length(by_rule[name] - gradient)
            tolerance = TOLERANCE[gradient.dtype]
            if not error <= tolerance * max(lengths[name], shortest):
                wrong.add(name)
    return frozenset(wrong)


def _gradients(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Each parameter's gradient by plain autograd, flattened to (weights,)."""
    parameters = trainable(model)
    with evaluating(model), torch.enable_grad():
        loss = sample_losses(model, batch).sum()  # ()
        found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    return {
        name: torch.zeros_like(parameter).flatten() if gradient is None else gradient.flatten()
        for (name, parameter), gradient in zip(parameters.items(), found, strict=True)
    }


def _length(gradient: torch.Tensor) -> float:
    """Euclidean norm, computed at least in float32."""
    dtype = torch.promote_types(gradient.dtype, torch.float32)
    return float(torch.linalg.vector_norm(gradient, dtype=dtype))


def _is_first_only(factor: Outer) -> bool:
    """Whether there are several positions, and a gradient at the first of them only."""
    return factor.left.shape[1] > 1 and not bool(factor.left[:, 1:].any())


def group_of(name: str) -> str:
    """Return a parameter's group, by its name: 'layer-00', 'layer-01', …, 'embeddings', 'head'."""
    number = re.search(r"(?:^|\.)(?:layers?|h|blocks?)\.(\d+)\.", name)
    if number:
        return f"layer-{int(number[1]):02d}"
    return "embeddings" if re.search(r"embed|encoder\.|wte|wpe", name) else "head"
