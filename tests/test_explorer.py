"""The explorer's data on a cube small enough to check by hand."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from xl_influence import explorer, influence, pages, runs
from xl_influence.explorer import contents, near_duplicates, samples
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


def describe(run=None, task="xnli", **choice):
    data = explorer.describe(*(run or make_case()), TASKS[task], **({"top_k": 2} | choice))
    return data["index"], data["parts"]


def test_ranks_terms_and_translations():
    index, parts = describe()
    first = index["tests"][0]
    assert (first["uid"], first["confidence"]) == ("en9", 0.75)
    assert first["texts"] == [["<", ["b", "b"], ">"], [["b", "second"]]]  # they share no word
    assert first["shares"] == {"positive": {"en": 1, "de": 1}, "negative": {"en": 1, "de": 1}}
    best = parts["test-0"]["rows"]["positive"][0]
    assert best == {
        "uid": "en1",
        "lang": "en",
        "item": 1,
        "label": 0,
        "texts": ["text of en1"],
        "rank": 1,
        "influence": 0.75,
        "epochs": [0.5, 0.25],
        "groups": [0.75],
        "twin": False,
        "chunk": 0,
        "translations": [["de1", 0.75, 2, 0]],  # equal values: the earlier sample first
    }
    assert (index["epochs"], index["groups"]) == ([1, 2], ["all"])
    assert index["trained"] == {"en": 2, "de": 2}


def test_a_sample_says_in_how_many_models_with_other_seeds_it_is_found_again():
    run = make_case()
    scores, train, test = run
    other = scores.assign(dot=-scores["dot"])  # what helped hurts there
    index, parts = describe(others={"seed-1": run, "seed-2": (other, train, test)})
    assert index["seeds"] == 2
    found = {row["uid"]: row["again"] for row in parts["test-0"]["rows"]["positive"]}
    assert found == {"en1": 1, "de1": 1}  # top 2 of en9 in one model
    assert describe()[0]["seeds"] == 0


def test_a_list_holds_only_samples_of_its_sign():
    _, parts = describe()
    rows = parts["test-0"]["rows"]
    # influence on en9: 0.75, -0.25, 0.75 and 0
    assert [row["uid"] for row in rows["positive"]] == ["en1", "de1"]
    assert [row["uid"] for row in rows["negative"]] == ["en2"]


def test_the_english_text_of_the_same_item():
    index, parts = describe()
    german = index["tests"][1]
    assert german["english"] == ["<b>", "second"]
    row = next(row for row in parts["test-0"]["rows"]["positive"] if row["uid"] == "de1")
    assert row["english"] == ["text of en1"]
    assert "english" not in parts["test-0"]["rows"]["positive"][0]


def test_texts_that_are_not_among_the_test_samples_come_from_the_pool():
    cube, train, test = make_case()
    german = cube.isel(test=[1]), train, test.iloc[[1]].reset_index(drop=True)
    index, _ = describe(german)
    assert "english" not in index["tests"][0] and index["untested"] == {}
    index, _ = describe(german, pool=test)
    assert index["tests"][0]["english"] == ["<b>", "second"]
    assert list(index["untested"]) == ["9"] and list(index["untested"]["9"]) == ["en"]


def test_without_translations_where_the_task_is_not_parallel():
    cube, train, test = make_case()
    index, parts = describe(
        (cube, *(frame.assign(item=frame["uid"]) for frame in (train, test))), "marc"
    )
    rows = [row for rows in parts["test-0"]["rows"].values() for row in rows]
    assert rows
    assert not any(row["translations"] for row in rows)
    assert not index["parallel"] and "english" not in index["tests"][1]


def test_without_texts():
    cube, train, test = make_case()
    bare = (frame.drop(columns=["text_a", "text_b"]) for frame in (train, test))
    index, parts = describe((cube, *bare))
    assert (index["texts"], index["twins"]) == (False, None)
    assert index["tests"][0]["texts"] == [] and parts["train-0"]["de1"]["texts"] == []
    assert "text of" not in json.dumps(parts)


def test_each_language_and_label_is_there_however_low_it_ranks():
    texts = {"label": 0, "text_a": "a", "text_b": None}
    train = pd.DataFrame({"lang": ["en"] * 30 + ["de"] * 5, "item": range(35), **texts})
    train["uid"] = train["lang"] + train["item"].astype(str)
    test = pd.DataFrame([{"uid": "en99", "lang": "en", "item": 99, "confidence": 1, **texts}])
    cube = influence.from_values(np.arange(35, 0, -1.0)[None, None], train, test)
    index, parts = describe((cube, train, test), top_k=5)
    ranks = [row["rank"] for row in parts["test-0"]["rows"]["positive"]]
    assert ranks == [*range(1, 11), 31, 32, 33]
    assert (index["strongest"], index["of_each"]) == (10, 3)  # for the page
    # scores of up to 35 in one checkpoint are no cosines
    assert (index["limit"], index["bounded"]) == (35, False)


def test_the_scale_ends_at_the_number_of_epochs():
    index, parts = describe()
    assert (index["limit"], index["bounded"]) == (2, True)
    histogram = parts["test-0"]["histogram"]
    # bins of 0.1 from -2: en has 0.75 (bin 27) and -0.25 (bin 17), de has 0.75 and 0 (bin 20)
    assert [bin for bin, count in enumerate(histogram["own"]) if count] == [17, 27]
    assert [bin for bin, count in enumerate(histogram["other"]) if count] == [20, 27]
    assert sum(histogram["own"]) + sum(histogram["other"]) == 4


def test_the_way_back():
    _, parts = describe()
    training = parts["train"]
    assert training["chunks"] == [["en1", "en2", "de1", "de2"]]
    # top 2 of en9: en1, de1; of de9 (0, 0, 0, 1.5): de2, and en1 first among those with zero
    assert training["busiest"]["positive"] == [["en1", 2, 0], ["de1", 1, 0], ["de2", 1, 0]]
    sample = parts["train-0"]["de2"]
    assert sample["means"] == {"en": 0.0, "de": 1.5}
    assert sample["in_top"]["positive"] == 1
    assert sample["sways"] == {"positive": [[1, 1.5, 1, False]], "negative": []}


def test_translations_are_in_one_part():
    rows = [(lang, item) for lang in ("en", "de") for item in range(60)]
    train = pd.DataFrame(rows, columns=["lang", "item"]).assign(label=0, text_a="a", text_b=None)
    train["uid"] = train["lang"] + train["item"].astype(str)
    test = pd.DataFrame(
        [{"uid": "en99", "lang": "en", "item": 99, "label": 0, "confidence": 1, "text_a": "b"}]
    ).assign(text_b=None)
    cube = influence.from_values(np.linspace(0.1, 1, 120)[None, None], train, test)
    _, parts = describe((cube, train, test))
    sizes = [len(part) for part in parts["train"]["chunks"]]
    assert sizes == [50, 50, 20]
    assert {"en7", "de7"} <= set(parts["train-0"])


@pytest.mark.parametrize(
    ("confidence", "classes", "right", "predicted"),
    [
        (0.9, 2, True, 0),
        (0.2, 2, False, 1),
        (0.6, 3, True, 0),
        (0.4, 3, None, None),  # another class may have more, or not
        (0.2, 3, False, None),
    ],
)
def test_what_the_model_predicts(confidence, classes, right, predicted):
    sample = pd.Series({"label": 0, "confidence": confidence})
    found = samples.describe_prediction(sample, classes)
    assert (found["right"], found["predicted"]) == (right, predicted)


def test_words_in_which_a_pair_differs():
    found = samples.mark(["Ann met Bob & <u>", "Bob met Ann & <u>"])
    plain = [
        "".join(piece if isinstance(piece, str) else piece[1] for piece in text) for text in found
    ]
    assert plain == ["Ann met Bob & <u>", "Bob met Ann & <u>"]
    assert {piece[0] for text in found for piece in text if isinstance(piece, list)} == {"u"}
    assert samples.mark(["red old car", "car"])[0] == [["b", "red old"], " car"]
    assert samples.mark(["alone"]) == ["alone"]


def test_near_duplicates_by_template_and_label():
    test = pd.DataFrame({"lang": ["en"], "label": [1], "template": ["a"]})
    train = pd.DataFrame(
        {"lang": ["en", "de", "en"], "label": [1, 1, 0], "template": ["b", "a", "a"]}
    )
    assert near_duplicates.find_near_duplicates(train, test).tolist() == [[False, True, False]]


def test_near_duplicates_by_text_language_and_label():
    texts = ["the cat sat on the mat", "the cat sat on a mat", "dogs bark all night long", "z"]
    train = pd.DataFrame({"lang": ["en", "en", "en", "en"], "label": 1, "text_a": texts})
    train.loc[len(train)] = ["de", 1, texts[0]]
    train.loc[len(train)] = ["en", 0, texts[0]]
    test = pd.DataFrame({"lang": ["en"], "label": [1], "text_a": ["The cat sat on the mat"]})
    assert near_duplicates.name_rule(train, test) == "text"
    assert near_duplicates.find_near_duplicates(train, test).tolist() == [
        [True, True, False, False, False, False]
    ]


def test_shares_without_near_duplicates():
    cube, train, test = make_case()
    train, test = train.assign(template=["a", "b", "a", "b"]), test.assign(template="a")
    index, parts = describe((cube, train, test))
    part = parts["test-0"]
    assert index["twins"] == "template" and part["twins"] == 2  # en1 and de1, with label 0
    # what is left, en2 (-0.25) and de2 (0), the strongest first
    assert part["without"]["positive"] == {"en": 1, "de": 1}
    assert [row["twin"] for row in part["rows"]["positive"]] == [True, True]


def test_the_first_sample_is_furthest_from_chance():
    def one(lang, item, **counts):
        return {"lang": lang, "item": item, "shares": {"positive": counts}}

    tests = [one("en", 1, en=5, de=5), one("de", 1, en=1, de=9), one("en", 2, en=9, de=1)]
    # chance is 50 %: the second and the third deviate by 40 points; item 1 is in two languages
    assert contents.find_furthest_from_chance(tests, {"en": 50, "de": 50}) == (1, 0.4)


def test_written_whole_and_split_into_scripts(tmp_path):
    explorer.write(tmp_path, explorer.describe(*make_case(), TASKS["xnli"], top_k=2))
    assert [path.name for path in tmp_path.iterdir()] == ["explorer.json"]
    old = tmp_path / "site" / "xnli" / "test-99.js"
    old.parent.mkdir(parents=True)
    old.touch()
    pages.write_explorer(tmp_path / "explorer.json", tmp_path / "site" / "xnli.js")
    scripts = {
        path.relative_to(tmp_path / "site").as_posix(): path.read_text()
        for path in (tmp_path / "site").rglob("*.js")
    }
    assert set(scripts) == {"xnli.js"} | {
        f"xnli/{name}.js" for name in ("test-0", "test-1", "train", "train-0")
    }
    name, index = re.fullmatch(
        r"window\.explorer\[(.*?)\] = (.*);\n", scripts["xnli.js"], re.DOTALL
    ).groups()
    assert json.loads(name) == "xnli" and json.loads(index)["title"] == "XNLI"


def test_data_of_an_older_version_are_refused(tmp_path):
    (tmp_path / "explorer.json").write_text('{"tests": []}')
    with pytest.raises(runs.RunError, match=r"explorer\.json is of an older version: run notebook"):
        list(explorer.split(tmp_path / "explorer.json", "xnli"))
