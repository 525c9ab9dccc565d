"""The score cube of a run: every training sample's influence on every test sample.

`make(params)` computes it: it fine-tunes the model if that has not been done, chooses the test
samples (section 5), and runs the influence pass, which fills the cube `scores.zarr` shard by shard.
That takes minutes to days. `read(params)` reads a finished cube and never computes anything.

A run that was killed continues where it was, and repeats at most one shard. Several processes on
one run share its shards:
`python -m xl_influence.scores task=xnli & python -m xl_influence.scores task=xnli`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import xarray as xr

from . import fingerprints, runs, tasks, texts
from .cube_contents import DIMS
from .influence import from_values
from .manifest import read_manifest
from .params import with_variant
from .sections import Analysis, Influence
from .slabs import PROGRAM_ERRORS, has_nan, load_if_small, open_lazily, read_slabs

# Training samples at either end of a row whose influence a published variant keeps exactly
TAIL = 500


class ScoreError(ValueError):
    """A score cube is missing, incomplete or was computed with other parameters."""


class Scored(NamedTuple):
    """A finished run.

    Attributes
    ----------
    cube : xarray.Dataset
        `dot` (checkpoint, group, test, train) and the squared norms, as
        `tracin.gradient_products` returns them.
    train, test : pandas.DataFrame
        The samples in the cube's order.
    manifest : dict
        The run's manifest: accuracy, environment, cost.
    """

    cube: xr.Dataset
    train: pd.DataFrame
    test: pd.DataFrame
    manifest: dict[str, Any]


def make(params: Analysis, progress: bool = True) -> Path:
    """Compute a run's score cube, unless it has been computed or is a published one.

    This fine-tunes the model and runs the influence pass, as far as they have not been done. The
    run's folder then has `test.parquet` (the chosen samples and the model's `confidence`),
    `scores.zarr` and their part of the manifest. Start several processes, on one machine or on
    several that share the folder, and they share the work.

    Parameters
    ----------
    params : dict
        The run's parameters.
    progress : bool
        Whether to show progress bars.

    Returns
    -------
    Path
        The run's folder.

    Raises
    ------
    RunError
        The folder holds a published run with other parameters.
    SelectionError
        The model labels too few test samples correctly.
    CubeError
        Another process is computing the cube with other parameters, or a shard was lost.
    """
    run = runs.find_folder(params)
    fingerprints.check_published(run, params)
    if runs.is_published(run):
        return run
    borrowed = _borrow(params, progress)
    fingerprint = fingerprints.hash_scores(params, borrowed)
    if not fingerprints.is_scored(run, fingerprint):
        from .influence_pass import compute  # imports torch, which takes seconds

        compute(params, fingerprint, borrowed, progress)
    return run


def make_all(
    variants: Iterable[Analysis], progress: bool = True, *, needed: bool = False
) -> dict[str, Scored]:
    """Compute the score cubes that are missing, and read all.

    A published study has only the runs that were published: the others are left out.

    Parameters
    ----------
    variants : iterable of dict
        The parameters of each run.
    progress : bool
        Whether to show progress bars.
    needed : bool
        Whether there must be one run at least.

    Returns
    -------
    dict
        Name of the variant → the run.

    Raises
    ------
    ScoreError
        None of the runs was published, and one is needed.
    """
    variants = list(variants)
    found = [variant for variant in variants if runs.can_load(variant)]
    if needed and variants and not found:
        folder, names = runs.find_folder(variants[0]).parent, [each["variant"] for each in variants]
        raise ScoreError(
            f"{folder}: none of {', '.join(names)} is published there; set runs_root to a folder "
            "where they are computed or may be"
        )
    for variant in found:
        make(variant, progress)
    return {variant["variant"]: read(variant) for variant in found}


def fill(params: Analysis, part: int, parts: int, progress: bool = True) -> None:
    """Compute a part of a run's score cube; `make` computes what is missing, and gathers it.

    Parameters
    ----------
    params : dict
        The run's parameters.
    part, parts : int
        Number of this part, counted from 0, and the number of parts; see `Cube.claim_shards`.
    progress : bool
        Whether to show progress bars.
    """
    borrowed = _borrow(params, progress)
    fingerprint = fingerprints.hash_scores(params, borrowed)
    if not fingerprints.is_scored(runs.find_folder(params), fingerprint):
        from .influence_pass import fill_part  # imports torch, which takes seconds

        fill_part(params, fingerprint, (part, parts), borrowed, progress)


def _borrow(params: Analysis, progress: bool) -> list[str] | None:
    """Uids of the test samples that another run has chosen for this one; None if there is none."""
    if not params["test_from"]:
        return None
    return _test_uids(make(with_variant(params, params["test_from"]), progress))


def is_done(params: Influence) -> bool:
    """Whether the run's score cube exists, computed with these parameters; computes nothing.

    Raises `RunError` if the folder holds a published run with other parameters.
    """
    run = runs.find_folder(params)
    fingerprints.check_published(run, params)
    if runs.is_published(run):
        return True
    borrowed = None
    if params["test_from"]:
        base = with_variant(params, params["test_from"])
        if not is_done(base):
            return False
        borrowed = _test_uids(runs.find_folder(base))
    return fingerprints.is_scored(run, fingerprints.hash_scores(params, borrowed))


def _test_uids(run: Path) -> list[str]:
    """Uids of the test samples that a run has chosen."""
    return list(pd.read_parquet(run / "test.parquet", columns=["uid"])["uid"])


def read(params: Influence) -> Scored:
    """Read a finished run; never computes anything.

    The samples of a published run have no texts, unless `data_root` holds the data from which it
    was computed. In a task that is not parallel, each sample is its own `item`.

    Parameters
    ----------
    params : dict
        The run's parameters.

    Returns
    -------
    Scored
        The score cube, the samples and the manifest.

    Raises
    ------
    ScoreError
        The cube is missing, incomplete or was computed with other parameters, or it is of a
        published variant, which does not keep the order of so many samples as `top_k`.
    RunError
        The folder holds a published run with other parameters.
    """
    run = runs.find_folder(params)
    fingerprints.check_published(run, params)
    if not is_done(params) and (run / "scores.zarr").is_dir():
        made_with = read_manifest(run)
        made_with = made_with.get("parameters", {}) | made_with.get("score_parameters", {})
        wanted = runs.select_keys(params, (*fingerprints.FINETUNE, *fingerprints.SCORED))
        differing = (
            fingerprints.describe_differences(made_with, wanted) or "the data or the test samples"
        )
        raise ScoreError(
            f"{run} was made with other parameters: {differing}. "
            "`scores.make` computes it with these"
        )
    cube, manifest = read_cube(run), read_manifest(run)
    train, test = pd.read_parquet(run / "train.parquet"), pd.read_parquet(run / "test.parquet")
    given: Mapping[str, Any] = params
    wanted_k, is_coarse = given.get("top_k", 0), cube.sizes["train"] > 2 * TAIL
    if runs.is_published(run) and params["variant"] != "base" and is_coarse and wanted_k > TAIL:
        raise ScoreError(
            f"top_k={wanted_k}: the published run {run} keeps the order of the {TAIL} most "
            f"influential samples, so allowed are 1 to {TAIL}"
        )
    if runs.is_published(run) and params["data_root"]:
        samples = texts.redraw(params, manifest)
        train, test = texts.insert(train, samples["train"]), texts.insert(test, samples["test"])
    train, test = (tasks.separate_items(params, frame) for frame in (train, test))
    return Scored(cube, train, test, manifest)


def find_kept(params: Influence) -> str:
    """Return what a run's cube keeps, or will keep: 'groups', 'checkpoints' or 'sum'.

    A published run keeps no groups. Computes nothing.

    Parameters
    ----------
    params : dict
        The run's parameters.
    """
    run = runs.find_folder(params)
    if not runs.is_published(run):
        return params["keep"]
    published = read_manifest(run).get("score_parameters", {}).get("keep", "groups")
    return "sum" if published == "sum" else "checkpoints"


def read_cube(run: Path) -> xr.Dataset:
    """Read a run's score cube; `ScoreError` if it is missing or incomplete.

    A cube of more than `slabs.IN_MEMORY` bytes stays on disk, and computations read its slabs.
    """
    path = run / "scores.zarr"
    if runs.is_published(run):
        return _read_published(run)
    if not path.is_dir():
        raise ScoreError(
            f"{path} does not exist: `scores.make`, notebook 02 or `make study` computes it"
        )
    try:
        cube = open_lazily(path)
        missing = [name for name in DIMS if name not in cube]
        incomplete = False
        if not missing:
            cube = load_if_small(cube)
            incomplete = any(has_nan(slab.scores) for slab in read_slabs(cube))
    except PROGRAM_ERRORS:
        raise
    except Exception as error:  # each codec has its own
        raise ScoreError(
            f"{path} is damaged ({error}). Put back a copy of it, or remove it: `scores.make`, "
            "notebook 02 or `make study` computes it again"
        ) from error
    if missing:
        raise ScoreError(
            f"{path} has no array {missing[0]!r}: remove it, and `scores.make` computes it again"
        )
    if incomplete:
        raise ScoreError(
            f"{path} holds values that are not numbers: it is incomplete, or training diverged"
        )
    return cube


def _read_published(run: Path) -> xr.Dataset:
    """The influence of a published run as a score cube with one parameter group."""
    influence = xr.open_zarr(run / "influence.zarr", consolidated=False)["influence"].load()
    train, test = (pd.read_parquet(run / f"{name}.parquet") for name in ("train", "test"))
    cube = from_values(influence.to_numpy(), train, test)
    if "checkpoint" not in influence.dims:
        return cube
    return cube.assign_coords(checkpoint=influence["checkpoint"])


if __name__ == "__main__":  # start as many processes as you like: they share the work
    import sys

    from .params import merge, parse

    print(make(merge(parse(sys.argv[1:]))))
