"""Per-sample gradients of one parameter as the factors they are made of.

Most gradients have a structure that takes far less memory than the gradient itself: a Linear's is a
sum of outer products, an embedding table's has few rows that are not zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass
class Outer:
    """Gradient of sample b: the sum over positions s of `left[b, s] ⊗ right[b, s]`."""

    left: torch.Tensor  # (batch, positions, rows): gradient at the output
    right: torch.Tensor  # (batch, positions, columns): the input

    def to(self, dtype: torch.dtype) -> Outer:
        """Convert the numbers to `dtype`."""
        return Outer(self.left.to(dtype), self.right.to(dtype))


@dataclass
class Rows:
    """Gradient of sample b: `values[b, s]` added to row `index[b, s]`; all other rows are zero."""

    index: torch.Tensor  # (batch, positions)
    values: torch.Tensor  # (batch, positions, columns)

    def to(self, dtype: torch.dtype) -> Rows:
        """Convert the numbers to `dtype`."""
        return Rows(self.index, self.values.to(dtype))


@dataclass
class Vector:
    """Gradient of sample b: `values[b]`."""

    values: torch.Tensor  # (batch, weights)

    def to(self, dtype: torch.dtype) -> Vector:
        """Convert the numbers to `dtype`."""
        return Vector(self.values.to(dtype))


Factor = Outer | Rows | Vector


def join(factors: Sequence[Factor], shape: Sequence[int]) -> Factor:
    """Sum the factors of all uses of a parameter, exactly.

    Parameters
    ----------
    factors : sequence of factors
        One of each use, all of the same samples.
    shape : sequence of int
        The parameter's shape.

    Returns
    -------
    Outer, Rows or Vector
        Uses of one kind stay of that kind. Different kinds (an embedding tied to a Linear) become
        a Vector.
    """
    if len(factors) == 1:
        return factors[0]
    outers = [factor for factor in factors if isinstance(factor, Outer)]
    if len(outers) == len(factors):
        left = torch.cat([factor.left for factor in outers], 1)  # (batch, positions, rows)
        right = torch.cat([factor.right for factor in outers], 1)  # (batch, positions, columns)
        return Outer(left, right)
    rows = [factor for factor in factors if isinstance(factor, Rows)]
    if len(rows) == len(factors):
        index = torch.cat([factor.index for factor in rows], 1)  # (batch, positions)
        values = torch.cat([factor.values for factor in rows], 1)  # (batch, positions, columns)
        return Rows(index, values)
    total = dense(factors[0], shape)  # (batch, weights)
    for factor in factors[1:]:
        total = total + dense(factor, shape)  # (batch, weights)
    return Vector(total)


def as_matrix(shape: Sequence[int]) -> tuple[int, int]:
    """Return the rows and columns of a parameter's gradient, as `Outer` has it.

    Parameters
    ----------
    shape : sequence of int
        The parameter's shape. Dimensions after the first are put together; a vector is one row.

    Examples
    --------
    >>> as_matrix((8, 3, 5))
    (8, 15)
    """
    return (shape[0], math.prod(shape[1:])) if len(shape) > 1 else (1, shape[0])


def dense(factor: Factor, shape: Sequence[int]) -> torch.Tensor:
    """Build the gradients of one parameter of that shape in full.

    Parameters
    ----------
    factor : Outer, Rows or Vector
        The gradients of a batch.
    shape : sequence of int
        The parameter's shape.

    Returns
    -------
    torch.Tensor
        (batch, weights): each sample's gradient, flattened.
    """
    if isinstance(factor, Vector):
        return factor.values  # (batch, weights)
    if isinstance(factor, Outer):
        return torch.bmm(factor.left.transpose(1, 2), factor.right).flatten(1)  # (batch, weights)
    grad = factor.values.new_zeros(len(factor.values), *shape)  # (batch, rows, columns)
    sample = torch.arange(len(grad), device=grad.device)  # (batch,)
    sample = sample[:, None].expand_as(factor.index)  # (batch, positions)
    place = (sample, factor.index)  # each (batch, positions)
    grad.index_put_(place, factor.values, accumulate=True)  # (batch, rows, columns)
    return grad.flatten(1)  # (batch, weights)
