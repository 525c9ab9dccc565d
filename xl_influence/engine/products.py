"""Dot products of two sets of per-sample gradients, one parameter at a time, and the squared norms of the second.

What a gradient is made of (`gradients.Outer`, `Rows`, `Vector`) decides how it is kept and multiplied; every way is exact.
A Linear's gradients are kept as their factors, positions × (rows + columns) numbers a sample, and become rows × columns
numbers only block by block, each multiplied and dropped.
"""

import math
from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F

from .gradients import Outer, Rows, Vector, dense, join
from .sparse import Sparse


@dataclass(frozen=True)
class Machine:
    """What the cost model knows of a device. Only the ratio of the two rates matters, so a table will do."""

    flops: float  # of a large matrix product, per second
    bandwidth: float  # bytes per second
    block: int  # bytes of gradients built at once
    gang: int  # training samples in one matrix product


EVEN = 32  # sizes that are a multiple of it start where memory is read fastest, which tensor cores need
MACHINES = {"cpu": Machine(1e11, 5e10, 128 << 20, 512), "cuda": Machine(4e13, 2e12, 2 << 30, 1024)}


def even(size):
    """The largest multiple of `EVEN` up to a size, or a smaller size itself."""
    return size - size % EVEN if size > EVEN else size


@dataclass
class Part:
    """One parameter's gradients of one batch, samples `row` to `row + size` of a store."""

    row: int
    size: int
    factor: Outer | Rows | Vector
    scale: torch.Tensor | None = None  # (size,): the gradients are `factor` times this; None: 1

    @property
    def here(self):
        return slice(self.row, self.row + self.size)


class Store:
    """Gradients of `count` samples by parameter, each in the form that takes the least memory.

    `shapes`: parameter name → shape; `first`: parameters with a gradient at the first position only;
    `storage`: a dtype to keep the factors in, other than the model's.
    """

    def __init__(self, shapes, dtype, device, first=frozenset(), storage=None):
        self.shapes, self.dtype, self.device, self.first, self.storage = (
            shapes,
            dtype,
            device,
            first,
            storage,
        )
        self.count, self.batch = 0, 0
        self.parts = {name: [] for name in shapes}
        self.stray = torch.zeros(
            (), dtype=dtype, device=device
        )  # largest gradient found where there should be none

    def extend(self, size):
        """A batch of `size` samples follows."""
        self.batch, self.count = self.count, self.count + size

    def receive(self, name, factors):
        """Keep one parameter's gradients of the batch that `extend` announced."""
        factor = join(factors, self.shapes[name]).to(self.dtype)
        if isinstance(factor, Outer):
            positions, (rows, columns) = factor.left.shape[1], self.shapes[name]
            if name in self.first:
                if positions > 1:
                    self.stray = torch.maximum(self.stray, factor.left[:, 1:].abs().amax())
                factor = Outer(factor.left[:, :1].clone(), factor.right[:, :1].clone())
            elif positions * (rows + columns) > rows * columns:
                factor = Vector(dense(factor, self.shapes[name]))
        part = Part(self.batch, self.count - self.batch, factor)
        self.parts[name].append(_rounded(part, self.storage) if self.storage else part)

    def finish(self, merge=0):
        """Refuse what the plan did not foresee; put batches of one sample together, up to `merge` positions."""
        if merge:
            self.parts = {name: _merged(parts, merge) for name, parts in self.parts.items()}
        if bool(self.stray):
            raise RuntimeError(
                "a gradient arrived beyond the first position, where probing the model had found none"
            )

    def open(self, name):
        """One parameter's parts, in the model's precision."""
        return (
            [replace(part, factor=part.factor.to(self.dtype)) for part in self.parts[name]]
            if self.storage
            else self.parts[name]
        )

    def zeros(self, *shape):
        return torch.zeros(shape, dtype=self.dtype, device=self.device)


