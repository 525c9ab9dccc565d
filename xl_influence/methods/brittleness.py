"""Brittleness: how many of the most helpful samples must go until a prediction flips.

    python -m xl_influence.methods.brittleness study=demo-subsets task=pawsx ks=20,60,120,240

For each test sample, method and k, the model is trained again without the k most helpful samples.
A prediction flips if the model then no longer prefers the right class. The control removes k
samples at random, others for every test sample. As expensive as it sounds: 25 test samples and
three methods are 75 trainings for each k. They are kept under the run's `retrainings/`, so a
command that was killed continues.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from ..retrainer import Retrainer
from ..sections import Analysis
from ..sharing import BOOTSTRAP, Bootstrap, summary, top_samples
from ..sharing.base import samples_of
from . import commands, evidence
from .base import MethodInput, find_range_of_items
from .catalogue import PAPER, compute_all
from .study import read_given
from .subsets import make_trainer

METHODS = (PAPER, "dot product")
RANDOM = "random"  # the control
SAMPLES = 25  # test samples, or all where there are fewer; for samples=0
KEYS = ["method", "k"]
OPTIONS = {"ks": commands.Option((20, 60, 120, 240), 1), "samples": commands.Option(0, 0)}


class Removal(NamedTuple):
    """The training samples that one training leaves out, for one test sample."""

    row: int  # of the test sample
    method: str
    k: int
    removed: tuple[int, ...]  # rows of training samples, in order


def plan_removals(
    values: Mapping[str, np.ndarray],
    given: MethodInput,
    *,
    ks: Sequence[int],
    samples: int,
    seed: int = 0,
) -> list[Removal]:
    """Choose what to remove: the k most helpful samples by each method, and k at random.

    Parameters
    ----------
    values : mapping of str to numpy.ndarray
        Method → values (test, train).
    given : MethodInput
        The run.
    ks : sequence of int
        How many samples to remove.
    samples : int
        How many test samples, taken from the languages in turn.
    seed : int
        Seed of the random draws.

    Returns
    -------
    list of Removal
        One for each test sample, k and method; the control is the last method.

    Raises
    ------
    ValueError
        A k leaves no training sample, or there are fewer test samples.
    """
    n_test, n_train = len(given.test), len(given.train)
    if max(ks) >= n_train or samples > n_test:
        raise ValueError(
            f"ks={list(ks)}, samples={samples}: allowed are ks from 1 to {n_train - 1} and at most "
            f"{n_test} samples; the run has {n_train} training and {n_test} test samples"
        )
    found = []
    for row, k in itertools.product(choose_samples(given.test, samples), ks):
        sets = {name: top_samples(each[[row]], k, "positive")[0] for name, each in values.items()}
        sets[RANDOM] = np.random.default_rng([seed, row, k]).choice(n_train, k, replace=False)
        for method, rows in sets.items():
            found.append(Removal(row, method, k, tuple(sorted(map(int, rows)))))
    return found


def choose_samples(test: pd.DataFrame, samples: int) -> list[int]:
    """Choose rows of `test`, from the languages in turn and of as many items as possible.

    Languages often have the same items in the same order, so each starts at another place.

    Parameters
    ----------
    test : pandas.DataFrame
        The test samples.
    samples : int
        How many rows to choose.
    """
    languages = list(test.groupby("lang", sort=False).indices.values())
    turned = [
        np.roll(rows, -(number * len(rows) // len(languages)))
        for number, rows in enumerate(languages)
    ]
    in_turn = itertools.chain.from_iterable(itertools.zip_longest(*turned))
    return [int(row) for row in in_turn if row is not None][:samples]


def flip(removals: Sequence[Removal], trainer: Retrainer, progress: bool = True) -> pd.DataFrame:
    """Train without each set of samples, and say which predictions flip.

    Parameters
    ----------
    removals : sequence of Removal
        From `plan_removals`.
    trainer : Retrainer
        Who trains, with the run's own seed.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    pandas.DataFrame
        `test`, `item`, `test_lang`, `method`, `k`, `flipped` (0 or 1): whether another class than
        the right one is the most probable.
    """
    samples, rows = samples_of(trainer.test), []
    gold, seed = trainer.test["label"].to_numpy(), trainer.params["seed"]
    bar = tqdm(removals, "brittleness", unit="training", disable=not progress, mininterval=10)
    for removal in bar:
        uid = samples["test"].iloc[removal.row]
        probability = trainer.measure_probabilities(seed, removal.removed)[uid]  # (class,)
        flipped = float(int(np.argmax(probability)) != gold[removal.row])
        rows.append([*samples.iloc[removal.row], removal.method, removal.k, flipped])
    return pd.DataFrame(rows, columns=[*samples, *KEYS, "flipped"])


def count_flipped(each: pd.DataFrame, bootstrap: Bootstrap = BOOTSTRAP) -> pd.DataFrame:
    """Compute the share of predictions that flip, for each method and k, with intervals over items.

    Parameters
    ----------
    each : pandas.DataFrame
        From `flip`.
    bootstrap : Bootstrap
        How the intervals are computed.

    Returns
    -------
    pandas.DataFrame
        `method`, `k`, `flipped`, `ci_low`, `ci_high`, `test_samples`, `items`, `least`, `most` (the
        lowest and the highest share of an item).
    """
    table = summary(each, KEYS, bootstrap, value="flipped")
    parts = [part for _, part in each.groupby(KEYS, sort=False)]
    ends = np.array([find_range_of_items(part["flipped"], part["item"]) for part in parts])
    return table.assign(least=ends[:, 0], most=ends[:, 1])


def find_smallest(each: pd.DataFrame) -> pd.DataFrame:
    """Find the smallest k that flips each prediction, and count test samples by it.

    Parameters
    ----------
    each : pandas.DataFrame
        From `flip`.

    Returns
    -------
    pandas.DataFrame
        `method`, `k` (0 for the predictions that no k flips), `samples` (how many have this as
        their smallest k), `by_k` (the share that k or a smaller one flips; NaN for 0).
    """
    rows = []
    for method, part in each.groupby("method", sort=False):
        wide = part.pivot(index="test", columns="k", values="flipped").to_numpy(bool)
        ks = sorted(part["k"].unique())
        first = np.where(wide.any(1), wide.argmax(1), -1)  # (test,): the column, or none
        for place, k in enumerate(ks):
            by_k = float(((first >= 0) & (first <= place)).mean())
            rows.append([method, int(k), int((first == place).sum()), by_k])
        rows.append([method, 0, int((first < 0).sum()), np.nan])
    return pd.DataFrame(rows, columns=[*KEYS, "samples", "by_k"])


def compute(config: Analysis, options: dict[str, Any]) -> evidence.Found:
    """Compute the file's content.

    Parameters
    ----------
    config, options : dict
        From `commands.read`.
    """
    given, trainer = read_given(config), make_trainer(config)
    values, _ = compute_all(given, METHODS)
    samples = options["samples"] or min(SAMPLES, len(given.test))
    removals = plan_removals(values, given, ks=options["ks"], samples=samples)
    each = flip(removals, trainer)
    tables = {"flipped": count_flipped(each, Bootstrap.of(config)), "smallest": find_smallest(each)}
    settings = {"ks": options["ks"], "samples": samples, "seed": config["seed"]}
    trainings = len({removal.removed for removal in removals})
    return evidence.Found(tables, settings, trainings, trainer.seconds)


if __name__ == "__main__":
    sys.exit(evidence.run(sys.argv[1:], "brittleness", OPTIONS, compute))
