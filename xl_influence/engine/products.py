"""Dot products of test and training gradients, one parameter at a time, and squared norms.

The form in which a gradient is kept (`factors.Outer`, `Rows`, `Vector`) decides how it is
multiplied; the result is always exact. Gradients kept as factors are built in full only block by
block: each block is built, multiplied and overwritten by the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from .batches import round_down
from .factors import Factor, Outer, Rows, Vector, as_matrix, dense
from .sparse import Sparse
from .store import Part, Store
from .timing import BUILDING, EMBEDDINGS, NORMS, Timer, untimed

Scratch = Callable[[str, int], torch.Tensor]


@dataclass(frozen=True)
class Machine:
    """What we know of a kind of device.

    Attributes
    ----------
    flops : float
        Operations per second of a large matrix product.
    bandwidth : float
        Bytes per second to and from memory. The cost model only uses the ratio of the two rates,
        so typical values will do.
    block_bytes : int
        Size of a block, test and training gradients together.
    block_samples : int
        Training samples in a block: wide matrix products are faster than narrow ones.
    """

    flops: float
    bandwidth: float
    block_bytes: int
    block_samples: int


MACHINES = {"cpu": Machine(1e11, 5e10, 128 << 20, 512), "cuda": Machine(4e13, 2e12, 2 << 30, 1024)}
NUMBER = 4  # bytes, in the cost model


def multiply(
    name: str, test: Store, train: Store, scratch: Scratch, timer: Timer = untimed
) -> tuple[torch.Tensor, torch.Tensor]:
    """Multiply one parameter's test gradients and training gradients.

    Parameters
    ----------
    name : str
        The parameter.
    test, train : Store
        The gradients; those of `train` in the model's precision.
    scratch : callable
        `scratch(key, size)` returns a flat buffer, the same one for every block.
    timer : callable
        As for `engine.Engine`.

    Returns
    -------
    product : torch.Tensor
        (test, train): dot products.
    square : torch.Tensor
        (train,): squared norms of the training gradients.
    """
    test_parts, train_parts, shape = test.read(name), train.read(name), test.shapes[name]
    product = train.zeros(test.count, train.count)  # (test, train)
    machine = MACHINES.get(train.device.type, MACHINES["cpu"])
    work = Work(test.count, train.count, _positions(test_parts), _positions(train_parts))
    kinds = {type(part.factor) for part in (*test_parts, *train_parts)}
    outer = kinds == {Outer}
    if not test_parts or not train_parts:  # the model does not use it: a gradient of zero
        square = compute_squares(name, train, timer)  # (train,)
    elif kinds == {Rows}:
        test_sparse, train_sparse = _sparse(test_parts), _sparse(train_parts)
        with timer(EMBEDDINGS):
            product = test_sparse.dot(train_sparse, test.count, train.count)  # (test, train)
        with timer(NORMS):
            square = train_sparse.square(train.count)  # (train,)
    elif outer and ghost_is_cheaper(machine, shape, work):
        _add_ghost(test_parts, train_parts, product)
        square = compute_squares(name, train, timer)  # (train,)
    else:
        positions = work.train_positions / train.count  # per sample
        ghost_norms = outer and ghost_norms_are_cheaper(machine, shape, positions)
        square = compute_squares(name, train, timer) if ghost_norms else train.zeros(train.count)
        _add_blocks(
            _without_rows(test_parts, shape),
            _without_rows(train_parts, shape),
            shape=shape,
            product=product,
            square=None if ghost_norms else square,
            scratch=scratch,
            machine=machine,
            timer=timer,
        )
    for part in test_parts:
        if part.scale is not None:
            product[part.samples] *= part.scale[:, None]  # (batch, train)
    return product, square


def compute_squares(name: str, store: Store, timer: Timer = untimed) -> torch.Tensor:
    """Compute the squared norms of one parameter's gradients.

    Parameters
    ----------
    name : str
        The parameter.
    store : Store
        The gradients.
    timer : callable
        As for `engine.Engine`.

    Returns
    -------
    torch.Tensor
        (samples,), in the order of the store.
    """
    result, parts = store.zeros(store.count), store.read(name)  # (samples,)
    with timer(NORMS):
        if parts and isinstance(parts[0].factor, Rows):
            result = _sparse(parts).square(store.count)  # (samples,)
        for part in parts:
            if isinstance(part.factor, Outer):
                result[part.samples] = _ghost_squares(part.factor)
            elif isinstance(part.factor, Vector):
                norms = torch.linalg.vector_norm(part.factor.values, dim=1)  # (batch,)
                result[part.samples] = norms**2
            if part.scale is not None:
                result[part.samples] *= part.scale**2
    return result


def _ghost_squares(factor: Outer) -> torch.Tensor:
    """(batch,) sums over positions s, t of (left_s · left_t)(right_s · right_t)."""
    left = torch.bmm(factor.left, factor.left.transpose(1, 2))  # (batch, positions, positions)
    right = torch.bmm(factor.right, factor.right.transpose(1, 2))  # (batch, positions, positions)
    return (left * right).sum((1, 2))  # (batch,)


@dataclass(frozen=True)
class Work:
    """The size of a product: samples, and their positions in all, on the two sides."""

    n_test: int
    n_train: int
    test_positions: int
    train_positions: int


def ghost_is_cheaper(machine: Machine, shape: Sequence[int], work: Work) -> bool:
    """Whether multiplying positions costs less time than building the gradients.

    The dot product of two gradients of `factors.Outer` is a sum over pairs of their positions
    (the "ghost" dot product), which needs neither of the gradients.

    Parameters
    ----------
    machine : Machine
        Its rates.
    shape : sequence of int
        (rows, columns) of the parameter.
    work : Work
        The size of the product. A gradient of rank one has one position.
    """
    rows, columns = as_matrix(shape)
    weights = rows * columns
    pairs = work.test_positions * work.train_positions
    # Ghost: left · left and right · right for every pair. Both results are written, multiplied and
    # added up: numbers that cross the memory about four times.
    ghost = 2 * pairs * (rows + columns) / machine.flops + NUMBER * 4 * pairs / machine.bandwidth
    # Building: every position adds to every weight, then every pair of samples is multiplied. The
    # training gradients are written, read for the product and read for the norm: three times.
    positions = work.test_positions + work.train_positions
    products = 2 * (positions + work.n_test * work.n_train) * weights
    building = products / machine.flops + NUMBER * 3 * work.n_train * weights / machine.bandwidth
    return ghost < building


def ghost_norms_are_cheaper(machine: Machine, shape: Sequence[int], positions: float) -> bool:
    """Whether a norm from a sample's positions costs less than reading its built gradient.

    Parameters
    ----------
    machine : Machine
        Its rates.
    shape : sequence of int
        The parameter's shape.
    positions : float
        Positions per sample.
    """
    rows, columns = as_matrix(shape)
    pairs = positions**2
    # As in `ghost_is_cheaper`; these smaller results cross the memory about three times
    ghost = 2 * pairs * (rows + columns) / machine.flops + NUMBER * 3 * pairs / machine.bandwidth
    return ghost < NUMBER * rows * columns / machine.bandwidth


def _positions(parts: list[Part]) -> int:
    """Positions of all samples, of parts kept as `Outer`."""
    return sum(outer.left.shape[0] * outer.left.shape[1] for _, outer in _outers(parts))


def _without_rows(parts: list[Part], shape: Sequence[int]) -> list[Part]:
    """Build the parts kept as `Rows` in full: of an embedding that is a Linear elsewhere."""
    return [
        replace(part, factor=Vector(dense(part.factor, shape)))
        if isinstance(part.factor, Rows)
        else part
        for part in parts
    ]


def _add_blocks(
    test: list[Part],
    train: list[Part],
    *,
    shape: Sequence[int],
    product: torch.Tensor,
    square: torch.Tensor | None,
    scratch: Scratch,
    machine: Machine,
    timer: Timer,
) -> None:
    """Multiply gradients block by block: built, multiplied, overwritten.

    Adds to `product` (test, train) and, unless it is None, to `square` (train,).
    """
    rows, columns = as_matrix(shape)
    if rows < columns and all(isinstance(part.factor, Outer) for part in (*test, *train)):
        # Many short rows are built faster. Exchanging rows and columns changes no product.
        test, train, rows, columns = _transposed(test), _transposed(train), columns, rows
    groups = list(_neighbours(train, machine.block_samples))
    n_test, widest = len(product), max(map(_count, groups))
    row_bytes = columns * (n_test + widest) * product.element_size()
    step = max(1, min(rows, machine.block_bytes // row_bytes))  # rows in a block
    step = round_down(step) if step < rows else rows
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        size = (stop - start) * columns  # weights in the block
        test_block = scratch("test", n_test * size).view(n_test, size)  # (test, weights)
        with timer(BUILDING):
            for part in test:
                _build(part.factor, start, stop, columns, test_block[part.samples])
        for group in groups:
            first, count = group[0].start, _count(group)
            train_block = scratch("train", count * size).view(count, size)  # (train, weights)
            with timer(BUILDING):
                for part in group:
                    samples = slice(part.start - first, part.start - first + part.count)
                    _build(part.factor, start, stop, columns, train_block[samples])
            product[:, first : first + count].addmm_(test_block, train_block.T)  # (test, train)
            if square is not None:
                with timer(NORMS):
                    norms = torch.linalg.vector_norm(train_block, dim=1)  # (train,)
                    square[first : first + count] += norms.square_()  # (train,)


def _transposed(parts: list[Part]) -> list[Part]:
    """The transposed gradients, of parts kept as `Outer`."""
    return [
        replace(part, factor=Outer(part.factor.right, part.factor.left))
        for part in parts
        if isinstance(part.factor, Outer)
    ]


def _neighbours(parts: list[Part], max_samples: int) -> Iterator[list[Part]]:
    """Divide parts into lists of neighbours with up to `max_samples` samples, or of one part."""
    group: list[Part] = []
    for part in parts:
        if group and _count(group) + part.count > max_samples:
            yield group
            group = []
        group.append(part)
    yield group


def _count(parts: list[Part]) -> int:
    return sum(part.count for part in parts)


def _build(factor: Factor, start: int, stop: int, columns: int, out: torch.Tensor) -> None:
    """Write rows `start` to `stop` of every sample's gradient to `out` (batch, rows * columns)."""
    if isinstance(factor, Outer):
        left = factor.left[:, :, start:stop].transpose(1, 2)  # (batch, rows, positions)
        built = out.view(len(out), stop - start, columns)  # (batch, rows, columns)
        torch.bmm(left, factor.right, out=built)  # (batch, rows, columns)
    else:
        out.copy_(factor.values[:, start * columns : stop * columns])  # (batch, rows * columns)