def multiply(name, test, train, scratch):
    """Dot products (test, train) and the train samples' squared norms (train,) of one parameter of two `Store`s.

    `scratch(key, size)` gives a flat buffer that is used again for every block.
    """
    ours, theirs, shape = test.open(name), train.open(name), test.shapes[name]
    product, square = train.zeros(test.count, train.count), train.zeros(train.count)
    kinds = {type(part.factor) for part in (*ours, *theirs)}
    if not ours or not theirs:  # not used by the model: a gradient of zero
        square = squares(name, train)
    elif kinds == {Rows}:
        other = _sparse(theirs)
        product, square = (
            _sparse(ours).dot(other, test.count, train.count),
            other.square(train.count),
        )
    elif kinds == {Outer} and ghost_is_cheaper(
        _machine(train), shape, _positions(ours), _positions(theirs), *product.shape
    ):
        _ghost(ours, theirs, product)
        square = squares(name, train)
    else:
        if Rows in kinds:  # an embedding used as a Linear elsewhere
            ours, theirs = (
                [replace(p, factor=Vector(dense(p.factor, shape))) for p in parts]
                for parts in (ours, theirs)
            )
        apart = kinds == {Outer} and norms_are_cheaper_apart(
            _machine(train), shape, _positions(theirs) / train.count
        )
        _blocks(ours, theirs, shape, product, None if apart else square, scratch, _machine(train))
        square = squares(name, train) if apart else square
    for part in ours:
        if part.scale is not None:
            product[part.here] *= part.scale[:, None]
    return product, square


def squares(name, store):
    """Squared norms (samples,) of one parameter's gradients."""
    result, parts = store.zeros(store.count), store.open(name)
    if parts and isinstance(parts[0].factor, Rows):
        result = _sparse(parts).square(store.count)
    for part in parts:
        factor = part.factor
        if isinstance(factor, Outer):
            ghost = torch.bmm(factor.left, factor.left.transpose(1, 2)) * torch.bmm(
                factor.right, factor.right.transpose(1, 2)
            )
            result[part.here] = ghost.sum((1, 2))
        elif isinstance(factor, Vector):
            result[part.here] = torch.linalg.vector_norm(factor.values, dim=1) ** 2
        if part.scale is not None:
            result[part.here] *= part.scale**2
    return result


def ghost_is_cheaper(machine, shape, ours, theirs, n_test, n_train):
    """Whether products of positions cost less than building the gradients, by FLOPs and bytes.

    `ours`, `theirs`: positions of all test and of all train samples; rank one is one position each.
    """
    rows, columns = shape
    pairs = ours * theirs  # of positions
    ghost = 2 * pairs * (rows + columns) / machine.flops + 4 * 4 * pairs / machine.bandwidth
    build = 2 * (ours + theirs + n_test * n_train) * rows * columns / machine.flops
    build += 4 * 3 * n_train * rows * columns / machine.bandwidth
    return ghost < build


def norms_are_cheaper_apart(machine, shape, positions):
    """Whether a norm from products of a sample's `positions` costs less than reading its gradient once more."""
    rows, columns = shape
    apart = (
        2 * positions**2 * (rows + columns) / machine.flops
        + 4 * 3 * positions**2 / machine.bandwidth
    )
    return apart < 4 * rows * columns / machine.bandwidth


