"""Scores that take a computation of their own and are kept in the run's folder.

They belong to the run's present score cube: they have its samples, in its order, and carry its
fingerprint.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from .. import runs
from ..manifest import read_manifest
from ..sections import Influence
from .base import MethodInput, NotAvailableError

SAMPLES = ("test", "train")
ADAM, EKFAC = "adam.zarr", "ek-fac.zarr"  # left by the command `curvature`


def read(given: MethodInput, name: str, how: str) -> np.ndarray:
    """Read scores that were computed before.

    Parameters
    ----------
    given : MethodInput
        The run.
    name : str
        The Zarr folder's name in the run's folder.
    how : str
        What computes them, for the message if they are missing.

    Returns
    -------
    numpy.ndarray
        (test, train), float64.

    Raises
    ------
    NotAvailableError
        They have not been computed for this score cube.
    """
    path = given.need_folder(name, how)
    found = xr.open_zarr(path, consolidated=False)
    if found.attrs["scores"] != _scores_of(path.parent):
        raise NotAvailableError(f"{name} belongs to other scores: compute it again")
    frames = {"test": given.test, "train": given.train}
    if any(list(found[dim].values) != list(frame["uid"]) for dim, frame in frames.items()):
        raise NotAvailableError(f"{name} holds other samples: compute it again")
    return found["influence"].to_numpy().astype(np.float64)


def keep(config: Influence, name: str, compute: Callable[[], np.ndarray], **settings: Any) -> Path:
    """Compute scores, unless they were kept before for the run's present scores.

    Parameters
    ----------
    config : dict
        The parameters of a finished run.
    name : str
        The Zarr folder's name in the run's folder.
    compute : callable
        Returns the scores (test, train), in the order of the run's samples.
    **settings
        What the scores depend on besides, such as a seed.

    Returns
    -------
    Path
        The folder: `influence` (test, train), float32.
    """
    folder = runs.find_folder(config)
    target, wanted = folder / name, {"scores": _scores_of(folder)} | settings
    if target.exists():
        attributes = json.loads((target / "zarr.json").read_text())["attributes"]
        if {key: attributes.get(key) for key in wanted} == wanted:
            return target
    coords = {split: _read_uids(folder, split).to_numpy(object) for split in SAMPLES}
    values = compute().astype(np.float32)
    found = xr.Dataset({"influence": (SAMPLES, values)}, coords=coords, attrs=wanted)
    with runs.write_atomically(target) as path:
        found.to_zarr(path, consolidated=False)
    return target


def read_inputs(config: Influence) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return a run's training and test samples as the engine takes them.

    Parameters
    ----------
    config : dict
        The parameters of a finished run that has its token ids.
    """
    folder = runs.find_folder(config)
    train, test = (
        runs.read_inputs(folder, split, _read_uids(folder, split)).to_dict("records")
        for split in ("train", "test")
    )
    return train, test


def _read_uids(folder: Path, split: str) -> pd.Series:
    """Return the uids of a run's samples."""
    return pd.read_parquet(folder / f"{split}.parquet", columns=["uid"])["uid"]


def _scores_of(folder: Path) -> str:
    """Return the fingerprint of the run's scores."""
    return read_manifest(folder)["scores_fingerprint"]
