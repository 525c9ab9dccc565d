"""The explorer's data on a cube small enough to check by hand."""

import json

import numpy as np
import pandas as pd

from xl_influence import explorer, influence
from xl_influence.tasks import TASKS


def make_case():
    """Two test samples, four training samples of two items in two languages, two checkpoints."""
    train = pd.DataFrame(
        {"lang": ["en", "en", "de", "de"], "item": [1, 2, 1, 2], "label": [0, 1, 0, 1]}
    )
    train["uid"] = train["lang"] + train["item"].astype(str)
    train["text_a"], train["text_b"] = "text of " + train["uid"], None
    test = pd.DataFrame(
        {"uid": ["en9", "de9"], "lang": ["en", "de"], "item": 9, "label": 0, "confidence": 0.75}
    )
    test["text_a"], test["text_b"] = "<b>", "second"
    values = np.array(
        [
            [[0.5, -0.25, 0.25, 0.0], [0.0, 0.5, 0.0, 1.0]],
            [[0.25, 0.0, 0.5, 0.0], [0.0, -0.5, 0.0, 0.5]],
        ]
    )
    return influence.from_values(values, train, test), train, test


def test_ranks_terms_and_translations():
    data = explorer.describe(*make_case(), TASKS["xnli"], top_k=2)
    first = data["tests"][0]
    assert (first["uid"], first["texts"], first["confidence"]) == ("en9", ["<b>", "second"], 0.75)
    assert first["shares"] == {"positive": {"en": 1, "de": 1}, "negative": {"en": 1, "de": 1}}
    best = first["rows"]["positive"][0]
    assert best == {
        "uid": "en1",
        "rank": 1,
        "influence": 0.75,
        "epochs": [0.5, 0.25],
        "groups": [0.75],
        "translations": [["de1", 0.75, 2]],  # equal values: the earlier sample first
    }
    assert [row["uid"] for row in first["rows"]["negative"]] == ["en2", "de2", "en1", "de1"]
    assert (data["epochs"], data["groups"]) == ([1, 2], ["all"])
    assert data["trained"] == {"en": 2, "de": 2}
    assert data["samples"]["de2"] == {"lang": "de", "texts": ["text of de2"], "label": 1}


def test_without_translations_where_the_task_is_not_parallel():
    cube, train, test = make_case()
    data = explorer.describe(cube, train.assign(label=[0, 1, 1, 1]), test, TASKS["marc"], top_k=2)
    rows = [row for one in data["tests"] for rows in one["rows"].values() for row in rows]
    assert rows
    assert not any(row["translations"] for row in rows)


def test_each_language_is_there_however_low_it_ranks():
    texts = {"label": 0, "text_a": "a", "text_b": None}
    train = pd.DataFrame({"lang": ["en"] * 30 + ["de"] * 5, "item": range(35), **texts})
    train["uid"] = train["lang"] + train["item"].astype(str)
    test = pd.DataFrame([{"uid": "en99", "lang": "en", "item": 99, "confidence": 1, **texts}])
    cube = influence.from_values(np.arange(35, 0, -1.0)[None, None], train, test)
    data = explorer.describe(cube, train, test, TASKS["xnli"], top_k=5)
    ranks = [row["rank"] for row in data["tests"][0]["rows"]["positive"]]
    assert ranks == [*range(1, 11), 31, 32, 33]
    assert (data["strongest"], data["of_each_language"]) == (10, 3)  # for explorer.js


def test_written_whole(tmp_path):
    explorer.write(tmp_path, *make_case(), TASKS["xnli"], top_k=2)
    assert json.loads((tmp_path / "explorer.json").read_text())["title"] == "XNLI"
    assert [path.name for path in tmp_path.iterdir()] == ["explorer.json"]
