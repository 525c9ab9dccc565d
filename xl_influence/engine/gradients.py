"""Per-sample gradients of a batch from one backward pass.

We freeze the weights, so the backward pass only carries gradients to the modules' inputs. Hooks
catch each module's input and the gradient at its output. A *rule* turns these two into the factors
of each sample's parameter gradient. If a parameter is used several times in a pass (tied weights, a
module called twice), we first collect the factors of all its uses.

There are rules for Linear, transformers' Conv1D, Embedding and LayerNorm; any other trainable
parameter raises `UncoveredError`. `coverage.Plan` describes what the modules do not show about how
a model uses its parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from .factors import Factor, Outer, Rows, Vector

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle
    from transformers import PreTrainedModel

Receive = Callable[[str, list[Factor]], None]


class UncoveredError(NotImplementedError):
    """No rule gives the per-sample gradient of a trainable parameter."""


def linear(module: nn.Linear, x: torch.Tensor, grad: torch.Tensor) -> dict[str, Factor]:
    """Rule for `torch.nn.Linear`.

    Parameters
    ----------
    module : torch.nn.Linear
        The module that was called.
    x : torch.Tensor
        Its input, (batch, ..., columns).
    grad : torch.Tensor
        The gradient at its output, (batch, ..., rows).

    Returns
    -------
    dict of factors
        By the parameter's name in the module. All rules have this form.
    """
    x = _with_positions(x)  # (batch, positions, columns)
    grad = _with_positions(grad)  # (batch, positions, rows)
    factors: dict[str, Factor] = {"weight": Outer(grad, x)}
    if module.bias is not None:
        factors["bias"] = Vector(grad.sum(1))  # (batch, rows)
    return factors


def _with_positions(x: torch.Tensor) -> torch.Tensor:
    """(batch, ..., size) as (batch, positions, size); no dimension in between is one position."""
    return x.flatten(1, -2) if x.dim() > 2 else x[:, None]


def embedding(module: nn.Embedding, index: torch.Tensor, grad: torch.Tensor) -> dict[str, Factor]:
    """Rule for `torch.nn.Embedding`, with `index` (batch, ...) and `grad` (batch, ..., columns)."""
    index = index.flatten(1)  # (batch, positions)
    grad = grad.flatten(1, -2)  # (batch, positions, columns)
    if module.padding_idx is not None:  # autograd gives this row no gradient
        grad = grad * (index != module.padding_idx)[..., None]  # (batch, positions, columns)
    return {"weight": Rows(index, grad)}


def layer_norm(module: nn.LayerNorm, x: torch.Tensor, grad: torch.Tensor) -> dict[str, Factor]:
    """Rule for `torch.nn.LayerNorm` over the last dimension; `x`, `grad` (batch, ..., size)."""
    normal = functional.layer_norm(x, module.normalized_shape, eps=module.eps)  # (batch, ..., size)
    factors: dict[str, Factor] = {"weight": Vector(_sum_positions(grad * normal))}
    if module.bias is not None:
        factors["bias"] = Vector(_sum_positions(grad))
    return factors


def _sum_positions(x: torch.Tensor) -> torch.Tensor:
    """(batch, ..., size) summed to (batch, size)."""
    middle = tuple(range(1, x.dim() - 1))
    return x.sum(middle) if middle else x


def conv1d(module: Conv1D, x: torch.Tensor, grad: torch.Tensor) -> dict[str, Factor]:
    """Rule for `transformers.pytorch_utils.Conv1D` (GPT-2): a Linear with its weight transposed."""
    x = _with_positions(x)  # (batch, positions, rows)
    grad = _with_positions(grad)  # (batch, positions, columns)
    return {"weight": Outer(x, grad), "bias": Vector(grad.sum(1))}


RULES: dict[type[nn.Module], Callable[..., dict[str, Factor]]] = {
    nn.Linear: linear,
    Conv1D: conv1d,
    nn.Embedding: embedding,
    nn.LayerNorm: layer_norm,
}


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that take part: name → parameter, for all that require a gradient.

    A parameter with several names (tied weights) has the first of them.
    """
    return {
        name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad
    }


