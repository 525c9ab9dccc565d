"""Per-sample gradients of a batch from one backward pass.

The weights are frozen, so the backward pass only carries gradients to the modules' inputs. Hooks take each module's
input and the gradient at its output; a *rule* makes of them the factors of each sample's parameter gradient. A parameter
used several times in a pass (tied weights, a module called twice) collects the factors of all its uses first.

Rules exist for Linear, transformers' Conv1D, Embedding and LayerNorm. Anything trainable beyond them is an
`UncoveredError`. How a model uses its parameters beyond what its modules tell is a `coverage.Plan`.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from transformers.pytorch_utils import Conv1D


class UncoveredError(NotImplementedError):
    """A trainable parameter whose per-sample gradient no rule gives."""


@dataclass
class Outer:
    """Gradient of sample b: sum over s of `left[b, s] ⊗ right[b, s]`, of shape (rows, columns)."""

    left: torch.Tensor  # (batch, positions, rows): gradient at the output
    right: torch.Tensor  # (batch, positions, columns): the input

    def to(self, dtype):
        return Outer(self.left.to(dtype), self.right.to(dtype))


@dataclass
class Rows:
    """Gradient of sample b: `values[b, s]` added to row `index[b, s]`; all other rows are zero."""

    index: torch.Tensor  # (batch, positions)
    values: torch.Tensor  # (batch, positions, columns)

    def to(self, dtype):
        return Rows(self.index, self.values.to(dtype))


@dataclass
class Vector:
    """Gradient of sample b: `values[b]`."""

    values: torch.Tensor  # (batch, size)

    def to(self, dtype):
        return Vector(self.values.to(dtype))


def linear(module, x, grad):
    """Factors for `torch.nn.Linear`, from input (batch, ..., in) and output gradient (batch, ..., out)."""
    x, grad = (
        x.flatten(1, -2) if x.dim() > 2 else x[:, None],
        grad.flatten(1, -2) if grad.dim() > 2 else grad[:, None],
    )
    factors = {"weight": Outer(grad, x)}
    if module.bias is not None:
        factors["bias"] = Vector(grad.sum(1))
    return factors


def embedding(module, index, grad):
    """Factors for `torch.nn.Embedding`, from indices (batch, ...) and output gradient (batch, ..., dim)."""
    index, grad = index.flatten(1), grad.flatten(1, -2)
    if module.padding_idx is not None:  # autograd gives this row no gradient
        grad = grad * (index != module.padding_idx)[..., None]
    return {"weight": Rows(index, grad)}


def layer_norm(module, x, grad):
    """Factors for `torch.nn.LayerNorm` over the last dimension."""
    normal = F.layer_norm(x, module.normalized_shape, eps=module.eps)
    middle = tuple(range(1, x.dim() - 1))
    factors = {"weight": Vector((grad * normal).sum(middle) if middle else grad * normal)}
    if module.bias is not None:
        factors["bias"] = Vector(grad.sum(middle) if middle else grad)
    return factors


def conv1d(module, x, grad):
    """Factors for `transformers.pytorch_utils.Conv1D` (GPT-2): a Linear with its weight transposed."""
    factors = linear(module, x, grad)
    factors["weight"] = Outer(factors["weight"].right, factors["weight"].left)
    return factors


RULES = {nn.Linear: linear, Conv1D: conv1d, nn.Embedding: embedding, nn.LayerNorm: layer_norm}


def trainable(model):
    """The parameters that take part: {first name: parameter} for every parameter that requires a gradient."""
    return {
        name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad
    }


class Recorder:
    """Runs batches through a model and hands over the factors of each parameter's per-sample gradients.

    Use as a context manager: inside, the weights are frozen and the model is in eval mode; after, all is as before.

    `direct`: names of tables that the model reads whole rather than by looking rows up; plain autograd gives their
    gradients. `alone`: the model shares tensors between the samples of a batch, so batches must hold one sample.
    """

    def __init__(self, model, direct=(), alone=False):
        self.model, self.direct, self.alone = model, frozenset(direct), alone
        self.parameters = trainable(model)
        self.names = {id(parameter): name for name, parameter in self.parameters.items()}
        covered = set()
        for path, module in model.named_modules():
            rule = RULES.get(type(module))
            for name, parameter in module.named_parameters(recurse=False):
                if rule:
                    covered.add(id(parameter))
                elif id(parameter) in self.names and id(parameter) not in covered:
                    raise UncoveredError(
                        f"no rule gives the per-sample gradient of {path}.{name} in a {type(module).__name__}; "
                        f"rules exist for {', '.join(kind.__name__ for kind in RULES)}. Freeze it to leave it out"
                    )

    def __enter__(self):
        self.training, self.handles = self.model.training, []
        self.model.eval()
        for name, parameter in self.parameters.items():
            parameter.requires_grad_(name in self.direct)
        for path, module in self.model.named_modules():
            if type(module) in RULES:
                if isinstance(module, nn.Embedding):
                    self.handles.append(module.register_forward_pre_hook(self._widen))
                self.handles.append(module.register_forward_hook(self._watch(path)))
        return self

    def __exit__(self, *error):
        for handle in self.handles:
            handle.remove()
        for parameter in self.parameters.values():
            parameter.requires_grad_(True)
        self.model.train(self.training)

    def run(self, batch, receive):
        """One forward and backward pass; calls `receive(parameter name, [factors of each use])` for every parameter.

        `batch`: dict with `labels` (batch,) and the model's inputs. The loss is the sum of each sample's cross-entropy,
        so what reaches a sample's positions is the gradient of its own loss alone.
        """
        self.batch_size, self.expected, self.found, self.receive = (
            len(batch["labels"]),
            {},
            {},
            receive,
        )
        if self.alone and self.batch_size > 1:
            raise ValueError("this model shares tensors between samples: one sample per batch")
        with torch.enable_grad():
            sample_losses(self.model, batch).sum().backward()
        late = [self.names[key] for key, count in self.expected.items() if count]
        if late:
            raise UncoveredError(f"no gradient arrived for a use of {', '.join(late)}")
        for name in self.direct:
            gradient, self.parameters[name].grad = self.parameters[name].grad, None
            if gradient is not None:
                receive(name, [Vector(gradient.flatten()[None])])

    def _widen(self, module, args):
        """Give every sample its own copy of indices that the model shares over the batch (position ids)."""
        if args[0].shape[0] == 1 and self.batch_size > 1:
            return (args[0].expand(self.batch_size, *args[0].shape[1:]), *args[1:])

    def _watch(self, path):
        def hook(module, args, output):
            own = {
                name: p for name, p in module.named_parameters(recurse=False) if id(p) in self.names
            }
            if isinstance(module, nn.Embedding):
                output = output.detach().requires_grad_()  # where the backward pass ends
            if own and output.shape[0] != self.batch_size and not self.alone:
                raise UncoveredError(
                    f"{path}: called on {output.shape[0]} rows for {self.batch_size} samples"
                )
            for parameter in own.values():
                self.expected[id(parameter)] = self.expected.get(id(parameter), 0) + 1
            if own and output.requires_grad:
                x = args[0].detach()
                output.register_hook(lambda grad: self._arrive(module, own, x, grad))
            return output

        return hook

    def _arrive(self, module, own, x, grad):
        if (
            len(x) != self.batch_size
        ):  # a tensor without a batch dimension, in a batch of one sample
            x, grad = x[None], grad[None]
        factors = RULES[type(module)](module, x, grad)
        for name, parameter in own.items():
            key = id(parameter)
            self.found.setdefault(key, []).append(factors[name])
            self.expected[key] -= 1
            if not self.expected[key]:
                self.receive(self.names[key], self.found.pop(key))


def sample_losses(model, batch):
    """Cross-entropy of each sample, (batch,)."""
    logits = model(**{name: value for name, value in batch.items() if name != "labels"}).logits
    return F.cross_entropy(logits.flatten(1), batch["labels"], reduction="none")


def join(factors, shape):
    """One set of factors for all uses of a parameter of that shape, exactly summed."""
    if len(factors) == 1:
        return factors[0]
    first = type(factors[0])
    if any(type(f) is not first for f in factors):  # an embedding tied to a Linear
        return Vector(sum(dense(f, shape) for f in factors))
    if first is Vector:
        return Vector(sum(f.values for f in factors))
    if first is Outer:
        return Outer(
            torch.cat([f.left for f in factors], 1), torch.cat([f.right for f in factors], 1)
        )
    return Rows(torch.cat([f.index for f in factors], 1), torch.cat([f.values for f in factors], 1))


def dense(factor, shape):
    """Every sample's gradient of one parameter as a row: (batch, number of weights)."""
    if isinstance(factor, Vector):
        return factor.values
    if isinstance(factor, Outer):
        return torch.bmm(factor.left.transpose(1, 2), factor.right).flatten(1)
    grad = factor.values.new_zeros(len(factor.values), *shape)
    sample = torch.arange(len(grad), device=grad.device)[:, None].expand_as(factor.index)
    return grad.index_put_((sample, factor.index), factor.values, accumulate=True).flatten(1)
