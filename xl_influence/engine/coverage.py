"""How a model uses its parameters, found by probing it, and proof that the rules give all of its gradient.

The structure of a model does not show everything: DeBERTa reads a table of relative positions whole and shares it
between samples, a classifier may read the first token only, a custom forward pass may use a weight outside its module.
"""

import re
from dataclasses import dataclass

import torch
from torch import nn

from .gradients import RULES, Outer, Recorder, UncoveredError, dense, join, sample_losses, trainable


@dataclass(frozen=True)
class Plan:
    """What `Recorder` and the products need to know about a model."""

    direct: frozenset = (
        frozenset()
    )  # tables that the model reads whole; their gradients come from plain autograd
    alone: bool = False  # the model shares tensors between samples: one sample per pass
    first: frozenset = (
        frozenset()
    )  # parameters whose output gradient is zero after the first position


def probe(model, batch):
    """The `Plan` of a model, from a batch of one sample with at least two tokens where there is one.

    Compares the gradient by rules with plain autograd, parameter by parameter; `UncoveredError` names what differs.
    """
    shared, called = _calls(model, batch)
    tables = {name for name, p in trainable(model).items() if id(p) in _tables(model) - called}
    squares, first = {}, set()

    def receive(name, factors):
        factor = join(factors, recorder.parameters[name].shape)
        squares[name] = float(
            torch.linalg.vector_norm(dense(factor, recorder.parameters[name].shape)) ** 2
        )
        if (
            isinstance(factor, Outer)
            and factor.left.shape[1] > 1
            and not bool(factor.left[:, 1:].any())
        ):
            first.add(name)

    direct = {name for name in tables if shared}
    with Recorder(model, direct, shared) as recorder:
        recorder.run(batch, receive)
    _compare(model, batch, squares)
    return Plan(frozenset(direct), shared, frozenset(first))


def _compare(model, batch, squares):
    """`UncoveredError` where the squared norms by rule differ from plain autograd's."""
    parameters, training = trainable(model), model.training
    model.eval()
    with torch.enable_grad():
        loss = sample_losses(model, batch).sum()
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    model.train(training)
    truth = {
        n: 0.0 if g is None else float(g.norm() ** 2)
        for n, g in zip(parameters, gradients, strict=True)
    }
    slack = 1e-9 * max(truth.values())
    for name, square in truth.items():
        if abs(squares.get(name, 0.0) - square) > max(1e-2 * square, slack):
            raise UncoveredError(
                f"the gradient of {name} does not come from calls of its module alone (squared norm "
                f"{squares.get(name, 0.0):.4g} by rule, {square:.4g} by autograd). Freeze it to leave it out"
            )


def _calls(model, batch):
    """Runs the sample twice in one batch: (is a tensor shared between samples?, ids of the embedding tables called)."""
    pair = {name: value.expand(2, *value.shape[1:]) for name, value in batch.items()}
    shared, called, handles = [], set(), []

    def watch(module, args, output):
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
            model(**{name: value for name, value in pair.items() if name != "labels"})
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return bool(shared), called


def _tables(model):
    return {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}


def group_of(name):
    """Group of a parameter: 'layer-00' …, 'embeddings' or 'head'."""
    number = re.search(r"(?:^|\.)(?:layers?|h|blocks?)\.(\d+)\.", name)
    if number:
        return f"layer-{int(number[1]):02d}"
    return "embeddings" if re.search(r"embed|encoder\.|wte|wpe", name) else "head"
