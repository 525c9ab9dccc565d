"""What changes with the training data: a language left out (section 8.3), or more of it (8.4).

Both compare runs. A run here is a `scores.Scored`, of which only the first three are read: score
cube, training samples, test samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from .base import (
    BOOTSTRAP,
    SIGNS,
    Bootstrap,
    SharingError,
    by_sign,
    check,
    parallel,
    samples_of,
    summary,
)
from .languages import composition_by_sample, cross_language_by_sample
from .top import most_influential

if TYPE_CHECKING:
    from ..scores import Scored

    Run = Scored | tuple[xr.Dataset, pd.DataFrame, pd.DataFrame]


def imbalance(
    by_percent: Mapping[int, Run],
    language: str,
    *,
    top_k: int,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> pd.DataFrame:
    """Measure how much of a language's top k is its own as its training data grow (Figure 5).

    Parameters
    ----------
    by_percent : mapping of int to Scored
        Additional training samples of the language in percent → the run trained with them.
    language : str
        The language.
    top_k : int
        How many training samples per test sample count as the most influential.
    bootstrap : Bootstrap
        How the intervals are computed.

    Returns
    -------
    pandas.DataFrame
        `language`, `percent`, `sign`, `share`, `ci_low`, `ci_high`, `chance` (the language's share
        of that run's training samples), `test_samples`, `items`.

    Raises
    ------
    SharingError
        A run has no test sample in the language.
    """
    each = imbalance_by_sample(by_percent, language, top_k=top_k)
    return summary(each, ["language", "percent", "sign"], bootstrap)


def imbalance_by_sample(
    by_percent: Mapping[int, Run], language: str, *, top_k: int
) -> pd.DataFrame:
    """Measure how much of each test sample's top k is in its own language, by training data.

    `imbalance` is the mean of this table.

    Parameters
    ----------
    by_percent, language, top_k
        As for `imbalance`.

    Returns
    -------
    pandas.DataFrame
        `test` (uid), `item`, `sign`, `share`, `chance`, `language`, `percent`.
    """
    tables = []
    for percent, run in sorted(by_percent.items()):
        scores, train, test = run[:3]
        check(scores, train, test)
        chosen = (test["lang"] == language).to_numpy()
        if not chosen.any():
            raise SharingError(
                f"no test sample is in {language!r}; there are {', '.join(test['lang'].unique())}"
            )
        part = scores.isel(test=chosen)
        each = cross_language_by_sample(part, train, test[chosen], top_k=top_k)
        own = {"share": 1 - each["share"], "chance": 1 - each["chance"]}
        each = each.assign(language=language, percent=percent, **own)
        tables.append(each.drop(columns="test_lang"))
    return pd.concat(tables, ignore_index=True)


def composition_with_and_without(
    seen: Run,
    unseen: Run,
    language: str,
    *,
    top_k: int,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> pd.DataFrame:
    """Measure where a language's top k comes from with and without training on it (Figure 4).

    Parameters
    ----------
    seen, unseen, language, top_k, bootstrap
        As for `zero_shot`.

    Returns
    -------
    pandas.DataFrame
        The columns of `composition` for the summed influence, and `language`, `model` ('trained on
        it', 'without it').
    """
    each = composition_with_and_without_by_sample(seen, unseen, language, top_k=top_k)
    keys = ["test_lang", "train_lang", "sign", "checkpoint", "language", "model"]
    return summary(each, keys, bootstrap)


def composition_with_and_without_by_sample(
    seen: Run, unseen: Run, language: str, *, top_k: int
) -> pd.DataFrame:
    """Measure where each test sample's top k comes from with and without training on its language.

    `composition_with_and_without` is the mean of this table.

    Parameters
    ----------
    seen, unseen, language, top_k
        As for `zero_shot`.

    Returns
    -------
    pandas.DataFrame
        The columns of `composition_by_sample`, and `checkpoint` (0), `language`, `model`.
    """
    tables = []
    for model, run in (("trained on it", seen), ("without it", unseen)):
        scores, train, test = run[:3]
        each = composition_by_sample(scores, train, test, top_k=top_k)
        each = each[each["test_lang"] == language]
        tables.append(each.assign(checkpoint=0, language=language, model=model))
    return pd.concat(tables, ignore_index=True)


def zero_shot(
    seen: Run,
    unseen: Run,
    language: str,
    *,
    top_k: int,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> pd.DataFrame:
    """Measure what replaces a language that was left out of fine-tuning (section 8.3).

    The paper leaves the denominators of its percentages open. Ours are:

    - `translations`: of the top k of the model without the language, the share that translates a
      sample in the language from the other model's top k. Parallel tasks only.
    - `same_samples`: of the other model's top k in other languages, the share that is in the top k
      of the model without the language as well.

    Parameters
    ----------
    seen, unseen : Scored
        The run trained on the language and the run without it, with the same test samples in the
        language.
    language : str
        The language left out.
    top_k : int
        How many training samples per test sample count as the most influential.
    bootstrap : Bootstrap
        How the intervals are computed.

    Returns
    -------
    pandas.DataFrame
        `language`, `what`, `sign`, `share`, `ci_low`, `ci_high`, `chance` (the share expected if
        the top k of the model without the language were drawn at random), `test_samples`, `items`;
        positive influence first.

    Raises
    ------
    SharingError
        The runs have different test samples in the language, or none, or both were trained on it.
    """
    each = zero_shot_by_sample(seen, unseen, language, top_k=top_k)
    return by_sign(summary(each, ["language", "what", "sign"], bootstrap))


def zero_shot_by_sample(seen: Run, unseen: Run, language: str, *, top_k: int) -> pd.DataFrame:
    """Measure for each test sample what replaces a language that was left out.

    `zero_shot` is the mean of this table.

    Parameters
    ----------
    seen, unseen, language, top_k
        As for `zero_shot`.

    Returns
    -------
    pandas.DataFrame
        `test` (uid), `item`, `language`, `what`, `sign`, `share`, `chance`.
    """
    samples, scores_seen, train_seen = _in_language(seen, language)
    others, scores_unseen, train_unseen = _in_language(unseen, language)
    if samples.empty or list(samples["test"]) != list(others["test"]):
        uids = " and ".join(str(list(part["test"])) for part in (samples, others))
        raise SharingError(
            f"both models need the same test samples in {language!r}, one at least: {uids}"
        )
    if (train_unseen["lang"] == language).any():
        raise SharingError(f"the second model was trained on {language!r} as well")
    is_parallel = parallel(train_seen)
    tops_seen = most_influential(scores_seen, top_k)
    tops_unseen = most_influential(scores_unseen, top_k)
    rows = []
    for sign in SIGNS:
        before, after = tops_seen[sign].rows, tops_unseen[sign].rows  # (test, k)
        for sample, was, now in zip(samples.itertuples(), before, after, strict=True):
            about = [sample.test, sample.item, language]
            top = train_seen.iloc[was]
            own = (top["lang"] == language).to_numpy()  # (k,)
            if is_parallel:
                translates = train_unseen["item"].isin(top["item"][own]).to_numpy()  # (train,)
                shares = [translates[now].mean(), translates.mean()]
                rows.append([*about, "translations", sign, *shares])
            if not own.all():
                again = np.isin(top["uid"][~own], train_unseen["uid"].to_numpy()[now])
                shares = [again.mean(), top_k / len(train_unseen)]
                rows.append([*about, "same_samples", sign, *shares])
    columns = ["test", "item", "language", "what", "sign", "share", "chance"]
    return pd.DataFrame(rows, columns=columns)


def _in_language(run: Run, language: str) -> tuple[pd.DataFrame, xr.Dataset, pd.DataFrame]:
    """Return a run's test samples in a language, the part of its cube with them, and its train."""
    scores, train, test = run[:3]
    check(scores, train, test)
    chosen = (test["lang"] == language).to_numpy()
    return samples_of(test[chosen]), scores.isel(test=chosen), train