def _blocks(ours, theirs, shape, product, square, scratch, machine):
    """Gradients block by block of rows: built, multiplied, dropped. Adds to `product` and, where it is wanted, `square`."""
    rows, columns = (shape[0], math.prod(shape[1:])) if len(shape) > 1 else (1, shape[0])
    if rows < columns and all(isinstance(part.factor, Outer) for part in (*ours, *theirs)):
        ours, theirs, rows, columns = (
            _turned(ours),
            _turned(theirs),
            columns,
            rows,
        )  # many short rows build faster
    gangs = list(_gangs(theirs, machine.gang))
    widest, count = max(map(_samples, gangs)), len(product)
    step = max(1, min(rows, machine.block // (columns * (count + widest) * product.element_size())))
    step = even(step) if step < rows else rows
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        size = (stop - start) * columns
        held = scratch("test", count * size).view(count, size)
        for part in ours:
            _build(part.factor, start, stop, columns, held[part.here])
        for gang in gangs:
            first, n = gang[0].row, _samples(gang)
            grad = scratch("train", n * size).view(n, size)
            for part in gang:
                _build(
                    part.factor,
                    start,
                    stop,
                    columns,
                    grad[part.row - first : part.row - first + part.size],
                )
            product[:, first : first + n].addmm_(held, grad.T)
            if square is not None:
                square[first : first + n] += torch.linalg.vector_norm(grad, dim=1).square_()


def _turned(parts):
    """The same gradients with rows and columns exchanged, which changes no product."""
    return [replace(part, factor=Outer(part.factor.right, part.factor.left)) for part in parts]


def _gangs(parts, most):
    """Lists of neighbouring parts with about `most` samples in all: wide matrix products are faster than narrow ones."""
    gang = []
    for part in parts:
        if gang and _samples(gang) + part.size > most:
            yield gang
            gang = []
        gang.append(part)
    yield gang


def _samples(parts):
    return sum(part.size for part in parts)


def _build(factor, start, stop, columns, out):
    """Rows `start` to `stop` of every sample's gradient, into `out` (batch, rows × columns)."""
    if isinstance(factor, Vector):
        out.copy_(factor.values[:, start * columns : stop * columns])
    else:
        left = factor.left[:, :, start:stop].transpose(1, 2)
        torch.bmm(left, factor.right, out=out.view(len(out), stop - start, columns))


def _ghost(ours, theirs, product):
    """Adds the sums over positions s, t of (left_s · left_t)(right_s · right_t) for every pair of samples."""
    for mine in ours:
        for other in theirs:
            pairs = mine.factor.left.flatten(0, 1) @ other.factor.left.flatten(0, 1).T
            pairs *= mine.factor.right.flatten(0, 1) @ other.factor.right.flatten(0, 1).T
            product[mine.here, other.here] += pairs.view(
                mine.size, -1, other.size, len(pairs.T) // other.size
            ).sum((1, 3))


def _sparse(parts):
    device = parts[0].factor.index.device
    return Sparse.of(
        [
            (torch.arange(part.row, part.row + part.size, device=device), part.factor)
            for part in parts
        ]
    )


def _positions(parts):
    return sum(part.factor.left.shape[0] * part.factor.left.shape[1] for part in parts)


def _machine(store):
    return MACHINES.get(store.device.type, MACHINES["cpu"])


def _rounded(part, dtype):
    """The part kept in `dtype`, each sample scaled to largest values of one so that nothing leaves its range."""
    factor = part.factor
    if isinstance(factor, Outer):
        (left, a), (right, b) = _unit(factor.left), _unit(factor.right)
        return replace(part, factor=Outer(left.to(dtype), right.to(dtype)), scale=a * b)
    values, scale = _unit(factor.values)
    return replace(part, factor=replace(factor, values=values.to(dtype)), scale=scale)


def _unit(values):
    """`values` (batch, ...) with each sample's largest made one, and what it was."""
    scale = values.flatten(1).abs().amax(1)
    scale = torch.where(scale > 0, scale, 1)
    return values / scale.view(-1, *[1] * (values.dim() - 1)), scale


def _merged(parts, most):
    """Parts of single samples put together, padded with zeros, up to `most` positions each."""
    groups = []
    for part in parts:
        last = groups[-1] if groups else []
        fits = (len(last) + 1) * max(_length(p.factor) for p in (*last, part)) <= most
        if last and fits and type(last[0].factor) is type(part.factor):
            last.append(part)
        else:
            groups.append([part])
    return [_padded(group) for group in groups]


def _length(factor):
    return (
        1
        if isinstance(factor, Vector)
        else (factor.left if isinstance(factor, Outer) else factor.index).shape[1]
    )


def _padded(group):
    kind, width = type(group[0].factor), max(_length(part.factor) for part in group)

    def stack(field):
        tensors = [getattr(part.factor, field) for part in group]
        if kind is Vector:
            return torch.cat(tensors)
        return torch.cat(
            [F.pad(t, (0, 0) * (t.dim() - 2) + (0, width - t.shape[1])) for t in tensors]
        )

    factor = kind(**{field.name: stack(field.name) for field in fields(kind)})
    scale = None if group[0].scale is None else torch.cat([part.scale for part in group])
    return Part(group[0].row, sum(part.size for part in group), factor, scale)
