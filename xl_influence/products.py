"""Dot products of held test gradients with a batch of training gradients, one parameter at a time.

What a gradient is made of (`gradients.Outer`, `Rows`, `Vector`) decides how it is kept and multiplied; every way is exact.
"""

import math

import torch

from .gradients import Outer, Rows, dense, join

PAIRS = 1 << 14  # rows of two embeddings multiplied at once


class Held:
    """Test gradients by parameter, in the form that costs least to multiply.

    Embeddings stay sparse: (sample, token) rows. A layer whose output gradient sits at one position only (the last
    block's and the head's: the classifier reads the first token) has gradients of rank one and keeps its two factors.
    Every other parameter is a dense row per sample.

    `shapes`: parameter name → shape; `group_index`: parameter name → row of its group; `buffer`: name, shape → scratch.
    """

    def __init__(self, shapes, group_index, count, dtype, device, buffer):
        self.shapes, self.group_index, self.count = shapes, group_index, count
        self.dtype, self.device, self.buffer = dtype, device, buffer
        self.parts = {name: [] for name in shapes}  # sparse or rank one: (rows, part) of each batch
        self.whole = {}  # dense: (count, weights)
        self.square = torch.zeros(max(group_index.values()) + 1, count, dtype=torch.float64, device=device)

    def add(self, rows, name, factors):
        """Keep a batch's gradients of one parameter; `rows` are the test samples' numbers."""
        joined = join(factors)
        if isinstance(joined, Rows):
            part, norm = _aggregate(joined)
            self.parts[name].append((torch.tensor(rows, device=self.device), part))
        elif isinstance(joined, Outer) and (part := _one_position(joined)) is not None:
            norm = _rank_one_norm(part)
            self.parts[name].append((torch.tensor(rows, device=self.device), part))
        else:
            part = dense(factors, self.shapes[name])
            norm = torch.linalg.vector_norm(part, dim=1) ** 2
            self._whole(name)[rows] = part
        self.square[self.group_index[name], rows] += norm.double()

    def finish(self):
        """Merge the batches of each parameter."""
        for name, parts in self.parts.items():
            if name in self.whole:  # rank one in some batches only
                for rows, part in parts:
                    self.whole[name][rows] = dense([part], self.shapes[name])
                self.parts[name] = self.whole[name]
            elif not parts:
                self.parts[name] = self._whole(name)  # no use in the model: a gradient of zero
            elif isinstance(parts[0][1], Sparse):
                self.parts[name] = Sparse.merge(parts)
            else:
                self.parts[name] = _merge_single(parts, self.count)

    def multiply(self, name, factors):
        """Dot products with a batch's gradients, (test, batch), and their squared norms, (batch,)."""
        held, joined, shape = self.parts[name], join(factors), self.shapes[name]
        if isinstance(held, Sparse):
            train, norm = _aggregate(joined)
            return held.dot(train, self.count, len(joined.index)), norm
        if isinstance(held, Outer) and isinstance(joined, Outer):
            single = _one_position(joined)
            left, right = (single or joined).left, (single or joined).right  # (batch, positions, ·)
            a = held.left[:, 0] @ left.flatten(0, 1).T  # (test, batch × positions)
            b = held.right[:, 0] @ right.flatten(0, 1).T
            product = (a * b).view(self.count, left.shape[0], left.shape[1]).sum(2)
            return product, _rank_one_norm(single) if single else _ghost_norm(joined)
        if isinstance(held, Outer):
            held = dense([held], shape)
        out = None
        if isinstance(joined, Outer):
            factors, out = [joined], self.buffer("gradient", (len(joined.left), *shape))
        grad = dense(factors, shape, out)  # (batch, weights)
        return held @ grad.T, torch.linalg.vector_norm(grad, dim=1) ** 2

    def _whole(self, name):
        if name not in self.whole:
            size = math.prod(self.shapes[name])
            self.whole[name] = torch.zeros(self.count, size, dtype=self.dtype, device=self.device)
        return self.whole[name]


