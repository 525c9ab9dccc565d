"""How a score cube is computed: test samples are chosen (section 5), then shards are filled, by one process or several."""

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from tqdm import tqdm

from . import data, encoders, finetune, heap, marks, runs, tasks
from .arithmetic import arithmetic
from .cube import Cube, ScoreError
from .engine import Engine, batches
from .tracin import rounding

ROUNDING = (500, 10)  # training and test samples on which the effect of a lower precision is measured


def compute(params, mark, borrowed=None, progress=True):
    """Fine-tune if that is not done, choose the test samples and fill the cube; see `scores.score`."""
    run, device = finetune.finetune(params, progress), finetune.pick_device(params["device"])
    watch = runs.Stopwatch()
    with runs.lock(run, "choosing the test samples"):
        if marks.is_scored(run, mark):
            return
        cube = _prepare(params, run, mark, device, borrowed)
    _fill(params, run, cube, device, progress)
    with runs.lock(run, "gathering"):
        if not marks.is_scored(run, mark):
            runs.put(cube.gather(), run / "scores.zarr")
            runs.write_manifest(
                run,
                scores_fingerprint=mark,
                score_parameters=runs.pick(params, marks.SCORES),
                cube=runs.pick(cube.layout, ("checkpoint", "test", "train")),
                scores_environment=runs.environment(device),
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
            raise ScoreError(f"{work}: another process computes this cube with other parameters; wait for it or stop it")
    manifest = runs.read_manifest(run)
    if "scores_fingerprint" in manifest:  # of other parameters: nothing of it may be mixed with what comes
        runs.write_manifest(run, scores_fingerprint=None)
    test = choose_test(params, run, manifest["chosen_epoch"], device, borrowed)
    with runs.complete(run / "test.parquet") as path:
        test.to_parquet(path, index=False)
    train_samples, test_samples = _samples(run)
    engine = _engine(params, run, manifest["chosen_epoch"], device)
    engine.check(train_samples, test_samples)
    tile, together = engine.layout(train_samples, test_samples, params["test_memory"])
    runs.write_manifest(run, rounding=_rounding(params, engine, train_samples, test_samples))
    epochs = range(1, manifest["chosen_epoch"] + 1)
    cube = Cube.create(work, engine.groups, epochs, test_samples, train_samples, tile, params["shard_size"], together)
    (work / "fingerprint").write_text(mark)
    return cube


def _engine(params, run, epoch, device):
    model = encoders.load_checkpoint(run / "checkpoints" / f"epoch-{epoch}")
    return Engine(model, device=device, **runs.pick(params, ("max_tokens", "precision", "storage")))


def _rounding(params, engine, train_samples, test_samples):
    """What the chosen precision and storage cost, measured on some of the samples and told; None where nothing is rounded."""
    lower = runs.pick(params, ("precision", "storage"))
    if set(lower.values()) == {"float32"}:
        return None
    rng = np.random.default_rng(params["test_seed"])
    some = [
        [samples[i] for i in rng.permutation(len(samples))[:most]]
        for samples, most in zip((train_samples, test_samples), ROUNDING, strict=True)
    ]
    found = rounding(engine.model, *some, params["top_k"], max_tokens=params["max_tokens"], device=engine.device, **lower)
    tqdm.write(
        f"{', '.join(f'{key}={value}' for key, value in lower.items())}: cosines differ from float32's by at most "
        f"{found['max_cosine_error']:.1e}, {found['top_overlap']:.1%} of the top {found['top_k']} stay "
        f"({found['test']} test and {found['train']} training samples)"
    )
    return found


def _samples(run):
    """Training and test samples as the engine takes them, each in the cube's order."""
    test = runs.read_inputs(run, "test").set_index("uid").loc[pd.read_parquet(run / "test.parquet")["uid"]].reset_index()
    return runs.read_inputs(run, "train").to_dict("records"), test.to_dict("records")


@heap.kept()
def _fill(params, run, cube, device, progress):
    """Compute the shards that no other process has, holding the gradients of one tile of test samples at a time."""
    train_samples, test_samples = _samples(run)
    shards, engine, epoch, held, tile = cube.shards(), None, None, None, None
    each = {shard: shard.train[1] - shard.train[0] for shard in shards}
    done = sum(n for shard, n in each.items() if cube.is_written(shard))
    with tqdm(total=sum(each.values()), initial=done, unit="sample", mininterval=10 if progress else 1e9,
              disable=not progress, desc=f"{params['task']}: influence") as bar:  # fmt: skip
        for shard in cube.claims():
            if shard.checkpoint + 1 != epoch:
                engine, held, epoch, tile = None, None, shard.checkpoint + 1, None  # before the next one takes memory
                engine = _engine(params, run, epoch, device)
                if progress and bar.n == bar.initial:
                    tqdm.write(_announce(cube, engine, train_samples, test_samples))
            if shard.test != tile:
                held, tile = None, shard.test
                held = engine.hold(test_samples[slice(*tile)])
            cube.write(shard, engine.products(held, train_samples[slice(*shard.train)], cube.layout["together"], bar.update))


def _announce(cube, engine, train_samples, test_samples):
    longest, mean = (int(f([len(s["input_ids"]) for s in (*test_samples, *train_samples)])) for f in (max, np.mean))
    size, tile, together = cube.layout, cube.layout["tile"], cube.layout["together"]
    memory = (tile * engine.bytes_per_sample(longest, engine.storage) + together * engine.bytes_per_sample(mean)) / 2**30
    return (
        f"influence of {size['train']} training samples on {size['test']} test samples at {size['checkpoint']} checkpoints: "
        f"{-(-size['test'] // tile)} tile(s) of test samples, at most {memory:.1f} GB of gradients"
    )


def choose_test(params, run, epoch, device, borrowed=None):
    """The test samples of section 5: `test_size` per language among those that the model labels correctly.

    Items are tried in an order drawn with `test_seed`. In a parallel task those that are right in every language come
    first, so that languages share their items where enough are right; each language fills up with its own. `borrowed`:
    uids of another run's test samples, taken as they are, right or not.

    Returns
    -------
    pandas.DataFrame
        uid, lang, item, label, text_a, text_b, …, `confidence` (probability of the gold class), by language.
    """
    pool = pd.read_parquet(run / "pool.parquet")
    if borrowed is not None:
        pool = pool[pool["uid"].isin(borrowed)]
    inputs = runs.read_inputs(run, "test").set_index("uid")["input_ids"]
    parallel = tasks.find(params).parallel
    rng = np.random.default_rng(params["test_seed"])
    if parallel:
        pool["place"] = pool["item"].map(data.test_order(pool["item"].unique(), params["test_seed"]))
    else:
        pool["place"] = pool.groupby("lang")["item"].transform(lambda items: rng.permutation(len(items)))
    if params["test_pool"] and borrowed is None:
        pool = pool[pool["place"] < params["test_pool"]]
    model = encoders.load_checkpoint(run / "checkpoints" / f"epoch-{epoch}").to(device)
    probability = predict(model, inputs.loc[pool["uid"]].tolist(), params["max_tokens"])
    pool = pool.assign(
        confidence=probability[np.arange(len(pool)), pool["label"]], right=probability.argmax(1) == pool["label"]
    )
    if borrowed is not None:
        return pool.set_index("uid").loc[borrowed].reset_index().drop(columns=["place", "right"])
    everywhere = pool.groupby("item")["right"].transform("all")
    right, everywhere = pool[pool["right"]].copy(), everywhere[pool["right"]]
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
    with torch.no_grad(), arithmetic(engine.device):
        for rows in batches(samples, engine.max_tokens):
            batch = engine.tensors([samples[i] for i in rows])
            batch.pop("labels")
            result[rows] = F.softmax(model(**batch).logits.double(), dim=-1).cpu().numpy()
    return result
