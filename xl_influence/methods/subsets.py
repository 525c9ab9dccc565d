"""Training on subsets, for `lds`. Resumes after a kill.

    python -m xl_influence.methods.subsets study=demo-subsets task=pawsx subsets=100 seeds=2

Each training is kept in the run's folder under `retrainings/`, by what was removed and by seed, so
one that was killed continues, and a second run gives the same numbers without training. The result
goes to a small file for the book, see `evidence`, and what every training ended with to another,
see `outcomes`: from there anybody can ask how well a method of their own predicts. Nothing is
trained for which the outcomes are in the book's folder.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from .. import scores
from ..retrainer import Retrainer
from ..sections import Analysis, Influence
from ..sharing import Bootstrap
from . import catalogue, commands, controls, evidence, outcomes
from .base import MethodInput
from .controls import LABEL
from .datamodels import draw_language_subsets, draw_subsets, lds, log_odds
from .evidence import BY_LANGUAGE, HALVES, LABELS_OUT
from .study import read_given

SUBSETS, SEEDS = 100, 2  # of each kind of subset
CONTROL = "random scores"  # one draw
OPTIONS = {"subsets": commands.Option(SUBSETS, 4), "seeds": commands.Option(SEEDS, 2)}


def train_subsets(
    config: Influence,
    masks: np.ndarray,
    *,
    seeds: Iterable[int],
    progress: bool = True,
    trainer: Retrainer | None = None,
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
    trainer : Retrainer, optional
        Who trains; default: a new one.

    Returns
    -------
    numpy.ndarray
        Log-odds of the right class, (seed, subset, test), float32.
    """
    trainer = trainer or make_trainer(config)
    bar = tqdm(
        [(seed, mask) for seed in seeds for mask in masks],
        desc=f"{config['task']}: subsets",
        unit="training",
        disable=not progress,
        mininterval=10,
    )
    found = []
    for seed, mask in bar:
        confidence = trainer.measure_confidence(seed, _find_removed(mask))
        found.append([confidence[uid] for uid in trainer.test["uid"]])
    odds = log_odds(np.array(found)).astype(np.float32)
    return odds.reshape(-1, len(masks), len(trainer.test))


def make_trainer(config: Influence) -> Retrainer:
    """Return what trains the model of a finished run again, with parameters `config`."""
    run = scores.read(config)
    return Retrainer(config, run.train, run.test, run.manifest["chosen_epoch"])


def _find_removed(mask: np.ndarray) -> tuple[int, ...]:
    """Return the rows that a subset lacks."""
    return tuple(int(row) for row in np.flatnonzero(~mask))


def draw_all(train: pd.DataFrame, n: int) -> dict[str, np.ndarray]:
    """Draw the subsets of each kind; equal ones, such as all that lack one language, count once.

    Parameters
    ----------
    train : pandas.DataFrame
        The training samples.
    n : int
        Number of subsets of each kind that are drawn.

    Returns
    -------
    dict
        Kind → masks (subset, train), all different.
    """
    drawn = {
        HALVES: draw_subsets(len(train), n),
        BY_LANGUAGE: draw_language_subsets(train["lang"], n),
    }
    return {kind: np.unique(masks, axis=0) for kind, masks in drawn.items()}


def read_or_train(
    config: Influence, trainer: Retrainer, *, n: int, seeds: Sequence[int], progress: bool = True
) -> dict[str, np.ndarray]:
    """Return the outcomes of training on all subsets; what is in the book's folder is not trained.

    Parameters
    ----------
    config : dict
        The parameters of a finished run.
    trainer : Retrainer
        Who trains.
    n : int
        Number of subsets of each kind that are drawn.
    seeds : sequence of int
        Seeds of each training.
    progress : bool
        Whether to show bars.

    Returns
    -------
    dict
        Kind → log-odds of the right class, (seed, subset, test), float32.
    """
    path = outcomes.find_path(config["study"], config["task"])
    about = describe_trainings(trainer, n=n, seeds=seeds)
    if known := outcomes.read(path, list(trainer.test["uid"]), about):
        return known
    return {
        kind: train_subsets(config, masks, seeds=seeds, progress=progress, trainer=trainer)
        for kind, masks in draw_all(trainer.train, n).items()
    }


def describe_trainings(trainer: Retrainer, *, n: int, seeds: Sequence[int]) -> dict[str, Any]:
    """Say what outcomes depend on: the fine-tuning, its epochs, the subsets and the seeds.

    Parameters
    ----------
    trainer, n, seeds
        As for `read_or_train`.
    """
    about = {"finetuning": trainer.fingerprint, "epochs": trainer.epochs}
    return about | {"subsets": n, "seeds": list(seeds)}


