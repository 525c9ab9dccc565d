"""The same table of several runs that differ in their seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

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
