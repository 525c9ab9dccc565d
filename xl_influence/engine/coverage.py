"""How a model uses its parameters, found with a probe, and a check that the rules cover them.

The structure of a model does not show everything: DeBERTa reads a table of relative positions as a
whole and shares it between samples, a classifier may read only the first token, a custom forward
pass may use a weight outside its module, an answer may depend on the padding.

The check compares each parameter's gradient by rule with plain autograd's: of one sample first,
then of two in a batch (`probing` chooses them). Parameters that fail the first get their gradients
from autograd, in batches of one sample. A model that fails the second gets batches of equal length,
or of one sample.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import torch

from .batches import Sample, pad_batch
from .factors import Factor, Outer, dense, join
from .gradients import Recorder, RuleError, evaluating, trainable
from .losses import UncoveredError, compute_losses, read_logits

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Largest difference between two outputs for the same sample, relative to the largest output
REPEATED = {
    torch.float64: 1e-9,
    torch.float32: 1e-4,
    torch.float16: 1e-2,
    torch.bfloat16: 3e-2,
}
# Largest length of the difference between a gradient by rule and by autograd, relative to the
# length of autograd's. Rounding gives about 1e-16, 1e-7, 5e-4 and 5e-3 on a CPU, ten times as much
# for inputs of 100 tokens. That leaves a margin for other summation orders; a wrong gradient is
# wrong by about its own length.
TOLERANCE = REPEATED | {torch.float16: 5e-2, torch.bfloat16: 0.2}
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


def probe(
    model: PreTrainedModel,
    pad_token_id: int,
    groups: Sequence[Sequence[Sample]],
    plan: Plan | None = None,
) -> Plan:
    """Find out how a model uses its parameters, and check the rules against plain autograd.

    Parameters
    ----------
    model : transformers sequence classifier
        The model, left as it was.
    pad_token_id : int
        Pads the shorter sample in a batch of two.
    groups : sequence of sequence of dict
        Groups of three samples: a long one, a short one, and another of the first one's length. A
        long one of several tokens shows most: a single token does not show which modules read only
        the first. Their labels do not matter.
    plan : Plan, optional
        What is known of the model from other samples.

    Returns
    -------
    Plan
        How the model uses its parameters, on all of these samples.

    Raises
    ------
    UncoveredError
        The model gives different outputs or gradients for the same sample, or one that is no
        number, or none for each class, or it fails on a sample.
    """
    first = [plan.first_position] if plan else []
    plan = plan or Plan()
    for group in groups:
        plan = _examine(model, pad_token_id, group, plan)
        if len(group[0]["input_ids"]) > 1:
            first.append(plan.first_position)
    return replace(plan, first_position=frozenset.intersection(*first or [frozenset()]))


class _Probe(NamedTuple):
    """A sample with the class that the model finds least likely, and its gradients by autograd."""

    sample: Sample
    batch: dict[str, torch.Tensor]  # the sample alone
    gradients: dict[str, torch.Tensor]


def _examine(
    model: PreTrainedModel, pad_token_id: int, group: Sequence[Sample], plan: Plan
) -> Plan:
    """Weaken a plan until it holds for these three samples."""
    long, short = (_differentiate(model, pad_token_id, sample) for sample in group[:2])
    with explaining(model, long.sample):
        by_autograd, first_position = _find_uncovered(model, long, plan.by_autograd)
        by_autograd, _ = _find_uncovered(model, short, by_autograd)
        found = Plan(by_autograd, single_sample=True)
        if not by_autograd and not plan.single_sample:
            for equal_length in (False, True)[plan.equal_length :]:
                second = _differentiate(model, pad_token_id, group[2]) if equal_length else short
                split = _holds_in_batches(model, pad_token_id, (long, second), plan.split)
                if split is not None:
                    found = Plan(equal_length=equal_length, split=split)
                    break
        return replace(found, first_position=first_position - by_autograd)


@contextmanager
def explaining(model: PreTrainedModel, sample: Sample) -> Iterator[None]:
    """Turn an error of the model's own into an `UncoveredError` that says what to do.

    Parameters
    ----------
    model : transformers sequence classifier
        The model that runs meanwhile.
    sample : dict
        The sample that it runs on.
    """
    try:
        yield
    except (UncoveredError, torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # whatever another library raises
        first = (str(error).splitlines() or [""])[0].rstrip(".")
        raise UncoveredError(
            f"{type(model).__name__} fails on a sample of {len(sample['input_ids'])} tokens: "
            f"{type(error).__name__}: {first:.200}. The engine needs the model's output and its "
            "gradients in eval mode, one sample at a time. Check the model's settings (does it "
            "need a language?) and whether it takes samples that short or long; a model that "
            "cannot be differentiated in eval mode is not supported"
        ) from error


def _differentiate(model: PreTrainedModel, pad_token_id: int, sample: Sample) -> _Probe:
    device = next(model.parameters()).device
    with explaining(model, sample):
        chosen = _relabel(model, sample, pad_batch([sample], pad_token_id, device))
        batch = pad_batch([chosen], pad_token_id, device)
        return _Probe(chosen, batch, _gradients(model, batch))


def _relabel(model: PreTrainedModel, sample: Sample, batch: dict[str, torch.Tensor]) -> Sample:
    """Give a sample the class that the model finds least likely.

    The gradient of a class that the model is sure of is zero but for rounding. Raises
    `UncoveredError` if the model gives other outputs the second time.
    """
    with evaluating(model), torch.no_grad():
        first, second = (read_logits(model, batch) for _ in range(2))  # (1, classes)
    tokens, name = len(sample["input_ids"]), type(model).__name__
    if not bool(torch.isfinite(first).all()):
        raise UncoveredError(
            f"{name} gives outputs that are no finite numbers, {first[0].tolist()}, for a sample "
            f"of {tokens} tokens; allowed are models whose outputs are finite"
        )
    largest = float(first.abs().max())
    if not float((first - second).abs().max()) <= REPEATED[first.dtype] * largest:
        raise UncoveredError(
            f"{name} gives different outputs for the same sample of {tokens} tokens, "
            f"{first[0].tolist()} and {second[0].tolist()}, so its gradients are random too; "
            "allowed are models whose forward pass draws nothing at random in eval mode"
        )
    return {**sample, "label": int(first[0].argmin())}


def _find_uncovered(
    model: PreTrainedModel, alone: _Probe, uncovered: frozenset[str]
) -> tuple[frozenset[str], frozenset[str]]:
    """The parameters whose gradient by rule is not autograd's, and the plan's `first_position`.

    `uncovered` are those that are known already. Raises `UncoveredError` if autograd itself gives
    other gradients the second time.
    """
    while True:
        try:
            plan = Plan(uncovered, single_sample=True)
            found = _take_by_rule(model, plan, alone.batch)
        except RuleError as error:
            wrong = error.names
            if not wrong - uncovered:
                raise
        except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
            everything = frozenset(alone.gradients)  # the hooks break this model
            if isinstance(error, torch.OutOfMemoryError) or uncovered == everything:
                raise
            wrong = everything
        else:
            wrong = _find_wrong(found.gradients, [alone.gradients])
            if random := sorted(wrong & uncovered):
                raise UncoveredError(
                    f"{type(model).__name__} gives different gradients for the same sample, of "
                    f"{random[0]} and {len(random) - 1} other parameters; allowed are models whose "
                    "backward pass draws nothing at random in eval mode"
                )
            if not wrong:
                return uncovered, found.first_position
        uncovered |= wrong


def _holds_in_batches(
    model: PreTrainedModel,
    pad_token_id: int,
    pair: tuple[_Probe, _Probe],
    split: Mapping[str, tuple[int, ...]],
) -> dict[str, tuple[int, ...]] | None:
    """Check that each sample of a batch has the gradients that it has alone.

    Returns the `split` of a plan if so, else None; the one given holds for its modules.
    """
    device = next(model.parameters()).device
    batch = pad_batch([each.sample for each in pair], pad_token_id, device)
    try:
        found = _take_by_rule(model, Plan(split=split), batch)
    except (RuleError, RuntimeError, ValueError, LookupError):  # it may take no batches at all
        return None
    wrong = _find_wrong(found.gradients, [each.gradients for each in pair])
    return None if wrong else found.split


class _ByRule(NamedTuple):
    """Each sample's gradients by parameter, and two attributes of the `Plan` that fits them."""

    gradients: list[dict[str, torch.Tensor]]
    first_position: frozenset[str]
    split: dict[str, tuple[int, ...]]


def _take_by_rule(model: PreTrainedModel, plan: Plan, batch: dict[str, torch.Tensor]) -> _ByRule:
    """Compute the gradients of a batch as the plan says."""
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

    with Recorder(model, plan.by_autograd, plan.single_sample, plan.split) as recorder:
        recorder.run(batch, receive)
    return _ByRule(found, frozenset(first_position), recorder.split)


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
        loss = compute_losses(model, batch).sum()  # ()
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
