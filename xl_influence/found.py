"""The tables of a run as the paper's claims read them, and what is found there: a value with its interval.

What several languages are behind is resampled as a whole (`sharing.by_language`) where the run has the table by sample.
Where it does not, the value stands without an interval. Test languages in which the model is at chance are left out.
"""

from dataclasses import dataclass, field

import numpy as np

from . import sharing
from .manifest import weak_languages


@dataclass
class Found:
    """A value with its interval and its chance level (NaN: none), and for a share of things counted how many there are."""

    value: float
    low: float = np.nan
    high: float = np.nan
    chance: float = np.nan
    of: float = np.nan

    def flipped(self, whole):
        """`whole` minus this."""
        return Found(whole - self.value, whole - self.high, whole - self.low, whole - self.chance)


@dataclass
class Run:
    """The tables of a run (name → DataFrame, and `manifest`, `manifests`), and how intervals are made (`choice`)."""

    tables: dict
    choice: dict = field(default_factory=dict)

    @property
    def weak(self):
        return weak_languages(self.tables.get("manifest"))

    def weak_in(self, variant, lang):
        """Whether the model of a variant is at chance in a language; False where its manifest is not given."""
        manifest = self.tables.get("manifests", {}).get(variant)
        return bool(manifest) and lang in weak_languages(manifest)

    def other(self, task):
        """The run of another task, from tables named `<task>/…`."""
        start = f"{task}/"
        return Run(
            {n.removeprefix(start): t for n, t in self.tables.items() if n.startswith(start)},
            self.choice,
        )

    def rows(self, name, **where):
        """Rows of a table with these values, without test languages at chance; None where there is no such row."""
        table = self.tables.get(name)
        for column, value in where.items():
            table = None if table is None else table[table[column] == value]
        for column in {"test_lang", "language"} & set(() if table is None else table.columns):
            table = table[~table[column].isin(self.weak)]
        return None if table is None or table.empty else table

    def sources(self, sign, *about):
        """Shares by test and training language, of each sample where there are such; None without the languages `about`."""
        found = self.either("composition_by_sample", "composition", sign=sign)
        if found is not None and "checkpoint" in found:
            found = found[found["checkpoint"] == 0]
        there = set() if found is None else {*found["test_lang"]} & {*found["train_lang"]}
        return found if set(about) <= there else None

    def either(self, *names, **where):
        """Rows of the first of these tables that the run has."""
        return next(
            (rows for rows in (self.rows(name, **where) for name in names) if rows is not None),
            None,
        )

    def whole(self, rows, statistic, value="share"):
        """A statistic of means by language as a `Found`; without `item` in the rows it has no interval."""
        if rows is None:
            return None
        rows = rows if "item" in rows else rows.assign(item="")
        return Found(*sharing.by_language(rows, statistic, value=value, **self.choice))

    def count(self, rows, statistic, value="share"):
        """As `whole`, for the share of test languages for which something is so."""
        found = self.whole(rows, statistic, value)
        if found is not None:
            found.of = rows["test_lang"].nunique()
        return found
