"""The Adam-weighted cosine: gradients in the metric of the optimizer that trained the model.

Adam divides each parameter's step by the root of the mean square of its recent gradients, the
second moment v. So a plain dot product of gradients is not what a step on one sample changes in the
loss of another; ∑ g·g′/√v is closer. We scale both gradients by v^(−1/4) and take their cosine,
which is the paper's score if v is the same for all parameters.

Checkpoints hold weights only. We repeat the fine-tuning and read v from the optimizer.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import TrainerCallback

from .. import runs, scores
from ..engine.batches import find_pad_token_id, pad_batch
from ..engine.losses import compute_losses
from ..finetune import pick_device
from ..head import load_model
from ..retrainer import Retrainer
from ..sections import Influence
from . import stored

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TILE = 16  # training samples whose gradients are in memory at the same time
CLOSE = 1e-3  # relative difference of weights up to which a repeated training is the same


def compute_adam_cosine(config: Influence) -> Path:
    """Compute the Adam-weighted cosine, summed over the run's checkpoints.

    Parameters
    ----------
    config : dict
        The parameters of a finished run that has its checkpoints and token ids.

    Returns
    -------
    Path
        `adam.zarr` in the run's folder: `influence` (test, train), float32.
    """
    return stored.keep(config, stored.ADAM, lambda: _sum_over_checkpoints(config))


def _sum_over_checkpoints(config: Influence) -> np.ndarray:
    """Compute the sum of the cosines at all checkpoints: (test, train)."""
    train, test = stored.read_inputs(config)
    device = pick_device(config["device"])
    found = np.zeros((len(test), len(train)))
    for epoch, moments in enumerate(_repeat_training(config), start=1):
        model = load_model(runs.find_folder(config) / "checkpoints" / f"epoch-{epoch}", device)
        found += scaled_cosine(model, train, test, find_scales(moments))
    return found


def find_scales(moments: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Turn second moments into what gradients are multiplied by, v^(−1/4).

    An entry that training never moved, such as a word of the test samples only, has v = 0. Adam
    leaves it as it is whatever the gradient, so its scale is 0.

    Parameters
    ----------
    moments : sequence of torch.Tensor
        Per parameter, of its shape.
    """
    return [torch.where(v > 0, v, torch.inf) ** -0.25 for v in moments]


def scaled_cosine(
    model: PreTrainedModel,
    train: Sequence[dict[str, Any]],
    test: Sequence[dict[str, Any]],
    scales: Sequence[torch.Tensor],
) -> np.ndarray:
    """Compute the cosine of scaled gradients for every pair of samples, by plain autograd.

    The gradients of all test samples are in memory at the same time, so this is for small studies.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A classifier in eval mode.
    train, test : sequence of dict
        Samples with `input_ids` and `label`.
    scales : sequence of torch.Tensor
        What the gradient of each parameter is multiplied by, entry by entry.

    Returns
    -------
    numpy.ndarray
        (test, train), float64; 0 for a gradient of zeros.
    """
    tests = _find_directions(model, test, scales)  # (test, entry)
    parts = [
        tests @ _find_directions(model, train[start : start + TILE], scales).T  # (test, tile)
        for start in range(0, len(train), TILE)
    ]
    return torch.cat(parts, dim=1).double().cpu().numpy()


def _find_directions(
    model: PreTrainedModel, samples: Sequence[dict[str, Any]], scales: Sequence[torch.Tensor]
) -> torch.Tensor:
    """Return each sample's scaled gradient over all parameters, of length 1: (sample, entry)."""
    pad, parameters = find_pad_token_id(model), list(model.parameters())
    found = parameters[0].new_empty(len(samples), sum(scale.numel() for scale in scales))
    for row, sample in zip(found.detach(), samples, strict=True):
        loss = compute_losses(model, pad_batch([sample], pad, model.device)).sum()
        grads = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        scaled = [(grad * scale).flatten() for grad, scale in zip(grads, scales, strict=True)]
        row.copy_(torch.nn.functional.normalize(torch.cat(scaled), dim=0))
    return found


class Moments(TrainerCallback):
    """Copies weights and second moments after each epoch.

    In the run, an evaluation follows, whose data loader draws a random number. We draw it too, so
    that the next epoch has the same dropout masks.
    """

    def __init__(self) -> None:
        self.weights: list[list[torch.Tensor]] = []
        self.moments: list[list[torch.Tensor]] = []

    def on_epoch_end(self, *args: Any, **kwargs: Any) -> None:
        """Copy, in the order of the model's parameters."""
        model, optimizer = kwargs["model"], kwargs["optimizer"]
        torch.empty((), dtype=torch.int64).random_()
        options = {id(p): group for group in optimizer.param_groups for p in group["params"]}
        self.weights.append([parameter.detach().clone() for parameter in model.parameters()])
        self.moments.append(
            [
                _correct(optimizer.state.get(parameter), parameter, options[id(parameter)])
                for parameter in model.parameters()
            ]
        )


def _correct(
    state: dict[str, Any] | None, parameter: torch.Tensor, options: dict[str, Any]
) -> torch.Tensor:
    """Return a parameter's second moment, corrected for its start at zero as Adam does it."""
    if not state:  # it has never had a gradient
        return torch.zeros_like(parameter)
    return state["exp_avg_sq"] / (1 - options["betas"][1] ** float(state["step"]))


def _repeat_training(config: Influence) -> list[list[torch.Tensor]]:
    """Train the run's model again; return the second moments after each of its epochs.

    Raises
    ------
    RunError
        Training ended with other weights than the run's, so these moments are not the run's.
    """
    _, train, test, manifest = scores.read(config)
    retrainer, kept = Retrainer(config, train, test, manifest["chosen_epoch"]), Moments()
    with tempfile.TemporaryDirectory() as work:
        trainer = retrainer.build(config["seed"], (), Path(work))
        trainer.add_callback(kept)
        trainer.train()
    for epoch, weights in enumerate(kept.weights, start=1):
        path = runs.find_folder(config) / "checkpoints" / f"epoch-{epoch}"
        difference = _compare(weights, load_model(path, weights[0].device))
        if difference > CLOSE:
            raise runs.RunError(
                f"{path}: repeating the training gives weights that differ by {difference:.1%}; "
                f"allowed is {CLOSE:.1%}. Fine-tune on the machine that computes this"
            )
    return kept.moments


def _compare(weights: Sequence[torch.Tensor], model: PreTrainedModel) -> float:
    """Return how far weights are from a model's, relative to its length."""
    own = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    other = torch.cat([weight.flatten() for weight in weights])
    return float((own - other).norm() / own.norm())
