"""What computes influence: batches samples, keeps gradients within the memory, and multiplies them.

`tracin.gradient_products` is the short way to it; callers that hold test gradients over many shards use `Engine`.
"""

import math
import os
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import psutil
import torch
import xarray as xr

from .arithmetic import PRECISIONS, arithmetic
from .batches import batches, portions
from .coverage import group_of, probe
from .gradients import Recorder, trainable
from .products import Store, multiply, squares

MAX_TOKENS = {
    "cpu": 1024,
    "cuda": 65_536,
}  # in a batch, padding included; on a CPU, what stays near its caches
PORTION = {
    "cpu": 0,
    "cuda": 2048,
}  # training samples in a product, where the memory allows: a GPU is slow on small work
STORAGE = {
    None: None,
    "float32": None,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}  # None: the model's own
PASSES = 0.5  # share of the time that forward and backward passes take, for the progress bar


class Engine:
    """The steps behind `gradient_products`, for callers that hold test gradients over many training shards."""

    def __init__(
        self,
        model,
        *,
        pad_token_id=None,
        max_tokens=0,
        device=None,
        precision="float32",
        storage=None,
    ):
        self.model = model.to(device) if device is not None else model
        self.device = next(model.parameters()).device
        self.dtype = next(model.parameters()).dtype
        own = getattr(model.config, "pad_token_id", None)
        self.pad = pad_token_id if pad_token_id is not None else own if own is not None else 0
        self.max_tokens, self.precision = (
            max_tokens or MAX_TOKENS.get(self.device.type, MAX_TOKENS["cuda"]),
            precision,
        )
        if precision not in PRECISIONS or storage not in STORAGE:
            raise ValueError(
                f"precision={precision!r}, storage={storage!r}; allowed are {', '.join(PRECISIONS)} and "
                f"{', '.join(map(str, STORAGE))}"
            )
        self.storage = STORAGE[storage]
        parameters = trainable(model)
        if not parameters:
            raise ValueError("no parameter of the model requires a gradient: nothing to compare")
        self.shapes = {name: parameter.shape for name, parameter in parameters.items()}
        self.group = {name: group_of(name) for name in parameters}
        self.groups = _ordered(self.group)
        self.buffers = {}

    def check(self, train, test):
        """Refuse samples that cannot be used, and parameters that no rule covers."""
        vocabulary = self.model.get_input_embeddings().num_embeddings
        longest = getattr(self.model.config, "max_position_embeddings", math.inf)
        for name, samples in (("train", train), ("test", test)):
            if not len(samples):
                raise ValueError(f"{name}: no samples")
            for row, sample in enumerate(samples):
                ids = sample["input_ids"]
                if not len(ids) or len(ids) > longest or min(ids) < 0 or max(ids) >= vocabulary:
                    raise ValueError(
                        f"{name} sample {row} has {len(ids)} tokens with ids up to {max(ids, default=None)}; allowed are "
                        f"1 to {longest} tokens with ids 0 to {vocabulary - 1}"
                    )
                if not 0 <= sample["label"] < self.model.config.num_labels:
                    raise ValueError(
                        f"{name} sample {row}: label {sample['label']}; allowed are 0 to {self.model.config.num_labels - 1}"
                    )

    @cached_property
    def plan(self):
        """How the model uses its parameters (`coverage.Plan`), found with a made-up sample of four tokens."""
        vocabulary = self.model.get_input_embeddings().num_embeddings
        ids = [i for i in range(vocabulary) if i != self.pad][:4]
        return probe(self.model, self.tensors([{"input_ids": ids, "label": 0}]))

    def bytes_per_sample(self, length, dtype=None):
        """Upper bound of the memory that the gradients of a sample of `length` tokens take while kept in `dtype`."""
        tables = {
            id(module.weight)
            for module in self.model.modules()
            if isinstance(module, torch.nn.Embedding)
        }
        numbers = 0
        for name, parameter in trainable(self.model).items():
            if parameter.dim() == 1 or name in self.plan.direct:
                numbers += parameter.numel()
            elif name in self.plan.first:
                numbers += sum(parameter.shape)
            elif id(parameter) in tables:
                numbers += length * parameter.shape[1]
            else:
                numbers += min(length * sum(parameter.shape), parameter.numel())
        return numbers * torch.finfo(dtype or self.dtype).bits // 8

    def layout(self, train, test, memory=None):
        """How `memory` GB are used: (test samples per tile, training samples per product).

        Half of the memory at most goes to test samples. Building their gradients anew for every product costs time, at
        most 5 % where the rest of the memory suffices.
        """
        budget = (memory or self._free() / 2**30 / 2) * 2**30
        longest, typical = (
            int(f([len(s["input_ids"]) for s in (*test, *train)])) for f in (max, np.mean)
        )
        each = self.bytes_per_sample(longest, self.storage)
        if budget < each:
            raise ValueError(
                f"test_memory={budget / 2**30:.2g} GB: the gradients of one test sample take {each / 2**30:.2g} GB"
            )
        at_once = max(1, int(budget / 2 // each))
        tile = math.ceil(len(test) / math.ceil(len(test) / at_once))  # tiles of equal size
        enough = max(
            PORTION.get(self.device.type, 0),
            math.ceil(typical * tile / (0.05 * (3 * typical + tile))),
        )
        return tile, max(
            1, min(enough, int((budget - tile * each) // self.bytes_per_sample(typical)))
        )

    def hold(self, test):
        """Gradients of these test samples, kept for `products`."""
        store, order = self._collect(test, list(self._batches(test)), self.storage)
        square = torch.zeros(len(self.groups), len(test), dtype=torch.float64, device=self.device)
        with arithmetic(self.device, self.precision):
            for name, group in self.group.items():
                square[self.groups.index(group)] += squares(name, store)
        return Held(store, order, square.cpu().numpy()[:, np.argsort(order)])

    def products(self, held, train, together=0, progress=None):
        """Dataset of `held` test gradients against the training samples, rows in the order given.

        `together`: training samples whose gradients are kept and multiplied at once; 0: all.
        """
        n_groups, n_test = len(self.groups), len(held.order)
        exact = np.float64 if self.dtype == torch.float64 else np.float32
        dot, square = (
            np.zeros((n_groups, n_test, len(train)), dtype=exact),
            np.zeros((n_groups, len(train))),
        )
        for portion in portions(self._batches(train, together), together):
            tick = _Ticks(progress, sum(map(len, portion)))
            store, order = self._collect(train, portion, tick=tick.to)
            sums = torch.zeros(
                n_groups, n_test, len(order), dtype=torch.float64, device=self.device
            )
            norms = torch.zeros(n_groups, len(order), dtype=torch.float64, device=self.device)
            with arithmetic(self.device, self.precision):
                for number, (name, group) in enumerate(self.group.items()):
                    product, norm = multiply(name, held.store, store, self._scratch)
                    sums[self.groups.index(group)] += product
                    norms[self.groups.index(group)] += norm
                    tick.to(PASSES + (1 - PASSES) * (number + 1) / len(self.group))
            dot[:, held.order[:, None], order] = sums.cpu().numpy()
            square[:, order] = norms.cpu().numpy()
            del store  # before the next portion takes its memory
        return xr.Dataset(
            {
                "dot": (("group", "test", "train"), dot),
                "test_sqnorm": (("group", "test"), held.square.astype(exact)),
                "train_sqnorm": (("group", "train"), square.astype(exact)),
            },
            coords={"group": np.array(self.groups, dtype=object)},
        )

    def tensors(self, samples):
        """One padded batch of samples as the model's inputs, with `labels`."""
        width = max(len(sample["input_ids"]) for sample in samples)
        rows = [list(s["input_ids"]) + [self.pad] * (width - len(s["input_ids"])) for s in samples]
        mask = [[1] * len(s["input_ids"]) + [0] * (width - len(s["input_ids"])) for s in samples]
        batch = {"input_ids": rows, "attention_mask": mask, "labels": [s["label"] for s in samples]}
        if "token_type_ids" in samples[0]:
            batch["token_type_ids"] = [
                list(s["token_type_ids"]) + [0] * (width - len(s["token_type_ids"]))
                for s in samples
            ]
        tensors = {name: torch.tensor(value) for name, value in batch.items()}
        if self.device.type == "cuda":
            tensors = {name: tensor.pin_memory() for name, tensor in tensors.items()}
        return {name: tensor.to(self.device, non_blocking=True) for name, tensor in tensors.items()}

    def _collect(self, samples, portion, storage=None, tick=None):
        """Forward and backward passes of these batches: their gradients and the samples' numbers in that order."""
        store = Store(self.shapes, self.dtype, self.device, self.plan.first, storage)
        passes = Recorder(self.model, self.plan.direct, self.plan.alone)
        with passes as recorder, arithmetic(self.device, self.precision, passes=True):
            for number, rows in enumerate(portion):
                store.extend(len(rows))
                recorder.run(self.tensors([samples[i] for i in rows]), store.receive)
                if tick:
                    tick(PASSES * (number + 1) / len(portion))
        store.finish(self.max_tokens if self.plan.alone else 0)
        return store, np.concatenate([np.array(rows) for rows in portion])

    def _batches(self, samples, most=0):
        return batches(samples, 1 if self.plan.alone else self.max_tokens, most)

    def _scratch(self, name, size):
        """A flat buffer that is used again: fresh ones of this size cost twice the time."""
        if name not in self.buffers or self.buffers[name].numel() < size:
            self.buffers[name] = torch.empty(size, dtype=self.dtype, device=self.device)
        return self.buffers[name][:size]

    def _free(self):
        if self.device.type == "cuda":
            unused = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(
                self.device
            )
            return (
                torch.cuda.mem_get_info(self.device)[0] // _sharers() + unused
            )  # PyTorch keeps what it has freed
        return psutil.virtual_memory().available // _sharers()


def _sharers():
    """How many processes `batch` runs at once on this machine: each sees all memory as free and takes its part."""
    return int(os.environ.get("XL_INFLUENCE_WORKERS", 1))


@dataclass
class Held:
    """Test gradients in a `Store`, whose rows are the test samples `order`; `square` (group, test): squared norms."""

    store: Store
    order: np.ndarray
    square: np.ndarray


class _Ticks:
    """Tells a progress bar of whole samples how far a portion of `size` samples has come."""

    def __init__(self, progress, size):
        self.progress, self.size, self.told = progress, size, 0

    def to(self, share):
        now = round(share * self.size)
        if self.progress and now > self.told:
            self.progress(now - self.told)
            self.told = now


def _ordered(group):
    """Groups from input to output."""
    found = set(group.values())
    return [
        *(["embeddings"] * ("embeddings" in found)),
        *sorted(found - {"embeddings", "head"}),
        *(["head"] * ("head" in found)),
    ]
