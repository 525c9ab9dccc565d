"""Compute gradient products: batches, per-sample gradients within the memory, their products.

`tracin.gradient_products` wraps it in one call. `Engine` is for callers that multiply the same
test gradients by many ranges of training samples, as the influence pass does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr

from .arithmetic import PRECISIONS, arithmetic
from .batches import (
    Sample,
    choose_max_tokens,
    find_lengths,
    find_pad_token_id,
    group_batches,
    make_batches,
    pad_batch,
)
from .coverage import Plan, group_of
from .gradients import Recorder, trainable
from .layout import Layout, bytes_per_sample, choose_layout
from .probing import find_plan
from .products import compute_squares, multiply
from .samples import check_model, count_tokens, find_longest_input
from .store import Store
from .timing import MULTIPLYING, PASSES, Timer, untimed

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Progress = Callable[[int], Any]

STORAGE = {  # None: the model's own
    None: None,
    "float32": None,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
PASSES_SHARE = 0.5  # of the time, for the progress bar


@dataclass
class TestGradients:
    """The gradients of a test tile.

    Attributes
    ----------
    store : Store
        The gradients.
    order : numpy.ndarray
        (test,): the number of the sample in each row of the store.
    square : numpy.ndarray
        (group, test): squared norms, the samples in the order given.
    """

    store: Store
    order: np.ndarray
    square: np.ndarray


class Engine:
    """The steps behind `tracin.gradient_products`, whose parameters it shares.

    Parameters
    ----------
    model : transformers sequence classifier
        See `gradient_products`; moved to `device` if that is given.
    pad_token_id, max_tokens, device, precision, storage
        See `gradient_products`.
    timer : callable, optional
        `timer(step)` returns a context manager that the engine enters around each step, one of the
        names in `timing`. Default: nothing is timed.

    Raises
    ------
    ValueError
        An unknown `precision` or `storage`, no parameter that requires a gradient, or a model that
        does not choose one of several classes.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        pad_token_id: int | None = None,
        max_tokens: int = 0,
        device: str | torch.device | None = None,
        precision: str = "float32",
        storage: str | None = None,
        timer: Timer | None = None,
    ) -> None:
        if precision not in PRECISIONS or storage not in STORAGE:
            raise ValueError(
                f"precision={precision!r}, storage={storage!r}; allowed are "
                f"{', '.join(PRECISIONS)} and {', '.join(map(str, STORAGE))}"
            )
        model = getattr(model, "_orig_mod", model)  # of torch.compile, whose graph has no hooks
        check_model(model)
        if device is not None:
            model.to(device)  # type: ignore[arg-type]  # transformers' wrapper takes it for `self`
        self.model = model
        first = next(model.parameters())
        self.device, self.dtype = first.device, first.dtype
        self.pad_token_id = find_pad_token_id(model) if pad_token_id is None else pad_token_id
        self.max_tokens = max_tokens or choose_max_tokens(self.device)
        self.precision, self.storage = precision, STORAGE[storage]
        self.timer = timer or untimed
        parameters = trainable(model)
        if not parameters:
            raise ValueError("no parameter of the model requires a gradient: nothing to compare")
        self.shapes = {name: parameter.shape for name, parameter in parameters.items()}
        self.groups = _in_order(map(group_of, parameters))
        self.group_index = {name: self.groups.index(group_of(name)) for name in parameters}
        self.buffers: dict[str, torch.Tensor] = {}

    def check(self, train: Sequence[Sample], test: Sequence[Sample]) -> None:
        """Check the samples, and how the model behaves on them: `probing` chooses some.

        What a model does with some lengths only, such as attention in chunks or at random, does not
        show on the engine's made-up samples.

        Parameters
        ----------
        train, test : sequence of dict
            The samples; the message names the first bad one.

        Raises
        ------
        ValueError
            There are no samples, or the model cannot take one of them, or ignores a part of it.
        UncoveredError
            The model gives different outputs for the same sample, or fails on one.
        """
        for side, samples in (("train", train), ("test", test)):
            if not len(samples):
                raise ValueError(f"{side}: no samples")
            for row, sample in enumerate(samples):
                self._check_sample(f"{side} sample {row}", sample)
        self.plan = self._find_plan([*test, *train])

    def _check_sample(self, name: str, sample: Sample) -> None:
        vocabulary = count_tokens(self.model)
        config: Any = self.model.config  # transformers types `num_labels` as optional
        ids, n_labels = sample["input_ids"], config.num_labels
        longest = self._longest
        if not len(ids) or len(ids) > longest or min(ids) < 0 or max(ids) >= vocabulary:
            raise ValueError(
                f"{name} has {len(ids)} tokens with ids up to {max(ids, default=None)}; allowed "
                f"are 1 to {longest} tokens with ids 0 to {vocabulary - 1}"
            )
        if not 0 <= sample["label"] < n_labels:
            raise ValueError(f"{name}: label {sample['label']}; allowed are 0 to {n_labels - 1}")

    @cached_property
    def _longest(self) -> float:
        return find_longest_input(self.model)

    @cached_property
    def plan(self) -> Plan:
        """How the model uses its parameters; until `check` has samples, found with made-up ones."""
        return self._find_plan([])

    def _find_plan(self, samples: list[Sample]) -> Plan:
        with arithmetic(self.device):
            return find_plan(self.model, self.pad_token_id, samples)

    def bytes_per_sample(self, length: int, dtype: torch.dtype | None = None) -> int:
        """Upper bound of the memory that a sample's gradients take; see `layout.bytes_per_sample`.

        Parameters
        ----------
        length : int
            The sample's tokens.
        dtype : torch.dtype, optional
            The type in which they are kept; default: the model's own.
        """
        return bytes_per_sample(self.model, self.plan, length, dtype or self.dtype)

    def layout(
        self, train: Sequence[Sample], test: Sequence[Sample], memory: float | None = None
    ) -> Layout:
        """Choose how many samples have their gradients in memory; see `layout.choose_layout`.

        Parameters
        ----------
        train, test : sequence of dict
            All samples.
        memory : float, optional
            GB for gradients; default: half of the memory that is free.
        """
        lengths = find_lengths((*test, *train))
        longest, mean = max(lengths), int(np.mean(lengths))
        return choose_layout(
            len(test),
            mean,
            test_bytes=self.bytes_per_sample(longest, self.storage),
            train_bytes=self.bytes_per_sample(mean),
            memory=memory,
            device=self.device,
        )

    def collect_test(self, test: Sequence[Sample]) -> TestGradients:
        """Compute the gradients of a test tile, for `products`."""
        store, order = self._collect(test, list(self._batches(test)), self.storage)
        square = self._zeros(len(test))  # (group, test)
        with arithmetic(self.device, self.precision):
            for name, group in self.group_index.items():
                square[group] += compute_squares(name, store, self.timer)
        return TestGradients(store, order, square.cpu().numpy()[:, np.argsort(order)])

    def products(
        self,
        test: TestGradients,
        train: Sequence[Sample],
        train_tile: int = 0,
        progress: Progress | None = None,
    ) -> xr.Dataset:
        """Multiply the gradients of a test tile by those of training samples.

        Parameters
        ----------
        test : TestGradients
            From `collect_test`.
        train : sequence of dict
            The training samples.
        train_tile : int
            Training samples whose gradients are in memory at the same time; 0: all.
        progress : callable, optional
            See `gradient_products`.

        Returns
        -------
        xarray.Dataset
            As `gradient_products` returns it, without coordinates of the samples.
        """
        shape = (len(self.groups), len(test.order), len(train))
        exact = np.float64 if self.dtype == torch.float64 else np.float32
        dot = np.zeros(shape, dtype=exact)  # (group, test, train)
        square = np.zeros((len(self.groups), len(train)))  # (group, train)
        for batches in group_batches(self._batches(train, train_tile), train_tile):
            ticks = _Ticks(progress, sum(map(len, batches)))
            store, order = self._collect(train, batches, ticks=ticks)
            tile_dot, tile_square = self._multiply(test.store, store, ticks)
            dot[:, test.order[:, None], order] = tile_dot.cpu().numpy()  # (group, test, tile)
            square[:, order] = tile_square.cpu().numpy()  # (group, tile)
            del store  # before the next tile takes its memory
        return xr.Dataset(
            {
                "dot": (("group", "test", "train"), dot),
                "test_sqnorm": (("group", "test"), test.square.astype(exact)),
                "train_sqnorm": (("group", "train"), square.astype(exact)),
            },
            coords={"group": np.array(self.groups, dtype=object)},
        )

    def _collect(
        self,
        samples: Sequence[Sample],
        batches: list[list[int]],
        storage: torch.dtype | None = None,
        ticks: _Ticks | None = None,
    ) -> tuple[Store, np.ndarray]:
        """Run forward and backward passes of these batches.

        Returns the gradients, and the numbers of the samples in the order of the store.
        """
        plan = self.plan
        store = Store(self.shapes, self.dtype, self.device, plan.first_position, storage)
        recorder = Recorder(self.model, plan.by_autograd, plan.single_sample, plan.split)
        with self.timer(PASSES):
            with recorder, arithmetic(self.device, self.precision, passes=True):
                for number, rows in enumerate(batches):
                    store.start_batch(len(rows))
                    batch = pad_batch([samples[i] for i in rows], self.pad_token_id, self.device)
                    recorder.run(batch, store.receive)
                    if ticks:
                        ticks.advance(PASSES_SHARE * (number + 1) / len(batches))
            store.finish(self.max_tokens if plan.single_sample else 0)
        return store, np.concatenate(batches)

    def _multiply(
        self, test: Store, train: Store, ticks: _Ticks
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Dot products (group, test, train) and squared norms (group, train), summed by group."""
        dot = self._zeros(test.count, train.count)  # (group, test, train)
        square = self._zeros(train.count)  # (group, train)
        with arithmetic(self.device, self.precision):
            for number, (name, group) in enumerate(self.group_index.items()):
                with self.timer(MULTIPLYING):
                    product, norm = multiply(name, test, train, self._scratch, self.timer)
                dot[group] += product
                square[group] += norm
                done = (number + 1) / len(self.group_index)
                ticks.advance(PASSES_SHARE + (1 - PASSES_SHARE) * done)
        return dot, square

    def _zeros(self, *shape: int) -> torch.Tensor:
        """Sums by group, (group, *shape), in float64."""
        return torch.zeros(len(self.groups), *shape, dtype=torch.float64, device=self.device)

    def _batches(self, samples: Sequence[Sample], max_samples: int = 0) -> Iterator[list[int]]:
        max_tokens = 1 if self.plan.single_sample else self.max_tokens
        return make_batches(samples, max_tokens, max_samples, equal_length=self.plan.equal_length)

    def _scratch(self, name: str, size: int) -> torch.Tensor:
        """A flat buffer that is used again: fresh ones of this size would take twice the time."""
        if name not in self.buffers or self.buffers[name].numel() < size:
            fresh = torch.empty(size, dtype=self.dtype, device=self.device)  # (size,)
            self.buffers[name] = fresh
        return self.buffers[name][:size]


class _Ticks:
    """Reports the progress through a tile of `size` samples to a bar that counts whole samples."""

    def __init__(self, progress: Progress | None, size: int) -> None:
        self.progress, self.size, self.reported = progress, size, 0

    def advance(self, share: float) -> None:
        now = round(share * self.size)
        if self.progress and now > self.reported:
            self.progress(now - self.reported)
            self.reported = now


def _in_order(groups: Iterable[str]) -> list[str]:
    """The different groups, from input to output."""
    found = set(groups)
    layers = sorted(found - {"embeddings", "head"})
    return [group for group in ("embeddings", *layers, "head") if group in found]
