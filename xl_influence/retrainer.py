"""Training the model of a run again on a part of its samples; every result is kept and reused."""

from __future__ import annotations

import copy
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from . import fingerprints, runs, tasks
from .sections import Influence

if TYPE_CHECKING:
    import transformers


class Retrainer:
    """Trains the model of a run again, on a part of its samples.

    There is no evaluation between epochs, as there is in the run, so from the second epoch on
    dropout draws other masks than in the run.

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
