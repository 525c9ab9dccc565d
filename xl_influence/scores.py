"""Test samples (section 5) and the score cube `scores.zarr`: every training sample's influence on every test sample.

`score(params)` fine-tunes if that is not done, chooses the test samples, and fills the cube shard by shard; a shard is
one checkpoint, one tile of test samples and one range of training samples. A killed run repeats at most one shard.
"""

import json
import warnings

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
import xarray as xr
import zarr
from tqdm import tqdm

from . import encoders, finetune, runs
from .engine import Engine, batches
from .tasks import TASKS
from .tracin import sample_coords

KEYS = ("test_size", "test_pool", "test_seed", "max_tokens", "test_memory", "shard_size")
FORMAT = 2


class ScoreError(ValueError):
    """Too few test samples that the model labels correctly, or a damaged cube."""


def score(params, progress=True):
    """Compute the score cube, or find that it was done. Returns the run's folder (pathlib.Path).

    Leaves `test.parquet` (the chosen samples and the model's `confidence`), `scores.zarr` and its part of the manifest.
    """
    run = finetune.finetune(params, progress)
    mark = runs.fingerprint("scores", FORMAT, finetune.fingerprint(params), runs.pick(params, KEYS))
    manifest = runs.read_manifest(run)
    if manifest.get("scores_fingerprint") == mark and (run / "scores.zarr").is_dir():
        return run
    watch, device = runs.Stopwatch(), finetune.pick_device(params["device"])
    if "scores_fingerprint" in manifest:  # of other parameters: nothing of it may be mixed with what comes
        runs.write_manifest(run, scores_fingerprint=None)
    test = choose_test(params, run, manifest["chosen_epoch"], device)
    with runs.complete(run / "test.parquet") as path:
        test.to_parquet(path, index=False)
    epochs = list(range(1, manifest["chosen_epoch"] + 1))
    work = run / ".scores"
    if not (work / "fingerprint").exists() or (work / "fingerprint").read_text() != mark:
        runs.remove(work)
        work.mkdir(parents=True)
        (work / "fingerprint").write_text(mark)
    size = _fill(params, run, work, test, epochs, device, progress)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr: consolidated metadata are not yet part of its version 3
        zarr.consolidate_metadata(work / "scores.zarr")
    runs.put(work / "scores.zarr", run / "scores.zarr")
    runs.remove(work)
    runs.write_manifest(
        run,
        scores_fingerprint=mark,
        score_parameters=runs.pick(params, KEYS),
        cube=size,
        scores_environment=runs.environment(device),
        scores_cost=watch.read(),
    )
    return run


def choose_test(params, run, epoch, device):
    """The test samples of section 5: `test_size` per language among those that the model labels correctly.

    Items are tried in an order drawn with `test_seed`. In a parallel task those that are right in every language come
    first, so that languages share their items where enough are right; each language fills up with its own.

    Returns
    -------
    pandas.DataFrame
        uid, lang, item, label, text_a, text_b, …, `confidence` (probability of the gold class), by language.
    """
    pool = pd.read_parquet(run / "pool.parquet")
    inputs = finetune.read_inputs(run, "test").set_index("uid")["input_ids"]
    parallel = TASKS[params["task"]].parallel
    rng = np.random.default_rng(params["test_seed"])
    if parallel:
        order = rng.permutation(np.sort(pool["item"].unique()))
        place = dict(zip(order, range(len(order)), strict=False))
        pool["place"] = pool["item"].map(place)
    else:
        pool["place"] = pool.groupby("lang")["item"].transform(lambda items: rng.permutation(len(items)))
    if params["test_pool"]:
        pool = pool[pool["place"] < params["test_pool"]]
    model = encoders.load_checkpoint(run / "checkpoints" / f"epoch-{epoch}").to(device)
    probability = predict(model, inputs.loc[pool["uid"]].tolist(), params["max_tokens"])
    pool = pool.assign(
        confidence=probability[np.arange(len(pool)), pool["label"]], right=probability.argmax(1) == pool["label"]
    )
    right = pool[pool["right"]].copy()
    everywhere = right.groupby("item")["lang"].transform("nunique") == len(params["languages"])
    right["rank"] = right["place"] + (0 if not parallel else np.where(everywhere, 0, len(pool)))
    chosen = []
    for lang in params["languages"]:
        part = right[right["lang"] == lang].sort_values("rank").head(params["test_size"])
        if len(part) < params["test_size"]:
            tried = int((pool["lang"] == lang).sum())
            raise ScoreError(
                f"test_size={params['test_size']}: in {lang} the model labels {len(part)} of {tried} test rows correctly; "
                f"raise test_pool (now {params['test_pool'] or 'all'}) or fine-tune longer"
            )
        chosen.append(part)
    return pd.concat(chosen, ignore_index=True).drop(columns=["place", "right", "rank"])


def predict(model, sequences, max_tokens):
    """Class probabilities of token-id sequences: array (samples, classes)."""
    engine = Engine(model, max_tokens=max_tokens)
    samples = [{"input_ids": ids, "label": 0} for ids in sequences]
    result = np.zeros((len(samples), model.config.num_labels))
    with torch.no_grad():
        for rows in batches(samples, max_tokens):
            batch = engine.tensors([samples[i] for i in rows])
            batch.pop("labels")
            result[rows] = F.softmax(model(**batch).logits.double(), dim=-1).cpu().numpy()
    return result


