"""The data of the book's explorer: for every test sample the training samples that matter most."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from . import influence, runs
from .charts import choose_colors
from .sharing import SIGNS, parallel, top_samples
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
    values = influence.influence(scores).to_numpy()  # (test, train)
    translations = _find_translations(train)
    tests = []
    for number, sample in enumerate(test.itertuples()):
        terms = influence.terms(scores.isel(test=number))
        added = terms.transpose("checkpoint", "group", "train").to_numpy()
        tests.append(
            _describe_test(sample, values[number], added, train, translations, top_k=top_k)
        )
    samples = train[train["uid"].isin(_find_mentioned(tests))]
    languages = dict.fromkeys([*train["lang"], *test["lang"]])
    names = {lang: name_language(lang) for lang in languages}
    colors = choose_colors(list(names.values()))
    return {
        "title": title or task.title,
        "classes": list(task.class_names),
        "languages": {lang: {"name": name, "color": colors[name]} for lang, name in names.items()},
        "epochs": [int(epoch) for epoch in scores["checkpoint"].to_numpy()],
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


def _find_translations(train: pd.DataFrame) -> list[list[int]]:
    """For every training sample the rows of its translations; none if the task is not parallel."""
    if not parallel(train):
        return [[] for _ in range(len(train))]
    of_item = train.groupby("item").indices
    return [
        [int(other) for other in of_item[item] if other != row]
        for row, item in enumerate(train["item"])
    ]


def _count_languages(lang: pd.Series, rows: np.ndarray | None = None) -> dict[str, int]:
    """How many of these rows, by default of all, are in each training language."""
    counts = (lang if rows is None else lang.iloc[rows]).value_counts()
    return {name: int(counts.get(name, 0)) for name in dict.fromkeys(lang)}


def _describe_test(
    sample: Any,
    values: np.ndarray,
    terms: np.ndarray,
    train: pd.DataFrame,
    translations: list[list[int]],
    *,
    top_k: int,
) -> dict[str, Any]:
    """One test sample: its texts and, by sign, its languages in the top k and its training samples.

    `values` (train) are the influences on it, and `terms` (checkpoint, group, train) are what these
    are sums of.
    """
    shares, rows = {}, {}
    for sign in SIGNS:
        order = top_samples(values[None], len(train), sign)[0]  # (train), strongest first
        shares[sign] = _count_languages(train["lang"], order[:top_k])
        rows[sign] = _describe_rows(order, values, terms, train, translations)
    return {
        "uid": sample.uid,
        "lang": sample.lang,
        "confidence": round(float(sample.confidence), 4),
        **_describe_texts(sample),
        "shares": shares,
        "rows": rows,
    }


def _choose(order: np.ndarray, lang: np.ndarray) -> list[int]:
    """The rows to show: the strongest, and the strongest of each language; strongest first."""
    seen: dict[str, int] = {}
    chosen = []
    for position, row in enumerate(order):
        seen[lang[row]] = seen.get(lang[row], 0) + 1
        if position < STRONGEST or seen[lang[row]] <= OF_EACH_LANGUAGE:
            chosen.append(int(row))
    return chosen


def _describe_rows(
    order: np.ndarray,
    values: np.ndarray,
    terms: np.ndarray,
    train: pd.DataFrame,
    translations: list[list[int]],
) -> list[dict[str, Any]]:
    """The training samples to show for one test sample and sign; `order`: all, strongest first."""
    rank = np.empty(len(order), dtype=int)
    rank[order] = np.arange(1, len(order) + 1)
    uids = train["uid"].to_numpy()
    return [
        {
            "uid": uids[row],
            "rank": int(rank[row]),
            "influence": _shorten(values[row]),
            "epochs": [_shorten(value) for value in terms[:, :, row].sum(1)],
            "groups": [_shorten(value) for value in terms[:, :, row].sum(0)],
            "translations": [
                [uids[other], _shorten(values[other]), int(rank[other])]
                for other in translations[row]
            ],
        }
        for row in _choose(order, train["lang"].to_numpy())
    ]


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
