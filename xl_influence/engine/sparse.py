"""Gradients of embedding tables: few rows of many, so they are kept and multiplied by token.

The cost grows with the tokens in the texts, never with the vocabulary.
"""

import torch

PAIRS = 1 << 14  # rows of two samples multiplied at once
MANY = 1 << 10  # from so many pairs on, a token gets a matrix product of its own


class Sparse:
    """Rows of an embedding's gradient: `owner` (row of the sample), `token`, `values` (n, dim), sorted by token."""

    def __init__(self, owner, token, values):
        order = torch.argsort(token, stable=True)
        self.owner, self.token, self.values = owner[order], token[order], values[order]

    @staticmethod
    def of(parts):
        """From [(rows of the samples, gradients.Rows)]: sums by (sample, token)."""
        owner, token, values = [], [], []
        for rows, part in parts:
            n = len(part.index)
            used = (part.values != 0).any(
                -1
            )  # padding, and positions that the loss does not reach, drop out
            sample = torch.arange(n, device=part.index.device)[:, None].expand_as(part.index)[used]
            unique, inverse = torch.unique(part.index[used] * n + sample, return_inverse=True)
            values.append(part.values.new_zeros(len(unique), part.values.shape[-1]))
            values[-1].index_add_(0, inverse, part.values[used])
            owner.append(rows[unique % n])
            token.append(unique // n)
        return Sparse(torch.cat(owner), torch.cat(token), torch.cat(values))

    def square(self, count):
        """Squared norm of each sample's gradient, (count,)."""
        return self.values.new_zeros(count).index_add_(0, self.owner, self.values.square().sum(1))

    def dot(self, train, n_test, n_train):
        """(test, train) sums over shared tokens of the products of their rows."""
        product = self.values.new_zeros(n_test, n_train)
        token, count = torch.unique_consecutive(train.token, return_counts=True)
        first = torch.cumsum(count, 0) - count
        low = torch.searchsorted(self.token, token)
        width = torch.searchsorted(self.token, token, right=True) - low
        pairs = width * count
        for t0, tn, e0, en in torch.stack([first, count, low, width], 1)[pairs > MANY].tolist():
            block = self.values[e0 : e0 + en] @ train.values[t0 : t0 + tn].T
            product[self.owner[e0 : e0 + en, None], train.owner[None, t0 : t0 + tn]] += block
        rare = (pairs > 0) & (pairs <= MANY)
        low, width, first, count = low[rare], width[rare], first[rare], count[rare]
        mine = _ranges(first, count)  # train rows with a rare shared token
        widths = torch.repeat_interleave(width, count)
        theirs = _ranges(torch.repeat_interleave(low, count), widths)
        mine = torch.repeat_interleave(mine, widths)
        flat = product.view(-1)
        for start in range(0, len(mine), PAIRS):
            i, j = theirs[start : start + PAIRS], mine[start : start + PAIRS]
            flat.index_add_(
                0,
                self.owner[i] * n_train + train.owner[j],
                (self.values[i] * train.values[j]).sum(1),
            )
        return product


def _ranges(start, length):
    """Concatenated ranges [start, start + length)."""
    offsets = torch.repeat_interleave(torch.cumsum(length, 0) - length, length)
    return (
        torch.arange(int(length.sum()), device=start.device)
        - offsets
        + torch.repeat_interleave(start, length)
    )
