"""Test samples (section 5) and the score cube `scores.zarr`: every training sample's influence on every test sample.

`make(params)` computes the cube: it fine-tunes if that is not done, chooses the test samples, and fills the cube
(`cube.Cube`) shard by shard. `read(params)` reads a finished one and computes nothing. A killed run repeats at most one shard. Several processes on one run share its shards:
`python -m xl_influence.scores task=xnli & python -m xl_influence.scores task=xnli`.
"""

from typing import NamedTuple

import pandas as pd
import xarray as xr

from . import fingerprints, runs, texts
from .cube import ScoreError
from .influence import from_values
from .manifest import read_manifest
from .params import with_variant


def make(params, progress=True):
    """Compute the score cube, or find that it was done. Returns the run's folder (pathlib.Path).

    Leaves `test.parquet` (the chosen samples and the model's `confidence`), `scores.zarr` and its part of the manifest.
    Start it several times, on one machine or on several that share the folder, and the processes share the work.
    """
    run, borrowed = runs.folder(params), None
    if fingerprints.is_published(run, params):
        return run
    if params["test_from"]:
        borrowed = list(
            pd.read_parquet(
                make(with_variant(params, params["test_from"]), progress) / "test.parquet"
            )["uid"]
        )
    mark = fingerprints.scored(params, borrowed)
    if not fingerprints.is_scored(run, mark):
        from .influence_pass import compute  # with torch, which takes seconds to import

        compute(params, mark, borrowed, progress)
    return run


def is_done(params):
    """Whether the run's score cube is there, of these parameters; computes nothing."""
    run, borrowed = runs.folder(params), None
    if fingerprints.is_published(run, params):
        return True
    if params["test_from"]:
        base = with_variant(params, params["test_from"])
        if not is_done(base):
            return False
        borrowed = list(pd.read_parquet(runs.folder(base) / "test.parquet", columns=["uid"])["uid"])
    return fingerprints.is_scored(run, fingerprints.scored(params, borrowed))


class Scored(NamedTuple):
    """A finished run: its score cube, the samples in the cube's order, its manifest."""

    cube: xr.Dataset  # (checkpoint, group, test, train)
    train: pd.DataFrame
    test: pd.DataFrame
    manifest: dict


def read(params):
    """Read a finished run, as a `Scored`; `ScoreError` where its cube is missing or incomplete. Computes nothing.

    The samples of a published run have no texts, unless `data_root` holds the data that it was computed from.
    """
    run = runs.folder(params)
    fingerprints.is_published(run, params)  # an error where it is one with other parameters
    if not is_done(params) and (run / "scores.zarr").is_dir():
        raise ScoreError(
            f"{run} was made with other parameters: `scores.make` computes it with these"
        )
    cube, manifest = read_cube(run), read_manifest(run)
    train, test = pd.read_parquet(run / "train.parquet"), pd.read_parquet(run / "test.parquet")
    if runs.is_published(run) and params["data_root"]:
        samples = texts.draw_again(params, manifest)
        train, test = texts.insert(train, samples["train"]), texts.insert(test, samples["test"])
    return Scored(cube, train, test, manifest)


def read_cube(run):
    """The run's score cube as an xarray.Dataset in memory; `ScoreError` if it is missing or incomplete."""
    path = run / "scores.zarr"
    if runs.is_published(run):
        return _published(run)
    if not path.is_dir():
        raise ScoreError(
            f"{path} is not there: `scores.make`, notebook 02 or `make study` computes it"
        )
    cube = xr.open_zarr(path).load()
    if bool(
        cube["dot"].isnull().any()
        | cube["train_sqnorm"].isnull().any()
        | cube["test_sqnorm"].isnull().any()
    ):
        raise ScoreError(
            f"{path} holds values that are not numbers: it is incomplete, or training diverged"
        )
    return cube


def _published(run):
    """The influence of a published run as a score cube with one parameter group."""
    influence = xr.open_zarr(run / "influence.zarr", consolidated=False)["influence"].load()
    frames = [pd.read_parquet(run / f"{name}.parquet") for name in ("train", "test")]
    cube = from_values(influence.to_numpy(), *frames)
    return (
        cube.assign_coords(checkpoint=influence["checkpoint"])
        if "checkpoint" in influence.dims
        else cube
    )


if __name__ == "__main__":  # as many processes as you like: they share the work
    import sys

    from .params import merge, parse

    print(make(merge(parse(sys.argv[1:]))))
