"""Which samples are the most influential, and whether they are those that should be (section 6)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from ..influence import influence
from .base import (
    BOOTSTRAP,
    SIGNS,
    Bootstrap,
    SharingError,
    check,
    samples_of,
    summary,
    top_samples,
)


def influential_samples(
    scores: xr.Dataset, train: pd.DataFrame, test: pd.DataFrame, uid: str, *, n: int = 3
) -> pd.DataFrame:
    """Show a test sample and its most influential training samples (Tables 1, 2, 5).

    Parameters
    ----------
    scores : xarray.Dataset
        Score cube of a run, with dims (checkpoint, group, test, train).
    train, test : pandas.DataFrame
        The cube's samples, in the cube's order.
    uid : str
        The test sample.
    n : int
        How many training samples to show of each sign.

    Returns
    -------
    pandas.DataFrame
        The test sample, then training samples of positive and of negative influence, the strongest
        first: `uid`, `lang`, `label`, `text_a`, `text_b`, `phenomenon` (as far as `train` has
        them), `sign` ('test', 'positive' or 'negative'), `influence`.

    Raises
    ------
    SharingError
        There is no test sample `uid`.
    """
    check(scores, train, test)
    found = np.flatnonzero((test["uid"] == uid).to_numpy())
    if not len(found):
        raise SharingError(f"no test sample {uid!r}; there are {', '.join(test['uid'].head(5))} …")
    row = int(found[0])
    values = influence(scores.isel(test=[row])).to_numpy()  # (1, train)
    columns = [c for c in ("uid", "lang", "label", "text_a", "text_b", "phenomenon") if c in train]
    parts = [test.iloc[[row]][columns].assign(sign="test", influence=np.nan)]
    for sign in SIGNS:
        top = top_samples(values, n, sign)[0]
        parts.append(train.iloc[top][columns].assign(sign=sign, influence=values[0, top]))
    return pd.concat(parts, ignore_index=True)


def planted(
    scores: xr.Dataset,
    train: pd.DataFrame,
    test: pd.DataFrame,
    *,
    top_k: int,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> pd.DataFrame:
    """Measure how much of the top k shares the test sample's phenomenon, its label, and both.

    Only the demo corpora know which phenomenon a sample tests: it was planted in them.

    Parameters
    ----------
    scores : xarray.Dataset
        Score cube of a run, with dims (checkpoint, group, test, train).
    train, test : pandas.DataFrame
        The cube's samples, in the cube's order, with the column `phenomenon`.
    top_k : int
        How many training samples per test sample count as the most influential.
    bootstrap : Bootstrap
        How the intervals are computed.

    Returns
    -------
    pandas.DataFrame
        `what` ('phenomenon', 'label', 'both'), `sign`, `share`, `ci_low`, `ci_high`, `chance` (the
        same share among all training samples, averaged over test samples), `test_samples`,
        `items`.

    Raises
    ------
    SharingError
        The samples have no column `phenomenon`.
    """
    each = planted_by_sample(scores, train, test, top_k=top_k)
    return summary(each, ["what", "sign"], bootstrap)


def planted_by_sample(
    scores: xr.Dataset, train: pd.DataFrame, test: pd.DataFrame, *, top_k: int
) -> pd.DataFrame:
    """Measure how much of each test sample's top k shares its phenomenon, its label, and both.

    `planted` is the mean of this table.

    Parameters
    ----------
    scores, train, test, top_k
        As for `planted`.

    Returns
    -------
    pandas.DataFrame
        `test` (uid), `item`, `test_lang`, `what`, `sign`, `share`, `chance`.

    Raises
    ------
    SharingError
        The samples have no column `phenomenon`.
    """
    check(scores, train, test)
    if "phenomenon" not in train:
        raise SharingError("only the demo corpora say which phenomenon a sample tests")
    values = influence(scores).to_numpy()
    same = {
        column: train[column].to_numpy()[None] == test[column].to_numpy()[:, None]  # (test, train)
        for column in ("phenomenon", "label")
    }
    same["both"] = same["phenomenon"] & same["label"]
    samples, tables = samples_of(train, test), []
    for sign in SIGNS:
        top = top_samples(values, top_k, sign)  # (test, k)
        for what, equal in same.items():
            share = np.take_along_axis(equal, top, 1).mean(1)  # (test,)
            tables.append(samples.assign(what=what, sign=sign, share=share, chance=equal.mean(1)))
    return pd.concat(tables, ignore_index=True)
