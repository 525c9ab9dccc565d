"""The influence pass: computes a score cube shard by shard, in one process or several."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from tqdm import tqdm

from . import encoders, finetune, fingerprints, runs, selection
from .cube import Cube, CubeError
from .engine import memory
from .engine.batches import Sample, find_lengths
from .engine.engine import Engine
from .manifest import Stopwatch, describe_environment, read_manifest, write_manifest
from .sections import Analysis, Influence
from .tracin import rounding

if TYPE_CHECKING:
    import torch

# Samples on which we measure the effect of a lower precision
ROUNDING_TRAIN, ROUNDING_TEST = 500, 10


def compute(
    params: Analysis,
    fingerprint: str,
    borrowed: Sequence[str] | None = None,
    progress: bool = True,
) -> None:
    """Fine-tune if that has not been done, choose the test samples and fill the score cube.

    Parameters
    ----------
    params : dict
        The run's parameters.
    fingerprint : str
        Of the scores, from `fingerprints.hash_scores`.
    borrowed : sequence of str, optional
        Uids of another run's test samples, see `selection.choose_test`.
    progress : bool
        Whether to show progress bars.
    """
    run, device = finetune.finetune(params, progress), finetune.pick_device(params["device"])
    watch = Stopwatch()
    cube = _start(params, run, fingerprint, device, borrowed)
    if cube is None:
        return
    _fill(params, run, cube, device, progress=progress)
    with runs.lock(run, "gathering"):
        if not fingerprints.is_scored(run, fingerprint):
            runs.move_into_place(cube.gather(), run / "scores.zarr")
            write_manifest(
                run,
                scores_fingerprint=fingerprint,
                score_parameters=runs.select_keys(params, fingerprints.SCORED),
                cube=runs.select_keys(cube.layout, ("checkpoint", "test", "train")),
                scores_environment=describe_environment(device),
                scores_cost=watch.read(),
            )
        runs.remove(cube.work)
        runs.remove(run / ".lock")  # no longer needed: later processes see that all is done


def fill_part(
    params: Analysis,
    fingerprint: str,
    part: tuple[int, int],
    borrowed: Sequence[str] | None = None,
    progress: bool = True,
) -> None:
    """Fill a part of the score cube; the first process to start chooses the test samples.

    Parameters
    ----------
    params, fingerprint, borrowed, progress
        As in `compute`, which must be called once all parts are filled.
    part : tuple of int
        Number of the part, from 0, and how many parts there are, see `Cube.claim_shards`.
    """
    run, device = finetune.finetune(params, progress), finetune.pick_device(params["device"])
    cube = _start(params, run, fingerprint, device, borrowed)
    if cube is not None:
        _fill(params, run, cube, device, progress=progress, part=part)


def _start(
    params: Analysis,
    run: Path,
    fingerprint: str,
    device: torch.device,
    borrowed: Sequence[str] | None,
) -> Cube | None:
    """Return the unfinished cube of these parameters; None if the cube is finished."""
    with runs.lock(run, "choosing the test samples"):
        if fingerprints.is_scored(run, fingerprint):
            return None
        return _prepare(params, run, fingerprint, device, borrowed)


def _prepare(
    params: Analysis,
    run: Path,
    fingerprint: str,
    device: torch.device,
    borrowed: Sequence[str] | None,
) -> Cube:
    """The unfinished cube of these parameters.

    It is the one that a killed process left, or that another process is filling, or a new one.
    """
    work = run / ".scores"
    if (work / "layout.json").exists():
        cube = Cube(work)
        if runs.has_fingerprint(work, fingerprint):
            return cube
        if cube.is_busy():
            raise CubeError(
                f"{work}: another process is computing this cube with other parameters; wait for "
                f"it or stop it"
            )
    if "scores_fingerprint" in read_manifest(run):
        # A cube of other parameters: nothing of it may be mixed with the new one
        write_manifest(run, scores_fingerprint=None)
    cube = _create(params, run, work, device, borrowed)
    runs.write_fingerprint(work, fingerprint)
    return cube


def _create(
    params: Analysis,
    run: Path,
    work: Path,
    device: torch.device,
    borrowed: Sequence[str] | None,
) -> Cube:
    """Choose the test samples, and make an empty cube for them."""
    epoch = read_manifest(run)["chosen_epoch"]
    chosen = selection.choose_test(params, run, epoch, device, borrowed)
    with runs.write_atomically(run / "test.parquet") as path:
        chosen.to_parquet(path, index=False)
    train, test = _read_samples(run)
    engine = _load_engine(params, run, epoch, device)
    engine.check(train, test)
    layout = engine.layout(train, test, params["test_memory"])
    write_manifest(run, rounding=_measure_rounding(params, engine, train, test))
    return Cube.create(
        work,
        groups=engine.groups,
        epochs=range(1, epoch + 1),
        test=test,
        train=train,
        test_tile=layout.test_tile,
        train_tile=layout.train_tile,
        shard_size=params["shard_size"],
        keep=params["keep"],
    )


def _load_engine(params: Influence, run: Path, epoch: int, device: torch.device) -> Engine:
    model = encoders.load_checkpoint(run / "checkpoints" / f"epoch-{epoch}")
    return Engine(
        model, device=device, **runs.select_keys(params, ("max_tokens", "precision", "storage"))
    )


def _measure_rounding(
    params: Analysis, engine: Engine, train: Sequence[Sample], test: Sequence[Sample]
) -> dict[str, float] | None:
    """Measure and report what the chosen precision and storage cost; None if nothing is rounded."""
    lower = runs.select_keys(params, ("precision", "storage"))
    if set(lower.values()) == {"float32"}:
        return None
    rng = np.random.default_rng(params["test_seed"])
    some_train = [train[i] for i in rng.permutation(len(train))[:ROUNDING_TRAIN]]
    some_test = [test[i] for i in rng.permutation(len(test))[:ROUNDING_TEST]]
    found = rounding(
        engine.model,
        some_train,
        some_test,
        params["top_k"],
        max_tokens=params["max_tokens"],
        device=engine.device,
        **lower,
    )
    tqdm.write(
        f"{', '.join(f'{key}={value}' for key, value in lower.items())}: cosines differ from "
        f"float32's by at most {found['max_cosine_error']:.1e}, {found['top_overlap']:.1%} of the "
        f"top {found['top_k']} stay the same ({found['test']} test and {found['train']} training "
        f"samples)"
    )
    return found


def _read_samples(run: Path) -> tuple[list[Sample], list[Sample]]:
    """Training and test samples as the engine takes them, each in the cube's order."""
    chosen = pd.read_parquet(run / "test.parquet")["uid"]
    train, test = runs.read_inputs(run, "train"), runs.read_inputs(run, "test", chosen)
    return train.to_dict("records"), test.to_dict("records")


