"""The input of every method, and the error for a method that cannot be computed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from ..influence import influence
from ..sharing import has_groups


class NotAvailableError(ValueError):
    """A method needs something that the run does not have; the message says what."""


@dataclass(frozen=True, eq=False)  # compared by identity, as its tables cannot be hashed
class MethodInput:
    """The input of every method: a run's scores and samples.

    Parameters
    ----------
    cube : xarray.Dataset
        The score cube of a run, with dims (checkpoint, group, test, train).
    train, test : pandas.DataFrame
        The cube's samples, in the cube's order.
    folder : Path, optional
        The run's folder, for methods that read token ids or checkpoints.
    top_k : int
        How many training samples count as the most influential, for methods that vote.
    device : str
        Where methods that run the model compute, as the parameter `device` says.
    """

    cube: xr.Dataset
    train: pd.DataFrame
    test: pd.DataFrame
    folder: Path | None = None
    top_k: int = 100
    device: str = "auto"

    @property
    def epochs(self) -> list[int]:
        """The epochs whose checkpoints the cube holds; empty if it holds only their sum."""
        return [int(epoch) for epoch in self.cube.get("checkpoint", [])]

    @cached_property
    def cosine(self) -> np.ndarray:
        """The paper's influence (test, train), computed the first time and not to be changed."""
        values = influence(self.cube).to_numpy()
        values.flags.writeable = False
        return values

    @property
    def layers(self) -> list[str]:
        """The parameter groups that are layers, from the first to the last."""
        return [str(group) for group in self.cube["group"].values if "layer" in str(group)]

    def at(self, epoch: int) -> MethodInput:
        """Return the same for a single epoch."""
        return replace(self, cube=self.cube.sel(checkpoint=[epoch]))

    def need_groups(self, *groups: str) -> None:
        """Raise `NotAvailableError` unless the cube holds these groups.

        Parameters
        ----------
        *groups : str
            Names of parameter groups.
        """
        if not has_groups(self.cube):
            raise NotAvailableError(
                "needs dot products by parameter group; this run holds influence over all "
                "parameters only, as published runs and those with keep=checkpoints or keep=sum do"
            )
        known = [str(group) for group in self.cube["group"].values]
        missing = [group for group in groups if group not in known]
        if missing:
            raise NotAvailableError(f"the model has no parameter group {missing[0]!r}")

    def need_lengths(self) -> None:
        """Raise `NotAvailableError` unless the cube holds the lengths of gradients.

        In a cube of cosines, as published runs and those with keep=sum hold, each length is 1.
        """
        lengths = (self.cube[f"{side}_sqnorm"] for side in ("test", "train"))
        if all(bool((each == 1).all()) for each in lengths):
            raise NotAvailableError(
                "needs the lengths of gradients; this run holds their cosines only, as published "
                "runs and those with keep=sum do"
            )

    def need_folder(self, name: str, why: str) -> Path:
        """Return a file or folder of the run; raise `NotAvailableError` if it is not there.

        Parameters
        ----------
        name : str
            Its path in the run's folder.
        why : str
            What it is needed for, as in 'token ids'.
        """
        if self.folder is None or not (self.folder / name).exists():
            raise NotAvailableError(f"needs {why}; the run has no {name}")
        return self.folder / name


def cosines(test: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Return the cosine of every pair of vectors: (test, train); zero for a vector of zeros.

    Parameters
    ----------
    test, train : numpy.ndarray
        Vectors of shapes (test, dim) and (train, dim).
    """
    units = []
    for vectors in (test, train):
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        units.append(vectors / np.where(lengths == 0, 1, lengths))
    return units[0] @ units[1].T


def find_range_of_items(values: np.ndarray | pd.Series, items: pd.Series) -> tuple[float, float]:
    """Return the lowest and the highest mean of an item, shown where items are few.

    Parameters
    ----------
    values : array_like
        One value per test sample.
    items : pandas.Series
        The item of each.

    Examples
    --------
    >>> find_range_of_items(np.array([0.0, 0.5, 0.75]), pd.Series(["a", "a", "b"]))
    (0.25, 0.75)
    """
    means = pd.Series(np.asarray(values, dtype=float)).groupby(np.asarray(items)).mean()
    return float(means.min()), float(means.max())
