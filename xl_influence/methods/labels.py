"""The label held fixed: sections 7 to 8.1 among training samples with the test sample's label.

A classifier's gradients depend on the label most. If the whole top k has the test sample's label,
influence does not answer which samples help, only which samples of that class do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import xarray as xr

from ..sharing import BOOTSTRAP, Bootstrap, matching_by_sample, parallel, summary
from ..sharing.base import check, samples_of, with_all
from ..sharing.languages import cross_language_by_sample
from ..sharing.translations import reinforcement_by_sample

POOLS = ("all samples", "same label")
KEYS = ["pool", "what", "test_lang", "sign"]


def measure_label_share(
    scores: xr.Dataset,
    train: pd.DataFrame,
    test: pd.DataFrame,
    *,
    top_k: int,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> pd.DataFrame:
    """Measure how much of the top k has the test sample's label.

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
        (the label's share of the training samples), `test_samples`, `items`.
    """
    each = matching_by_sample(scores, train, test, {"label": ["label"]}, top_k=top_k)
    return summary(with_all(each), ["test_lang", "sign"], bootstrap)


def analyse_within_label(
    analysis: Callable[..., pd.DataFrame],
    scores: xr.Dataset,
    train: pd.DataFrame,
    test: pd.DataFrame,
    **choice: Any,
) -> pd.DataFrame:
    """Run an analysis by sample for each label alone: its test samples and its training samples.

    Parameters
    ----------
    analysis : callable
        A function of `sharing` that ends in `_by_sample`.
    scores : xarray.Dataset
        Score cube of a run, with dims (checkpoint, group, test, train).
    train, test : pandas.DataFrame
        The cube's samples, in the cube's order.
    **choice
        Further arguments of the analysis, such as `top_k`.

    Returns
    -------
    pandas.DataFrame
        As the analysis returns it, for all test samples. Chance levels are those among training
        samples with the test sample's label.

    Raises
    ------
    SharingError
        The samples are not the cube's, or a label has fewer than `top_k` training samples.
    """
    check(scores, train, test)
    # Taken from all samples: those of one label alone may look parallel.
    items = samples_of(test).set_index("test")["item"]
    tables = []
    for label in dict.fromkeys(test["label"]):
        rows = [(frame["label"] == label).to_numpy() for frame in (test, train)]
        part = scores.isel(test=rows[0], train=rows[1])
        tables.append(analysis(part, train[rows[1]], test[rows[0]], **choice))
    table = pd.concat(tables, ignore_index=True)
    return table.assign(item=table["test"].map(items))


def say_too_few(train: pd.DataFrame, test: pd.DataFrame, top_k: int) -> str:
    """Say that a label has fewer than `top_k` training samples; empty if none has.

    Then there is no top k within the label.

    Parameters
    ----------
    train, test : pandas.DataFrame
        The samples; only labels of test samples matter.
    top_k : int
        How many training samples per test sample count as the most influential.
    """
    counts = train["label"].value_counts().reindex(test["label"].unique(), fill_value=0)
    if counts.min() >= top_k:
        return ""
    return f"Not applicable: top_k={top_k}, but one label has only {counts.min()} training samples."


def compare_pools(
    scores: xr.Dataset,
    train: pd.DataFrame,
    test: pd.DataFrame,
    *,
    top_k: int,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> pd.DataFrame:
    """Compare sections 7 and 8.1 over all training samples and within the test sample's label.

    Parameters
    ----------
    scores, train, test, top_k, bootstrap
        As for `measure_label_share`.

    Returns
    -------
    pandas.DataFrame
        `pool` ('all samples', 'same label'), `what` ('other languages', and in a parallel task
        'reinforcing'), `test_lang` ('all' for all), `sign`, `share`, `ci_low`, `ci_high`,
        `chance`, `test_samples`, `items`.
    """
    analyses = {"other languages": cross_language_by_sample}
    if parallel(train):
        analyses["reinforcing"] = reinforcement_by_sample
    tables = []
    for what, analysis in analyses.items():
        whole = analysis(scores, train, test, top_k=top_k)
        within = analyse_within_label(analysis, scores, train, test, top_k=top_k)
        for pool, each in zip(POOLS, (whole, within), strict=True):
            tables.append(with_all(each).assign(pool=pool, what=what))
    return summary(pd.concat(tables, ignore_index=True), KEYS, bootstrap)
