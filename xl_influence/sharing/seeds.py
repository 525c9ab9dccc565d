"""Runs that differ in their seed only: how far a result depends on it.

Two models trained on the same data with other seeds already disagree about which samples are
influential. Whatever else changes the data, such as a language left out, must change more than that
before it explains anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .base import (
    BOOTSTRAP,
    SIGNS,
    Bootstrap,
    SharingError,
    by_sign,
    check,
    interval_of_mean,
    samples_of,
    summary,
    with_all,
)
from .top import most_influential
from .variants import zero_shot_by_sample

if TYPE_CHECKING:
    from .variants import Run

RUN_COLUMNS = {  # columns that belong to one run and are dropped
    "ci_low",
    "ci_high",
    "chance",
    "test_samples",
    "items",
    "overlap",
    "in_top_k",
    "accuracy",
    "accuracy_seen",
}


def over_seeds(
    tables: Mapping[Any, pd.DataFrame] | Iterable[pd.DataFrame], value: str = "share"
) -> pd.DataFrame:
    """Show how a share varies between seeds, which no interval of a single run can show.

    Parameters
    ----------
    tables : mapping or iterable of pandas.DataFrame
        The same table (`cross_language`, `share_by_k`, `reinforcement`, …) of each run; the keys of
        a mapping are ignored.
    value : str
        The column to compare.

    Returns
    -------
    pandas.DataFrame
        The table's key columns, `value` (mean over seeds), `lowest`, `highest` (the values found,
        not an interval), `seeds` (how many runs have the row).
    """
    parts = tables.values() if isinstance(tables, Mapping) else tables
    table = pd.concat(list(parts), ignore_index=True)
    keys = [column for column in table if column != value and column not in RUN_COLUMNS]
    found = table.groupby(keys, sort=False)[value].agg(["mean", "min", "max", "count"])
    names = {"mean": value, "min": "lowest", "max": "highest", "count": "seeds"}
    return found.reset_index().rename(columns=names)


def shared_by_seeds(
    run: Run, others: Mapping[str, Run], *, top_k: int, bootstrap: Bootstrap = BOOTSTRAP
) -> pd.DataFrame:
    """Measure how much of the top k is the same in a model trained with another seed.

    Parameters
    ----------
    run : Scored
        The run.
    others : mapping of str to Scored
        Name → a run with another seed, the same training and the same test samples; one at least.
    top_k : int
        How many training samples per test sample count as the most influential.
    bootstrap : Bootstrap
        How the intervals are computed.

    Returns
    -------
    pandas.DataFrame
        `test_lang` ('all' first), `sign`, `share` (mean over seeds), `ci_low`, `ci_high`, `chance`
        (the share of a random top k), `test_samples`, `items`; positive influence first.

    Raises
    ------
    SharingError
        A run has other samples.
    """
    scores, train, test = run[:3]
    check(scores, train, test)
    before, again = most_influential(scores, top_k), count_again(run, others, top_k=top_k)
    shares = {
        sign: np.take_along_axis(again[sign], before[sign].rows, 1).mean(1) / len(others)
        for sign in SIGNS
    }
    each = pd.concat(
        samples_of(test).assign(sign=sign, share=share, chance=top_k / len(train))
        for sign, share in shares.items()
    )
    return by_sign(summary(with_all(each), ["test_lang", "sign"], bootstrap))


def count_again(run: Run, others: Mapping[str, Run], *, top_k: int) -> dict[str, np.ndarray]:
    """Count in how many models with another seed a sample is among the most influential.

    Parameters
    ----------
    run, others, top_k
        As for `shared_by_seeds`; here `others` may be empty.

    Returns
    -------
    dict of numpy.ndarray
        Sign → (test, train) int8: how many of `others` have the training sample in the top k of
        the test sample.

    Raises
    ------
    SharingError
        A run has other samples.
    """
    _, train, test = run[:3]
    counts = {sign: np.zeros((len(test), len(train)), np.int8) for sign in SIGNS}
    for variant, other in others.items():
        for name, frame, same in (("training", other[1], train), ("test", other[2], test)):
            if list(frame["uid"]) != list(same["uid"]):
                raise SharingError(f"the run {variant} has other {name} samples")
        for sign, top in most_influential(other[0], top_k).items():
            counts[sign][np.arange(len(test))[:, None], top.rows] += 1
    return counts


def zero_shot_against_seeds(
    seen: Run,
    unseen: Mapping[str, Run],
    others: Mapping[str, Run],
    *,
    top_k: int,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> pd.DataFrame:
    """Compare what returns when a language is left out with what returns under another seed.

    For the model with another seed, we take the top k among the samples in other languages, which
    are those that the model without the language could choose from. So both shares are of the same
    samples, and only one of the two models lacks the language.

    Parameters
    ----------
    seen, top_k, bootstrap
        As for `zero_shot`.
    unseen : mapping of str to Scored
        Language → the run without it.
    others : mapping of str to Scored
        Name → a run trained on all languages with another seed; one at least.

    Returns
    -------
    pandas.DataFrame
        `language` ('all' first), `what`, `sign`, `without` (the share of `zero_shot`), `other_seed`
        (the same share with another seed, mean over seeds), `seeds` (how many), `difference`
        (`without` − `other_seed`) and its interval `ci_low`, `ci_high`, `test_samples`, `items`;
        positive influence first.
    """
    each = pd.concat(
        _against_seeds_by_sample(seen, run, others, language, top_k)
        for language, run in unseen.items()
    )
    rows = []
    pooled = pd.concat([each.assign(language="all"), each])
    for key, part in pooled.groupby(["language", "what", "sign"], sort=False):
        means = [part["without"].mean(), part["other_seed"].mean()]
        ends = interval_of_mean(part["difference"], bootstrap, part["item"])
        counts = [len(part), part["item"].nunique()]
        rows.append([*key, *means, len(others), part["difference"].mean(), *ends, *counts])
    columns = [
        *("language", "what", "sign", "without", "other_seed", "seeds"),
        *("difference", "ci_low", "ci_high", "test_samples", "items"),
    ]
    return by_sign(pd.DataFrame(rows, columns=columns))


def _against_seeds_by_sample(
    seen: Run, unseen: Run, others: Mapping[str, Run], language: str, top_k: int
) -> pd.DataFrame:
    """Return the table that `zero_shot_against_seeds` averages, for one language."""
    keys = ["test", "item", "language", "what", "sign"]
    without = zero_shot_by_sample(seen, unseen, language, top_k=top_k)
    by_seed = pd.concat(
        zero_shot_by_sample(seen, _drop_training(run, language), language, top_k=top_k)
        for run in others.values()
    )
    each = without.drop(columns="chance").rename(columns={"share": "without"})
    mean = by_seed.groupby(keys, sort=False)["share"].mean().rename("other_seed").reset_index()
    each = each.merge(mean, on=keys, validate="one_to_one")
    return each.assign(difference=each["without"] - each["other_seed"])


def _drop_training(run: Run, language: str) -> Run:
    """Return a run as if it had no training samples in a language; its model has seen them."""
    scores, train, test = run[:3]
    kept = (train["lang"] != language).to_numpy()
    return scores.isel(train=kept), train[kept].reset_index(drop=True), test
