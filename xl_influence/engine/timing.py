"""The names of the engine's steps, and a hook to time them. By default nothing is timed."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

PASSES = "forward and backward passes"
MULTIPLYING = "multiplying"  # the three steps below are entered inside it
BUILDING = "building gradients"
EMBEDDINGS = "embeddings"  # dot products of embedding tables' gradients
NORMS = "norms"  # also entered outside of MULTIPLYING, for the test samples

Timer = Callable[[str], AbstractContextManager[Any]]

_NOTHING = nullcontext()


def untimed(step: str) -> AbstractContextManager[Any]:
    """The timer that is used when none is given: it does nothing."""
    return _NOTHING