def measure(
    given: MethodInput,
    found: Mapping[str, np.ndarray],
    *,
    n: int,
    bootstrap: Bootstrap,
    values: Mapping[str, np.ndarray] | None = None,
) -> pd.DataFrame:
    """Compute the LDS of methods for random halves and for subsets by language.

    Parameters
    ----------
    given : MethodInput
        A finished run.
    found : mapping
        As `read_or_train` returns it.
    n : int
        Number of subsets of each kind that were drawn.
    bootstrap : Bootstrap
        How intervals are computed.
    values : mapping, optional
        Method → scores (test, train); default: every method that is available, and a control.

    Returns
    -------
    pandas.DataFrame
        The columns of `lds`, after `kind`: 'random halves' or 'by language', and each with the
        numbers of samples of each label taken out.
    """
    values = _compute_values(given) if values is None else values
    lang, items, tables = given.train["lang"], given.test["item"].astype(str), []
    for kind, masks in draw_all(given.train, n).items():
        groups = find_lost(masks, lang) if kind == BY_LANGUAGE else None
        for name, labels in ((kind, None), (LABELS_OUT[kind], given.train["label"])):
            tried = {key: each for key, each in values.items() if labels is None or key != LABEL}
            table = lds(
                tried,
                masks,
                found[kind],
                items,
                groups=groups,
                labels=labels,
                bootstrap=bootstrap,
            )
            table.insert(0, "kind", name)
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def measure_own(
    config: Analysis, values: Mapping[str, np.ndarray], *, n: int = SUBSETS, n_seeds: int = SEEDS
) -> pd.DataFrame:
    """Compute the LDS of scores of your own, on the same subsets as the book's methods.

    Parameters
    ----------
    config : dict
        The parameters of a finished run. For the study `demo-subsets` nothing is trained, since the
        outcomes are in the repository.
    values : mapping
        Name → scores (test, train), in the order of the run's samples, high where a training sample
        helps.
    n : int
        Number of subsets of each kind.
    n_seeds : int
        Seeds of each training: the run's own and the next ones.

    Returns
    -------
    pandas.DataFrame
        As from `measure`.
    """
    seeds = range(config["seed"], config["seed"] + n_seeds)
    found = read_or_train(config, make_trainer(config), n=n, seeds=seeds)
    bootstrap = Bootstrap.of(config)
    return measure(read_given(config), found, n=n, bootstrap=bootstrap, values=values)


def _compute_values(given: MethodInput) -> dict[str, np.ndarray]:
    """Compute every method that is available, and the controls: name → values (test, train)."""
    names = [name for name in catalogue.list_methods(given) if name not in catalogue.AVERAGED]
    values, _ = catalogue.compute_all(given, names)
    known = {name: controls.same(given, name) for name in controls.SAME}
    return values | {CONTROL: catalogue.compute(CONTROL, given)} | known


def find_lost(masks: np.ndarray, lang: pd.Series) -> np.ndarray:
    """Say of which language each subset lacks a part.

    Parameters
    ----------
    masks : numpy.ndarray
        (subset, train), bool, from `draw_language_subsets`.
    lang : pandas.Series
        The language of each training sample.

    Returns
    -------
    numpy.ndarray
        (subset,), str.
    """
    return lang.to_numpy()[(~masks).argmax(1)]


def compute(config: Analysis, options: dict[str, Any]) -> evidence.Found:
    """Compute the file's content.

    Parameters
    ----------
    config, options : dict
        From `commands.read`.
    """
    n, trainer = options["subsets"], make_trainer(config)
    seeds = [config["seed"] + number for number in range(options["seeds"])]
    found = read_or_train(config, trainer, n=n, seeds=seeds)
    table = measure(read_given(config), found, n=n, bootstrap=Bootstrap.of(config))
    masks = np.concatenate(list(draw_all(trainer.train, n).values()))
    trainings = len(np.unique(masks, axis=0)) * len(seeds)
    kept = outcomes.Outcomes(
        found, list(trainer.test["uid"]), describe_trainings(trainer, n=n, seeds=seeds)
    )
    settings = {"subsets": n, "seeds": seeds}
    return evidence.Found({"lds": table}, settings, trainings, trainer.seconds, kept)


if __name__ == "__main__":
    sys.exit(evidence.run(sys.argv[1:], "subsets", OPTIONS, compute))
