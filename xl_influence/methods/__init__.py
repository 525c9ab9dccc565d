"""Would another method give the same answers? Attribution methods by name, and their comparison.

`compute(name, given)` returns one method's values (test, train) for a run, and `compute_all` those
of every method that can be computed for it. `compare` puts the same questions to all of them,
`answers` the paper's five. The other functions ask what is left of influence when language
(`remove_language`) or label (`compare_pools`) are taken out, what wins at the top (`leakage`), what
agrees with influence between languages (`correlate`), what a nearest-neighbour shortcut misses
(`nearest_first`), and whether long gradients come first (`long_first`). `lds` says how well a
method predicts retraining on subsets, beside what luck gives it, `find_flipped` how well a score
finds changed labels. The modules `subsets`, `tail_patch`, `brittleness`, `hurting` and `suspects`
are commands that leave files.
"""

from .base import MethodInput, NotAvailableError
from .catalogue import METHODS, PAPER, Method, compute, compute_all, describe, kind_of, methods_of
from .centring import centre, remove_language, without_language
from .comparison import MEASURES, compare, correlate_ranks
from .controls import compute_random_weights
from .datamodels import draw_language_subsets, draw_subsets, lds, log_odds, split_half_ceiling
from .detection import auroc, find_flipped, squared_lengths
from .five_questions import Question, Runs, answers, count_answers, questions, same_as_paper
from .labels import compare_pools, label_share, too_few_of_a_label, within_label
from .language_leakage import leakage
from .lengths import PLAIN, long_first
from .matrices import accuracy_lost, correlate, language_matrix, side_by_side
from .nearest import nearest_first
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
    "accuracy_lost",
    "answers",
    "auroc",
    "centre",
    "compare",
    "compare_pools",
    "compute",
    "compute_all",
    "compute_random_weights",
    "correlate",
    "correlate_ranks",
    "count_answers",
    "describe",
    "draw_language_subsets",
    "draw_subsets",
    "find_flipped",
    "kind_of",
    "label_share",
    "language_matrix",
    "lds",
    "leakage",
    "log_odds",
    "long_first",
    "methods_of",
    "mostly_repeats",
    "nearest_first",
    "questions",
    "read_given",
    "read_runs",
    "remove_language",
    "same_as_paper",
    "side_by_side",
    "split_half_ceiling",
    "squared_lengths",
    "too_few_of_a_label",
    "within_label",
    "without_language",
]
