"""The influence pass: how a score cube is computed, shard by shard, by one process or several."""

import numpy as np
import pandas as pd
from tqdm import tqdm

from . import encoders, finetune, fingerprints, runs, selection
from .cube import Cube, ScoreError
from .engine import memory
from .engine.engine import Engine
from .manifest import Stopwatch, environment, read_manifest, write_manifest
from .tracin import rounding

ROUNDING = (
    500,
    10,
)  # training and test samples on which the effect of a lower precision is measured


def compute(params, mark, borrowed=None, progress=True):
    """Fine-tune if that is not done, choose the test samples and fill the cube; see `scores.make`."""
    run, device = finetune.finetune(params, progress), finetune.pick_device(params["device"])
    watch = Stopwatch()
    with runs.lock(run, "choosing the test samples"):
        if fingerprints.is_scored(run, mark):
            return
        cube = _prepare(params, run, mark, device, borrowed)
    _fill(params, run, cube, device, progress)
    with runs.lock(run, "gathering"):
        if not fingerprints.is_scored(run, mark):
            runs.move_into_place(cube.gather(), run / "scores.zarr")
            write_manifest(
                run,
                scores_fingerprint=mark,
                score_parameters=runs.select_keys(params, fingerprints.SCORES),
                cube=runs.select_keys(cube.layout, ("checkpoint", "test", "train")),
                scores_environment=environment(device),
                scores_cost=watch.read(),
            )
        runs.remove(cube.work)
        runs.remove(run / ".lock")  # of no use any more: who comes now sees that all is done


def _prepare(params, run, mark, device, borrowed):
    """The unfinished cube of these parameters: the one that a killed process left or another works on, or a new one."""
    work = run / ".scores"
    if (work / "layout.json").exists():
        cube = Cube(work)
        if (work / "fingerprint").exists() and (work / "fingerprint").read_text() == mark:
            return cube
        if cube.busy():
            raise ScoreError(
                f"{work}: another process computes this cube with other parameters; wait for it or stop it"
            )
    manifest = read_manifest(run)
    if (
        "scores_fingerprint" in manifest
    ):  # of other parameters: nothing of it may be mixed with what comes
        write_manifest(run, scores_fingerprint=None)
    test = selection.choose_test(params, run, manifest["chosen_epoch"], device, borrowed)
    with runs.write_atomically(run / "test.parquet") as path:
        test.to_parquet(path, index=False)
    train_samples, test_samples = _samples(run)
    engine = _engine(params, run, manifest["chosen_epoch"], device)
    engine.check(train_samples, test_samples)
    tile, together = engine.layout(train_samples, test_samples, params["test_memory"])
    write_manifest(run, rounding=_rounding(params, engine, train_samples, test_samples))
    epochs = range(1, manifest["chosen_epoch"] + 1)
    cube = Cube.create(
        work,
        engine.groups,
        epochs,
        test_samples,
        train_samples,
        tile,
        params["shard_size"],
        together,
    )
    (work / "fingerprint").write_text(mark)
    return cube


def _engine(params, run, epoch, device):
    model = encoders.load_checkpoint(run / "checkpoints" / f"epoch-{epoch}")
    return Engine(
        model, device=device, **runs.select_keys(params, ("max_tokens", "precision", "storage"))
    )


def _rounding(params, engine, train_samples, test_samples):
    """What the chosen precision and storage cost, measured on some of the samples and told; None where nothing is rounded."""
    lower = runs.select_keys(params, ("precision", "storage"))
    if set(lower.values()) == {"float32"}:
        return None
    rng = np.random.default_rng(params["test_seed"])
    some = [
        [samples[i] for i in rng.permutation(len(samples))[:most]]
        for samples, most in zip((train_samples, test_samples), ROUNDING, strict=True)
    ]
    found = rounding(
        engine.model,
        *some,
        params["top_k"],
        max_tokens=params["max_tokens"],
        device=engine.device,
        **lower,
    )
    tqdm.write(
        f"{', '.join(f'{key}={value}' for key, value in lower.items())}: cosines differ from float32's by at most "
        f"{found['max_cosine_error']:.1e}, {found['top_overlap']:.1%} of the top {found['top_k']} stay "
        f"({found['test']} test and {found['train']} training samples)"
    )
    return found


def _samples(run):
    """Training and test samples as the engine takes them, each in the cube's order."""
    test = (
        runs.read_inputs(run, "test")
        .set_index("uid")
        .loc[pd.read_parquet(run / "test.parquet")["uid"]]
        .reset_index()
    )
    return runs.read_inputs(run, "train").to_dict("records"), test.to_dict("records")


@memory.kept()
def _fill(params, run, cube, device, progress):
    """Compute the shards that no other process has, holding the gradients of one tile of test samples at a time."""
    train_samples, test_samples = _samples(run)
    shards, engine, epoch, held, tile = cube.shards(), None, None, None, None
    each = {shard: shard.train[1] - shard.train[0] for shard in shards}
    done = sum(n for shard, n in each.items() if cube.is_written(shard))
    with tqdm(
        total=sum(each.values()),
        initial=done,
        unit="sample",
        mininterval=10 if progress else 1e9,
        disable=not progress,
        desc=f"{params['task']}: influence",
    ) as bar:
        for shard in cube.claims():
            if shard.checkpoint + 1 != epoch:
                engine, held, epoch, tile = (
                    None,
                    None,
                    shard.checkpoint + 1,
                    None,
                )  # before the next one takes memory
                engine = _engine(params, run, epoch, device)
                if progress and bar.n == bar.initial:
                    tqdm.write(_announce(cube, engine, train_samples, test_samples))
            if shard.test != tile:
                held, tile = None, shard.test
                held = engine.hold(test_samples[slice(*tile)])
            cube.write(
                shard,
                engine.products(
                    held, train_samples[slice(*shard.train)], cube.layout["together"], bar.update
                ),
            )


def _announce(cube, engine, train_samples, test_samples):
    longest, mean = (
        int(f([len(s["input_ids"]) for s in (*test_samples, *train_samples)]))
        for f in (max, np.mean)
    )
    size, tile, together = cube.layout, cube.layout["tile"], cube.layout["together"]
    memory = (
        tile * engine.bytes_per_sample(longest, engine.storage)
        + together * engine.bytes_per_sample(mean)
    ) / 2**30
    return (
        f"influence of {size['train']} training samples on {size['test']} test samples at {size['checkpoint']} checkpoints: "
        f"{-(-size['test'] // tile)} tile(s) of test samples, at most {memory:.1f} GB of gradients"
    )
