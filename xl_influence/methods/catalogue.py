"""The methods by name, what each costs, and the one function that computes any of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd

from . import controls, gradients, representations, stored, words
from .base import MethodInput, NotAvailableError

PAPER, EKFAC = "cosine", "EK-FAC"  # the paper's method, and the best known influence function
CUBE = "the influence pass of the study"
CURVATURE = "python -m xl_influence.methods.curvature"


class Method(NamedTuple):
    """A method that scores training samples for a test sample.

    Attributes
    ----------
    kind : str
        'gradients', 'representations', 'words' or 'control'.
    what : str
        What it is, in one phrase.
    cost : str
        What it needs to be computed.
    compute : callable
        From `MethodInput` to values (test, train), high where a training sample is helpful.
    """

    kind: str
    what: str
    cost: str
    compute: Callable[[MethodInput], np.ndarray]


METHODS = {
    PAPER: Method("gradients", "the paper's: all parameters, all epochs", CUBE, gradients.cosine),
    "dot product": Method(
        "gradients", "TracIn as published, not normalised", CUBE, gradients.dot_product
    ),
    "last checkpoint": Method(
        "gradients", "the cosine after the last epoch", "its last epoch", gradients.last_checkpoint
    ),
    "head": Method(
        "gradients", "the cosine over the head", CUBE, partial(gradients.cosine, groups=["head"])
    ),
    "embeddings": Method(
        "gradients",
        "the cosine over the embeddings",
        CUBE,
        partial(gradients.cosine, groups=["embeddings"]),
    ),
    "all but embeddings": Method(
        "gradients", "the cosine over all other parameters", CUBE, gradients.without_embeddings
    ),
    "Adam-weighted cosine": Method(
        "gradients",
        "the cosine, each parameter weighed as the optimizer does",
        "one more training, and a pass by plain autograd",
        partial(stored.read, name=stored.ADAM, how=f"{CURVATURE}, one more training"),
    ),
    EKFAC: Method(
        "gradients",
        "influence functions with EK-FAC, after the last epoch",
        "curvature factors, and a pass by kronfluence",
        partial(stored.read, name=stored.EKFAC, how=f"{CURVATURE}, with kronfluence"),
    ),
    "mean rank of layers": Method(
        "gradients", "ranks by each layer's cosine, averaged", CUBE, gradients.mean_rank
    ),
    "votes of layers": Method(
        "gradients",
        "each layer votes for its top and against its bottom k",
        CUBE,
        gradients.layer_votes,
    ),
    "first token": Method(
        "representations",
        "similarity of the first token's last hidden state",
        "one forward pass",
        representations.first_token,
    ),
    "mean of tokens": Method(
        "representations",
        "similarity of the mean last hidden state",
        "one forward pass",
        representations.mean_of_tokens,
    ),
    "BM25": Method("words", "shared tokens, rare ones count more", "seconds", words.bm25),
    "token overlap": Method(
        "words", "share of distinct tokens in common", "seconds", words.token_overlap
    ),
    "random weights": Method(
        "control", "the cosine in an untrained model", "one more pass", controls.random_weights
    ),
    "random scores": Method("control", "numbers drawn at random", "none", controls.random_scores),
    "shuffled samples": Method(
        "control", "the cosine, shuffled for each test sample", CUBE, controls.shuffled
    ),
}
AVERAGED = ("random scores", "shuffled samples")  # over `controls.DRAWS` draws


def list_methods(given: MethodInput) -> dict[str, Method]:
    """List the methods for a run: `METHODS`, and the cosine over each layer of its model.

    Parameters
    ----------
    given : MethodInput
        The run.

    Returns
    -------
    dict of str to Method
        Name → method; a layer's name is that of its parameter group, such as 'layer-05'.
    """
    names = list(METHODS)
    place = names.index("mean rank of layers")
    layers = {
        layer: Method(
            "gradients",
            "the cosine over this layer",
            CUBE,
            partial(gradients.cosine, groups=[layer]),
        )
        for layer in given.layers
    }
    first = {name: METHODS[name] for name in names[:place]}
    return first | layers | {name: METHODS[name] for name in names[place:]}


def find_kind(name: str) -> str:
    """Return a method's kind; what is not known, such as a single layer, uses gradients.

    Parameters
    ----------
    name : str
        The method.

    Examples
    --------
    >>> find_kind("BM25"), find_kind("layer-05")
    ('words', 'gradients')
    """
    if name in controls.SAME:
        return "control"
    return METHODS[name].kind if name in METHODS else "gradients"


def count_draws(name: str) -> int:
    """How many draws a method's results are averaged over: `controls.DRAWS` for `AVERAGED`."""
    return controls.DRAWS if name in AVERAGED else 1


def compute(name: str, given: MethodInput, *, draw: int = 0) -> np.ndarray:
    """Compute one method's values.

    Parameters
    ----------
    name : str
        One of `list_methods(given)`.
    given : MethodInput
        The run.
    draw : int
        Which of a random control's draws, from 0; all other methods have one.

    Returns
    -------
    numpy.ndarray
        (test, train), float64: high where a training sample is helpful by this method.

    Raises
    ------
    ValueError
        There is no such method, or no such draw.
    NotAvailableError
        The run lacks what the method needs.
    """
    known = list_methods(given)
    if name not in known:
        raise ValueError(f"unknown method {name!r}; allowed are {', '.join(known)}")
    if not 0 <= draw < count_draws(name):
        raise ValueError(f"draw={draw}: {name!r} has {count_draws(name)}, counted from 0")
    choice = {"seed": draw} if name in AVERAGED else {}
    method: Callable[..., np.ndarray] = known[name].compute
    return np.asarray(method(given, **choice), dtype=np.float64)


def compute_all(
    given: MethodInput, names: Sequence[str] | None = None
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Compute every method that is available for the run.

    Parameters
    ----------
    given : MethodInput
        The run.
    names : sequence of str, optional
        The methods; default: all.

    Returns
    -------
    values : dict
        Name → values (test, train); for the methods in `AVERAGED`, (draw, test, train).
    reasons : dict
        Name → why it is not available, for all others.
    """
    values, reasons = {}, {}
    for name in list_methods(given) if names is None else names:
        try:
            draws = [compute(name, given, draw=draw) for draw in range(count_draws(name))]
        except NotAvailableError as error:
            reasons[name] = str(error)
            continue
        values[name] = np.stack(draws) if name in AVERAGED else draws[0]
    return values, reasons


def describe(given: MethodInput, reasons: dict[str, str]) -> pd.DataFrame:
    """List all methods for readers: those computed, and those that are not, with the reason.

    Parameters
    ----------
    given : MethodInput
        The run.
    reasons : dict
        As `compute_all` returns them.

    Returns
    -------
    pandas.DataFrame
        `method`, `kind`, `what`, `cost`, `not_available` (the reason; empty if it was computed).
    """
    rows = [
        [name, method.kind, method.what, method.cost, reasons.get(name, "")]
        for name, method in list_methods(given).items()
    ]
    return pd.DataFrame(rows, columns=["method", "kind", "what", "cost", "not_available"])
