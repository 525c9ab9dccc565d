"""Which languages influence comes from (section 7, Appendix B)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..influence import influence
from .base import (
    BOOTSTRAP,
    SIGNS,
    Bootstrap,
    by_sign,
    check,
    expand,
    languages_of,
    other_language_at,
    samples_of,
    summary,
    with_all,
)
from .top import Top, View, most_influential, most_influential_by

KS = (1, 2, 5, 10, 20, 50, 100, 200, 500)  # of `share_by_k`; the paper's k is 100


def composition(
    scores: xr.Dataset,
    train: pd.DataFrame,
    test: pd.DataFrame,
    *,
    top_k: int,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> pd.DataFrame:
    """Measure how much of the top k comes from each language (Figure 2; by epoch Figures 12, 13).

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
        `test_lang`, `train_lang`, `sign`, `checkpoint` (0: summed over checkpoints), `share` (mean
        over test samples), `ci_low`, `ci_high`, `chance` (the language's share of the training
        samples), `test_samples`, `items`.
    """
    each = composition_by_sample(scores, train, test, top_k=top_k, epochs=True)
    return summary(each, ["test_lang", "train_lang", "sign", "checkpoint"], bootstrap)


def composition_by_sample(
    scores: xr.Dataset,
    train: pd.DataFrame,
    test: pd.DataFrame,
    *,
    top_k: int,
    epochs: bool = False,
) -> pd.DataFrame:
    """Measure how much of each test sample's top k comes from each language.

    `composition` is the mean of this table.

    Parameters
    ----------
    scores, train, test, top_k
        As for `composition`.
    epochs : bool
        Whether to rank by the influence at each checkpoint as well, not only by the sum.

    Returns
    -------
    pandas.DataFrame
        `test` (uid), `item`, `test_lang`, `train_lang`, `sign`, `share`, `chance`; with `epochs`
        also `checkpoint` (0: summed over checkpoints).
    """
    check(scores, train, test)
    if not epochs:
        return _composition(most_influential(scores, top_k), train, test)
    tops = most_influential_by(scores, top_k, views_by_checkpoint(scores))
    parts = [_composition(top, train, test).assign(checkpoint=epoch) for epoch, top in tops.items()]
    return pd.concat(parts, ignore_index=True)


def views_by_checkpoint(scores: xr.Dataset) -> dict[int, View]:
    """0 → the influence summed over checkpoints; epoch → that at one checkpoint, if there are any.

    Parameters
    ----------
    scores : xarray.Dataset
        Score cube of a run.
    """
    views: dict[int, View] = {0: influence}
    for checkpoint in scores["checkpoint"].to_numpy() if "checkpoint" in scores.dims else []:
        views[int(checkpoint)] = partial(_at_checkpoint, checkpoint=checkpoint)
    return views


def _at_checkpoint(scores: xr.Dataset, checkpoint: Any) -> xr.DataArray:
    return influence(scores.sel(checkpoint=checkpoint))


def _composition(tops: Mapping[str, Top], train: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    """`composition_by_sample` of one kind of influence; `tops`: sign → the top k."""
    languages, chance = languages_of(train)
    samples, tables = samples_of(test), []
    for sign in SIGNS:
        lang_of = train["lang"].to_numpy()[tops[sign].rows]  # (test, k)
        shares = np.stack([(lang_of == lang).mean(1) for lang in languages], 1)  # (test, language)
        tables.append(expand(samples.assign(sign=sign), "train_lang", languages, shares))
    table = pd.concat(tables, ignore_index=True)
    table["chance"] = table["train_lang"].map(chance)
    return table[["test", "item", "test_lang", "train_lang", "sign", "share", "chance"]]


def cross_language(
    scores: xr.Dataset,
    train: pd.DataFrame,
    test: pd.DataFrame,
    *,
    top_k: int,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> pd.DataFrame:
    """Measure how much of the top k comes from languages other than the test sample's own.

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
        `test_lang` ('all' for all test samples), `sign`, `share`, `ci_low`, `ci_high`, `chance`
        (the share of the training samples in other languages), `test_samples`, `items`; positive
        influence first.

    Examples
    --------
    Two of four training samples are in English. The two that influence the English test sample
    most are one in each language.

    >>> import pandas as pd
    >>> from xl_influence.influence import from_values
    >>> train = pd.DataFrame({"uid": ["en0", "en1", "de0", "de1"], "lang": ["en", "en", "de", "de"],
    ...                       "item": [0, 1, 0, 1], "label": [0, 1, 0, 1]})
    >>> test = pd.DataFrame({"uid": ["en7"], "lang": ["en"], "item": [7], "label": [0]})
    >>> scores = from_values([[0.9, 0.1, 0.5, -0.4]], train, test)
    >>> table = cross_language(scores, train, test, top_k=2)
    >>> table[["test_lang", "sign", "share", "chance"]]
      test_lang      sign  share  chance
    0       all  positive    0.5     0.5
    1        en  positive    0.5     0.5
    2       all  negative    0.5     0.5
    3        en  negative    0.5     0.5
    """
    each = with_all(cross_language_by_sample(scores, train, test, top_k=top_k))
    return by_sign(summary(each, ["test_lang", "sign"], bootstrap))


def cross_language_by_sample(
    scores: xr.Dataset, train: pd.DataFrame, test: pd.DataFrame, *, top_k: int
) -> pd.DataFrame:
    """Measure how much of each test sample's top k comes from other languages.

    `cross_language` is the mean of this table.

    Parameters
    ----------
    scores, train, test, top_k
        As for `cross_language`.

    Returns
    -------
    pandas.DataFrame
        `test` (uid), `item`, `test_lang`, `sign`, `share`, `chance`.
    """
    return share_by_k_by_sample(scores, train, test, ks=(top_k,)).drop(columns="k")


def share_by_k(
    scores: xr.Dataset,
    train: pd.DataFrame,
    test: pd.DataFrame,
    *,
    ks: Sequence[int] = KS,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> pd.DataFrame:
    """Measure how much of the top k comes from other languages for every k: the share depends on k.

    Parameters
    ----------
    scores : xarray.Dataset
        Score cube of a run, with dims (checkpoint, group, test, train).
    train, test : pandas.DataFrame
        The cube's samples, in the cube's order.
    ks : sequence of int
        The ks; those above the number of training samples are skipped.
    bootstrap : Bootstrap
        How the intervals are computed.

    Returns
    -------
    pandas.DataFrame
        `test_lang` ('all' for all test samples), `sign`, `k`, `share`, `ci_low`, `ci_high`,
        `chance` (the share of the training samples in other languages), `test_samples`, `items`.

    Examples
    --------
    The strongest training sample is in the test language, the next two are not.

    >>> import pandas as pd
    >>> from xl_influence.influence import from_values
    >>> train = pd.DataFrame({"uid": ["en0", "en1", "de0", "de1"], "lang": ["en", "en", "de", "de"],
    ...                       "item": [0, 1, 0, 1], "label": [0, 1, 0, 1]})
    >>> test = pd.DataFrame({"uid": ["en7"], "lang": ["en"], "item": [7], "label": [0]})
    >>> scores = from_values([[0.9, 0.1, 0.5, 0.4]], train, test)
    >>> table = share_by_k(scores, train, test, ks=(1, 2, 4, 8))
    >>> positive = table[(table["test_lang"] == "en") & (table["sign"] == "positive")]
    >>> positive[["k", "share", "chance"]].reset_index(drop=True)
       k  share  chance
    0  1    0.0     0.5
    1  2    0.5     0.5
    2  4    0.5     0.5
    """
    ks = [k for k in ks if k <= len(train)]
    each = with_all(share_by_k_by_sample(scores, train, test, ks=ks))
    return summary(each, ["test_lang", "sign", "k"], bootstrap)


def share_by_k_by_sample(
    scores: xr.Dataset, train: pd.DataFrame, test: pd.DataFrame, *, ks: Sequence[int] = KS
) -> pd.DataFrame:
    """Measure how much of each test sample's top k comes from other languages, for every k.

    `share_by_k` is the mean of this table.

    Parameters
    ----------
    scores, train, test
        As for `share_by_k`.
    ks : sequence of int
        The ks, none above the number of training samples.

    Returns
    -------
    pandas.DataFrame
        `test` (uid), `item`, `test_lang`, `sign`, `k`, `share`, `chance`.
    """
    check(scores, train, test)
    return share_of_others(most_influential(scores, max(ks)), train, test, ks=ks)


def share_of_others(
    tops: Mapping[str, Top], train: pd.DataFrame, test: pd.DataFrame, *, ks: Sequence[int]
) -> pd.DataFrame:
    """Measure how much of a ranking's top k comes from other languages, for every k.

    Parameters
    ----------
    tops : mapping
        Sign → the strongest training samples of each test sample, as many as the largest k.
    train, test : pandas.DataFrame
        The samples.
    ks : sequence of int
        The ks.

    Returns
    -------
    pandas.DataFrame
        As `share_by_k_by_sample`.
    """
    _, share_of = languages_of(train)
    samples, tables = samples_of(test), []
    samples["chance"] = [1 - share_of.get(lang, 0.0) for lang in test["lang"]]
    for sign in SIGNS:
        other = other_language_at(train, test, tops[sign].rows)  # (test, largest k)
        found = other.cumsum(1)  # (test, largest k)
        shares = found[:, np.array(ks) - 1] / np.array(ks)  # (test, k)
        tables.append(expand(samples.assign(sign=sign), "k", ks, shares))
    table = pd.concat(tables, ignore_index=True)
    return table[["test", "item", "test_lang", "sign", "k", "share", "chance"]]
