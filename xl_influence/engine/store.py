"""Gradients of many samples by parameter, each in the form that takes the least memory.

A Linear's gradients are kept as their factors (`factors.Outer`), positions × (rows + columns)
numbers per sample, unless the gradient itself, rows × columns numbers, is smaller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch.nn import functional

from .factors import Factor, Outer, Rows, Vector, as_matrix, dense, join


@dataclass
class Part:
    """One parameter's gradients of one batch.

    Attributes
    ----------
    start, count : int
        They belong to the samples from `start` to `start + count` of a store.
    factor : Outer, Rows or Vector
        The gradients.
    scale : torch.Tensor, optional
        (count,): what to multiply `factor` by; default: 1.
    """

    start: int
    count: int
    factor: Factor
    scale: torch.Tensor | None = None

    @property
    def samples(self) -> slice:
        """The samples in the store."""
        return slice(self.start, self.start + self.count)


class Store:
    """Gradients of `count` samples by parameter.

    Parameters
    ----------
    shapes : mapping of str to torch.Size
        The parameters' shapes.
    dtype : torch.dtype
        The model's own, in which the gradients are read.
    device : torch.device
        Where they are.
    first_position : frozenset of str
        Parameters with a gradient at the first position only (`coverage.Plan`).
    storage : torch.dtype, optional
        A smaller type in which the factors are kept; default: `dtype`.
    """

    def __init__(
        self,
        shapes: Mapping[str, torch.Size],
        dtype: torch.dtype,
        device: torch.device,
        first_position: frozenset[str] = frozenset(),
        storage: torch.dtype | None = None,
    ) -> None:
        self.shapes, self.dtype, self.device = shapes, dtype, device
        self.first_position, self.storage = first_position, storage
        self.count, self.batch_start = 0, 0
        self.parts: dict[str, list[Part]] = {name: [] for name in shapes}
        # Largest gradient at a position where the probe found none
        self.unexpected = torch.zeros((), dtype=dtype, device=device)  # ()

    def start_batch(self, count: int) -> None:
        """Announce a batch of `count` samples."""
        self.batch_start, self.count = self.count, self.count + count

    def receive(self, name: str, factors: Sequence[Factor]) -> None:
        """Keep one parameter's gradients of the batch that `start_batch` announced.

        Parameters
        ----------
        name : str
            The parameter.
        factors : sequence of factors
            One of each use, as `gradients.Recorder.run` hands them over.
        """
        factor = join(factors, self.shapes[name]).to(self.dtype)
        if isinstance(factor, Outer):
            factor = self._smallest(name, factor)
        part = Part(self.batch_start, self.count - self.batch_start, factor)
        self.parts[name].append(_rounded(part, self.storage) if self.storage else part)

    def _smallest(self, name: str, factor: Outer) -> Outer | Vector:
        """Only the first position, or the gradients in full, where that takes less memory."""
        positions, (rows, columns) = factor.left.shape[1], as_matrix(self.shapes[name])
        if name in self.first_position:
            if positions > 1:
                rest = factor.left[:, 1:]  # (batch, positions - 1, rows)
                self.unexpected = torch.maximum(self.unexpected, rest.abs().amax())  # ()
            left = factor.left[:, :1].clone()  # (batch, 1, rows)
            right = factor.right[:, :1].clone()  # (batch, 1, columns)
            return Outer(left, right)
        if positions * (rows + columns) > rows * columns:
            return Vector(dense(factor, self.shapes[name]))
        return factor

    def finish(self, max_positions: int = 0) -> None:
        """Check what was received, and merge batches of one sample.

        Parameters
        ----------
        max_positions : int
            Positions in a merged batch, padding included; 0: nothing is merged.

        Raises
        ------
        RuntimeError
            There was a gradient where probing the model had found none.
        """
        if max_positions:
            self.parts = {name: _merged(parts, max_positions) for name, parts in self.parts.items()}
        if bool(self.unexpected):
            raise RuntimeError(
                "a gradient arrived beyond the first position, where probing the model found none"
            )

    def read(self, name: str) -> list[Part]:
        """Read one parameter's gradients, in the model's precision."""
        parts = self.parts[name]
        if not self.storage:
            return parts
        return [replace(part, factor=part.factor.to(self.dtype)) for part in parts]

    def zeros(self, *shape: int) -> torch.Tensor:
        """Return zeros of this shape, with the store's type and device."""
        return torch.zeros(shape, dtype=self.dtype, device=self.device)


