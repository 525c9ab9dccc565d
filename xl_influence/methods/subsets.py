"""Training on subsets, for `lds`. Resumes after a kill.

    python -m xl_influence.methods.subsets study=demo-small task=pawsx

Each training is kept in the run's folder under `retrainings/`, by what was removed and by seed, so
one that was killed continues, and a second run gives the same numbers without training.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from .. import params, scores
from ..retraining import Retrainer
from ..sharing import Bootstrap
from .catalogue import compute_all
from .datamodels import draw_language_subsets, draw_subsets, lds, log_odds
from .study import read_given

SUBSETS, SEEDS = 100, 2  # of each kind of subset


def train_subsets(
    config: dict[str, Any],
    masks: np.ndarray,
    *,
    seeds: Iterable[int],
    progress: bool = True,
) -> np.ndarray:
    """Train on every subset with every seed.

    Parameters
    ----------
    config : dict
        The parameters of a finished run.
    masks : numpy.ndarray
        (subset, train), bool.
    seeds : iterable of int
        Seeds of the training.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    numpy.ndarray
        Log-odds of the right class, (seed, subset, test).
    """
    _, train, test, manifest = scores.read(config)
    trainer = Retrainer(config, train, test, manifest["chosen_epoch"])
    bar = tqdm(
        [(seed, mask) for seed in seeds for mask in masks],
        desc=f"{config['task']}: subsets",
        unit="training",
        disable=not progress,
        mininterval=10,
    )
    found = []
    for seed, mask in bar:
        removed = tuple(int(row) for row in np.flatnonzero(~mask))
        confidence = trainer.confidence(seed, removed)
        found.append([confidence[uid] for uid in test["uid"]])
    return log_odds(np.array(found)).reshape(-1, len(masks), len(test))


def measure(
    config: dict[str, Any], *, n: int = SUBSETS, n_seeds: int = SEEDS, progress: bool = True
) -> pd.DataFrame:
    """Compute the LDS of every method for random halves and for subsets by language.

    Parameters
    ----------
    config : dict
        The parameters of a finished run.
    n : int
        Number of subsets of each kind.
    n_seeds : int
        Seeds of each training: the run's own and the next ones.
    progress : bool
        Whether to show bars.

    Returns
    -------
    pandas.DataFrame
        The columns of `lds`, after `kind`: 'random halves' or 'by language'.
    """
    given = read_given(config)
    values, _ = compute_all(given)
    seeds = range(config["seed"], config["seed"] + n_seeds)
    kinds = {
        "random halves": draw_subsets(len(given.train), n),
        "by language": draw_language_subsets(given.train["lang"], n),
    }
    tables = []
    for kind, masks in kinds.items():
        outcomes = train_subsets(config, masks, seeds=seeds, progress=progress)
        items = given.test["item"].astype(str)
        table = lds(values, masks, outcomes, items, bootstrap=Bootstrap.of(config))
        table.insert(0, "kind", kind)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


if __name__ == "__main__":
    print(measure(params.merge(params.parse(sys.argv[1:]))).round(3).to_string(index=False))
