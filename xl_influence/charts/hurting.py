"""Tables of which scores find samples that are wrong on purpose, and whom these samples hurt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..prose import area, percent
from ..tasks import name_language
from .tables import NONE

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

ALL = "all"


def show_auroc(table: pd.DataFrame, corruption: str) -> Styler:
    """AUROC of each score by language, with intervals; the last row is chance.

    Parameters
    ----------
    table
        `auroc` of a result of `methods.hurting`.
    corruption
        Which rows to show, such as `hurting.FLIPPED`.
    """
    part = table[table["corruption"] == corruption]
    cells = part.assign(
        text=[area(row.auroc, row.ci_low, row.ci_high) for row in part.itertuples()]
    )
    scores, languages = (list(dict.fromkeys(part[name])) for name in ("score", "language"))
    wide = cells.pivot(index="score", columns="language", values="text").loc[scores, languages]
    wide.loc["chance"] = ["0.50"] * len(languages)
    return _style(wide, languages, "all languages", index="score")


def show_harm(table: pd.DataFrame, corruption: str) -> Styler:
    """Share of the most harmful samples that are wrong ones of each language, by test language.

    Parameters
    ----------
    table
        `harm` of a result of `methods.hurting`.
    corruption
        Which rows to show, 'flipped' or 'swapped'.
    """
    part = table[table["corruption"] == corruption]
    cells = part.assign(text=[_write_share(row) for row in part.itertuples()])
    trained, tested = (list(dict.fromkeys(part[name])) for name in ("train_lang", "test_lang"))
    wide = cells.pivot(index="train_lang", columns="test_lang", values="text").loc[trained, tested]
    chances = part.groupby("train_lang")["chance"].mean()
    wide["chance"] = [percent(chances[lang]) for lang in trained]
    names = {lang: "any language" if lang == ALL else name_language(lang) for lang in trained}
    return _style(wide.rename(index=names), tested, "all test languages", index="changed in")


def _style(wide: pd.DataFrame, languages: Sequence[str], every: str, *, index: str) -> Styler:
    """Name the columns, and dash what is missing."""
    names = {lang: every if lang == ALL else name_language(lang) for lang in languages}
    return (
        wide.rename(columns=names).rename_axis(index=index, columns=None).style.format(na_rep=NONE)
    )


def _write_share(row: Any) -> str:
    """Write a share with its interval."""
    if pd.isna(row.ci_low):
        return percent(row.share)
    return f"{percent(row.share)} ({100 * row.ci_low:.0f} to {100 * row.ci_high:.0f})"