def _rounded(part: Part, dtype: torch.dtype) -> Part:
    """Convert a part to `dtype`, each sample scaled so that its largest value is one.

    So no value leaves the range of `dtype`.
    """
    factor = part.factor
    if isinstance(factor, Outer):
        left, left_scale = _unit(factor.left)  # (batch, positions, rows), (batch,)
        right, right_scale = _unit(factor.right)  # (batch, positions, columns), (batch,)
        outer = Outer(left.to(dtype), right.to(dtype))
        return replace(part, factor=outer, scale=left_scale * right_scale)
    values, scale = _unit(factor.values)  # (batch, ...), (batch,)
    return replace(part, factor=replace(factor, values=values.to(dtype)), scale=scale)


def _unit(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Divide the values (batch, ...) by each sample's largest (batch,); returns both."""
    scale = values.flatten(1).abs().amax(1)  # (batch,)
    scale = torch.where(scale > 0, scale, 1)  # (batch,)
    last = (1,) * (values.dim() - 1)
    return values / scale.view(-1, *last), scale


def _merged(parts: Iterable[Part], max_positions: int) -> list[Part]:
    """Merge neighbouring parts of one sample each, padded with zeros."""
    groups: list[list[Part]] = []
    for part in parts:
        if groups and _fits(part, groups[-1], max_positions):
            groups[-1].append(part)
        else:
            groups.append([part])
    return [_padded(group) for group in groups]


def _fits(part: Part, group: list[Part], max_positions: int) -> bool:
    width = max(_positions(other.factor) for other in (*group, part))
    same_kind = type(group[0].factor) is type(part.factor)
    return same_kind and (len(group) + 1) * width <= max_positions


def _positions(factor: Factor) -> int:
    """Positions per sample."""
    if isinstance(factor, Outer):
        return factor.left.shape[1]
    if isinstance(factor, Rows):
        return factor.index.shape[1]
    return 1


def _padded(group: list[Part]) -> Part:
    """One part of several, whose factors are of one kind."""
    width = max(_positions(part.factor) for part in group)
    outers = [part.factor for part in group if isinstance(part.factor, Outer)]
    rows = [part.factor for part in group if isinstance(part.factor, Rows)]
    vectors = [part.factor for part in group if isinstance(part.factor, Vector)]
    factor: Factor
    if outers:
        left = _stacked([factor.left for factor in outers], width)  # (batch, positions, rows)
        right = _stacked([factor.right for factor in outers], width)  # (batch, positions, columns)
        factor = Outer(left, right)
    elif rows:
        index = _stacked([factor.index for factor in rows], width)  # (batch, positions)
        values = _stacked([factor.values for factor in rows], width)  # (batch, positions, columns)
        factor = Rows(index, values)
    else:
        factor = Vector(torch.cat([factor.values for factor in vectors]))  # (batch, weights)
    scales = [part.scale for part in group if part.scale is not None]
    scale = torch.cat(scales) if scales else None  # (batch,)
    return Part(group[0].start, sum(part.count for part in group), factor, scale)


def _stacked(tensors: list[torch.Tensor], width: int) -> torch.Tensor:
    """Concatenate tensors (batch, positions, ...), each padded with zeros to `width` positions."""
    padded = []
    for tensor in tensors:
        missing = (0, width - tensor.shape[1])
        inner = (0, 0) if tensor.dim() == 3 else ()  # of the last dimension, which comes first
        wide = functional.pad(tensor, (*inner, *missing))  # (batch, width, ...)
        padded.append(wide)
    return torch.cat(padded)
