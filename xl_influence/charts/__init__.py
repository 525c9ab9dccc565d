"""Tidy tables to charts and readable tables.

A chart function takes a table of `sharing`, `removal` or `speed`, returns an `alt.Chart`, and describes itself to screen
readers.
"""

from .base import COLORS, language_scale, name_languages, set_up
from .benchmarks import plot_growth, plot_rates, plot_steps, show_ways
from .languages import (
    plot_composition,
    plot_contributions,
    plot_distribution,
    plot_dynamics,
    plot_own_share,
    plot_share_by_k,
    plot_shares,
)
from .tables import (
    mark_differences,
    show_at_chance,
    show_matrix,
    show_note,
    show_pairs,
    show_percents,
    show_samples,
    show_scoreboard,
    show_scoreboards,
    show_side_by_side,
)
from .training import plot_dev_accuracy, plot_imbalance, plot_removal, plot_zero_shot

__all__ = [
    "COLORS",
    "show_at_chance",
    "show_side_by_side",
    "mark_differences",
    "plot_composition",
    "plot_contributions",
    "plot_dev_accuracy",
    "plot_distribution",
    "plot_dynamics",
    "plot_growth",
    "plot_imbalance",
    "language_scale",
    "show_matrix",
    "name_languages",
    "show_note",
    "plot_own_share",
    "show_pairs",
    "show_percents",
    "plot_rates",
    "plot_removal",
    "show_samples",
    "show_scoreboard",
    "show_scoreboards",
    "set_up",
    "plot_share_by_k",
    "plot_shares",
    "plot_steps",
    "show_ways",
    "plot_zero_shot",
]
