"""A run's scores, ranks and samples, as the other modules take them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from .. import influence
from ..sharing import SIGNS, count_again, parallel, top_samples
from .near_duplicates import find_near_duplicates
from .samples import Describer

ROUNDING = 1e-5  # of published scores, a sum over epochs


@dataclass(frozen=True)
class RunData:
    """A run's scores and samples, with what follows from them.

    Attributes
    ----------
    scores : xarray.Dataset
        The score cube.
    train, test : pandas.DataFrame
        Its samples.
    top_k : int
        How many training samples count as the most influential.
    values : numpy.ndarray
        Influence, (test, train).
    ranks : dict
        Sign → the rank from 1 of every training sample, (test, train).
    near_duplicates : numpy.ndarray
        Whether a training sample is a near-duplicate of a test sample, (test, train).
    limit : float
        The end of the scale: the largest possible score or, if `bounded` is False, the largest.
    bounded : bool
        Whether scores are cosines, whose sum cannot be larger than the number of checkpoints.
    describer : Describer
        Describes the samples.
    described : list of dict
        What it says of every training sample.
    translations : list of list of int
        For every training sample the rows of its translations.
    seeds : int
        How many models with other seeds there are.
    again : dict
        Sign → in how many of these a training sample is in the top k of a test sample, (test,
        train).
    """

    scores: xr.Dataset
    train: pd.DataFrame
    test: pd.DataFrame
    top_k: int
    values: np.ndarray
    ranks: dict[str, np.ndarray]
    near_duplicates: np.ndarray
    limit: float
    bounded: bool
    describer: Describer
    described: list[dict[str, Any]]
    translations: list[list[int]]
    seeds: int
    again: dict[str, np.ndarray]

    @classmethod
    def of(
        cls,
        scores: xr.Dataset,
        train: pd.DataFrame,
        test: pd.DataFrame,
        pool: pd.DataFrame | None,
        top_k: int,
        others: Mapping[str, Any],
    ) -> RunData:
        """Collect the data of a run.

        Parameters
        ----------
        scores, train, test, pool, top_k, others
            As in `contents.describe`.
        """
        values = influence.influence(scores).to_numpy()  # (test, train)
        largest, epochs = float(np.abs(values).max()), scores.sizes.get("checkpoint", 1)
        describer = Describer.of(train, test, pool, parallel(train))
        bounded = "checkpoint" in scores.dims and largest <= epochs + ROUNDING
        return cls(
            scores=scores,
            train=train,
            test=test,
            top_k=top_k,
            values=values,
            ranks={sign: _rank(values, sign) for sign in SIGNS},
            near_duplicates=find_near_duplicates(train, test),
            limit=float(epochs) if bounded else largest,
            bounded=bounded,
            describer=describer,
            described=[describer.describe_train(sample) for sample in train.itertuples()],
            translations=_find_translations(train),
            seeds=len(others),
            again=count_again((scores, train, test), others, top_k=top_k),
        )

    @property
    def epochs(self) -> list[int]:
        """The epochs of the checkpoints; none if the cube keeps influence summed over them."""
        if "checkpoint" not in self.scores.dims:
            return []
        return [int(epoch) for epoch in self.scores["checkpoint"].to_numpy()]

    def count_languages(self, rows: Any) -> dict[str, int]:
        """How many of these training samples, rows or a mask, are in each training language."""
        lang = self.train["lang"]
        counts = lang[rows].value_counts()
        return {name: int(counts.get(name, 0)) for name in dict.fromkeys(lang)}


def _rank(values: np.ndarray, sign: str) -> np.ndarray:
    """The rank from 1 of every training sample, (test, train)."""
    order = top_samples(values, values.shape[1], sign)  # (test, train), strongest first
    ranks = np.empty(order.shape, dtype=np.int32)
    np.put_along_axis(ranks, order, np.arange(1, values.shape[1] + 1, dtype=np.int32)[None], 1)
    return ranks


def _find_translations(train: pd.DataFrame) -> list[list[int]]:
    """For every training sample the rows of its translations; none if the task is not parallel."""
    if not parallel(train):
        return [[] for _ in range(len(train))]
    of_item = train.groupby("item").indices
    return [
        [int(other) for other in of_item[item] if other != row]
        for row, item in enumerate(train["item"])
    ]


def shorten(value: Any) -> float:
    """A score as the page has it: four digits after the point."""
    return round(float(value), 4)
