"""From dot products and norms to influence (equation 2); needs no torch, which takes seconds to import."""

import numpy as np
import xarray as xr


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


def sample_coords(samples, dim):
    """Coordinates of a dimension from samples: the uid (or row number), and `<dim>_lang`, `_item`, `_label` where known."""
    values = {dim: [sample.get("uid", row) for row, sample in enumerate(samples)]}
    for key in ("lang", "item", "label"):
        if all(key in sample for sample in samples):
            values[f"{dim}_{key}"] = [sample[key] for sample in samples]
    return {name: (dim, np.array(v, dtype=object if isinstance(v[0], str) else None)) for name, v in values.items()}
