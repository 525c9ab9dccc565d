"""Controls: scores without information, and the same influence in a model that learned nothing.

A pattern that random or shuffled scores show too is no evidence. A model with random weights has
read no text, so what its gradients find is in the inputs and in the architecture.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .. import runs
from ..influence import influence
from ..loading import SAFE
from ..sections import Influence
from . import stored
from .base import MethodInput
from .gradients import cosine

# Scores that know one property of a sample only, for retraining: what the mix of labels or of
# languages in a subset explains alone
LABEL = "same label"
SAME = {LABEL: "label", "same language": "lang"}  # control → column
DRAWS = 20  # of the random controls; their values are averaged
FILE = "random-weights.zarr"  # in the run's folder
# parameters of the influence pass that say how it computes
AS_THE_SCORES = ("max_tokens", "test_memory", "precision", "storage")


def random_scores(given: MethodInput, seed: int = 0) -> np.ndarray:
    """Draw scores at random: (test, train).

    Parameters
    ----------
    given : MethodInput
        The run.
    seed : int
        Seed of the draw.
    """
    rng = np.random.default_rng(seed)
    return rng.standard_normal((len(given.test), len(given.train)))


def shuffled(given: MethodInput, seed: int = 0) -> np.ndarray:
    """Shuffle each test sample's cosines among the training samples: (test, train).

    Scores keep their distribution but no longer depend on language, label or item.

    Parameters
    ----------
    given : MethodInput
        The run.
    seed : int
        Seed of the shuffle.
    """
    return np.random.default_rng(seed).permuted(cosine(given), axis=1)


def same(given: MethodInput, name: str) -> np.ndarray:
    """Return 1 where a training sample has the test sample's label or language, else 0.

    Parameters
    ----------
    given : MethodInput
        The run.
    name : str
        One of `SAME`.

    Returns
    -------
    numpy.ndarray
        (test, train), float64.
    """
    test, train = (side[SAME[name]].to_numpy() for side in (given.test, given.train))
    return (test[:, None] == train).astype(np.float64)


def random_weights(given: MethodInput) -> np.ndarray:
    """Read the cosine at random weights, as `compute_random_weights` left it: (test, train).

    Raises
    ------
    NotAvailableError
        It has not been computed for this score cube.
    """
    return stored.read(given, FILE, "one more influence pass (random_weights=true)")


def compute_random_weights(config: Influence, seed: int = 0) -> Path:
    """Compute the paper's cosine with a model of the run's architecture and random weights.

    This is one influence pass, on the run's device and in its batches and precision. A result that
    belongs to the run's present scores is kept.

    Parameters
    ----------
    config : dict
        The parameters of a finished run that has its checkpoints and token ids.
    seed : int
        Seed of the weights.

    Returns
    -------
    Path
        `random-weights.zarr` in the run's folder: `influence` (test, train), float32.
    """
    return stored.keep(config, FILE, lambda: _pass(config, seed), seed=seed)


def _pass(config: Influence, seed: int) -> np.ndarray:
    """Compute the influence at random weights: (test, train)."""
    import transformers

    from ..finetune import pick_device  # imports torch, which takes seconds
    from ..tracin import gradient_products

    architecture = transformers.AutoConfig.from_pretrained(
        runs.find_folder(config) / "checkpoints" / "epoch-1", **SAFE
    )
    transformers.set_seed(seed)
    model = transformers.AutoModelForSequenceClassification.from_config(architecture)
    train, test = stored.read_inputs(config)
    products = gradient_products(
        model.eval(),
        train,
        test,
        device=pick_device(config["device"]),
        **runs.select_keys(config, AS_THE_SCORES),
    )
    return influence(products).to_numpy()
