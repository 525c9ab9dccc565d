"""The data of the book's explorer: for every test sample the training samples that matter most."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from . import runs
from .charts import choose_colors
from .sharing import SIGNS, parallel, top
from .tasks import Task, name_language

STRONGEST = 10  # training samples of each sign that a test sample's list shows
OF_EACH_LANGUAGE = (
    3  # training samples of each training language that it shows, whatever their rank
)


def describe(
    scores: xr.Dataset,
    train: pd.DataFrame,
    test: pd.DataFrame,
    task: Task,
    *,
    top_k: int,
    title: str | None = None,
) -> dict[str, Any]:
    """Collect the explorer's data.

    Parameters
    ----------
    scores
        The score cube.
    train, test
        Its samples, in the same order.
    task
        The task that they belong to.
    top_k
        How many training samples count as the most influential.
    title
        What the data are called; the task's title by default.

    Returns
    -------
    dict
        `title`; `classes`, `languages`, `epochs`, `groups` (names and colours); `trained` (language
        → training samples); `top_k`; `strongest`, how many samples a list shows, and
        `of_each_language`, how many of a single training language.

        `tests`: for every test sample its texts, `shares` (sign → language → samples in the top k)
        and, by sign, `rows` of training samples, the strongest first: `uid`, `rank` (from 1),
        `influence`, what each of the `epochs` and `groups` adds to it (in their order) and, in
        a parallel task, its `translations` (uid, influence, rank).

        `samples`: uid → language, texts and label of every training sample that is mentioned. A
        run without texts has empty lists of texts.
    """
    tops, shown = top.strongest(scores, top_k), _choose(scores, train)
    lookup, tests = _Lookup(scores, train, shown), []
    for number, sample in enumerate(test.itertuples()):
        rows = {sign: lookup.describe(number, sign, shown[number][sign]) for sign in SIGNS}
        in_top = {sign: tops[sign].rows[number] for sign in SIGNS}
        tests.append(_describe_test(sample, in_top, rows, train["lang"]))
    samples = train[train["uid"].isin(_find_mentioned(tests))]
    languages = dict.fromkeys([*train["lang"], *test["lang"]])
    names = {lang: name_language(lang) for lang in languages}
    colors = choose_colors(list(names.values()))
    return {
        "title": title or task.title,
        "classes": list(task.class_names),
        "languages": {lang: {"name": name, "color": colors[name]} for lang, name in names.items()},
        "epochs": [int(epoch) for epoch in scores.get("checkpoint", xr.DataArray([])).values],
        "groups": [str(group) for group in scores["group"].to_numpy()],
        "trained": _count_languages(train["lang"]),
        "top_k": top_k,
        "strongest": STRONGEST,
        "of_each_language": OF_EACH_LANGUAGE,
        "samples": {
            sample.uid: {"lang": sample.lang} | _describe_texts(sample)
            for sample in samples.itertuples()
        },
        "tests": tests,
    }


def write(
    folder: Path,
    scores: xr.Dataset,
    train: pd.DataFrame,
    test: pd.DataFrame,
    task: Task,
    *,
    top_k: int,
    title: str | None = None,
) -> None:
    """Write what `describe` returns to `explorer.json`.

    Parameters
    ----------
    folder
        Where the file goes.
    scores, train, test, task, top_k, title
        As in `describe`.
    """
    data = describe(scores, train, test, task, top_k=top_k, title=title)
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    with runs.write_atomically(folder / "explorer.json") as path:
        path.write_text(text, encoding="utf-8")


def _count_languages(lang: pd.Series, rows: np.ndarray | None = None) -> dict[str, int]:
    """How many of these rows, by default of all, are in each training language."""
    counts = (lang if rows is None else lang.iloc[rows]).value_counts()
    return {name: int(counts.get(name, 0)) for name in dict.fromkeys(lang)}


def _describe_test(
    sample: Any, in_top: dict[str, np.ndarray], rows: dict[str, Any], lang: pd.Series
) -> dict[str, Any]:
    """One test sample: its texts and, by sign, its languages in the top k and its training samples.

    `in_top`: sign → rows of the top k; `rows`: sign → what the list shows; `lang` (train).
    """
    return {
        "uid": sample.uid,
        "lang": sample.lang,
        "confidence": round(float(sample.confidence), 4),
        **_describe_texts(sample),
        "shares": {sign: _count_languages(lang, found) for sign, found in in_top.items()},
        "rows": rows,
    }


def _choose(scores: xr.Dataset, train: pd.DataFrame) -> list[dict[str, np.ndarray]]:
    """The rows to show: the strongest, and the strongest of each language; by test sample, sign."""
    overall = top.strongest(scores, min(STRONGEST, len(train)))
    languages = train["lang"].to_numpy()
    each = top.strongest_of_each(scores, OF_EACH_LANGUAGE, languages)
    tops = [overall, *each.values()]
    return [
        {
            sign: np.unique(np.concatenate([found[sign].rows[test] for found in tops]))
            for sign in SIGNS
        }
        for test in range(scores.sizes["test"])
    ]


class _Lookup:
    """What there is to say of the training samples shown, and of their translations.

    Parameters
    ----------
    scores, train
        The score cube and its training samples.
    shown
        For each test sample, sign → the rows shown.
    """

    def __init__(
        self, scores: xr.Dataset, train: pd.DataFrame, shown: list[dict[str, np.ndarray]]
    ) -> None:
        self.items, self.uids = train["item"].to_numpy(), train["uid"].to_numpy()
        self.of_item = train.groupby("item").indices if parallel(train) else {}
        self.rows = []  # for each test sample the rows shown and their translations, sorted
        for by_sign in shown:
            found = [int(row) for rows in by_sign.values() for row in rows]
            found += [other for row in found for other in self._translations(row)]
            self.rows.append(np.unique(found))
        self.values = top.values_at(scores, self.rows)
        self.ranks = top.ranks_at(scores, self.rows)
        self.terms = top.terms_at(scores, self.rows)  # (row, checkpoint, group) each
        self.dims = [dim for dim in ("checkpoint", "group") if dim in scores.dims]

    def _translations(self, row: int) -> list[int]:
        """The rows of a training sample's translations; none if the task is not parallel."""
        there = self.of_item.get(self.items[row], [])
        return [int(other) for other in there if other != row]

    def describe(self, test: int, sign: str, rows: np.ndarray) -> list[dict[str, Any]]:
        """The training samples `rows` of one test sample and sign, the strongest first."""
        place = {int(row): number for number, row in enumerate(self.rows[test])}
        ranks, values = self.ranks[sign][test], self.values[test]
        found = []
        for row in sorted(map(int, rows), key=lambda row: ranks[place[row]]):
            others = [(other, place[other]) for other in self._translations(row)]
            found.append(
                {
                    "uid": self.uids[row],
                    "rank": int(ranks[place[row]]),
                    "influence": _shorten(values[place[row]]),
                    "epochs": self._sum(self.terms[test][place[row]], "checkpoint"),
                    "groups": self._sum(self.terms[test][place[row]], "group"),
                    "translations": [
                        [self.uids[other], _shorten(values[at]), int(ranks[at])]
                        for other, at in others
                    ],
                }
            )
        return found

    def _sum(self, terms: np.ndarray, dim: str) -> list[float]:
        """The terms of one training sample, summed over all dimensions but `dim`."""
        if dim not in self.dims:
            return []
        others = tuple(axis for axis, name in enumerate(self.dims) if name != dim)
        return [_shorten(value) for value in terms.sum(others)]


def _find_mentioned(tests: list[dict[str, Any]]) -> set[str]:
    """The uids of all training samples that the test samples name, translations included."""
    rows = [row for test in tests for sign in SIGNS for row in test["rows"][sign]]
    uids = {row["uid"] for row in rows}
    return uids.union(uid for row in rows for uid, _, _ in row["translations"])


def _describe_texts(sample: Any) -> dict[str, Any]:
    """The texts of a sample, as far as they are there, its label and its phenomenon."""
    columns = (getattr(sample, name, None) for name in ("text_a", "text_b"))
    found: dict[str, Any] = {
        "texts": [text for text in columns if isinstance(text, str)],
        "label": int(sample.label),
    }
    if hasattr(sample, "phenomenon"):
        found["phenomenon"] = sample.phenomenon
    return found


def _shorten(value: float) -> float:
    return round(float(value), 4)
