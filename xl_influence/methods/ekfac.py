"""Influence functions with EK-FAC, by kronfluence (Grosse et al. 2023, George et al. 2018).

Where TracIn takes the dot product of two gradients, influence functions put the inverse curvature
of the loss between them. EK-FAC approximates the curvature by Kronecker products, matrix by matrix,
so it covers the weights and biases of Linear layers only, and not the embeddings.

kronfluence is an optional extra: `pip install --no-deps -r requirements-optional.txt`.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import TensorDataset

from .. import runs, scores
from ..engine.batches import find_pad_token_id, pad_batch
from ..engine.losses import compute_losses, read_logits
from ..finetune import pick_device
from ..head import load_model
from ..sections import Influence
from . import stored
from .base import NotAvailableError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

INSTALL = "pip install --no-deps -r requirements-optional.txt"
PARTS = ("input_ids", "attention_mask", "labels")  # of a batch
BATCH = 8  # training samples; all are padded to the longest
TESTS = 32  # test samples at once: kronfluence passes all training samples for each such batch


def compute_ekfac(config: Influence) -> Path:
    """Compute the influence by EK-FAC at the last of the run's checkpoints.

    Parameters
    ----------
    config : dict
        The parameters of a finished run that has its checkpoints and token ids.

    Returns
    -------
    Path
        `ek-fac.zarr` in the run's folder: `influence` (test, train), float32.

    Raises
    ------
    NotAvailableError
        kronfluence is not installed.
    """
    return stored.keep(config, stored.EKFAC, lambda: _compute(config), seed=config["seed"])


def _compute(config: Influence) -> np.ndarray:
    """Compute the influence at the last checkpoint: (test, train)."""
    epoch = scores.read(config).manifest["chosen_epoch"]
    folder = runs.find_folder(config) / "checkpoints" / f"epoch-{epoch}"
    model = load_model(folder, pick_device(config["device"]))
    train, test = stored.read_inputs(config)
    torch.manual_seed(config["seed"])  # labels are drawn, see `compute_train_loss`
    return compute_scores(model, train, test)


def compute_scores(
    model: PreTrainedModel,
    train: Sequence[dict[str, Any]],
    test: Sequence[dict[str, Any]],
    strategy: str = "ekfac",
) -> np.ndarray:
    """Compute the influence of every training sample on every test sample's loss.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A classifier.
    train, test : sequence of dict
        Samples with `input_ids` and `label`.
    strategy : str
        kronfluence's name for the curvature; 'identity' gives plain dot products.

    Returns
    -------
    numpy.ndarray
        (test, train), float64: high where training on a sample lowers the test sample's loss.

    Raises
    ------
    NotAvailableError
        kronfluence is not installed.
    """
    if find_spec("kronfluence") is None:
        raise NotAvailableError(f"needs kronfluence: {INSTALL}")
    from kronfluence.analyzer import Analyzer, prepare_model
    from kronfluence.arguments import FactorArguments

    task = _make_task()
    wrapped = prepare_model(copy.deepcopy(model), task)  # a copy: it replaces modules
    queries, rows = _make_dataset(model, test), _make_dataset(model, train)
    with tempfile.TemporaryDirectory() as folder:
        analyzer = Analyzer(
            "scores",
            wrapped,
            task,
            cpu=model.device.type == "cpu",
            disable_tqdm=True,
            output_dir=folder,
        )
        options = FactorArguments(strategy=strategy)
        analyzer.fit_all_factors("factors", rows, BATCH, factor_args=options)
        analyzer.compute_pairwise_scores("pairs", "factors", queries, rows, TESTS, BATCH)
        return analyzer.load_pairwise_scores("pairs")["all_modules"].double().numpy()


def _make_dataset(model: PreTrainedModel, samples: Sequence[dict[str, Any]]) -> TensorDataset:
    """Return token ids, attention mask and labels, each (sample, …), padded to the longest."""
    batch = pad_batch(samples, find_pad_token_id(model), torch.device("cpu"))
    return TensorDataset(*(batch[name] for name in PARTS))


def _make_task() -> Any:
    """Return what kronfluence calls a task: how the losses are computed."""
    from kronfluence.task import Task

    class Classification(Task):
        def compute_train_loss(self, batch: Any, model: Any, sample: bool = False) -> torch.Tensor:
            """Sum the losses; `sample`: of labels drawn from the model, as the Fisher matrix is."""
            named = dict(zip(PARTS, batch, strict=True))
            if not sample:
                return compute_losses(model, named).sum()
            logits = read_logits(model, named)  # (batch, classes)
            drawn = torch.multinomial(logits.detach().softmax(-1), 1).flatten()  # (batch,)
            return functional.cross_entropy(logits, drawn, reduction="sum")

        def compute_measurement(self, batch: Any, model: Any) -> torch.Tensor:
            return self.compute_train_loss(batch, model)

        def get_attention_mask(self, batch: Any) -> torch.Tensor:
            return dict(zip(PARTS, batch, strict=True))["attention_mask"]

    return Classification()
