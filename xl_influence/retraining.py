"""Retraining without influential samples (section 6, Appendix A).

If the scores are right, the model's confidence must change. `retrain` repeats the fine-tuning of a
finished run without some of its training samples, once for every set of `plan_removals`, and
records the probability of the gold class before and after. Results are kept in the run's folder
`retrainings`: a notebook that was killed resumes, and equal sets are trained once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr
from tqdm import tqdm

from . import scores
from .retrainer import Retrainer
from .sections import Analysis, Run
from .sharing import SIGNS
from .sharing.top import most_influential

if TYPE_CHECKING:
    pass

CONTROLS = {  # control → the column in which its samples are distributed like the top k
    "random": None,
    "random_labels": "label",
    "random_languages": "lang",
}
STRATEGIES = ("top", *CONTROLS)  # of choosing what to remove
COLUMNS = [
    "test_uid",
    "item",
    "test_lang",
    "k",
    "sign",
    "strategy",
    "seed",
    "confidence_before",
    "confidence_after",
]


TrainingSet = tuple[int, tuple[int, ...]]  # seed, rows left out


class RemovalError(ValueError):
    """The plan removes more samples than there are."""


@dataclass(frozen=True)
class Removal:
    """A set of training samples to leave out, chosen for one test sample."""

    test_uid: str
    sign: str
    strategy: str  # one of STRATEGIES
    k: int
    seed: int
    removed: tuple[int, ...]  # row numbers of training samples, in order


def plan_removals(
    cube: xr.Dataset,
    train: pd.DataFrame,
    test: pd.DataFrame,
    *,
    ks: Sequence[int],
    samples: int,
    seeds: Iterable[int],
) -> list[Removal]:
    """Choose the samples to remove: for each test sample, sign, k and seed, the top k and controls.

    The controls remove k samples at random: any; as many of each label as the top k has; as many in
    each language as the top k has. Each seed draws them again, from all training samples.

    Parameters
    ----------
    cube : xarray.Dataset
        Score cube of a run, with dims (checkpoint, group, test, train).
    train, test : pandas.DataFrame
        The cube's samples, in the cube's order.
    ks : sequence of int
        How many samples to remove.
    samples : int
        How many test samples to plan for; they take turns between languages.
    seeds : iterable of int
        Seeds of the training, and of the random draws.

    Returns
    -------
    list of Removal
        One per test sample, sign, k, seed and strategy, in this order.

    Raises
    ------
    RemovalError
        A k leaves no training sample.
    """
    if max(ks) >= len(train):
        raise RemovalError(
            f"removal_ks={list(ks)}: allowed are 1 to {len(train) - 1}; "
            f"there are {len(train)} training samples"
        )
    seeds, chosen, found = list(seeds), take_in_turn(test, samples), []
    tops = most_influential(cube.isel(test=chosen), max(ks))
    for number, row in enumerate(chosen):
        uid = test["uid"].iloc[row]
        for (place, sign), k in itertools.product(enumerate(SIGNS), ks):
            top = tops[sign].rows[number, :k]  # (k,)
            for seed in seeds:
                rng = np.random.default_rng([seed, k, row, place])
                for strategy, rows in _choose(top, train, seed, rng).items():
                    removed = tuple(sorted(map(int, rows)))
                    found.append(
                        Removal(uid, sign, strategy=strategy, k=k, seed=seed, removed=removed)
                    )
    return found


def _choose(
    top: np.ndarray, train: pd.DataFrame, seed: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Map each of `STRATEGIES` to the rows that it removes instead of the rows `top` (k,)."""
    sets = {"top": top}
    for control, column in CONTROLS.items():
        if column is None:  # the same for all test samples and signs, so it is trained once
            same = np.random.default_rng([seed, len(top)])
            sets[control] = same.choice(len(train), len(top), replace=False)
        else:
            sets[control] = _draw_like(top, train[column].to_numpy(), rng)
    return sets


def take_in_turn(test: pd.DataFrame, samples: int) -> list[int]:
    """Return row numbers of the first `samples` rows of `test`, taking the languages in turn."""
    turn = test.groupby("lang", sort=False).cumcount()
    return list(turn.reset_index(drop=True).sort_values(kind="stable").index[:samples])


def _draw_like(top: np.ndarray, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw rows at random that have each of `values` (train,) as often as the rows `top` have."""
    kinds, counts = np.unique(values[top], return_counts=True)
    drawn = [
        rng.choice(np.flatnonzero(values == kind), count, replace=False)
        for kind, count in zip(kinds, counts, strict=True)
    ]
    return np.concatenate(drawn)


def retrain(params: Analysis, progress: bool = True) -> pd.DataFrame:
    """Make the table `removal`: one row per test sample, sign, k, strategy and seed.

    Computes what the run itself lacks first.

    Parameters
    ----------
    params : dict
        Parameters of the run.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    pandas.DataFrame
        `test_uid`, `item`, `test_lang`, `k`, `sign`, `strategy`, `seed`, `confidence_before`,
        `confidence_after`: the probability of the gold class by the model trained with this seed on
        all samples, and by the one trained without those removed.
    """
    removals, sets, trainer = _plan_run(params, progress)
    confidence = _train_all(params, sets, trainer, progress)
    samples, rows = trainer.test.set_index("uid"), []
    for r in removals:
        before = confidence[r.seed, ()][r.test_uid]
        after = confidence[r.seed, r.removed][r.test_uid]
        item, lang = samples.loc[r.test_uid, ["item", "lang"]]
        about = [r.test_uid, str(item), lang, r.k, r.sign, r.strategy, r.seed]
        rows.append([*about, before, after])
    return pd.DataFrame(rows, columns=COLUMNS)


def retrain_part(params: Analysis, part: int, parts: int, progress: bool = True) -> None:
    """Train a part of the models that `retrain` needs; `retrain` then reuses them.

    Parameters
    ----------
    params : dict
        Parameters of the run.
    part, parts : int
        Number of this part, counted from 0, and the number of equal parts.
    progress : bool
        Whether to show a progress bar.
    """
    _, sets, trainer = _plan_run(params, progress)
    own = sets[part * len(sets) // parts : (part + 1) * len(sets) // parts]
    _train_all(params, own, trainer, progress)


def _plan_run(
    params: Analysis, progress: bool
) -> tuple[list[Removal], list[TrainingSet], Retrainer]:
    """Return the removals, the distinct training sets that they need, and the `Retrainer`."""
    scores.make(params, progress)
    cube, train, test, manifest = scores.read(params)
    seeds = range(params["seed"], params["seed"] + params["removal_seeds"])
    ks, samples = params["removal_ks"], params["removal_samples"]
    removals = plan_removals(cube, train, test, ks=ks, samples=samples, seeds=seeds)
    sets = sorted({(seed, ()) for seed in seeds} | {(r.seed, r.removed) for r in removals})
    return removals, sets, Retrainer(params, train, test, manifest["chosen_epoch"])


def _train_all(
    params: Run, sets: list[TrainingSet], trainer: Retrainer, progress: bool
) -> dict[TrainingSet, dict[str, float]]:
    """Map each seed and set of removed rows to the confidences of its model."""
    title = f"{params['task']}: retraining"
    bar = tqdm(sets, desc=title, unit="training", disable=not progress, mininterval=10)
    return {(seed, removed): trainer.measure_confidence(seed, removed) for seed, removed in bar}
