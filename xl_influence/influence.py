"""From dot products and norms to influence (equation 2).

Needs no torch, which takes seconds to import.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from .slabs import read_slabs

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike


ALL = "all"  # the one group of scores that are not kept by parameter group


def influence(
    scores: xr.Dataset, groups: Sequence[str] | None = None, normalize: bool = True
) -> xr.DataArray:
    """Compute the influence of every training sample on every test sample (equation 2).

    Parameters
    ----------
    scores : xarray.Dataset
        As `gradient_products` returns it; a dimension `checkpoint` is summed over.
    groups : list of str, optional
        Parameter groups to use; default: all, as in the paper.
    normalize : bool
        True: the cosine of the gradients, the paper's score. False: TracIn's plain dot product.

    Returns
    -------
    xarray.DataArray
        (test, train), float64: positive where a training sample is helpful, negative where it is
        harmful. The cosine with a gradient of zero is zero.

    Raises
    ------
    ValueError
        An unknown group, or scores that are not numbers.

    Examples
    --------
    One test gradient and two training gradients, of lengths 2, 3 and 1:

    >>> scores = xr.Dataset(
    ...     {
    ...         "dot": (("group", "test", "train"), [[[6.0, -1.0]]]),
    ...         "test_sqnorm": (("group", "test"), [[4.0]]),
    ...         "train_sqnorm": (("group", "train"), [[9.0, 1.0]]),
    ...     },
    ...     coords={"group": ["head"]},
    ... )
    >>> influence(scores).values.tolist()
    [[1.0, -0.5]]
    >>> influence(scores, normalize=False).values.tolist()
    [[6.0, -1.0]]
    """
    part = scores if groups is None else scores.sel(group=_known_groups(scores, groups))
    values = np.empty((part.sizes["test"], part.sizes["train"]))  # (test, train)
    for slab in read_slabs(part):
        values[slab.test, slab.train] = _influence(slab.scores, normalize)
    if np.isnan(values).any():
        raise ValueError(
            "the scores hold values that are not numbers: the cube is incomplete or training "
            "diverged"
        )
    coords = {
        name: coord
        for name, coord in part.coords.items()
        if not {"group", "checkpoint"} & {*coord.dims, name}
    }
    return xr.DataArray(values, coords, ("test", "train"), name="influence")


def _influence(scores: xr.Dataset, normalize: bool) -> np.ndarray:
    """Influence of scores in memory, (test, train)."""
    value = scores["dot"].astype(np.float64).sum("group", skipna=False)
    if normalize:
        value = value / _lengths(scores)
    if "checkpoint" in value.dims:
        value = value.sum("checkpoint", skipna=False)
    return value.transpose("test", "train").to_numpy()


def _known_groups(scores: xr.Dataset, groups: Sequence[str]) -> list[str]:
    """The groups as a list; `ValueError` if there are none, or if the scores lack one."""
    known = [str(group) for group in scores["group"].values]
    unknown = [group for group in groups if group not in known]
    if unknown or len(groups) == 0:
        first = unknown[0] if unknown else "(none given)"
        raise ValueError(f"unknown group {first!r}; allowed are {', '.join(known)}")
    return list(groups)


def from_values(values: ArrayLike, train: pd.DataFrame, test: pd.DataFrame) -> xr.Dataset:
    """Make a score cube from another method's values, so that every analysis takes them.

    Parameters
    ----------
    values : array
        (test, train), or (checkpoint, test, train); high where a training sample is helpful.
    train, test : pandas.DataFrame
        The samples, as `scores.read` returns them.

    Returns
    -------
    xarray.Dataset
        As `gradient_products` returns it, with the one group 'all' and all lengths 1, so that
        `influence` returns the values unchanged.

    Raises
    ------
    ValueError
        The shape of `values` does not match the samples.

    Examples
    --------
    >>> import pandas as pd
    >>> train = pd.DataFrame({"uid": ["en1", "de1"], "lang": ["en", "de"]})
    >>> test = pd.DataFrame({"uid": ["en9"], "lang": ["en"]})
    >>> scores = from_values([[0.5, -0.25]], train, test)
    >>> scores["train_lang"].values.tolist()
    ['en', 'de']
    >>> influence(scores).values.tolist()
    [[0.5, -0.25]]
    """
    values = np.asarray(values, dtype=np.float64)
    shape = (len(test), len(train))
    if values.shape[-2:] != shape or values.ndim not in (2, 3):
        raise ValueError(
            f"values of shape {values.shape}: allowed is (test, train) = {shape}, or checkpoints "
            f"before it"
        )
    first: tuple[str, ...] = ("checkpoint",) if values.ndim == 3 else ()
    sizes = values.shape[:-2]  # () or (checkpoint,)
    coords: dict[str, Any] = {"group": np.array([ALL], dtype=object)}
    if first:
        coords["checkpoint"] = np.arange(1, len(values) + 1)
    coords |= make_coords(test.to_dict("records"), "test")
    coords |= make_coords(train.to_dict("records"), "train")
    return xr.Dataset(
        {
            "dot": ((*first, "group", "test", "train"), values[..., None, :, :]),
            "test_sqnorm": ((*first, "group", "test"), np.ones((*sizes, 1, len(test)))),
            "train_sqnorm": ((*first, "group", "train"), np.ones((*sizes, 1, len(train)))),
        },
        coords=coords,
    )


def compute_terms(scores: xr.Dataset) -> xr.DataArray:
    """Return what each parameter group adds to the influence, at each checkpoint if there are any.

    Returns
    -------
    xarray.DataArray
        Dimensions as `scores["dot"]`; its sum over groups and checkpoints is `influence(scores)`.
    """
    return scores["dot"].astype(np.float64) / _lengths(scores)


def _lengths(scores: xr.Dataset) -> xr.DataArray:
    """Product of the two lengths; infinite if one is zero, so that the cosine is zero."""
    test = scores["test_sqnorm"].astype(np.float64).sum("group", skipna=False)
    train = scores["train_sqnorm"].astype(np.float64).sum("group", skipna=False)
    square = test * train
    return np.sqrt(xr.where(square == 0, np.inf, square))


def make_coords(
    samples: Sequence[Mapping[str, Any]], dim: str
) -> dict[str, tuple[str, np.ndarray]]:
    """Return the coordinates of a dimension, from its samples.

    Parameters
    ----------
    samples : sequence of dict
        The samples in their order.
    dim : str
        'test' or 'train'.

    Returns
    -------
    dict
        `<dim>`: each sample's `uid`, or its number without one; `<dim>_lang`, `<dim>_item` and
        `<dim>_label`, where all samples have them.
    """
    values = {dim: [sample.get("uid", row) for row, sample in enumerate(samples)]}
    for key in ("lang", "item", "label"):
        if all(key in sample for sample in samples):
            values[f"{dim}_{key}"] = [sample[key] for sample in samples]
    return {name: (dim, _as_array(column)) for name, column in values.items()}


def _as_array(column: list[Any]) -> np.ndarray:
    """Texts as objects, so that they have no common length; numbers as numpy chooses."""
    return np.array(column, dtype=object if isinstance(column[0], str) else None)
