"""The test samples of section 5: which are chosen, and how sure the model is of them."""

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from . import data, encoders, runs, tasks
from .cube import ScoreError
from .engine.arithmetic import arithmetic
from .engine.batches import batches
from .engine.engine import Engine


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
        pool["place"] = pool["item"].map(
            data.test_order(pool["item"].unique(), params["test_seed"])
        )
    else:
        pool["place"] = pool.groupby("lang")["item"].transform(
            lambda items: rng.permutation(len(items))
        )
    if params["test_pool"] and borrowed is None:
        pool = pool[pool["place"] < params["test_pool"]]
    model = encoders.load_checkpoint(run / "checkpoints" / f"epoch-{epoch}").to(device)
    probability = predict(model, inputs.loc[pool["uid"]].tolist(), params["max_tokens"])
    pool = pool.assign(
        confidence=probability[np.arange(len(pool)), pool["label"]],
        right=probability.argmax(1) == pool["label"],
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
