"""Estimates, each a value with its interval, read from a run's tables for the paper's claims.

Statistics over several languages are resampled as a whole (`sharing.by_language`) if the run has
the table by sample; otherwise they have no interval. Test languages in which the model is at chance
are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd
import xarray as xr

from . import sharing
from .manifest import languages_at_chance


class Estimate(NamedTuple):
    """A value, its interval and its chance level; NaN where one of them is missing.

    Parameters
    ----------
    value : float
        The estimate.
    low, high : float
        Ends of its confidence interval.
    chance : float
        The value expected if influence were unrelated to what is measured.
    total : float
        For a share of things counted: how many were counted.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    chance: float = math.nan
    total: float = math.nan

    def complement(self) -> Estimate:
        """Return 1 minus this share. The ends of the interval change places: 1 − low is high."""
        return Estimate(1 - self.value, 1 - self.high, 1 - self.low, 1 - self.chance)

    def beyond_chance(self) -> Estimate:
        """Return this minus its chance level, which is taken to be known exactly."""
        value, low, high, chance, _ = self
        return Estimate(value - chance, low - chance, high - chance)

    def minus(self, other: Estimate) -> Estimate:
        """Return the difference from an independent estimate.

        The distances from value to interval end add in quadrature: the lower end of the difference
        combines this estimate's lower end with the other's upper end, and vice versa (the method of
        variance estimates recovery, Zou and Donner 2008).
        """
        value = self.value - other.value
        down = math.hypot(self.value - self.low, other.high - other.value)
        up = math.hypot(self.high - self.value, other.value - other.low)
        return Estimate(value, value - down, value + up)


def mean_of_independent(estimates: list[Estimate]) -> Estimate:
    """Return the mean of independent estimates; distances to the interval ends as in `minus`."""
    n = len(estimates)
    value = sum(each.value for each in estimates) / n
    down = math.hypot(*(each.value - each.low for each in estimates)) / n
    up = math.hypot(*(each.high - each.value for each in estimates)) / n
    return Estimate(value, value - down, value + up)


@dataclass
class RunTables:
    """The tables of a run, in the form that `quantities` reads.

    Parameters
    ----------
    tables : mapping
        Name → DataFrame; `manifest`, the run's manifest; `manifests`, variant → manifest;
        `<task>/<name>` for tables of other tasks.
    bootstrap : Bootstrap
        How intervals are computed.
    """

    tables: Mapping[str, Any]
    bootstrap: sharing.Bootstrap = sharing.BOOTSTRAP

    @property
    def at_chance(self) -> list[str]:
        """The languages in which the model is at chance."""
        return languages_at_chance(self.tables.get("manifest"))

    def is_at_chance(self, variant: str, lang: str) -> bool:
        """Whether the model of `variant` is at chance in `lang`; False without its manifest."""
        manifest = self.tables.get("manifests", {}).get(variant)
        return bool(manifest) and lang in languages_at_chance(manifest)

    def of_task(self, task: str) -> RunTables:
        """Return the run of another task, from the tables named `<task>/…`."""
        start = f"{task}/"
        names = [name for name in self.tables if name.startswith(start)]
        tables = {name.removeprefix(start): self.tables[name] for name in names}
        return RunTables(tables, self.bootstrap)

    def find_rows(self, name: str, **where: Any) -> pd.DataFrame | None:
        """Find the rows of the table `name` with the values in `where`.

        Test languages at chance are left out. Returns None if the run lacks the table, or the table
        such a row.
        """
        table = self.tables.get(name)
        if table is None:
            return None
        for column, value in where.items():
            table = table[table[column] == value]
        for column in ("test_lang", "language"):
            if column in table:
                table = table[~table[column].isin(self.at_chance)]
        return None if table.empty else table

    def find_first(self, *names: str, **where: Any) -> pd.DataFrame | None:
        """Find the rows with the values in `where`, in the first table of `names` that has any."""
        found = (self.find_rows(name, **where) for name in names)
        return next((rows for rows in found if rows is not None), None)

    def find_shares(self, sign: str, *languages: str) -> pd.DataFrame | None:
        """Find the shares of the top k of `sign`, by sample if the run has that table.

        They are by test and training language. Returns None unless every one of `languages` is both
        a test and a training language.
        """
        rows = self.find_first("composition_by_sample", "composition", sign=sign)
        if rows is None:
            return None
        if "checkpoint" in rows:
            rows = rows[rows["checkpoint"] == 0]
        known = set(rows["test_lang"]) & set(rows["train_lang"])
        return rows if set(languages) <= known else None

    def find_imbalance(self, sign: str) -> pd.DataFrame | None:
        """Find each language's share of its own top k (`test_lang`), by percent of added data.

        Returns None without such rows. Languages in which one of the compared models is at chance
        are left out.
        """
        rows = self.find_first("imbalance_by_sample", "imbalance", sign=sign)
        if rows is None:
            return None
        models = rows[["percent", "language"]].drop_duplicates().itertuples(index=False)
        at_chance = {
            lang
            for percent, lang in models
            if self.is_at_chance(f"plus-{percent}-{lang}", lang) or self.is_at_chance("base", lang)
        }
        rows = rows[~rows["language"].isin(at_chance)].rename(columns={"language": "test_lang"})
        return None if rows.empty else rows

    def estimate(
        self,
        rows: pd.DataFrame,
        statistic: Callable[[xr.DataArray], Any],
        value: str = "share",
    ) -> Estimate:
        """Estimate a statistic of the means by language (`sharing.by_language`).

        Parameters
        ----------
        rows : pandas.DataFrame
            A table by sample, or of means (without the column `item`), which gives no interval.
        statistic : callable
            As for `sharing.by_language`.
        value : str
            The column to average.
        """
        each = rows if "item" in rows else rows.assign(item="")
        found = sharing.by_language(each, statistic, value=value, bootstrap=self.bootstrap)
        return Estimate(*found)


