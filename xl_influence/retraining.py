"""Retraining without influential samples (section 6, Appendix A).

If the scores are right, the model's confidence must change. `retrain` repeats the fine-tuning of a
finished run without some of its training samples, once for every set of `plan_removals`, and
records the probability of the gold class before and after. Results are kept in the run's folder
`retrainings`: a notebook that was killed resumes, and equal sets are trained once.
"""

from __future__ import annotations

import copy
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import xarray as xr
from tqdm import tqdm

from . import fingerprints, runs, scores, tasks
from .sections import Analysis, Influence, Run
from .sharing import SIGNS
from .sharing.top import most_influential

if TYPE_CHECKING:
    import transformers

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


class Retrainer:
    """Trains the model of a run again, on a part of its samples.

    Parameters
    ----------
    params : dict
        Parameters of the run.
    train, test : pandas.DataFrame
        Its samples.
    epochs : int
        After how many epochs to stop: the run's chosen epoch.
    """

    def __init__(
        self, params: Influence, train: pd.DataFrame, test: pd.DataFrame, epochs: int
    ) -> None:
        self.params, self.train, self.test, self.epochs = params, train, test, epochs
        self.run, self.fingerprint = runs.find_folder(params), fingerprints.hash_finetuning(params)
        self.ids = runs.read_inputs(self.run, "train")["input_ids"].tolist()
        self.test_ids = runs.read_inputs(self.run, "test", test["uid"])["input_ids"].tolist()
        self.models: dict[int, transformers.PreTrainedModel] = {}  # seed → untrained model
        self.seconds: list[float] = []  # of each training done by this object

    def measure_confidence(self, seed: int, removed: tuple[int, ...]) -> dict[str, float]:
        """Map test uids to the probability of the gold class, trained without rows `removed`.

        Parameters
        ----------
        seed : int
            Seed of the training.
        removed : tuple of int
            Row numbers of the training samples to leave out, in order. Results are kept in the
            run's folder, so equal sets are trained once.
        """
        if not removed and seed == self.params["seed"]:  # the run itself
            return dict(zip(self.test["uid"], self.test["confidence"], strict=True))
        found: dict[str, float] = self._find("removal", self._train, seed, removed)
        return found

    def measure_probabilities(self, seed: int, removed: tuple[int, ...]) -> dict[str, list[float]]:
        """Map test uids to the probability of each class, trained without rows `removed`.

        Parameters
        ----------
        seed, removed
            As for `measure_confidence`, whose results are kept in other files.
        """
        found: dict[str, list[float]] = self._find("classes", self._predict, seed, removed)
        return found

    def _find(
        self, kind: str, train: Callable[..., np.ndarray], seed: int, removed: tuple[int, ...]
    ) -> Any:
        """Read what was kept of a training, which is done first if there is nothing."""
        fingerprint = runs.hash_parts(
            kind, self.fingerprint, self.epochs, seed, removed, list(self.test["uid"])
        )
        path = self.run / "retrainings" / f"{fingerprint}.json"
        if not path.exists():
            self._keep(path, train, seed, removed)
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise runs.RunError(
                f"{path} is damaged ({error}). Remove it, and that model is trained again"
            ) from error

    def _keep(
        self, path: Path, train: Callable[..., np.ndarray], seed: int, removed: tuple[int, ...]
    ) -> None:
        """Train without the rows `removed` and keep the result, unless another process did."""
        name = f".{path.stem}.lock"
        with runs.lock(path.parent, "retraining", name):
            if not path.exists():
                start = time.monotonic()
                found = train(seed, removed).tolist()
                with runs.write_atomically(path) as partial:
                    named = dict(zip(self.test["uid"], found, strict=True))
                    partial.write_text(json.dumps(named), encoding="utf-8")
                self.seconds.append(time.monotonic() - start)
            runs.remove(path.with_name(name))  # whoever waited sees that all is done

    def _train(self, seed: int, removed: tuple[int, ...]) -> np.ndarray:
        """Train without the rows `removed`; return the gold class's probability, (test,)."""
        return self._predict(seed, removed)[np.arange(len(self.test)), self.test["label"]]

    def _predict(self, seed: int, removed: tuple[int, ...]) -> np.ndarray:
        """Train without the rows `removed`; return each class's probability, (test, class)."""
        from .selection import predict

        with tempfile.TemporaryDirectory() as work:
            trainer = self.build(seed, removed, Path(work))
            trainer.train()
        model = cast("transformers.PreTrainedModel", trainer.model)
        return predict(model.eval(), self.test_ids, self.params["max_tokens"])

    def build(self, seed: int, removed: tuple[int, ...], work: Path) -> transformers.Trainer:
        """Return the Trainer of a training without the rows `removed`.

        Parameters
        ----------
        seed, removed
            As for `measure_confidence`.
        work : Path
            A folder for the Trainer.
        """
        from .finetune import pick_device
        from .trainer import build

        kept = np.setdiff1d(np.arange(len(self.train)), removed)
        model = self._new(seed)
        seeded = self.params.copy()
        seeded["seed"] = seed
        return build(
            params=seeded,
            model=model,
            samples={"train": self.train.iloc[kept], "validation": self.train.iloc[:0]},
            sequences={"train": [self.ids[row] for row in kept], "validation": []},
            pad=model.config.pad_token_id,
            work=work,
            device=pick_device(self.params["device"]),
            progress=False,
            stop_after=self.epochs,
        )

    def _new(self, seed: int) -> transformers.PreTrainedModel:
        """Return the encoder with a new head, as at the start of fine-tuning."""
        from . import encoders

        if seed not in self.models:
            kept = np.load(self.run / "checkpoints" / "vocabulary.npy")
            names = tasks.find(self.params).class_names
            self.models = {seed: encoders.load_model(self.params, names, seed, kept)}
        return copy.deepcopy(self.models[seed])