@memory.keep_freed_memory()
def _fill(
    params: Influence,
    run: Path,
    cube: Cube,
    device: torch.device,
    *,
    progress: bool,
    part: tuple[int, int] = (0, 1),
) -> None:
    """Compute the shards of a part of the cube that no other process has.

    One model and the gradients of one test tile are in memory at a time. Shards come checkpoint by
    checkpoint and tile by tile, except those of a process that died, which come late.
    """
    train, test = _read_samples(run)
    with _progress_bar(params["task"], cube, progress) as bar:
        for checkpoint, shards in groupby(cube.claim_shards(*part), lambda shard: shard.checkpoint):
            engine = _load_engine(params, run, checkpoint + 1, device)
            engine.check(train, test)
            if progress and bar.n == bar.initial:
                tqdm.write(_describe(cube, engine, train, test))
            for test_range, shards_of_tile in groupby(shards, lambda shard: shard.test):
                gradients = engine.collect_test(test[slice(*test_range)])
                for shard in shards_of_tile:
                    shard_train = train[slice(*shard.train)]
                    products = engine.products(
                        gradients, shard_train, cube.layout["train_tile"], bar.update
                    )
                    cube.write(shard, products)
                del gradients  # before the next tile takes its memory
            del engine  # before the next model takes its memory


def _progress_bar(task: str, cube: Cube, progress: bool) -> tqdm:
    """A bar over the training samples of all shards; those that were written count as done."""
    shards = cube.list_shards()
    return tqdm(
        total=sum(shard.n_train for shard in shards),
        initial=sum(shard.n_train for shard in shards if cube.is_written(shard)),
        unit="sample",
        mininterval=10 if progress else 1e9,
        disable=not progress,
        desc=f"{task}: influence",
    )


def _describe(cube: Cube, engine: Engine, train: Sequence[Sample], test: Sequence[Sample]) -> str:
    """One sentence on the work ahead and the memory it takes."""
    lengths, layout = find_lengths((*test, *train)), cube.layout
    test_bytes = engine.bytes_per_sample(max(lengths), engine.storage)
    train_bytes = engine.bytes_per_sample(int(np.mean(lengths)))
    total = layout["test_tile"] * test_bytes + layout["train_tile"] * train_bytes
    n_tiles = -(-layout["test"] // layout["test_tile"])
    return (
        f"influence of {layout['train']} training samples on {layout['test']} test samples at "
        f"{layout['checkpoint']} checkpoints: {n_tiles} tile(s) of test samples, at most "
        f"{total / 2**30:.1f} GB of gradients; the cube takes {cube.describe_size()}"
    )
