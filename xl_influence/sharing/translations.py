"""Which influential samples are translations: reinforcing or complementary (section 8.1)."""

from __future__ import annotations

import functools

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
    language_codes,
    parallel,
    samples_of,
    summary,
)
from .top import most_influential, read_values, values_at


def reinforcement(
    scores: xr.Dataset,
    train: pd.DataFrame,
    test: pd.DataFrame,
    *,
    top_k: int,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> pd.DataFrame:
    """Measure how many top samples from other languages translate the language's own (Table 4).

    A sample in another language in the top k of a test sample is *reinforcing* if the test
    language's version of it is in the top k as well, and *complementary* otherwise. Test samples
    whose top k has no other language are skipped.

    Parameters
    ----------
    scores : xarray.Dataset
        Score cube of a run, with dims (checkpoint, group, test, train).
    train, test : pandas.DataFrame
        The cube's samples, in the cube's order.
    top_k : int
        How many training samples per test sample count as the most influential.
    bootstrap : Bootstrap
        How the intervals are computed.

    Returns
    -------
    pandas.DataFrame
        `test_lang`, `sign`, `share`, `ci_low`, `ci_high`, `chance`, `test_samples`, `items` (those
        not skipped); positive influence first. Chance is the share expected if the items of each
        language's training samples were permuted: the test language's own samples in the top k,
        divided by the training items of that language.

    Raises
    ------
    SharingError
        Equal items are not translations of each other, as in MARC.
    """
    each = reinforcement_by_sample(scores, train, test, top_k=top_k)
    return by_sign(summary(each, ["test_lang", "sign"], bootstrap))


def reinforcement_by_sample(
    scores: xr.Dataset, train: pd.DataFrame, test: pd.DataFrame, *, top_k: int
) -> pd.DataFrame:
    """Measure for each test sample how many top samples are translations of its language's own.

    `reinforcement` is the mean of this table.

    Parameters
    ----------
    scores, train, test, top_k
        As for `reinforcement`.

    Returns
    -------
    pandas.DataFrame
        `test` (uid), `item`, `test_lang`, `sign`, `share`, `chance`.

    Raises
    ------
    SharingError
        Equal items are not translations of each other, as in MARC.
    """
    check(scores, train, test)
    if train["lang"].nunique() > 1 and not parallel(train):
        raise SharingError(
            "no training samples are translations of each other, as languages share no items: "
            "this analysis needs a parallel task"
        )
    tops, samples = most_influential(scores, top_k), samples_of(test)
    lang, item = train["lang"].to_numpy(), train["item"].to_numpy()
    n_items, rows = train.groupby("lang")["item"].nunique(), []
    for sign in SIGNS:
        for sample, top in zip(samples.itertuples(), tops[sign].rows, strict=True):
            own = lang[top] == sample.test_lang  # (k,)
            if own.all():
                continue
            share = np.isin(item[top[~own]], item[top[own]]).mean()
            chance = own.sum() / n_items.get(sample.test_lang, np.inf)
            rows.append([sample.test, sample.item, sample.test_lang, sign, share, chance])
    return pd.DataFrame(rows, columns=["test", "item", "test_lang", "sign", "share", "chance"])


def translation_rank(
    scores: xr.Dataset,
    train: pd.DataFrame,
    test: pd.DataFrame,
    *,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> pd.DataFrame:
    """Rank a test sample's own translation among the training samples of other languages.

    Test samples without a translation among the training samples are skipped; of several
    translations, the best rank counts. An item must have the same number in all splits, as in the
    demo corpora.

    Parameters
    ----------
    scores : xarray.Dataset
        Score cube of a run, with dims (checkpoint, group, test, train).
    train, test : pandas.DataFrame
        The cube's samples, in the cube's order.
    bootstrap : Bootstrap
        How the interval is computed.

    Returns
    -------
    pandas.DataFrame
        One row: `mean_reciprocal_rank`, `ci_low`, `ci_high`, `chance` (of a random order),
        `test_samples`, `items` (those not skipped). Empty if all test samples are skipped or the
        task is not parallel.
    """
    each = translation_rank_by_sample(scores, train, test).assign(which="all")
    table = summary(each, ["which"], bootstrap, value="mean_reciprocal_rank")
    return table.drop(columns="which")


def translation_rank_by_sample(
    scores: xr.Dataset, train: pd.DataFrame, test: pd.DataFrame
) -> pd.DataFrame:
    """Rank each test sample's own translation among the training samples of other languages.

    `translation_rank` is the mean of this table.

    Parameters
    ----------
    scores, train, test
        As for `translation_rank`.

    Returns
    -------
    pandas.DataFrame
        `test` (uid), `item`, `mean_reciprocal_rank` (of this sample: 1 / rank, on average over the
        orders of equal scores), `chance`; only of test samples that have a translation.
    """
    check(scores, train, test)
    found, rows = _find_translations(train, test) if parallel(train) else {}, []
    none = np.empty(0, int)
    wanted = values_at(scores, [found.get(row, none) for row in range(len(test))]) if found else []
    best = {row: wanted[row].max() for row in found}
    above, tied = dict.fromkeys(found, 0), dict.fromkeys(found, 0)
    lang, test_lang = language_codes(train, test)
    for tests, trains, values in read_values(scores) if found else []:
        for row in found.keys() & range(tests.start, tests.stop):
            scored = values[row - tests.start][lang[trains] != test_lang[row]]
            above[row] += int((scored > best[row]).sum())
            tied[row] += int((scored == best[row]).sum())
    for row, translates in found.items():
        hits = int((wanted[row] == best[row]).sum())
        reached = reciprocal_rank(hits, tied[row], above[row])
        chance = reciprocal_rank(len(translates), int((lang != test_lang[row]).sum()))
        rows.append([test["uid"].iloc[row], str(test["item"].iloc[row]), reached, chance])
    return pd.DataFrame(rows, columns=["test", "item", "mean_reciprocal_rank", "chance"])


def _find_translations(train: pd.DataFrame, test: pd.DataFrame) -> dict[int, np.ndarray]:
    """Row of a test sample → rows of its translations among the training samples, if any."""
    of_item, lang = train.groupby("item").indices, train["lang"].to_numpy()
    found = {}
    for row, sample in enumerate(test.itertuples()):
        there = of_item.get(sample.item, np.empty(0, int))
        there = there[lang[there] != sample.lang]
        if len(there):
            found[row] = there
    return found


@functools.cache
def reciprocal_rank(hits: int, n: int, above: int = 0) -> float:
    """Compute the expected reciprocal rank of the first hit in a random order.

    Parameters
    ----------
    hits, n : int
        How many hits there are among the `n` samples in random order.
    above : int
        How many other samples come before all of these.

    Examples
    --------
    One hit among two is first or second, each half of the time:

    >>> reciprocal_rank(hits=1, n=2)
    0.75
    """
    none_yet, total = 1.0, 0.0  # probability that no hit came before this rank
    for rank in range(1, n - hits + 2):
        first = hits / (n - rank + 1)
        total += none_yet * first / (above + rank)
        none_yet *= 1 - first
    return total
