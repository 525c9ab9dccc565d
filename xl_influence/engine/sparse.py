"""Gradients of embedding tables: few rows out of many, so we keep and multiply them by token.

The cost grows with the tokens in the texts, never with the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from .factors import Rows

PAIRS = 1 << 14  # pairs of a test and a training row that are multiplied at once
MANY = 1 << 10  # a token in more pairs than these gets a matrix product of its own


class Sparse:
    """The rows of embedding gradients that are not zero, sorted by token.

    Parameters
    ----------
    owner : torch.Tensor
        (rows,): which sample a row belongs to.
    token : torch.Tensor
        (rows,): which row of the table it is.
    values : torch.Tensor
        (rows, columns): the gradient there.
    """

    def __init__(self, owner: torch.Tensor, token: torch.Tensor, values: torch.Tensor) -> None:
        order = torch.argsort(token, stable=True)  # (rows,)
        self.owner, self.token, self.values = owner[order], token[order], values[order]

    @classmethod
    def of(cls, parts: Iterable[tuple[int, Rows]]) -> Sparse:
        """Add up the rows of each (sample, token) pair.

        Parameters
        ----------
        parts : iterable of (int, factors.Rows)
            The number of a batch's first sample, and the batch's gradients.
        """
        owner, token, values = [], [], []
        for start, part in parts:
            n = len(part.index)
            # Padding, and positions that the loss does not reach, drop out
            used = (part.values != 0).any(-1)  # (batch, positions)
            sample = torch.arange(n, device=part.index.device)  # (batch,)
            sample = sample[:, None].expand_as(part.index)[used]  # (used,)
            pair = part.index[used] * n + sample  # (used,)
            unique, inverse = torch.unique(pair, return_inverse=True)  # (rows,), (used,)
            sums = part.values.new_zeros(len(unique), part.values.shape[-1])  # (rows, columns)
            values.append(sums.index_add_(0, inverse, part.values[used]))
            owner.append(start + unique % n)  # (rows,)
            token.append(unique // n)  # (rows,)
        return cls(torch.cat(owner), torch.cat(token), torch.cat(values))

    def square(self, count: int) -> torch.Tensor:
        """Compute the squared norms of the gradients of `count` samples, (count,)."""
        squares = self.values.square().sum(1)  # (rows,)
        return self.values.new_zeros(count).index_add_(0, self.owner, squares)  # (count,)

    def dot(self, train: Sparse, n_test: int, n_train: int) -> torch.Tensor:
        """Compute the dot products of these test gradients and training gradients.

        Parameters
        ----------
        train : Sparse
            The training gradients.
        n_test, n_train : int
            Numbers of test and of training samples.

        Returns
        -------
        torch.Tensor
            (test, train): for each pair of samples, the sum over the tokens that they share of the
            products of their rows.
        """
        product = self.values.new_zeros(n_test, n_train)  # (test, train)
        token, train_count = torch.unique_consecutive(train.token, return_counts=True)  # (tokens,)
        train_start = torch.cumsum(train_count, 0) - train_count  # (tokens,)
        test_start = torch.searchsorted(self.token, token)  # (tokens,)
        test_stop = torch.searchsorted(self.token, token, right=True)  # (tokens,)
        test_count = test_stop - test_start  # (tokens,)
        pairs = test_count * train_count  # (tokens,)
        ranges = torch.stack([test_start, test_count, train_start, train_count], 1)  # (tokens, 4)
        self._add_frequent(product, train, ranges[pairs > MANY])
        self._add_rare(product, train, ranges[(pairs > 0) & (pairs <= MANY)])
        return product

    def _add_frequent(self, product: torch.Tensor, train: Sparse, ranges: torch.Tensor) -> None:
        """Add tokens with many pairs to `product`, each by a matrix product."""
        for test_start, test_count, train_start, train_count in ranges.tolist():
            test_rows = slice(test_start, test_start + test_count)
            train_rows = slice(train_start, train_start + train_count)
            dots = self.values[test_rows] @ train.values[train_rows].T  # (test rows, train rows)
            owners = self.owner[test_rows, None], train.owner[None, train_rows]
            product[owners] += dots  # (test, train) at (test rows, train rows)

    def _add_rare(self, product: torch.Tensor, train: Sparse, ranges: torch.Tensor) -> None:
        """Add tokens with few pairs to `product`, many tokens at once."""
        test_start, test_count, train_start, train_count = ranges.unbind(1)  # (tokens,)
        # One entry for each training row, then one for each pair of a test and a training row
        test_counts = torch.repeat_interleave(test_count, train_count)  # (train rows,)
        test_starts = torch.repeat_interleave(test_start, train_count)  # (train rows,)
        train_rows = _ranges(train_start, train_count)  # (train rows,)
        test_rows = _ranges(test_starts, test_counts)  # (pairs,)
        train_rows = torch.repeat_interleave(train_rows, test_counts)  # (pairs,)
        n_train = product.shape[1]
        flat = product.view(-1)  # (test * train,)
        for start in range(0, len(train_rows), PAIRS):
            i = test_rows[start : start + PAIRS]  # (some pairs,)
            j = train_rows[start : start + PAIRS]  # (some pairs,)
            place = self.owner[i] * n_train + train.owner[j]  # (some pairs,)
            dots = (self.values[i] * train.values[j]).sum(1)  # (some pairs,)
            flat.index_add_(0, place, dots)


def _ranges(start: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
    """Concatenate the ranges [start, start + length): (sum of lengths,)."""
    before = torch.cumsum(length, 0) - length  # (ranges,): entries of all ranges before
    offset = torch.repeat_interleave(start - before, length)  # (sum of lengths,)
    return torch.arange(int(length.sum()), device=start.device) + offset  # (sum of lengths,)
