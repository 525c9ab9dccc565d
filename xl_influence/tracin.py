"""TracIn's influence of training samples on test samples, exactly and over all parameters (section 4.2).

`gradient_products` gives, for one checkpoint, what equation 2 sums: the dot products of loss gradients, kept apart by
parameter group, and the squared gradient norms. `influence` makes the paper's score of them: the cosine, summed over
checkpoints. One backward pass per sample: N + M in all, never N × M.
"""

import math
from functools import partial

import numpy as np
import psutil
import torch
import xarray as xr

from .gradients import Recorder, check_coverage, group_of, trainable
from .products import Held

MAX_TOKENS = 2048  # in a batch; its activations and output gradients must fit beside the gradients of the test samples


def gradient_products(
    model, train, test, *, pad_token_id=None, max_tokens=MAX_TOKENS, test_memory=None, device=None, progress=None
):
    """Dot products and squared norms of per-sample loss gradients, at the model's present weights.

    Gradients are of the cross-entropy of each sample alone, over all parameters that require a gradient, with the model
    in eval mode and in the model's own precision. Cosines equal plain autograd's to 1e-5 in float32.

    Parameters
    ----------
    model : transformers sequence classifier
        Built of Linear, LayerNorm and Embedding; freeze a parameter to leave it out.
    train, test : sequence of dict
        `input_ids` (list of int), `label` (int); optionally `token_type_ids`, `uid`, `lang`, `item`.
    pad_token_id : int, optional
        For batches of different lengths; default: the model's own, else 0.
    max_tokens : int
        Tokens in one batch, padding included.
    test_memory : float, optional
        GB for gradients of test samples. Where they do not fit at once the training samples are passed once per tile.
        Default: half of the memory that is free.
    device : str or torch.device, optional
        Where to compute; default: where the model is.
    progress : callable, optional
        Called with the number of training samples after each batch of a tile.

    Returns
    -------
    xarray.Dataset
        `dot` (group, test, train), `test_sqnorm` (group, test), `train_sqnorm` (group, train); float32, or float64 for
        a float64 model; groups 'embeddings', 'layer-00', …, 'head'; rows in the order given.

    Raises
    ------
    UncoveredError
        A trainable parameter that no rule covers; the message names it.
    ValueError
        No samples, an empty or out-of-range sample, or a test sample that alone exceeds `test_memory`.
    """
    engine = Engine(model, pad_token_id=pad_token_id, max_tokens=max_tokens, device=device)
    engine.check(train, test)
    parts = []
    for tile in engine.tiles(test, test_memory):
        held = engine.hold(test[tile.start : tile.stop])
        parts.append(engine.products(held, train, progress))
        del held
    products = xr.concat(parts, "test", data_vars="minimal", coords="minimal", compat="override", join="override")
    return products.assign_coords(sample_coords(test, "test") | sample_coords(train, "train"))


def influence(scores, groups=None, normalize=True):
    """Influence of every training sample on every test sample (equation 2), summed over checkpoints where present.

    Parameters
    ----------
    scores : xarray.Dataset
        As `gradient_products` returns it, optionally with a dimension `checkpoint`.
    groups : list of str, optional
        Parameter groups to take; default: all, the paper's score.
    normalize : bool
        True: the cosine of the gradients (the paper's score); False: the plain dot product of TracIn.

    Returns
    -------
    xarray.DataArray
        (test, train). The cosine with a gradient of zero is zero.
    """
    known = [str(group) for group in scores["group"].values]
    unknown = [group for group in groups or [] if group not in known]
    if unknown or groups == []:
        raise ValueError(f"unknown group {(unknown or ['(none given)'])[0]!r}; allowed are {', '.join(known)}")
    part = scores.sel(group=list(groups)) if groups is not None else scores
    value = part["dot"].astype(np.float64).sum("group", skipna=False)
    if normalize:
        square = part["test_sqnorm"].astype(np.float64).sum("group", skipna=False) * part["train_sqnorm"].astype(
            np.float64
        ).sum("group", skipna=False)
        value = xr.where(square > 0, value / np.sqrt(square.where(square > 0, 1.0)), 0.0)
    if "checkpoint" in value.dims:
        value = value.sum("checkpoint", skipna=False)
    if bool(value.isnull().any()):
        raise ValueError("the scores hold values that are not numbers: the cube is incomplete or training diverged")
    return value.transpose("test", "train").rename("influence")


