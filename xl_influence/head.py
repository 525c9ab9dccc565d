"""Gradients of the head alone: a cheap score that finds candidates for exact influence.

The head's gradient needs a forward pass and the few layers of the head, no pass back through the
encoder. For a Linear layer it is the product of two vectors, the layer's input and the gradient at
its output, so we keep those two. `read` computes them once for all training samples of a run, at
all of its checkpoints, and keeps them in the run's folder.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from . import encoders, runs
from .engine.arithmetic import arithmetic
from .engine.batches import (
    Sample,
    choose_max_tokens,
    find_pad_token_id,
    make_batches,
    pad_batch,
)
from .engine.coverage import group_of
from .manifest import read_manifest
from .sections import Influence

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FILE = "head.npz"  # in the run's folder
ONCE = "gradients of the head, only the first time"  # beside the progress bar


class HeadError(ValueError):
    """The model has no head whose gradients we can compare, or a checkpoint is missing."""


@dataclass(frozen=True)
class Layer:
    """One Linear layer of the head, with the gradients of some samples.

    Attributes
    ----------
    inputs : numpy.ndarray
        (samples, in), float16: what went into the layer.
    grads : numpy.ndarray
        (samples, out), float16: the loss gradient at its output, divided by the length of the
        sample's gradient over the whole head.
    bias : bool
        Whether the layer has a bias, whose gradient is `grads`.
    """

    inputs: np.ndarray
    grads: np.ndarray
    bias: bool


Head = list[Layer]  # the gradients of some samples at one checkpoint


def compare(test: Sequence[Head], train: Sequence[Head]) -> np.ndarray:
    """Compute cosines of the head's gradients, summed over checkpoints: the cheap score.

    Parameters
    ----------
    test, train : sequence of Head
        One for each checkpoint.

    Returns
    -------
    numpy.ndarray
        (test, train), float32.
    """
    terms = [
        _dot(a.grads, b.grads) * (a.bias + _dot(a.inputs, b.inputs))
        for heads in zip(test, train, strict=True)
        for a, b in zip(*heads, strict=True)
    ]
    return functools.reduce(operator.add, terms)


def compare_states(test: Sequence[Head], train: Sequence[Head]) -> np.ndarray:
    """Compute cosines of the hidden states that enter the head, summed over checkpoints.

    They do not depend on labels. This is a baseline for `compare`.

    Parameters
    ----------
    test, train
        As for `compare`.

    Returns
    -------
    numpy.ndarray
        (test, train), float32.
    """
    terms = [_dot(_unit(a[0].inputs), _unit(b[0].inputs)) for a, b in zip(test, train, strict=True)]
    return functools.reduce(operator.add, terms)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a.astype(np.float32) @ b.astype(np.float32).T


def _unit(rows: np.ndarray) -> np.ndarray:
    rows = rows.astype(np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def compute(
    model: PreTrainedModel,
    samples: Sequence[Sample],
    *,
    max_tokens: int = 0,
    progress: Callable[[int], Any] | None = None,
) -> Head:
    """Compute the head's gradients of some samples.

    Parameters
    ----------
    model : transformers sequence classifier
        The model, in eval mode and on the device that computes.
    samples : sequence of dict
        `input_ids` and `label`.
    max_tokens : int
        Tokens in a batch, padding included; 0: as suits the device.
    progress : callable, optional
        Called with the number of samples that were finished since the last call.

    Returns
    -------
    Head
        One entry for each Linear layer of the head, from input to output, samples in the order
        given.

    Raises
    ------
    HeadError
        The head has no Linear layer.
    """
    device = next(model.parameters()).device
    order: list[int] = []
    parts: list[Head] = []
    with _recording(model) as calls, arithmetic(device):
        for rows in make_batches(samples, max_tokens or choose_max_tokens(device)):
            batch = pad_batch([samples[row] for row in rows], find_pad_token_id(model), device)
            labels = batch.pop("labels")
            calls.clear()
            loss = functional.cross_entropy(model(**batch).logits, labels, reduction="sum")
            grads = torch.autograd.grad(loss, [call.output for call in calls])
            parts.append([_make_layer(*pair) for pair in zip(calls, grads, strict=True)])
            order += rows
            if progress:
                progress(len(rows))
    back = np.argsort(order)
    return _normalized([_join(layers, back) for layers in zip(*parts, strict=True)])


class _Call(NamedTuple):
    """What a Linear layer of the head was given and returned, and whether it has a bias."""

    inputs: torch.Tensor
    output: torch.Tensor
    bias: bool


@contextmanager
def _recording(model: PreTrainedModel) -> Iterator[list[_Call]]:
    """Record each call of a Linear layer of the head.

    Meanwhile no other parameter requires a gradient, so the encoder keeps no graph.
    """
    modules = [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and group_of(f"{name}.weight") == "head"
    ]
    if not modules:
        raise HeadError(f"{type(model).__name__}: its head has no Linear layer to compare")
    calls: list[_Call] = []

    def record(module: nn.Linear, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        calls.append(_Call(inputs[0].detach(), output, module.bias is not None))

    wanted = {id(parameter) for module in modules for parameter in module.parameters()}
    before = {parameter: parameter.requires_grad for parameter in model.parameters()}
    hooks = [module.register_forward_hook(record) for module in modules]
    try:
        for parameter in before:
            parameter.requires_grad_(id(parameter) in wanted)
        yield calls
    finally:
        for hook in hooks:
            hook.remove()
        for parameter, required in before.items():
            parameter.requires_grad_(required)


def _make_layer(call: _Call, grad: torch.Tensor) -> Layer:
    """A layer of one batch, at the position that the answer depends on."""
    inputs = call.inputs
    if grad.dim() == 3:  # a layer that runs over all tokens: (batch, tokens, dim)
        rows = torch.arange(len(grad), device=grad.device)
        position = grad.abs().sum(-1).argmax(1)
        inputs, grad = inputs[rows, position], grad[rows, position]
    return Layer(inputs.float().cpu().numpy(), grad.float().cpu().numpy(), call.bias)


def _join(parts: Sequence[Layer], order: np.ndarray) -> Layer:
    """The batches of a layer as one, the samples in another order."""
    inputs, grads = (
        np.concatenate([getattr(part, name) for part in parts])[order]
        for name in ("inputs", "grads")
    )
    return Layer(inputs, grads, parts[0].bias)


def _normalized(layers: Head) -> Head:
    """The layers in float16, their gradients divided by the length over the whole head."""
    square = sum(
        (layer.grads**2).sum(1) * (layer.bias + (layer.inputs**2).sum(1)) for layer in layers
    )
    length = np.maximum(np.sqrt(square), 1e-30)[:, None]  # (samples, 1)
    return [
        Layer(
            layer.inputs.astype(np.float16), (layer.grads / length).astype(np.float16), layer.bias
        )
        for layer in layers
    ]


def find_checkpoints(run: Path) -> list[Path]:
    """Return the folders of a run's checkpoints, from the first epoch to the chosen one.

    Parameters
    ----------
    run : Path
        The run's folder.

    Raises
    ------
    HeadError
        A checkpoint is missing; the message says what to do.
    """
    last = read_manifest(run)["chosen_epoch"]
    folders = [run / "checkpoints" / f"epoch-{epoch}" for epoch in range(1, last + 1)]
    for folder in folders:
        if not folder.is_dir():
            raise HeadError(
                f"{folder} does not exist: without its checkpoints there is no model to ask. "
                'Compute the run again in another folder, as in runs_root="runs-again"'
            )
    return folders


def load_model(folder: Path, device: torch.device) -> PreTrainedModel:
    """Load the model of the checkpoint in `folder` onto `device`."""
    model = encoders.load_checkpoint(folder)
    model.to(device)  # type: ignore[arg-type]  # transformers wraps the method without its types
    return model


def read(params: Influence, device: torch.device, progress: bool = True) -> list[Head]:
    """Read the head's gradients of all training samples of a run.

    They are computed the first time, which takes about a third of the time of the influence pass.

    Parameters
    ----------
    params : dict
        The run's parameters.
    device : torch.device
        Where to compute.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    list of Head
        One for each checkpoint; samples in the cube's order.
    """
    run = runs.find_folder(params)
    path, fingerprint = run / FILE, read_manifest(run)["finetune_fingerprint"]
    if path.exists():
        with np.load(path) as stored:
            if str(stored["mark"]) == fingerprint:
                return _unpack(stored)
    train, folders = runs.read_inputs(run, "train").to_dict("records"), find_checkpoints(run)
    total = len(train) * len(folders)
    with tqdm(total=total, unit="sample", desc=ONCE, disable=not progress) as bar:
        heads = [
            compute(
                load_model(folder, device),
                train,
                max_tokens=params["max_tokens"],
                progress=bar.update,
            )
            for folder in folders
        ]
    with runs.write_atomically(path) as partial, open(partial, "wb") as opened:
        arrays: dict[str, Any] = {"mark": np.array(fingerprint), **_pack(heads)}
        np.savez(opened, **arrays)
    return heads


def _pack(heads: Sequence[Head]) -> dict[str, np.ndarray]:
    """Name the arrays of a list of heads, for a file."""
    return {
        f"{number}/{place}/{name}": np.asarray(getattr(layer, name))
        for number, head in enumerate(heads)
        for place, layer in enumerate(head)
        for name in ("inputs", "grads", "bias")
    }


def _unpack(stored: Any) -> list[Head]:
    """The heads that `_pack` has named."""
    heads: list[Head] = []
    while f"{len(heads)}/0/bias" in stored:
        head: Head = []
        while (key := f"{len(heads)}/{len(head)}") + "/bias" in stored:
            values = {name: stored[f"{key}/{name}"] for name in ("inputs", "grads", "bias")}
            head.append(Layer(values["inputs"], values["grads"], bool(values["bias"])))
        heads.append(head)
    return heads
