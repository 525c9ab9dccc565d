"""How suspect a training sample is: scores that are high where its label may be wrong."""

from __future__ import annotations

import importlib.util

import numpy as np
import pandas as pd

from .. import runs
from ..influence import influence
from .base import MethodInput
from .controls import DRAWS
from .detection import sum_squared_lengths

NORM, COSINE_SELF = "squared gradient norm", "self-influence (cosine)"
COSINE, DOT = "negative influence (cosine)", "negative influence (dot product)"
LOSS, CONFIDENCE = "training loss (all epochs)", "1 − confidence"
CLEANLAB, RARITY, RANDOM = "cleanlab label quality", "rarity of the label", "random scores"
NOT_INSTALLED = "not installed"
STREAM = 10_000  # of the random scores, as no draw of samples to change must have their numbers
SCORES = {  # what each is, for readers; higher is more suspect
    NORM: "TracIn's self-influence: the squared length of the sample's gradient, over all epochs",
    COSINE_SELF: "a gradient's cosine with itself is 1, so it is the same for every sample",
    COSINE: "the paper's influence, summed over all test samples, with its sign turned",
    DOT: "the same with TracIn's dot product",
    LOSS: "cross-entropy with the given label, summed over the epochs",
    CONFIDENCE: "one minus the probability of the given label after the last epoch; it ranks as "
    "the loss at that epoch does",
    CLEANLAB: "one minus cleanlab's score of label quality, from the same probabilities",
    RARITY: "control without a model: a changed label is more often that of the rarer class",
    RANDOM: f"control: numbers drawn at random, mean of {DRAWS} draws",
}


def train_probabilities(given: MethodInput, max_tokens: int = 0) -> np.ndarray:
    """Compute the class probabilities of all training samples at every checkpoint of a run.

    Parameters
    ----------
    given : MethodInput
        The run.
    max_tokens : int
        Tokens in a batch, padding included; 0: as suits the device.

    Returns
    -------
    numpy.ndarray
        (checkpoint, train, class), float64.

    Raises
    ------
    NotAvailableError
        The run has no checkpoints or no token ids, as a published run.
    """
    why = "the model's checkpoints, which a published run does not have"
    run = given.need_folder("checkpoints", why).parent
    inputs = given.need_folder("inputs.parquet", "the token ids of the training samples")
    from ..finetune import pick_device  # imports torch, which takes seconds
    from ..head import find_checkpoints, load_model
    from ..selection import predict

    ids = runs.read_inputs(inputs.parent, "train", given.train["uid"])["input_ids"].tolist()
    device = pick_device(given.device)
    return np.stack(
        [predict(load_model(place, device), ids, max_tokens) for place in find_checkpoints(run)]
    )


def confidences(probabilities: np.ndarray, labels: pd.Series) -> np.ndarray:
    """Return the probability of each sample's given label.

    Parameters
    ----------
    probabilities : numpy.ndarray
        (checkpoint, train, class).
    labels : pandas.Series
        The given labels, as class numbers.

    Returns
    -------
    numpy.ndarray
        (checkpoint, train).
    """
    return probabilities[:, np.arange(len(labels)), labels.to_numpy()]


def losses(confidence: np.ndarray) -> np.ndarray:
    """Return the cross-entropy for probabilities of the given label; finite even for zero.

    >>> losses(np.array([1.0, 0.5])).round(3).tolist()
    [0.0, 0.693]
    """
    return -np.log(np.maximum(confidence, np.finfo(np.float64).tiny)) + 0.0


def rarity(labels: pd.Series, lang: pd.Series) -> np.ndarray:
    """Return one minus the share of each sample's label in its language: (train,).

    Parameters
    ----------
    labels, lang : pandas.Series
        Given label and language of each training sample.

    Examples
    --------
    >>> rarity(pd.Series([0, 0, 0, 1]), pd.Series(["en"] * 4)).tolist()
    [0.25, 0.25, 0.25, 0.75]
    """
    same = labels.groupby([lang.to_numpy(), labels.to_numpy()]).transform("size")
    return (1 - same / labels.groupby(lang.to_numpy()).transform("size")).to_numpy()


def compute_suspicion(
    given: MethodInput, probabilities: np.ndarray, seed: int = 0
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Compute every score in `SCORES`.

    Parameters
    ----------
    given : MethodInput
        The run; its cube must hold the lengths of gradients.
    probabilities : numpy.ndarray
        As `train_probabilities` returns them.
    seed : int
        Seed of the random scores.

    Returns
    -------
    scores : dict
        Name → (train,), high where a sample is suspect; the random ones (draw, train).
    reasons : dict
        Name → why it could not be computed: cleanlab is optional.

    Raises
    ------
    NotAvailableError
        The cube holds cosines only, as that of a published run does.
    """
    given.need_lengths()
    labels = given.train["label"]
    confidence = confidences(probabilities, labels)
    scores = {
        NORM: sum_squared_lengths(given.cube),
        COSINE_SELF: _cosine_with_itself(given),
        COSINE: -given.cosine.sum(0),
        DOT: -influence(given.cube, normalize=False).to_numpy().sum(0),
        LOSS: losses(confidence).sum(0),
        CONFIDENCE: 1 - confidence[-1],
    }
    reasons = {}
    if importlib.util.find_spec("cleanlab"):
        scores[CLEANLAB] = _label_quality(labels.to_numpy(), probabilities[-1])
    else:
        reasons[CLEANLAB] = NOT_INSTALLED
    scores[RARITY] = rarity(labels, given.train["lang"])
    scores[RANDOM] = np.random.default_rng([seed, STREAM]).random((DRAWS, len(labels)))
    return scores, reasons


def _cosine_with_itself(given: MethodInput) -> np.ndarray:
    """Sum the cosine of each gradient with itself over the checkpoints: (train,)."""
    squares = given.cube["train_sqnorm"].astype(np.float64).sum("group")
    cosine = squares / squares.where(squares > 0, np.inf)  # of a gradient of zero: zero
    return cosine.sum("checkpoint").to_numpy()


def _label_quality(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """One minus cleanlab's label quality, (train,)."""
    from cleanlab.rank import get_label_quality_scores

    return 1 - np.asarray(get_label_quality_scores(labels, probabilities))
