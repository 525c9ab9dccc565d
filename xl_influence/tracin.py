"""TracIn's influence of training samples on test samples, exactly and over all parameters (section 4.2).

`gradient_products` gives, for one checkpoint, what equation 2 sums: the dot products of loss gradients, kept apart by
parameter group, and the squared gradient norms. `influence` makes the paper's score of them: the cosine, summed over
checkpoints. One backward pass per sample: N + M in all, never N × M.
"""

import numpy as np
import xarray as xr

from .engine import memory
from .engine.engine import Engine
from .influence import influence, sample_coords


@memory.kept()
def gradient_products(
    model,
    train,
    test,
    *,
    pad_token_id=None,
    max_tokens=0,
    test_memory=None,
    device=None,
    precision="float32",
    storage=None,
    progress=None,
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
        Tokens in one batch, padding included; 0: 1,024 on the CPU, 65,536 elsewhere.
    test_memory : float, optional
        GB for gradients that are kept, half of it at most for test samples. Where those do not fit at once the training
        samples are passed once per tile of test samples. Default: half of the memory that is free.
    device : str or torch.device, optional
        Where to compute; default: where the model is.
    precision : {'float32', 'tf32', 'bf16'}
        Of matrix products: the model's own; tf32 on CUDA; bf16 in forward and backward passes, tf32 in the products.
    storage : {'bfloat16', 'float16'}, optional
        Keep test gradients in half the memory; default: the model's own precision. `rounding` tells the error.
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
    engine = Engine(
        model,
        pad_token_id=pad_token_id,
        max_tokens=max_tokens,
        device=device,
        precision=precision,
        storage=storage,
    )
    engine.check(train, test)
    tile, together = engine.layout(train, test, test_memory)
    parts = []
    for start in range(0, len(test), tile):
        held = engine.hold(test[start : start + tile])
        parts.append(engine.products(held, train, together, progress))
    products = xr.concat(
        parts, "test", data_vars="minimal", coords="minimal", compat="override", join="override"
    )
    return products.assign_coords(sample_coords(test, "test") | sample_coords(train, "train"))


def rounding(model, train, test, top_k=100, *, precision="float32", storage=None, **options):
    """What a lower `precision` or `storage` costs on these samples, against the model's own precision.

    Returns
    -------
    dict
        `max_cosine_error`: largest absolute difference of a cosine; `top_overlap`: share of the `top_k` training samples
        of highest influence that stay the same, averaged over test samples; `top_k`, `train`, `test`: the numbers of each.
    """
    exact, rough = (
        influence(gradient_products(model, train, test, **options, **lower)).to_numpy()
        for lower in ({}, {"precision": precision, "storage": storage})
    )
    top_k = min(top_k, len(train))
    tops = [np.argsort(-values, axis=1, kind="stable")[:, :top_k] for values in (exact, rough)]
    overlap = np.mean([len(np.intersect1d(a, b)) / top_k for a, b in zip(*tops, strict=True)])
    error = float(np.abs(exact - rough).max())
    return {
        "max_cosine_error": error,
        "top_overlap": float(overlap),
        "top_k": top_k,
        "train": len(train),
        "test": len(test),
    }
