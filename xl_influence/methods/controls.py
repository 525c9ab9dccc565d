"""Controls: scores without information, and the same influence in a model that learned nothing.

A pattern that random or shuffled scores show too is no evidence. A model with random weights has
read no text, so what its gradients find is in the inputs and in the architecture.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from .. import runs
from ..influence import influence
from ..loading import SAFE
from ..manifest import read_manifest
from ..sections import Influence
from .base import MethodInput, NotAvailableError
from .gradients import cosine

DRAWS = 20  # of the random controls; their values are averaged
FILE = "random-weights.zarr"  # in the run's folder
# parameters of the influence pass that say how it computes
AS_THE_SCORES = ("max_tokens", "test_memory", "precision", "storage")


def random_scores(given: MethodInput, seed: int = 0) -> np.ndarray:
    """Draw scores at random: (test, train).

    Parameters
    ----------
    given : MethodInput
        The run.
    seed : int
        Seed of the draw.
    """
    rng = np.random.default_rng(seed)
    return rng.standard_normal((len(given.test), len(given.train)))


def shuffled(given: MethodInput, seed: int = 0) -> np.ndarray:
    """Shuffle each test sample's cosines among the training samples: (test, train).

    Scores keep their distribution but no longer depend on language, label or item.

    Parameters
    ----------
    given : MethodInput
        The run.
    seed : int
        Seed of the shuffle.
    """
    return np.random.default_rng(seed).permuted(cosine(given), axis=1)


def random_weights(given: MethodInput) -> np.ndarray:
    """Read the cosine at random weights, as `compute_random_weights` left it: (test, train).

    Raises
    ------
    NotAvailableError
        It has not been computed for this score cube.
    """
    path = given.need_folder(FILE, "one more influence pass (random_weights=true)")
    found = xr.open_zarr(path, consolidated=False)
    if found.attrs["scores"] != _scores_of(path.parent):
        raise NotAvailableError(f"{FILE} belongs to other scores: compute it again")
    same = list(found["test"].values) == list(given.test["uid"])
    if not same or list(found["train"].values) != list(given.train["uid"]):
        raise NotAvailableError(f"{FILE} holds other samples: compute it again")
    return found["influence"].to_numpy().astype(np.float64)


def compute_random_weights(config: Influence, seed: int = 0) -> Path:
    """Compute the paper's cosine with a model of the run's architecture and random weights.

    This is one influence pass, on the run's device and in its batches and precision. A result that
    belongs to the run's present scores is kept.

    Parameters
    ----------
    config : dict
        The parameters of a finished run that has its checkpoints and token ids.
    seed : int
        Seed of the weights.

    Returns
    -------
    Path
        `random-weights.zarr` in the run's folder: `influence` (test, train), float32.
    """
    folder = runs.find_folder(config)
    target, wanted = folder / FILE, _scores_of(folder)
    if target.exists():
        attributes = json.loads((target / "zarr.json").read_text())["attributes"]
        if attributes.get("scores") == wanted and attributes.get("seed") == seed:
            return target
    values = _pass(config, seed)
    values.attrs = {"scores": wanted, "seed": seed}
    with runs.write_atomically(target) as path:
        values.to_zarr(path, consolidated=False)
    return target


def _scores_of(folder: Path) -> str:
    """Return the fingerprint of the run's scores."""
    return read_manifest(folder)["scores_fingerprint"]


def _pass(config: Influence, seed: int) -> xr.Dataset:
    """Compute the influence at random weights."""
    import transformers

    from ..finetune import pick_device  # imports torch, which takes seconds
    from ..tracin import gradient_products

    folder = runs.find_folder(config)
    architecture = transformers.AutoConfig.from_pretrained(
        folder / "checkpoints" / "epoch-1", **SAFE
    )
    transformers.set_seed(seed)
    model = transformers.AutoModelForSequenceClassification.from_config(architecture)
    sides = {}
    for split in ("train", "test"):
        uids = pd.read_parquet(folder / f"{split}.parquet", columns=["uid"])["uid"]
        sides[split] = runs.read_inputs(folder, split, uids).to_dict("records")
    products = gradient_products(
        model.eval(),
        sides["train"],
        sides["test"],
        device=pick_device(config["device"]),
        **runs.select_keys(config, AS_THE_SCORES),
    )
    return _bare(influence(products).astype(np.float32))


def _bare(found: xr.DataArray) -> xr.Dataset:
    """Keep the values and the uids of the samples."""
    coords = {dim: found[dim].values.astype(object) for dim in ("test", "train")}
    return xr.Dataset({"influence": (("test", "train"), found.to_numpy())}, coords=coords)
