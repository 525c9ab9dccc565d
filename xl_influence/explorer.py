"""What the book's explorer shows of a run: for every test sample the training samples that count most, as one JSON file."""

import json

import numpy as np

from . import influence, runs
from .charts import COLORS
from .sharing import SIGNS, parallel, top_samples
from .tasks import LANGUAGES

STRONGEST = 10  # training samples of each sign that are shown for a test sample
OF_EACH = 3  # and of each training language


def describe(scores, train, test, task, *, top_k, title=None):
    """The explorer's data.

    Returns
    -------
    dict
        `tests`: for every test sample its texts, `shares` (sign → language → samples in the top k) and, by sign, `rows` of
        training samples: `uid`, `rank` (from 1), `influence`, and what each `epoch` and each parameter `group` adds to it,
        in the order of `epochs` and `groups`; in a parallel task the `translations` (uid, influence, rank) as well.
        `samples`: uid → the texts of every training sample that is mentioned; empty lists where the run has no texts.
        `title`: what the data are called, the task's by default.
    """
    values = influence.influence(scores).to_numpy()
    of_item = train.groupby("item").indices if parallel(train) else {}
    mentioned, tests = set(), []
    for number, sample in enumerate(test.itertuples()):
        terms = (
            influence.terms(scores.isel(test=number))
            .transpose("checkpoint", "group", "train")
            .to_numpy()
        )
        entry = {
            "uid": sample.uid,
            "lang": sample.lang,
            "confidence": round(float(sample.confidence), 4),
        }
        entry |= _texts(sample) | {"shares": {}, "rows": {}}
        for sign in SIGNS:
            order = top_samples(values[[number]], len(train), sign)[0]
            rank = np.empty(len(train), dtype=int)
            rank[order] = np.arange(1, len(train) + 1)
            counts = train["lang"].iloc[order[:top_k]].value_counts()
            entry["shares"][sign] = {
                lang: int(counts.get(lang, 0)) for lang in dict.fromkeys(train["lang"])
            }
            entry["rows"][sign] = []
            for row in _chosen(order, train["lang"].to_numpy()):
                versions = [
                    other for other in of_item.get(train["item"].iloc[row], []) if other != row
                ]
                mentioned |= {row, *versions}
                entry["rows"][sign].append(
                    {
                        "uid": train["uid"].iloc[row],
                        "rank": int(rank[row]),
                        "influence": _short(values[number, row]),
                        "epochs": [_short(value) for value in terms[:, :, row].sum(1)],
                        "groups": [_short(value) for value in terms[:, :, row].sum(0)],
                        "translations": [
                            [
                                train["uid"].iloc[other],
                                _short(values[number, other]),
                                int(rank[other]),
                            ]
                            for other in versions
                        ],
                    }
                )
        tests.append(entry)
    languages = dict.fromkeys([*train["lang"], *test["lang"]])
    samples = train.iloc[sorted(mentioned)]
    return {
        "title": title or task.title,
        "classes": list(task.class_names),
        "languages": {
            lang: {"name": LANGUAGES.get(lang, lang), "color": COLORS.get(lang, "gray")}
            for lang in languages
        },
        "epochs": [int(epoch) for epoch in scores["checkpoint"].to_numpy()],
        "groups": [str(group) for group in scores["group"].to_numpy()],
        "trained": {
            lang: int(count) for lang, count in train["lang"].value_counts(sort=False).items()
        },
        "top_k": top_k,
        "samples": {
            sample.uid: {"lang": sample.lang} | _texts(sample) for sample in samples.itertuples()
        },
        "tests": tests,
    }


def write(folder, scores, train, test, task, *, top_k, title=None):
    """Leave `describe` as `explorer.json` in a folder."""
    with runs.write_atomically(folder / "explorer.json") as path:
        data = describe(scores, train, test, task, top_k=top_k, title=title)
        path.write_text(
            json.dumps(data, ensure_ascii=False, separators=(",", ":")), encoding="utf-8"
        )


def _chosen(order, lang):
    """Rows to show: the strongest, and the strongest of each language; strongest first."""
    seen, chosen = {}, []
    for position, row in enumerate(order):
        seen[lang[row]] = seen.get(lang[row], 0) + 1
        if position < STRONGEST or seen[lang[row]] <= OF_EACH:
            chosen.append(int(row))
    return chosen


def _texts(sample):
    texts = [
        text
        for text in (getattr(sample, "text_a", None), getattr(sample, "text_b", None))
        if isinstance(text, str)
    ]
    phenomenon = {"phenomenon": sample.phenomenon} if hasattr(sample, "phenomenon") else {}
    return {"texts": texts, "label": int(sample.label)} | phenomenon


def _short(value):
    return round(float(value), 4)
