"""The analyses: functions from (scores, train, test) to tidy tables (sections 6 to 8).

`scores` is the score cube, with dims (checkpoint, group, test, train); `train` and `test` are its
samples, in the same order. Shares are fractions from 0 to 1. Beside each are its bootstrap interval
over items (`Bootstrap`), its chance level, and the number of test samples and of distinct items it
rests on. The interval is NaN for fewer than `FEWEST` items. Functions that end in `_by_sample`
return the single values that the shares average.
"""

from .base import (
    BOOTSTRAP,
    FEWEST,
    SIGNS,
    Bootstrap,
    SharingError,
    interval_of_mean,
    parallel,
    summary,
    top_samples,
)
from .epochs import epoch_tests
from .examples import (
    all_examples,
    influential_samples,
    matching_by_sample,
    planted,
    planted_by_sample,
)
from .languages import (
    KS,
    composition,
    composition_by_sample,
    cross_language,
    cross_language_by_sample,
    share_by_k,
    share_by_k_by_sample,
)
from .multi_language import by_language
from .network import by_group, contributions, has_groups, shared_tokens, token_kinds
from .script_shares import scripts, wholly_in_script
from .seeds import count_again, over_seeds, shared_by_seeds, zero_shot_against_seeds
from .strength import distribution, mean_influence, mean_influence_by_sample
from .translations import (
    reinforcement,
    reinforcement_by_sample,
    translation_rank,
    translation_rank_by_sample,
)
from .variants import (
    composition_with_and_without,
    composition_with_and_without_by_sample,
    imbalance,
    imbalance_by_sample,
    zero_shot,
    zero_shot_by_sample,
)

__all__ = [
    "BOOTSTRAP",
    "FEWEST",
    "KS",
    "SIGNS",
    "Bootstrap",
    "SharingError",
    "all_examples",
    "by_group",
    "by_language",
    "composition",
    "composition_by_sample",
    "composition_with_and_without",
    "composition_with_and_without_by_sample",
    "contributions",
    "count_again",
    "cross_language",
    "cross_language_by_sample",
    "distribution",
    "epoch_tests",
    "has_groups",
    "imbalance",
    "imbalance_by_sample",
    "influential_samples",
    "interval_of_mean",
    "matching_by_sample",
    "mean_influence",
    "mean_influence_by_sample",
    "over_seeds",
    "parallel",
    "planted",
    "planted_by_sample",
    "reinforcement",
    "reinforcement_by_sample",
    "scripts",
    "share_by_k",
    "share_by_k_by_sample",
    "shared_by_seeds",
    "shared_tokens",
    "summary",
    "token_kinds",
    "top_samples",
    "translation_rank",
    "translation_rank_by_sample",
    "wholly_in_script",
    "zero_shot",
    "zero_shot_against_seeds",
    "zero_shot_by_sample",
]