def open_scores(run):
    """The run's score cube as an xarray.Dataset in memory; `ScoreError` if it is missing or incomplete."""
    path = run / "scores.zarr"
    if not path.is_dir():
        raise ScoreError(f"{path} is not there: run notebook 02, or `make study`")
    cube = xr.open_zarr(path).load()
    if bool(cube["dot"].isnull().any() | cube["train_sqnorm"].isnull().any() | cube["test_sqnorm"].isnull().any()):
        raise ScoreError(f"{path} holds values that are not numbers: it is incomplete, or training diverged")
    return cube


def load(params, progress=True):
    """Everything the analyses take, computing what is missing: (scores, train, test, manifest)."""
    run = score(params, progress)
    train, test = pd.read_parquet(run / "train.parquet"), pd.read_parquet(run / "test.parquet")
    return open_scores(run), train, test, runs.read_manifest(run)


def _fill(params, run, work, test, epochs, device, progress):
    """Fill `work/scores.zarr`, skipping shards that are marked as written. Returns the cube's sizes."""
    inputs = finetune.read_inputs(run, "test").set_index("uid").loc[test["uid"]].reset_index()
    test_samples = inputs.to_dict("records")
    train_samples = finetune.read_inputs(run, "train").to_dict("records")
    cube, marks = work / "scores.zarr", work / "shards"
    step = params["shard_size"]
    ranges = [range(start, min(start + step, len(train_samples))) for start in range(0, len(train_samples), step)]
    bar = None
    for number, epoch in enumerate(epochs):
        model = encoders.load_checkpoint(run / "checkpoints" / f"epoch-{epoch}")
        engine = Engine(model, max_tokens=params["max_tokens"], device=device)
        tiles, together = _layout(work, engine, train_samples, test_samples, params["test_memory"])
        if bar is None:
            engine.check(train_samples, test_samples)
            if not marks.is_dir():
                runs.remove(cube)
                _create(cube, engine, epochs, test_samples, train_samples, step)
                marks.mkdir()
            total = len(epochs) * len(tiles) * len(train_samples)
            longest, mean = (int(f([len(s["input_ids"]) for s in (*test_samples, *train_samples)])) for f in (max, np.mean))
            memory = (len(tiles[0]) * engine.bytes_per_sample(longest) + together * engine.bytes_per_sample(mean)) / 2**30
            tqdm.write(
                f"influence of {len(train_samples)} training samples on {len(test_samples)} test samples at {len(epochs)} "
                f"checkpoints: {len(tiles)} tile(s) of test samples, at most {memory:.1f} GB of gradients"
            )
            bar = tqdm(total=total, unit="sample", mininterval=10 if progress else 1e9, disable=not progress, desc="influence")
        for tile in tiles:
            held = None
            for part in ranges:
                done = marks / f"{epoch}-{tile.start}-{part.start}"
                if done.exists():
                    bar.update(len(part))
                    continue
                if held is None:
                    held = engine.hold([test_samples[i] for i in tile])
                products = engine.products(held, [train_samples[i] for i in part], together, bar.update)
                _write(cube, products, number, tile, part)
                done.touch()
    bar.close()
    return {"checkpoint": len(epochs), "test": len(test_samples), "train": len(train_samples)}


def _layout(work, engine, train_samples, test_samples, test_memory):
    """Tiles of the test set and samples per product, the same after a kill as before (free memory may have changed)."""
    path = work / "layout.json"
    if not path.exists():
        with runs.complete(path) as temporary:
            temporary.write_text(json.dumps(engine.layout(train_samples, test_samples, test_memory)))
    size, together = json.loads(path.read_text())
    return [range(start, min(start + size, len(test_samples))) for start in range(0, len(test_samples), size)], together


def _create(cube, engine, epochs, test_samples, train_samples, step):
    """An empty cube, one chunk per checkpoint and training range, with its coordinates."""
    sizes = {"checkpoint": len(epochs), "group": len(engine.groups), "test": len(test_samples), "train": len(train_samples)}
    chunks = sizes | {"checkpoint": 1, "train": min(step, sizes["train"])}
    layout = {
        "dot": ("checkpoint", "group", "test", "train"),
        "test_sqnorm": ("checkpoint", "group", "test"),
        "train_sqnorm": ("checkpoint", "group", "train"),
    }
    empty = {name: (dims, np.full([sizes[d] for d in dims], np.nan, dtype=np.float32)) for name, dims in layout.items()}
    coords = {"checkpoint": epochs, "group": np.array(engine.groups, dtype=object)}
    coords |= sample_coords(test_samples, "test") | sample_coords(train_samples, "train")
    encoding = {name: {"chunks": [chunks[d] for d in dims]} for name, dims in layout.items()}
    xr.Dataset(empty, coords=coords).to_zarr(cube, mode="w", encoding=encoding, consolidated=False)


def _write(cube, products, number, tile, part):
    """Write one shard into its region of the cube."""
    region = {
        "checkpoint": slice(number, number + 1),
        "test": slice(tile.start, tile.stop),
        "train": slice(part.start, part.stop),
    }
    shard = products.drop_vars([*products.coords]).expand_dims("checkpoint")
    for names in (["dot"], ["test_sqnorm"], ["train_sqnorm"]):
        data = shard[names].astype(np.float32)
        dims = {dim: where for dim, where in region.items() if dim in data[names[0]].dims}
        data.to_zarr(cube, region=dims | {"group": slice(None)}, consolidated=False)