class Recorder:
    """Runs batches through a model and hands over the factors of all per-sample gradients.

    Use it as a context manager: inside, the weights are frozen and the model is in eval mode;
    afterwards, all is as before.

    Parameters
    ----------
    model : transformers sequence classifier
        The model; `UncoveredError` names a trainable parameter outside all rules.
    whole_tables : iterable of str
        Names of the tables that the model reads whole instead of looking rows up. Plain autograd
        gives their gradients.
    single_sample : bool
        The model shares tensors between the samples of a batch, so a batch must be one sample.
    """

    def __init__(
        self, model: PreTrainedModel, whole_tables: Iterable[str] = (), single_sample: bool = False
    ) -> None:
        self.model, self.single_sample = model, single_sample
        self.whole_tables = frozenset(whole_tables)
        self.parameters = trainable(model)
        self.names = {id(parameter): name for name, parameter in self.parameters.items()}
        self.training = model.training
        self.handles: list[RemovableHandle] = []
        self.batch_size = 0
        self.receive: Receive
        self.expected: dict[int, int] = {}  # parameter's id → uses without a gradient yet
        self.found: dict[int, list[Factor]] = {}  # parameter's id → factors of its uses so far
        self._check_rules()

    def _check_rules(self) -> None:
        covered = set()
        for path, module in self.model.named_modules():
            has_rule = type(module) in RULES
            for name, parameter in module.named_parameters(recurse=False):
                if has_rule:
                    covered.add(id(parameter))
                elif id(parameter) in self.names and id(parameter) not in covered:
                    raise UncoveredError(
                        f"no rule gives the per-sample gradient of {path}.{name} in a "
                        f"{type(module).__name__}; there are rules for "
                        f"{', '.join(kind.__name__ for kind in RULES)}. Freeze the parameter to "
                        f"leave it out"
                    )

    def __enter__(self) -> Recorder:
        self.training = self.model.training
        self.handles = []
        self.model.eval()
        for name, parameter in self.parameters.items():
            parameter.requires_grad_(name in self.whole_tables)
        for path, module in self.model.named_modules():
            if type(module) in RULES:
                if isinstance(module, nn.Embedding):
                    self.handles.append(module.register_forward_pre_hook(self._expand))
                self.handles.append(module.register_forward_hook(self._watch(path)))
        return self

    def __exit__(self, *error: object) -> None:
        for handle in self.handles:
            handle.remove()
        for parameter in self.parameters.values():
            parameter.requires_grad_(True)
        self.model.train(self.training)

    def run(self, batch: dict[str, torch.Tensor], receive: Receive) -> None:
        """Run one forward and backward pass.

        The loss is the sum of the samples' cross-entropies, so the gradient that reaches the
        positions of a sample is that of its own loss alone.

        Parameters
        ----------
        batch : dict of torch.Tensor
            `labels` (batch,) and the model's inputs, as `batches.pad_batch` makes them.
        receive : callable
            Called as `receive(parameter name, [factors of each use])` for every parameter.
        """
        self.batch_size = len(batch["labels"])
        self.expected, self.found, self.receive = {}, {}, receive
        if self.single_sample and self.batch_size > 1:
            raise ValueError(
                "this model shares tensors between samples: a batch must be one sample"
            )
        with torch.enable_grad():
            sample_losses(self.model, batch).sum().backward()
        missing = [self.names[key] for key, count in self.expected.items() if count]
        if missing:
            raise UncoveredError(f"no gradient arrived for a use of {', '.join(missing)}")
        for name in self.whole_tables:
            gradient, self.parameters[name].grad = self.parameters[name].grad, None
            if gradient is not None:
                receive(name, [Vector(gradient.flatten()[None])])  # (1, weights)

    def _expand(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Give every sample its own copy of indices that the batch shares (position ids)."""
        index = args[0]  # (batch or 1, positions)
        if index.shape[0] == 1 and self.batch_size > 1:
            return (index.expand(self.batch_size, *index.shape[1:]), *args[1:])
        return None

    def _watch(self, path: str) -> Callable[..., torch.Tensor]:
        """The forward hook of the module at `path`, which requests the gradient at its output."""

        def hook(
            module: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor
        ) -> torch.Tensor:
            own = {
                name: parameter
                for name, parameter in module.named_parameters(recurse=False)
                if id(parameter) in self.names
            }
            if isinstance(module, nn.Embedding):
                output = output.detach().requires_grad_()  # here the backward pass ends
            if own and output.shape[0] != self.batch_size and not self.single_sample:
                raise UncoveredError(
                    f"{path}: called on {output.shape[0]} rows for {self.batch_size} samples"
                )
            for parameter in own.values():
                self.expected[id(parameter)] = self.expected.get(id(parameter), 0) + 1
            if own and output.requires_grad:
                x = args[0].detach()  # (batch, ..., columns)
                output.register_hook(lambda grad: self._collect_factors(module, own, x, grad))
            return output

        return hook

    def _collect_factors(
        self,
        module: nn.Module,
        own: dict[str, nn.Parameter],
        x: torch.Tensor,
        grad: torch.Tensor,
    ) -> None:
        """Apply the module's rule, and pass on the parameters whose last use this was."""
        if len(x) != self.batch_size:  # no batch dimension, in a batch of one sample
            x, grad = x[None], grad[None]  # (1, ..., columns), (1, ..., rows)
        factors = RULES[type(module)](module, x, grad)
        for name, parameter in own.items():
            key = id(parameter)
            self.found.setdefault(key, []).append(factors[name])
            self.expected[key] -= 1
            if not self.expected[key]:
                self.receive(self.names[key], self.found.pop(key))


def sample_losses(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Cross-entropy of each sample, (batch,)."""
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    logits = model(**inputs).logits.flatten(1)  # (batch, classes)
    return functional.cross_entropy(logits, batch["labels"], reduction="none")