class Sparse:
    """Rows of an embedding's gradient: `owner` (row of the sample), `token`, `values` (n, dim), sorted by token."""

    def __init__(self, owner, token, values):
        order = torch.argsort(token, stable=True)
        self.owner, self.token, self.values = owner[order], token[order], values[order]

    @staticmethod
    def merge(parts):
        return Sparse(
            torch.cat([rows[part.owner] for rows, part in parts]),
            torch.cat([part.token for _, part in parts]),
            torch.cat([part.values for _, part in parts]),
        )

    def dot(self, train, n_test, n_train):
        """(test, train) sums over shared tokens of the products of their rows."""
        product = self.values.new_zeros(n_test, n_train)
        token, count = torch.unique_consecutive(train.token, return_counts=True)
        first = torch.cumsum(count, 0) - count
        low = torch.searchsorted(self.token, token)
        width = torch.searchsorted(self.token, token, right=True) - low
        pairs = width * count
        for t0, tn, e0, en in torch.stack([first, count, low, width], 1)[pairs > PAIRS // 16].tolist():  # frequent tokens
            block = self.values[e0 : e0 + en] @ train.values[t0 : t0 + tn].T
            product[self.owner[e0 : e0 + en, None], train.owner[None, t0 : t0 + tn]] += block
        rare = (pairs > 0) & (pairs <= PAIRS // 16)
        low, width, first, count = low[rare], width[rare], first[rare], count[rare]
        mine = _ranges(first, count)  # train rows with a rare shared token
        widths = torch.repeat_interleave(width, count)
        theirs = _ranges(torch.repeat_interleave(low, count), widths)
        mine = torch.repeat_interleave(mine, widths)
        flat = product.view(-1)
        for start in range(0, len(mine), PAIRS):
            i, j = theirs[start : start + PAIRS], mine[start : start + PAIRS]
            flat.index_add_(0, self.owner[i] * n_train + train.owner[j], (self.values[i] * train.values[j]).sum(1))
        return product


def _aggregate(rows):
    """Sum a batch's rows by (sample, token); returns them as `Sparse` and the squared norm per sample."""
    n, dim = len(rows.index), rows.values.shape[-1]
    used = (rows.values != 0).any(-1)  # padding, and positions that the loss does not reach, drop out
    sample = torch.arange(n, device=rows.index.device)[:, None].expand_as(rows.index)[used]
    keys = rows.index[used] * n + sample
    unique, inverse = torch.unique(keys, return_inverse=True)
    values = rows.values.new_zeros(len(unique), dim).index_add_(0, inverse, rows.values[used])
    owner = unique % n
    norm = values.new_zeros(n).index_add_(0, owner, (values * values).sum(1))
    return Sparse(owner, unique // n, values), norm


def _one_position(outer):
    """The factors at the first position where all others are zero; None where they are not."""
    if outer.left.shape[1] > 1 and bool(outer.left[:, 1:].any()):
        return None
    return Outer(outer.left[:, :1], outer.right[:, :1])


def _rank_one_norm(outer):
    return (outer.left[:, 0] ** 2).sum(1) * (outer.right[:, 0] ** 2).sum(1)


def _ghost_norm(outer):
    left = torch.bmm(outer.left, outer.left.transpose(1, 2))  # (batch, positions, positions)
    right = torch.bmm(outer.right, outer.right.transpose(1, 2))
    return (left * right).sum((1, 2))


def _merge_single(parts, count):
    left = torch.zeros(count, *parts[0][1].left.shape[1:], dtype=parts[0][1].left.dtype, device=parts[0][1].left.device)
    right = torch.zeros(count, *parts[0][1].right.shape[1:], dtype=left.dtype, device=left.device)
    for rows, part in parts:
        left[rows], right[rows] = part.left, part.right
    return Outer(left, right)


def _ranges(start, length):
    """Concatenated ranges [start, start + length)."""
    offsets = torch.repeat_interleave(torch.cumsum(length, 0) - length, length)
    return torch.arange(int(length.sum()), device=start.device) - offsets + torch.repeat_interleave(start, length)
