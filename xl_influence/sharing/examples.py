"""Which samples are most influential, and whether they are the ones that should be (section 6)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from .base import (
    BOOTSTRAP,
    SIGNS,
    Bootstrap,
    SharingError,
    check,
    samples_of,
    summary,
)
from .top import most_influential

PLANTED = {"phenomenon": ["phenomenon"], "label": ["label"], "both": ["phenomenon", "label"]}


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
    tops = most_influential(scores.isel(test=[row]), n)
    columns = [c for c in ("uid", "lang", "label", "text_a", "text_b", "phenomenon") if c in train]
    parts = [test.iloc[[row]][columns].assign(sign="test", influence=np.nan)]
    for sign in SIGNS:
        top = tops[sign]
        found = train.iloc[top.rows[0]][columns]
        parts.append(found.assign(sign=sign, influence=top.values[0]))
    return pd.concat(parts, ignore_index=True)


def all_examples(
    scores: xr.Dataset, train: pd.DataFrame, test: pd.DataFrame, *, n: int = 3
) -> pd.DataFrame:
    """List the most influential training samples of every test sample.

    Parameters
    ----------
    scores : xarray.Dataset
        Score cube of a run, with dims (checkpoint, group, test, train).
    train, test : pandas.DataFrame
        The cube's samples, in the cube's order.
    n : int
        How many training samples to list of each sign.

    Returns
    -------
    pandas.DataFrame
        `test_uid`, `sign`, `uid`, `influence`: by test sample and sign, the strongest first.
    """
    check(scores, train, test)
    tops, uids = most_influential(scores, n), train["uid"].to_numpy()
    shape = (len(test), len(SIGNS), n)
    columns = {
        "test_uid": np.repeat(test["uid"].to_numpy(), len(SIGNS) * n),
        "sign": np.broadcast_to(np.array(list(SIGNS), object)[:, None], shape).ravel(),
        "uid": np.stack([uids[tops[sign].rows] for sign in SIGNS], 1).ravel(),
        "influence": np.stack([tops[sign].values for sign in SIGNS], 1).ravel(),
    }
    return pd.DataFrame(columns)


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
    if "phenomenon" not in train:
        raise SharingError("only the demo corpora say which phenomenon a sample tests")
    return matching_by_sample(scores, train, test, PLANTED, top_k=top_k)


def matching_by_sample(
    scores: xr.Dataset,
    train: pd.DataFrame,
    test: pd.DataFrame,
    kinds: Mapping[str, list[str]],
    *,
    top_k: int,
) -> pd.DataFrame:
    """Measure how much of each test sample's top k equals it in some columns.

    Parameters
    ----------
    scores, train, test, top_k
        As for `planted`; the samples may have any columns.
    kinds : mapping
        Name → the columns in which a training sample must equal the test sample.

    Returns
    -------
    pandas.DataFrame
        `test` (uid), `item`, `test_lang`, `what` (the name), `sign`, `share`, `chance` (the same
        share among all training samples).
    """
    check(scores, train, test)
    tops, n_test = most_influential(scores, top_k), len(test)
    codes = {what: _codes(train, test, columns) for what, columns in kinds.items()}
    samples, tables = samples_of(test), []
    for sign in SIGNS:
        for what, (of_train, of_test) in codes.items():
            share = (of_train[tops[sign].rows] == of_test[:, None]).mean(1)  # (test,)
            counts = np.bincount(of_train, minlength=len(train) + n_test)  # by code
            chance = counts[of_test] / len(train)  # (test,)
            tables.append(samples.assign(what=what, sign=sign, share=share, chance=chance))
    return pd.concat(tables, ignore_index=True)


def _codes(
    train: pd.DataFrame, test: pd.DataFrame, columns: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return a number for each training and each test sample, equal where all columns are."""
    both = pd.concat([train[columns], test[columns]], ignore_index=True)
    codes = both.groupby(columns, sort=False, dropna=False).ngroup().to_numpy()
    return codes[: len(train)], codes[len(train) :]
