"""Tail patch: what one more step on influential samples does to a prediction, without retraining.

    python -m xl_influence.methods.tail_patch study=demo-subsets task=pawsx

The model at the run's last checkpoint takes one step on the k most helpful samples of one training
language. How much do the log-odds of the test sample's right class change? Averaged over test
samples, this is a causal matrix: test language × training language (Chang et al. 2025).

The step is one of plain gradient descent, on the mean loss of the k samples, at the run's learning
rate, and without dropout. It is the step that influence is derived from (equation 2), and it needs
no state. Fine-tuning used AdamW, but checkpoints hold weights only; with an empty state AdamW's
first step has the same length for every weight, whatever its gradient. The price of the plain step
is its size: it is much shorter than a step of AdamW, so only signs, order and the distance from the
controls mean anything. The controls are k random samples of the language, and k random samples of
the language that have the test sample's label. After each step the weights are put back exactly.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch.nn import functional
from tqdm import tqdm

from .. import head, runs
from ..engine.arithmetic import arithmetic
from ..engine.batches import find_pad_token_id, pad_batch
from ..finetune import pick_device
from ..sections import Analysis
from ..sharing import BOOTSTRAP, Bootstrap, summary, top_samples
from ..sharing.base import samples_of, with_all
from . import commands, evidence
from .base import MethodInput, find_range_of_items
from .evidence import BEYOND, OTHER, OWN, RANDOM, SAME_LABEL, TOP
from .gradients import cosine
from .study import read_given

if TYPE_CHECKING:
    from transformers import PreTrainedModel

K = 10  # samples of one step, at most
KEYS = ["test_lang", "train_lang", "samples"]
Choice = dict[tuple[int, str, str], np.ndarray]  # test row, language, kind → training rows (k,)


@contextmanager
def one_step(
    model: PreTrainedModel, samples: Sequence[dict[str, Any]], rate: float
) -> Iterator[None]:
    """Take one step of gradient descent on the mean loss of some samples, and put it back.

    Parameters
    ----------
    model : transformers sequence classifier
        The model, in eval mode. Inside the block its weights are those after the step.
    samples : sequence of dict
        `input_ids` and `label`.
    rate : float
        The learning rate.
    """
    device = next(model.parameters()).device
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    before = [weight.detach().clone() for weight in weights]
    batch = pad_batch(list(samples), find_pad_token_id(model), device)
    labels = batch.pop("labels")  # (k,)
    with arithmetic(device):
        loss = functional.cross_entropy(model(**batch).logits, labels)
        grads = torch.autograd.grad(loss, weights, allow_unused=True)
    try:
        with torch.no_grad():
            for weight, grad in zip(weights, grads, strict=True):
                if grad is not None:
                    weight.sub_(grad, alpha=rate)
        yield
    finally:
        with torch.no_grad():
            for weight, old in zip(weights, before, strict=True):
                weight.copy_(old)


def gold_log_odds(model: PreTrainedModel, sample: dict[str, Any]) -> float:
    """Compute the log-odds of a sample's right class, from the logits and in float64.

    Parameters
    ----------
    model : transformers sequence classifier
        The model, in eval mode.
    sample : dict
        `input_ids` and `label`.
    """
    device = next(model.parameters()).device
    batch = pad_batch([sample], find_pad_token_id(model), device)
    batch.pop("labels")
    with torch.no_grad(), arithmetic(device):
        logits = model(**batch).logits[0].double()  # (class,)
    others = torch.arange(len(logits), device=device) != sample["label"]
    return float(logits[sample["label"]] - logits[others].logsumexp(0))


def choose(
    values: np.ndarray, train: pd.DataFrame, test: pd.DataFrame, *, k: int, seed: int = 0
) -> Choice:
    """Choose the samples of each step: the most helpful ones of a language, and the controls.

    Parameters
    ----------
    values : numpy.ndarray
        Influence (test, train).
    train, test : pandas.DataFrame
        The samples.
    k : int
        How many samples a step is made of.
    seed : int
        Seed of the random draws; each test sample and language has its own.

    Returns
    -------
    dict
        (test row, training language, kind) → rows of training samples, (k,). Kinds are `TOP`,
        `RANDOM` and `SAME_LABEL`.

    Raises
    ------
    ValueError
        A language has fewer than k samples of a test sample's label.
    """
    most = find_largest_k(train, test)
    if not 1 <= k <= most:
        raise ValueError(
            f"k={k}: allowed are 1 to {most}, the samples of a language's rarest label in training"
        )
    found: Choice = {}
    lang, label = train["lang"].to_numpy(), train["label"].to_numpy()
    for row, gold in enumerate(test["label"]):
        for place, name in enumerate(dict.fromkeys(lang)):
            pool = np.flatnonzero(lang == name)
            same = pool[label[pool] == gold]
            rng = np.random.default_rng([seed, row, place])
            top = top_samples(values[[row]][:, pool], k, "positive")[0]
            found[row, name, TOP] = pool[top]
            found[row, name, RANDOM] = rng.choice(pool, k, replace=False)
            found[row, name, SAME_LABEL] = rng.choice(same, k, replace=False)
    return found


def find_largest_k(train: pd.DataFrame, test: pd.DataFrame) -> int:
    """Return how many samples of one label each language has at least, of the test labels.

    Parameters
    ----------
    train, test : pandas.DataFrame
        The samples.
    """
    counts = pd.crosstab(train["lang"], train["label"])
    return int(counts.reindex(columns=sorted(set(test["label"])), fill_value=0).to_numpy().min())


def measure_changes(
    model: PreTrainedModel,
    choice: Choice,
    inputs: dict[str, list[dict[str, Any]]],
    test: pd.DataFrame,
    *,
    rate: float,
    progress: bool = True,
) -> pd.DataFrame:
    """Take every step and record what it changes.

    Parameters
    ----------
    model : transformers sequence classifier
        The model, in eval mode; it is the same afterwards.
    choice : dict
        From `choose`.
    inputs : dict
        'train' and 'test' → `input_ids` and `label` of each sample.
    test : pandas.DataFrame
        The test samples.
    rate : float
        The learning rate.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    pandas.DataFrame
        `test`, `item`, `test_lang`, `train_lang`, `samples` (a kind), `change` (in log-odds;
        positive where the step helped). The kind `BEYOND` is `TOP` minus `SAME_LABEL`.
    """
    before = [gold_log_odds(model, sample) for sample in inputs["test"]]
    rows = []
    bar = tqdm(choice.items(), "tail patch", unit="step", disable=not progress, mininterval=10)
    for (row, lang, kind), chosen in bar:
        with one_step(model, [inputs["train"][each] for each in chosen], rate):
            after = gold_log_odds(model, inputs["test"][row])
        rows.append([row, lang, kind, after - before[row]])
    table = pd.DataFrame(rows, columns=["row", "train_lang", "samples", "change"])
    wide = table.pivot(index=["row", "train_lang"], columns="samples", values="change")
    wide[BEYOND] = wide[TOP] - wide[SAME_LABEL]
    long = wide.reset_index().melt(["row", "train_lang"], value_name="change")
    long = long.sort_values("row", kind="stable", ignore_index=True)
    samples = samples_of(test)
    return samples.loc[long["row"]].reset_index(drop=True).assign(**long.drop(columns="row"))


def average(each: pd.DataFrame, bootstrap: Bootstrap = BOOTSTRAP) -> pd.DataFrame:
    """Average changes within test languages, and over all, with intervals over items.

    Parameters
    ----------
    each : pandas.DataFrame
        From `measure_changes`.
    bootstrap : Bootstrap
        How the intervals are computed.

    Returns
    -------
    pandas.DataFrame
        `test_lang` ('all' first), `train_lang` (also `OWN` and `OTHER`, averaged within a test
        sample), `samples`, `change`, `ci_low`, `ci_high`, `test_samples`, `items`, `least`, `most`
        (the lowest and the highest mean of an item).
    """
    own = each["test_lang"] == each["train_lang"]
    grouped = each.assign(train_lang=np.where(own, OWN, OTHER))
    keys = ["test", "item", "test_lang", "train_lang", "samples"]
    grouped = grouped.groupby(keys, sort=False)["change"].mean().reset_index()
    both = with_all(pd.concat([grouped, each], ignore_index=True))
    table = summary(both, KEYS, bootstrap, value="change")
    ends = [
        find_range_of_items(part["change"], part["item"])
        for _, part in both.groupby(KEYS, sort=False)
    ]
    return table.assign(**dict(zip(("least", "most"), zip(*ends, strict=True), strict=True)))


def measure(config: Analysis, *, k: int = 0, progress: bool = True) -> tuple[pd.DataFrame, int]:
    """Compute the tail patch of a finished run.

    Parameters
    ----------
    config : dict
        The run's parameters.
    k : int
        How many samples a step is made of; 0: `K`, or fewer where the run's `top_k` or a label of a
        language has fewer.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    table : pandas.DataFrame
        From `average`.
    k : int
        The number of samples of a step.

    Raises
    ------
    ValueError
        There are not k samples of a test sample's label in every language.
    """
    given = read_given(config)
    k = k or min(K, config["top_k"], find_largest_k(given.train, given.test))
    choice = choose(cosine(given), given.train, given.test, k=k)
    run = runs.find_folder(config)
    model = head.load_model(head.find_checkpoints(run)[-1], pick_device(config["device"]))
    each = measure_changes(
        model,
        choice,
        _read_inputs(given),
        given.test,
        rate=config["learning_rate"],
        progress=progress,
    )
    return average(each, Bootstrap.of(config)), k


def _read_inputs(given: MethodInput) -> dict[str, list[dict[str, Any]]]:
    """Read `input_ids` and `label` of the run's samples, in their order."""
    folder = given.need_folder("inputs.parquet", "token ids")
    return {
        split: runs.read_inputs(folder.parent, split, frame["uid"]).to_dict("records")
        for split, frame in (("train", given.train), ("test", given.test))
    }


def compute(config: Analysis, options: dict[str, Any]) -> evidence.Found:
    """Compute the file's content.

    Parameters
    ----------
    config, options : dict
        From `commands.read`.
    """
    table, k = measure(config, k=options["k"])
    settings = {"k": k, "learning_rate": config["learning_rate"]}
    return evidence.Found({"change": table}, settings, trainings=0, seconds=[])


if __name__ == "__main__":
    sys.exit(evidence.run(sys.argv[1:], "tail-patch", {"k": commands.Option(0, 0)}, compute))
