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
        raise ValueError(
            f"unknown group {(unknown or ['(none given)'])[0]!r}; allowed are {', '.join(known)}"
        )
    part = scores.sel(group=list(groups)) if groups is not None else scores
    value = part["dot"].astype(np.float64).sum("group", skipna=False)
    if normalize:
        value = value / _lengths(part)
    if "checkpoint" in value.dims:
        value = value.sum("checkpoint", skipna=False)
    if bool(value.isnull().any()):
        raise ValueError(
            "the scores hold values that are not numbers: the cube is incomplete or training diverged"
        )
    return value.transpose("test", "train").rename("influence")


def from_values(values, train, test):
    """A score cube that holds another method's values, so that every analysis takes them.

    Parameters
    ----------
    values : array
        (test, train), or (checkpoint, test, train); high where a training sample helps.
    train, test : pandas.DataFrame
        The samples, as `scores.read` returns them.

    Returns
    -------
    xarray.Dataset
        One group, all lengths 1: `influence` gives the values back.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.shape[-2:] != (len(test), len(train)) or values.ndim not in (2, 3):
        shape = (len(test), len(train))
        raise ValueError(
            f"values of shape {values.shape}: allowed is (test, train) = {shape}, or checkpoints before it"
        )
    before = ["checkpoint"] * (values.ndim - 2)
    ones = {
        name: np.ones((*values.shape[:-2], 1, size))
        for name, size in (("test", len(test)), ("train", len(train)))
    }
    cube = {"dot": ([*before, "group", "test", "train"], values[..., None, :, :])}
    cube |= {f"{name}_sqnorm": ([*before, "group", name], one) for name, one in ones.items()}
    coords = {"group": np.array(["all"], dtype=object)}
    coords |= {"checkpoint": np.arange(1, len(values) + 1)} if before else {}
    for name, frame in (("test", test), ("train", train)):
        coords |= sample_coords(frame.to_dict("records"), name)
    return xr.Dataset(cube, coords=coords)


def terms(scores):
    """What each parameter group adds to the influence, at each checkpoint where present.

    Returns
    -------
    xarray.DataArray
        As `scores["dot"]`; its sum over groups and checkpoints is `influence(scores)`.
    """
    return scores["dot"].astype(np.float64) / _lengths(scores)


def _lengths(scores):
    """The two gradients' lengths, multiplied; infinite where one is zero, so that their cosine is zero."""
    test, train = (
        scores[name].astype(np.float64).sum("group", skipna=False)
        for name in ("test_sqnorm", "train_sqnorm")
    )
    square = test * train
    return np.sqrt(xr.where(square == 0, np.inf, square))


def sample_coords(samples, dim):
    """Coordinates of a dimension from samples: the uid (or row number), and `<dim>_lang`, `_item`, `_label` where known."""
    values = {dim: [sample.get("uid", row) for row, sample in enumerate(samples)]}
    for key in ("lang", "item", "label"):
        if all(key in sample for sample in samples):
            values[f"{dim}_{key}"] = [sample[key] for sample in samples]
    return {
        name: (dim, np.array(v, dtype=object if isinstance(v[0], str) else None))
        for name, v in values.items()
    }
