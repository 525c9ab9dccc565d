"""Tidy tables to charts and readable tables.

A chart function takes a table of `sharing`, `removal` or `speed`, returns an `alt.Chart`, and describes itself to screen
readers.
"""

from .base import COLORS, language_scale, named, setup
from .benchmarks import growth, rates, steps, ways
from .languages import composition, contributions, distribution, dynamics, own_share, share_by_k, shares
from .tables import at_chance, beside, compared, matrix, note, pairs, percents, samples, scoreboard, scoreboards
from .training import dev_accuracy, imbalance, removal, zero_shot

__all__ = [
    "COLORS", "at_chance", "beside", "compared", "composition", "contributions", "dev_accuracy",
    "distribution", "dynamics", "growth", "imbalance", "language_scale", "matrix", "named", "note", "own_share",
    "pairs", "percents", "rates", "removal", "samples", "scoreboard", "scoreboards", "setup", "share_by_k",
    "shares", "steps", "ways", "zero_shot",
]  # fmt: skip
