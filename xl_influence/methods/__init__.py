"""Would another method say the same? Methods as parameters of one function, and what compares them.

`compute(name, given)` returns one method's values (test, train) for a run. `from_values` turns them
into a cube that every analysis of `sharing` takes. `compare` puts the same questions to all of
them, `answers` the paper's five.
"""

from .base import Given, NotAvailableError
from .catalogue import METHODS, PAPER, Method, compute, compute_all, describe, methods_of
from .compare import MEASURES, compare, correlate_ranks
from .controls import compute_random_weights

__all__ = [
    "MEASURES",
    "METHODS",
    "PAPER",
    "Given",
    "Method",
    "NotAvailableError",
    "compare",
    "compute",
    "compute_all",
    "compute_random_weights",
    "correlate_ranks",
    "describe",
    "methods_of",
]
