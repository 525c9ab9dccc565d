"""Tidy tables to charts and readable tables.

A `plot_` function takes a table of `sharing`, `removal` or `speed` and returns an altair chart with
a description for screen readers. A `show_` function returns a styled table, HTML or Markdown.
"""

from .base import COLORS, choose_colors, name_languages, set_up
from .benchmarks import plot_growth, plot_rates, plot_steps, show_methods
from .composition import plot_composition
from .hurting import show_auroc, show_harm
from .languages import plot_distribution, plot_shares
from .lines import (
    plot_contributions,
    plot_dynamics,
    plot_groups,
    plot_own_share,
    plot_share_by_k,
)
from .methods import plot_lds, plot_leakage, plot_methods, plot_nearest, plot_pools
from .scale import plot_scale
from .scoreboard import show_scoreboards
from .tables import (
    mark_differences,
    show_at_chance,
    show_influential,
    show_matrix,
    show_note,
    show_pairs,
    show_percents,
    show_samples,
    show_side_by_side,
)
from .training import plot_dev_accuracy, plot_imbalance, plot_removal, plot_zero_shot

__all__ = [
    "COLORS",
    "choose_colors",
    "mark_differences",
    "name_languages",
    "plot_composition",
    "plot_contributions",
    "plot_dev_accuracy",
    "plot_distribution",
    "plot_dynamics",
    "plot_groups",
    "plot_growth",
    "plot_imbalance",
    "plot_lds",
    "plot_leakage",
    "plot_methods",
    "plot_nearest",
    "plot_own_share",
    "plot_pools",
    "plot_rates",
    "plot_removal",
    "plot_scale",
    "plot_share_by_k",
    "plot_shares",
    "plot_steps",
    "plot_zero_shot",
    "set_up",
    "show_at_chance",
    "show_auroc",
    "show_harm",
    "show_influential",
    "show_matrix",
    "show_methods",
    "show_note",
    "show_pairs",
    "show_percents",
    "show_samples",
    "show_scoreboards",
    "show_side_by_side",
]
