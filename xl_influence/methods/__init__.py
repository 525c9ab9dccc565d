"""Would another method give the same answers? Attribution methods by name, and their comparison.

`compute(name, given)` returns one method's values (test, train) for a run, and `compute_all` those
of every method that can be computed for it. `compare` puts the same questions to all of them,
`answer_questions` the paper's five. The other functions ask what is left of influence when language
(`remove_language`) or label (`compare_pools`) are taken out, what wins at the top
(`measure_leakage`), what agrees with influence between languages (`correlate`), what a
nearest-neighbour shortcut misses (`measure_nearest`), and whether long gradients come first
(`measure_long_gradients`). `lds` says how well a method predicts retraining on subsets, beside what
luck gives it, `find_flipped` how well a score finds changed labels. The modules `subsets`,
`tail_patch`, `brittleness`, `hurting` and `suspects` are commands that leave files.
"""

from .base import MethodInput, NotAvailableError
from .catalogue import (
    METHODS,
    PAPER,
    Method,
    compute,
    compute_all,
    describe,
    find_kind,
    list_methods,
)
from .centring import centre, compute_without_language, remove_language
from .comparison import MEASURES, compare, correlate_ranks
from .controls import compute_random_weights
from .datamodels import draw_language_subsets, draw_subsets, lds, log_odds, split_half_ceiling
from .detection import auroc, find_flipped, sum_squared_lengths
from .five_questions import (
    Question,
    Runs,
    answer_questions,
    count_answers,
    list_questions,
    say_same_as_paper,
)
from .labels import analyse_within_label, compare_pools, measure_label_share, say_too_few
from .language_leakage import measure_leakage
from .lengths import PLAIN, measure_long_gradients
from .matrices import average_by_language, correlate, correlate_matrices, measure_accuracy_lost
from .nearest import measure_nearest
from .study import mostly_repeats, read_given, read_runs

__all__ = [
    "MEASURES",
    "METHODS",
    "PAPER",
    "PLAIN",
    "Method",
    "MethodInput",
    "NotAvailableError",
    "Question",
    "Runs",
    "analyse_within_label",
    "answer_questions",
    "auroc",
    "average_by_language",
    "centre",
    "compare",
    "compare_pools",
    "compute",
    "compute_all",
    "compute_random_weights",
    "compute_without_language",
    "correlate",
    "correlate_matrices",
    "correlate_ranks",
    "count_answers",
    "describe",
    "draw_language_subsets",
    "draw_subsets",
    "find_flipped",
    "find_kind",
    "lds",
    "list_methods",
    "list_questions",
    "log_odds",
    "measure_accuracy_lost",
    "measure_label_share",
    "measure_leakage",
    "measure_long_gradients",
    "measure_nearest",
    "mostly_repeats",
    "read_given",
    "read_runs",
    "remove_language",
    "say_same_as_paper",
    "say_too_few",
    "split_half_ceiling",
    "sum_squared_lengths",
]
