"""TracIn's influence of training samples on test samples, exact and over all parameters.

This is section 4.2 of the paper. For one checkpoint, `gradient_products` computes what equation 2
sums: the dot products of loss gradients, by parameter group, and the squared gradient norms.
`influence` turns them into the paper's score: the cosine, summed over checkpoints. This takes one
backward pass per sample: N + M in all, never N × M.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from .engine import memory
from .engine.batches import Sample
from .engine.engine import Engine
from .engine.samples import read_samples
from .engine.timing import Timer
from .influence import influence, make_coords

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def gradient_products(
    model: PreTrainedModel,
    train: Sequence[Sample],
    test: Sequence[Sample],
    *,
    pad_token_id: int | None = None,
    max_tokens: int = 0,
    test_memory: float | None = None,
    device: str | torch.device | None = None,
    precision: str = "float32",
    storage: str | None = None,
    progress: Callable[[int], Any] | None = None,
    keep_memory: bool = True,
    timer: Timer | None = None,
) -> xr.Dataset:
    """Compute dot products and squared norms of per-sample loss gradients, at the present weights.

    The gradients are those of each sample's own cross-entropy, over all parameters that require a
    gradient, with the model in eval mode and in its own precision. In float32, cosines equal plain
    autograd's to 1e-5.

    Parameters
    ----------
    model : transformers sequence classifier
        Any classifier with deterministic output; freeze a parameter to leave it out. The model is
        left as it was. Layers with rules (`engine.rules`) go in batches; a model with others goes
        through one sample at a time, which takes longer.
    train, test : sequence of dict
        `input_ids` and `label` or `labels`; optionally `attention_mask`, `token_type_ids`, `uid`,
        `lang`, `item`. Lists, arrays or tensors, as tokenizers and `datasets` give them; see
        `engine.samples.read_samples`.
    pad_token_id : int, optional
        Pads batches of different lengths; default: the model's own, else 0.
    max_tokens : int
        Tokens in a batch, padding included; 0: 1,024 on a CPU, 65,536 elsewhere.
    test_memory : float, optional
        GB for the gradients that are kept, at most half of it for test samples. If these do not
        fit at once, the training samples are passed through the model once per tile of test
        samples. Default: half of the free memory.
    device : str or torch.device, optional
        Where to compute; default: where the model is, and where it is again afterwards.
    precision : {'float32', 'tf32', 'bf16'}
        Of matrix products. float32: the model's own; tf32: on CUDA; bf16: in forward and backward
        passes, with tf32 in the products of gradients.
    storage : {'float32', 'bfloat16', 'float16'}, optional
        The 16-bit types keep test gradients in half the memory; default: the model's own
        precision. `rounding` measures the error.
    progress : callable, optional
        Called with the number of training samples that were finished since the last call.
    keep_memory : bool
        On Linux with glibc, change how malloc behaves in the whole process during this call:
        freed memory stays with the process (M_MMAP_MAX 0, M_TRIM_THRESHOLD -1, M_TOP_PAD 256 MB)
        and comes in huge pages, so passes are up to twice as fast. At the end, all three are set
        to glibc's documented defaults (65,536, 128 KB, 128 KB) and free memory is returned.
        mallopt(3) cannot read the values that were in force before, so values of your own are
        lost; pass False to leave malloc alone. Elsewhere this has no effect.
    timer : callable, optional
        `timer(step)` returns a context manager that is entered around each step of the engine, for
        its names see `engine.timing`. Default: nothing is timed.

    Returns
    -------
    xarray.Dataset
        `dot` (group, test, train), `test_sqnorm` (group, test), `train_sqnorm` (group, train);
        float32, or float64 for a float64 model. The groups are 'embeddings', 'layer-00', …,
        'head', as far as they have parameters. Samples are in the order given.

    Raises
    ------
    UncoveredError
        The model gives different outputs for the same sample, or no logits, or fails on one.
    ValueError
        No samples, a sample that is empty, out of range or holds an input that the engine does not
        use, or a single test sample that exceeds `test_memory`.

    Examples
    --------
    A test sample that is also a training sample has a cosine of 1 with itself:

    >>> import torch
    >>> from transformers import BertConfig, BertForSequenceClassification
    >>> _ = torch.manual_seed(0)
    >>> sizes = {"vocab_size": 20, "hidden_size": 8, "intermediate_size": 16}
    >>> layers = {"num_hidden_layers": 1, "num_attention_heads": 2}
    >>> model = BertForSequenceClassification(BertConfig(**sizes, **layers))
    >>> train = [{"input_ids": [2, 5, 6, 3], "label": 0}, {"input_ids": [2, 7, 3], "label": 1}]
    >>> products = gradient_products(model, train, test=train[:1])
    >>> dict(products["dot"].sizes)
    {'group': 3, 'test': 1, 'train': 2}
    >>> products["group"].values.tolist()
    ['embeddings', 'layer-00', 'head']
    >>> round(float(influence(products)[0, 0]), 4)
    1.0
    """
    before = next(model.parameters()).device
    coords: dict[str, Any] = {}
    sides = {}
    for side, samples in (("test", test), ("train", train)):
        sides[side] = read_samples(samples, model, side)
        pairs = zip(samples, sides[side], strict=True)
        coords |= make_coords([{**given, **read} for given, read in pairs], side)
    with memory.keep_freed_memory() if keep_memory else nullcontext(), _moving_back(model, before):
        engine = Engine(
            model,
            pad_token_id=pad_token_id,
            max_tokens=max_tokens,
            device=device,
            precision=precision,
            storage=storage,
            timer=timer,
        )
        products = _tile_by_tile(engine, sides["train"], sides["test"], test_memory, progress)
    return products.assign_coords(coords)


@contextmanager
def _moving_back(model: PreTrainedModel, device: torch.device) -> Iterator[None]:
    """Move the model back to where it was."""
    try:
        yield
    finally:
        model.to(device)  # type: ignore[arg-type]  # transformers' wrapper takes it for `self`


def _tile_by_tile(
    engine: Engine,
    train: Sequence[Sample],
    test: Sequence[Sample],
    test_memory: float | None,
    progress: Callable[[int], Any] | None,
) -> xr.Dataset:
    engine.check(train, test)
    test_tile, train_tile = engine.layout(train, test, test_memory)
    tiles = []
    for start in range(0, len(test), test_tile):
        gradients = engine.collect_test(test[start : start + test_tile])
        tiles.append(engine.products(gradients, train, train_tile, progress))
        del gradients  # before the next tile takes its memory
    return xr.concat(
        tiles, "test", data_vars="minimal", coords="minimal", compat="override", join="override"
    )


def rounding(
    model: PreTrainedModel,
    train: Sequence[Sample],
    test: Sequence[Sample],
    top_k: int = 100,
    *,
    precision: str = "float32",
    storage: str | None = None,
    **options: Any,
) -> dict[str, float]:
    """Measure what a lower `precision` or `storage` costs on these samples.

    Parameters
    ----------
    model, train, test
        See `gradient_products`.
    top_k : int
        How many training samples of highest influence to compare, at most all.
    precision, storage : str
        What to compare with the model's own precision; see `gradient_products`.
    **options
        Passed to `gradient_products`.

    Returns
    -------
    dict
        `max_cosine_error`: largest absolute difference of a cosine; `top_overlap`: share of the
        `top_k` training samples of highest influence that stay the same, averaged over test
        samples; `top_k`, `train`, `test`: the numbers of each.
    """
    exact = influence(gradient_products(model, train, test, **options))
    rounded = influence(
        gradient_products(model, train, test, precision=precision, storage=storage, **options)
    )
    top_k = min(top_k, len(train))
    pairs = zip(_top(exact, top_k), _top(rounded, top_k), strict=True)
    overlap = np.mean([len(np.intersect1d(one, other)) / top_k for one, other in pairs])
    return {
        "max_cosine_error": float(np.abs(exact.to_numpy() - rounded.to_numpy()).max()),
        "top_overlap": float(overlap),
        "top_k": top_k,
        "train": len(train),
        "test": len(test),
    }


def _top(values: xr.DataArray, top_k: int) -> np.ndarray:
    """Numbers of the training samples of highest influence, (test, top_k)."""
    return np.argsort(-values.to_numpy(), axis=1, kind="stable")[:, :top_k]