def _add_ghost(test: list[Part], train: list[Part], product: torch.Tensor) -> None:
    """Add the sums over positions s, t of (left_s · left_t)(right_s · right_t) to `product`."""
    for test_samples, test_outer in _outers(test):
        for train_samples, train_outer in _outers(train):
            sums = _ghost(test_outer, train_outer)  # (test batch, train batch)
            product[test_samples, train_samples] += sums


def _outers(parts: list[Part]) -> list[tuple[slice, Outer]]:
    return [(part.samples, part.factor) for part in parts if isinstance(part.factor, Outer)]


def _ghost(test: Outer, train: Outer) -> torch.Tensor:
    """Dot products of every pair of samples from their positions, (test batch, train batch)."""
    pairs = test.left.flatten(0, 1) @ train.left.flatten(0, 1).T  # (test pos., train pos.)
    pairs *= test.right.flatten(0, 1) @ train.right.flatten(0, 1).T  # (test pos., train pos.)
    n_test, n_train = len(test.left), len(train.left)
    test_positions, train_positions = test.left.shape[1], train.left.shape[1]  # per sample
    by_sample = pairs.view(n_test, test_positions, n_train, train_positions)
    return by_sample.sum((1, 3))  # (test batch, train batch)


def _sparse(parts: list[Part]) -> Sparse:
    """All gradients of parts kept as `Rows`, by token."""
    return Sparse.of((part.start, part.factor) for part in parts if isinstance(part.factor, Rows))
