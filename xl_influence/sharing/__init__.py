"""The analyses: functions from (scores, train, test) to tidy tables (sections 6 to 8).

`scores` is the score cube (dims checkpoint, group, test, train), `train` and `test` are its samples in the same order.
Shares are fractions from 0 to 1, each with its bootstrap interval over test samples and its chance level.
"""

from .base import FEWEST, SIGNS, SharingError, bootstrap, top_samples
from .epochs import epoch_tests
from .examples import influential_samples, planted
from .languages import (
    composition,
    composition_by_sample,
    cross_language,
    distribution,
    imbalance,
    mean_influence,
    scripts,
    stand_ins,
    wholly_in_script,
)
from .network import by_group, contributions, shared_tokens, token_kinds
from .translations import parallel, reinforcement, translation_rank, zero_shot

__all__ = [
    "FEWEST", "SIGNS", "SharingError", "bootstrap", "by_group", "composition", "composition_by_sample", "contributions",
    "cross_language", "distribution", "epoch_tests", "imbalance", "influential_samples", "mean_influence", "parallel",
    "planted", "reinforcement", "scripts", "shared_tokens", "stand_ins", "token_kinds", "top_samples", "translation_rank",
    "wholly_in_script", "zero_shot",
]  # fmt: skip