class Engine:
    """The steps behind `gradient_products`, for callers that hold test gradients over many training shards."""

    def __init__(self, model, *, pad_token_id=None, max_tokens=MAX_TOKENS, device=None):
        self.model = model.to(device) if device is not None else model
        self.device = next(model.parameters()).device
        self.dtype = next(model.parameters()).dtype
        own = getattr(model.config, "pad_token_id", None)
        self.pad = pad_token_id if pad_token_id is not None else own if own is not None else 0
        self.max_tokens = max_tokens
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
        check_coverage(self.model, self._tensors([test[0]]))

    def bytes_per_test_sample(self):
        """Upper bound of the memory that one test sample's gradients take, embeddings apart (they are sparse)."""
        tables = {id(module.weight) for module in self.model.modules() if isinstance(module, torch.nn.Embedding)}
        weights = (p.numel() for p in trainable(self.model).values() if id(p) not in tables)
        return sum(weights) * torch.finfo(self.dtype).bits // 8

    def tiles(self, test, test_memory=None):
        """Ranges of test samples whose gradients fit into `test_memory` GB."""
        if test_memory is None or test_memory == 0:
            test_memory = self._free() / 2**30 / 2
        each = self.bytes_per_test_sample()
        at_once = int(test_memory * 2**30 // each)
        if at_once < 1:
            raise ValueError(f"test_memory={test_memory:.2f} GB: the gradients of one test sample take {each / 2**30:.2f} GB")
        count = math.ceil(len(test) / at_once)
        size = math.ceil(len(test) / count)  # tiles of equal size
        return [range(start, min(start + size, len(test))) for start in range(0, len(test), size)]

    def hold(self, test):
        """Gradients of these test samples, kept for `products`."""
        groups = {name: self.groups.index(group) for name, group in self.group.items()}
        held = Held(self.shapes, groups, len(test), self.dtype, self.device, self.buffer)
        with Recorder(self.model) as recorder:
            for rows in batches(test, self.max_tokens):
                recorder.run(self._tensors([test[i] for i in rows]), partial(held.add, rows))
        held.finish()
        return held

    def products(self, held, train, progress=None):
        """Dataset of `held` test gradients against the training samples, rows in the order given."""
        n_groups, n_test, n_train = len(self.groups), held.count, len(train)
        dot = np.zeros((n_groups, n_test, n_train), dtype=np.float64 if self.dtype == torch.float64 else np.float32)
        square = np.zeros((n_groups, n_train))
        with Recorder(self.model) as recorder:
            for rows in batches(train, self.max_tokens):
                batch = self._tensors([train[i] for i in rows])
                sums = torch.zeros(n_groups, n_test, len(rows), dtype=torch.float64, device=self.device)
                squares = torch.zeros(n_groups, len(rows), dtype=torch.float64, device=self.device)
                recorder.run(batch, partial(self._receive, held, sums, squares))
                dot[:, :, rows] = sums.cpu().numpy()
                square[:, rows] = squares.cpu().numpy()
                if progress:
                    progress(len(rows))
        return xr.Dataset(
            {
                "dot": (("group", "test", "train"), dot),
                "test_sqnorm": (("group", "test"), held.square.cpu().numpy().astype(dot.dtype)),
                "train_sqnorm": (("group", "train"), square.astype(dot.dtype)),
            },
            coords={"group": np.array(self.groups, dtype=object)},
        )

    def _receive(self, held, sums, squares, name, factors):
        """Add one parameter's products to its group: sums (group, test, batch), squares (group, batch)."""
        group = self.groups.index(self.group[name])
        product, norm = held.multiply(name, factors)
        sums[group] += product
        squares[group] += norm

    def buffer(self, name, shape):
        """A reused buffer: fresh ones of this size cost twice the time."""
        size = math.prod(shape)
        if name not in self.buffers or self.buffers[name].numel() < size:
            self.buffers[name] = torch.empty(size, dtype=self.dtype, device=self.device)
        return self.buffers[name][:size].view(shape)

    def _tensors(self, samples):
        """One padded batch of samples as the model's inputs, with `labels`."""
        width = max(len(sample["input_ids"]) for sample in samples)
        rows = [list(s["input_ids"]) + [self.pad] * (width - len(s["input_ids"])) for s in samples]
        mask = [[1] * len(s["input_ids"]) + [0] * (width - len(s["input_ids"])) for s in samples]
        batch = {"input_ids": rows, "attention_mask": mask, "labels": [s["label"] for s in samples]}
        if "token_type_ids" in samples[0]:
            batch["token_type_ids"] = [list(s["token_type_ids"]) + [0] * (width - len(s["token_type_ids"])) for s in samples]
        return {name: torch.tensor(value, device=self.device) for name, value in batch.items()}

    def _free(self):
        if self.device.type == "cuda":
            return torch.cuda.mem_get_info(self.device)[0]
        return psutil.virtual_memory().available


def batches(samples, max_tokens):
    """Lists of row numbers: samples of similar length, at most `max_tokens` tokens with padding (or one sample)."""
    order = np.argsort([len(sample["input_ids"]) for sample in samples], kind="stable")
    batch = []
    for row in order:
        if batch and (len(batch) + 1) * len(samples[row]["input_ids"]) > max_tokens:
            yield batch
            batch = []
        batch.append(int(row))
    if batch:
        yield batch


def sample_coords(samples, dim):
    """Coordinates of a dimension from samples: the uid (or row number), and `<dim>_lang`, `_item`, `_label` where known."""
    values = {dim: [sample.get("uid", row) for row, sample in enumerate(samples)]}
    for key in ("lang", "item", "label"):
        if all(key in sample for sample in samples):
            values[f"{dim}_{key}"] = [sample[key] for sample in samples]
    return {name: (dim, np.array(v, dtype=object if isinstance(v[0], str) else None)) for name, v in values.items()}


def _ordered(group):
    """Groups from input to output."""
    found = set(group.values())
    return [
        *(["embeddings"] * ("embeddings" in found)),
        *sorted(found - {"embeddings", "head"}),
        *(["head"] * ("head" in found)),
    ]
