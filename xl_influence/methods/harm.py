"""Which language hurts which: how the samples made wrong take part in the strongest harm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..sharing import BOOTSTRAP, Bootstrap
from ..sharing.base import expand, samples_of, summary, top_samples, with_all
from .detection import ALL

OWN, OTHER = "the test language", "each other language"


class Harmed(NamedTuple):
    """One training on samples of which some were made wrong, and its influence.

    Attributes
    ----------
    values : numpy.ndarray
        (test, train): influence, negative where a training sample is harmful.
    train, test : pandas.DataFrame
        The samples, in that order.
    marked : numpy.ndarray
        (train,), bool: the samples made wrong.
    """

    values: np.ndarray
    train: pd.DataFrame
    test: pd.DataFrame
    marked: np.ndarray


def count_harm_by_sample(draw: Harmed, top_k: int) -> pd.DataFrame:
    """Count, for every test sample, the samples made wrong among the `top_k` most harmful ones.

    Parameters
    ----------
    draw : Harmed
        One training.
    top_k : int
        How many training samples count as the most harmful.

    Returns
    -------
    pandas.DataFrame
        A table by sample: `test`, `item`, `test_lang`, `train_lang` ('all': in any language),
        `share` (of the top k: made wrong and in this language), `chance` (share of all training
        samples).
    """
    lang = draw.train["lang"].to_numpy()
    names = [ALL, *dict.fromkeys(lang)]
    wrong = [draw.marked & ((lang == name) | (name == ALL)) for name in names]
    top = top_samples(draw.values, top_k, "negative")  # (test, k)
    share = np.stack([each[top].mean(1) for each in wrong], axis=1)  # (test, language)
    each = expand(samples_of(draw.test), "train_lang", names, share)
    return each.assign(chance=np.tile([part.mean() for part in wrong], len(draw.test)))


def tabulate_harm(
    draws: Sequence[Harmed], top_k: int, *, bootstrap: Bootstrap = BOOTSTRAP
) -> pd.DataFrame:
    """Say how much of the harm to each test language comes from the samples made wrong in each.

    Parameters
    ----------
    draws : sequence of Harmed
        Trainings that differ in which samples were made wrong.
    top_k : int
        How many training samples count as the most harmful, for every test sample.
    bootstrap : Bootstrap
        How the intervals are computed: over test items, with all draws of an item together.

    Returns
    -------
    pandas.DataFrame
        `train_lang` (where the samples made wrong are; 'all': in any language), `test_lang` (or
        'all'), `share` (of the `top_k` most harmful samples), `ci_low`, `ci_high`, `chance` (share
        of the training samples), `test_samples` (of all draws), `items`.
    """
    each = pd.concat([count_harm_by_sample(draw, top_k) for draw in draws], ignore_index=True)
    return summary(with_all(each), ["train_lang", "test_lang"], bootstrap)


def compare_own_and_other(
    draws: Sequence[Harmed], top_k: int, *, bootstrap: Bootstrap = BOOTSTRAP
) -> pd.DataFrame:
    """Compare samples made wrong in the test language with those in each other language.

    Parameters
    ----------
    draws, top_k, bootstrap
        As in `tabulate_harm`.

    Returns
    -------
    pandas.DataFrame
        `where` ('the test language', 'each other language', and 'difference': the first minus the
        second), `share` (of the `top_k` most harmful; averaged over the other languages),
        `ci_low`, `ci_high`, `chance`, `test_samples`, `items`.
    """
    each = pd.concat([count_harm_by_sample(draw, top_k) for draw in draws], keys=range(len(draws)))
    each = each.rename_axis(["draw", None]).reset_index("draw")
    each = each[each["train_lang"] != ALL]
    where = np.where(each["train_lang"] == each["test_lang"], OWN, OTHER)
    means = each.assign(where=where).groupby(["draw", "test", "item", "where"], sort=False)
    wide = means[["share", "chance"]].mean().unstack("where").dropna()
    parts = [
        wide.xs(name, axis=1, level="where").reset_index().assign(where=name)
        for name in (OWN, OTHER)
        if name in wide.columns.get_level_values("where")
    ]
    if len(parts) == 2:
        own, other = parts
        change = {name: own[name] - other[name] for name in ("share", "chance")}
        parts.append(own.assign(**change, where="difference"))
    return summary(pd.concat(parts, ignore_index=True), ["where"], bootstrap)