def read_row(rows: pd.DataFrame | None, value: str = "share") -> Estimate | None:
    """Return the first row of a table of means as an estimate.

    Parameters
    ----------
    rows : pandas.DataFrame or None
        Rows with `value`, `ci_low`, `ci_high` and, optionally, `chance`.
    value : str
        The column of the value.

    Returns
    -------
    Estimate or None
        None without rows, or where a value is missing.
    """
    if rows is None or rows[value].isna().any():
        return None
    row = rows.iloc[0]
    chance = float(row.get("chance", math.nan))
    return Estimate(float(row[value]), float(row["ci_low"]), float(row["ci_high"]), chance)


def mean_chance(rows: pd.DataFrame) -> float:
    """Return the mean chance level of these rows; NaN if they have none."""
    return float(rows["chance"].mean()) if "chance" in rows else math.nan


def count_of_languages(found: Estimate, rows: pd.DataFrame) -> Estimate:
    """Add the total and the chance level to a count of test languages.

    Parameters
    ----------
    found : Estimate
        The count, as a share of the test languages for which one training language is the right
        one.
    rows : pandas.DataFrame
        What was counted: `test_lang`, `train_lang`.
    """
    total, chance = rows["test_lang"].nunique(), 1 / rows["train_lang"].nunique()
    return found._replace(total=total, chance=chance)


def change_between(rows: pd.DataFrame, column: str, before: Any, after: Any) -> pd.DataFrame | None:
    """Subtract the shares at one value of a column from those at another.

    Parameters
    ----------
    rows : pandas.DataFrame
        `share`, `test_lang`, `column`; with `test` and `item` the difference is paired by sample.
    column : str
        Such as 'checkpoint'.
    before, after : object
        The two values.

    Returns
    -------
    pandas.DataFrame or None
        `share` (after minus before) by `test_lang` and sample; None if one of the values is
        missing, or both are equal.
    """
    keys = [name for name in ("test", "item", "test_lang") if name in rows]
    wide = rows.pivot(index=keys, columns=column, values="share")
    if before == after or not {before, after} <= set(wide):
        return None
    return (wide[after] - wide[before]).rename("share").dropna().reset_index()
