"""Per-sample gradients of a batch from one backward pass.

We freeze the weights, so the backward pass only carries gradients to the modules' inputs. Hooks
catch each module's input and the gradient at its output. A rule (`rules`) turns these two into the
factors of each sample's parameter gradient. If a parameter is used several times in a pass (tied
weights, a module called twice), we first collect the factors of all its uses.

Where no rule holds, the batch is one sample and plain autograd gives the gradient. `coverage.Plan`
says which parameters these are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from .factors import Factor, Vector
from .losses import UncoveredError, compute_losses
from .rules import Call, Rule, by_vjp, find_rule

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle
    from transformers import PreTrainedModel

Receive = Callable[[str, list[Factor]], None]


class RuleError(UncoveredError):
    """A rule does not hold for a module; `names` are the parameters concerned."""

    def __init__(self, message: str, names: Iterable[str]) -> None:
        super().__init__(message)
        self.names = frozenset(names)


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that require a gradient: name → parameter.

    A parameter with several names (tied weights) has the first of them.
    """
    return {
        name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad
    }


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into eval mode; afterwards, each of its modules is in the mode it was in.

    Meanwhile, a model of transformers returns its output by name and not as a tuple, which some
    cannot do without failing. It runs uncompiled, because each set of hooks would compile it again.
    """
    modes = {module: module.training for module in model.modules()}
    compiled = [(part, part._compiled_call_impl) for part in modes if part._compiled_call_impl]
    config: Any = getattr(model, "config", None)
    by_name = getattr(config, "return_dict", True)
    model.eval()
    for part, _ in compiled:
        part._compiled_call_impl = None
    try:
        if not by_name:
            config.return_dict = True
        yield
    finally:
        if not by_name:
            config.return_dict = by_name
        for module, mode in modes.items():
            module.training = mode
        for part, call in compiled:
            part._compiled_call_impl = call


class Recorder:
    """Runs batches through a model and hands over the factors of all per-sample gradients.

    Use it as a context manager: inside, the weights are frozen and the model is in eval mode;
    afterwards, both are restored.

    Parameters
    ----------
    model : transformers sequence classifier
        The model.
    by_autograd : iterable of str
        Names of the parameters whose gradients plain autograd gives, which takes batches of one
        sample.
    single_sample : bool
        A batch must be one sample, because samples share tensors; `by_autograd` requires it too.
    split : mapping of str to tuple of int, optional
        Path of a module → which of the tensors that it is called with hold one part per sample; for
        modules that are not named, those whose first dimension is the batch's. A tensor that all
        samples share can have that length by chance, so `coverage` notes it in a small batch.

    Attributes
    ----------
    split : dict
        The same, with what this recorder has seen in batches of several samples.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        by_autograd: Iterable[str] = (),
        single_sample: bool = False,
        split: Mapping[str, tuple[int, ...]] | None = None,
    ) -> None:
        self.model = model
        self.by_autograd = frozenset(by_autograd)
        self.single_sample = single_sample or bool(self.by_autograd)
        self.split = dict(split or {})
        self.parameters = trainable(model)
        self.names = {id(parameter): name for name, parameter in self.parameters.items()}
        self.own = {module: self._find_own(module) for module in model.modules()}
        self.rules = self._find_rules()
        self.mode = evaluating(model)
        self.gradients: dict[str, torch.Tensor | None] = {}
        self.handles: list[RemovableHandle] = []
        self.wrapped: dict[nn.Module, Any] = {}  # module → its own `forward`, None: its class's
        self.batch_size, self.n_tokens = 0, 0  # of the batch, padding included
        self.is_paused = False  # while a rule calls a module itself
        self.receive: Receive
        self.expected: dict[int, int] = {}  # parameter's id → uses without a gradient yet
        self.found: dict[int, list[Factor]] = {}  # parameter's id → factors of its uses so far

    def _find_rules(self) -> dict[nn.Module, Rule]:
        """The rules of all modules whose parameters are not left to autograd."""
        rules: dict[nn.Module, Rule] = {}
        missing = {}
        for path, module in self.model.named_modules():
            own = self.own[module]
            rule = find_rule(module) if own else None
            if rule:
                rules[module] = rule
            for name in own:
                missing[f"{path}.{name}"] = self.names[id(own[name])]
        covered = {self.names[id(p)] for module in rules for p in self.own[module].values()}
        without = {path: name for path, name in missing.items() if name not in covered}
        if without:
            raise RuleError(f"no rule for {', '.join(without)}", without.values())
        return rules

    def _find_own(self, module: nn.Module) -> dict[str, nn.Parameter]:
        """The module's own parameters whose gradients come from a rule."""
        by_rule = self.parameters.keys() - self.by_autograd
        return {
            name: parameter
            for name, parameter in module.named_parameters(recurse=False)
            if self.names.get(id(parameter)) in by_rule
        }

    def __enter__(self) -> Recorder:
        self.gradients = {name: parameter.grad for name, parameter in self.parameters.items()}
        self.handles = []
        self.mode = evaluating(self.model)
        self.mode.__enter__()
        for name, parameter in self.parameters.items():
            parameter.grad = None
            parameter.requires_grad_(name in self.by_autograd)
        for path, module in self.model.named_modules():
            if isinstance(module, nn.Embedding):
                if type(module).forward is not nn.Embedding.forward:
                    self._wrap(path, module)
                    continue
                self.handles.append(module.register_forward_pre_hook(self._expand))
            if module in self.rules or isinstance(module, nn.Embedding):
                hook = self._watch(path)
                self.handles.append(module.register_forward_hook(hook, with_kwargs=True))
        return self

    def __exit__(self, *error: object) -> None:
        for handle in self.handles:
            handle.remove()
        for name, parameter in self.parameters.items():
            parameter.requires_grad_(True)
            parameter.grad = self.gradients[name]
        for module, forward in self.wrapped.items():
            del module.forward
            if forward is not None:
                module.forward = forward
        self.wrapped = {}
        self.mode.__exit__(None, None, None)
        self.gradients = {}

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
        self.batch_size, self.n_tokens = len(batch["labels"]), batch["input_ids"].numel()
        self.expected, self.found, self.receive = {}, {}, receive
        if self.single_sample and self.batch_size > 1:
            raise ValueError("a batch of this model must be one sample")
        with torch.enable_grad():
            compute_losses(self.model, batch).sum().backward()
        for key, factors in self.found.items():  # some uses do not reach the loss: they add zero
            receive(self.names[key], factors)
        for name in self.by_autograd:
            gradient, self.parameters[name].grad = self.parameters[name].grad, None
            if gradient is not None:
                receive(name, [Vector(gradient.flatten()[None])])  # (1, weights)

    def _expand(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Give every sample its own copy of indices that the batch shares (position ids)."""
        if self.is_paused or not args or not torch.is_tensor(args[0]):
            return None
        index = args[0]  # (batch or 1, positions)
        if index.dim() > 1 and index.shape[0] == 1 and self.batch_size > 1:
            return (index.expand(self.batch_size, *index.shape[1:]), *args[1:])
        return None

    def _wrap(self, path: str, table: nn.Embedding) -> None:
        """Watch the look-ups in a table that does more than look rows up (scales, shifts)."""
        forward, see = table.forward, self._watch(path)

        def look_up(index: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
            return see(table, (index,), {}, output)

        def watched(*args: Any, **kwargs: Any) -> Any:
            if self.is_paused:
                return forward(*args, **kwargs)
            with _LookUps(table.weight, self.batch_size, look_up):
                return forward(*args, **kwargs)

        self.wrapped[table] = vars(table).get("forward")
        table.forward = watched  # type: ignore[method-assign]  # until `__exit__`

    def _watch(self, path: str) -> Callable[..., Any]:
        """The forward hook of the module at `path`, which requests the gradient at its output."""

        def hook(
            module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
        ) -> Any:
            if self.is_paused:
                return output
            own = self.own[module]
            if not own and not isinstance(module, nn.Embedding):
                return output
            names = [self.names[id(parameter)] for parameter in own.values()]
            if not torch.is_tensor(output):
                raise RuleError(f"{path} returns a {type(output).__name__}", names)
            if isinstance(module, nn.Embedding) and not output.requires_grad:
                # Here the backward pass ends; a copy, because a model may change it in place
                output = output.detach().requires_grad_().clone()
            rows = output.shape[0] if output.dim() else 0
            is_batch = rows == self.batch_size or rows % self.n_tokens == 0
            if own and not is_batch and not self.single_sample:  # whose rows they are is not known
                raise RuleError(
                    f"{path}: called on {rows} rows for {self.batch_size} samples", names
                )
            if own and not output.requires_grad:
                raise RuleError(f"{path}: no gradient passes through it", names)
            for parameter in own.values():
                self.expected[id(parameter)] = self.expected.get(id(parameter), 0) + 1
            if own:
                call = Call(_detach(args), _detach(kwargs))
                output.register_hook(lambda grad: self._collect_factors(path, module, call, grad))
            return output

        return hook

    def _collect_factors(
        self, path: str, module: nn.Module, call: Call, grad: torch.Tensor
    ) -> None:
        """Apply the module's rule, and pass on the parameters whose last use this was."""
        rule, own = self.rules[module], self.own[module]
        if len(grad) != self.batch_size:
            call, grad = self._split_rows(call, grad)
        if rule is by_vjp and self.batch_size > 1:
            call.split = self.split.setdefault(path, call.find_split(self.batch_size))
        self.is_paused = True
        try:
            with torch.no_grad():
                factors = rule(module, call, grad.detach())
        except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            names = [self.names[id(parameter)] for parameter in own.values()]
            raise RuleError(
                f"the rule for a {type(module).__name__} failed: {error}", names
            ) from error
        finally:
            self.is_paused = False
        if lost := [self.names[id(own[name])] for name in own if name not in factors]:
            raise RuleError(f"the rule for a {type(module).__name__} gives no {lost[0]}", lost)
        for name, parameter in own.items():
            key = id(parameter)
            self.found.setdefault(key, []).append(factors[name])
            self.expected[key] -= 1
            if not self.expected[key]:
                self.receive(self.names[key], self.found.pop(key))

    def _split_rows(self, call: Call, grad: torch.Tensor) -> tuple[Call, torch.Tensor]:
        """Give the batch its own dimension where a module is called on rows without one.

        That is the case in a batch of one sample, and where tokens are flattened, (batch × tokens).
        """
        rows = len(grad)

        def split(value: Any) -> Any:
            if torch.is_tensor(value) and value.dim() and len(value) == rows:
                return value.reshape(self.batch_size, -1, *value.shape[1:])
            return value

        args = tuple(map(split, call.args))
        kwargs = {name: split(value) for name, value in call.kwargs.items()}
        return Call(args, kwargs), split(grad)


class _LookUps(TorchFunctionMode):
    """Hands over every look-up in a table while a module runs."""

    def __init__(
        self,
        weight: torch.Tensor,
        batch_size: int,
        look_up: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    ) -> None:
        super().__init__()
        self.weight, self.batch_size, self.look_up = weight, batch_size, look_up

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is not functional.embedding or args[1] is not self.weight:
            return func(*args, **kwargs)
        index = args[0]  # (batch or 1, positions)
        if index.dim() > 1 and len(index) == 1:
            index = index.expand(self.batch_size, *index.shape[1:])  # (batch, positions)
        return self.look_up(index, func(index, *args[1:], **kwargs))


def _detach(value: Any) -> Any:
    """Tensors in tuples, lists and dicts, without their history."""
    return torch.utils._pytree.tree_map(
        lambda each: each.detach() if torch.is_tensor(each) else each, value
    )
