"""Loaders, label maps and draws, from the demo corpora and from clones that we make here."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT

from xl_influence import data, demo, params, sources
from xl_influence.tasks import SPLITS, TASKS

BESIDE = ROOT.parent / "shared" / "data"  # a folder of clones beside the checkout
CLONES = Path(os.environ.get("XL_DATA_ROOT", BESIDE)).expanduser()
XNLI = ("en", "de", "es", "fr", "ru")
ROWS = 30  # in each split of a clone made here
TRAIN_SIZE, DEV_SIZE = 20, 6  # per language


def xnli_clone(root, change=None, languages=XNLI):
    """A clone of facebook/xnli with invented rows; `change(lang, split, frame)` may spoil one."""
    folder = root / "facebook" / "xnli"
    configs = []
    for lang in languages:
        files = []
        for split in SPLITS:
            frame = pd.DataFrame(
                {
                    "premise": [f"{lang} premise {i}" for i in range(ROWS)],
                    "hypothesis": "h",
                    "label": [0, 1, 2] * (ROWS // 3),
                }
            )
            frame = frame if change is None else change(lang, split, frame)
            if frame is None:
                continue
            path = folder / lang / f"{split}-00000-of-00001.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            frame.to_parquet(path)
            files.append(f"  - split: {split}\n    path: {lang}/{split}-*")
        configs.append(f"- config_name: {lang}\n  data_files:\n" + "\n".join(files))
    (folder / "README.md").write_text("---\nconfigs:\n" + "\n".join(configs) + "\n---\n")
    return root


def merged(root, **given):
    base = {
        "study": "cpu",
        "task": "xnli",
        "data_root": str(root),
        "train_size": TRAIN_SIZE,
        "dev_size": DEV_SIZE,
        "top_k": 5,
    }
    return params.merge(base | given)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def test_xnli_from_a_clone(tmp_path):
    samples = data.load(merged(xnli_clone(tmp_path)))
    train = samples["train"]
    assert list(train.columns[:6]) == ["uid", "lang", "item", "label", "text_a", "text_b"]
    assert list(dict.fromkeys(train["lang"])) == list(XNLI)
    assert (train.groupby("lang").size() == TRAIN_SIZE).all()
    assert (train["uid"] == train["lang"] + train["item"].astype(str)).all()
    items = train.groupby("lang")["item"].apply(tuple)
    assert items.nunique() == 1, "every language has the same items"
    assert (train["label"] == (train["item"] % 3 == 0)).all()  # entailment or not
    assert (train["text_a"] == train["lang"] + " premise " + train["item"].astype(str)).all()
    assert len(samples["validation"]) == len(XNLI) * DEV_SIZE
    assert len(samples["test"]) == len(XNLI) * ROWS


def test_the_seed_draws(tmp_path):
    root = xnli_clone(tmp_path)
    first, again, other = (
        data.load(merged(root, data_seed=seed))["train"]["uid"].tolist() for seed in (0, 0, 1)
    )
    assert first == again != other


def test_marc_is_not_parallel_and_leaves_three_stars_out(tmp_path):
    for lang in ("en", "de", "es", "fr", "zh"):
        folder = tmp_path / "SetFit" / f"amazon_reviews_multi_{lang}"
        folder.mkdir(parents=True)
        for split in SPLITS:
            rows = [
                {
                    "id": f"{lang}_{i}",
                    "text": f"{lang} {split} {i}",
                    "label": i % 5,
                    "label_text": "x",
                }
                for i in range(50)
            ]
            (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    train = data.load(merged(tmp_path, task="marc"))["train"]
    assert train["text_b"].isna().all()
    assert not (train["item"] % 5 == 2).any()
    assert (train["label"] == (train["item"] % 5 > 2)).all()
    assert train.groupby("lang")["item"].apply(tuple).nunique() > 1


def spoil(**columns):
    """A change to item 4 of German training rows."""

    def change(lang, split, frame):
        if (lang, split) == ("de", "train"):
            for column, value in columns.items():
                frame.loc[4, column] = value
        return frame

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda lang, split, frame: None if (lang, split) == ("ru", "train") else frame,
            "XNLI, ru, train .*no such language or split",
        ),
        (
            lambda lang, split, frame: frame.head(9) if lang == "fr" else frame,
            "20 samples per language asked for, 9 items",
        ),
        (spoil(label=7), "XNLI, de, train .*unknown label 7; allowed are 0, 1, 2"),
        (spoil(label=0), "misaligned translations: item 4 is labelled 0 in en and 1 in de"),
        (spoil(hypothesis="  "), "empty text in text_b, item 4"),
        (spoil(premise=None), "empty text in text_a, item 4"),
        (
            lambda lang, split, frame: frame.drop(columns="label"),
            "no column 'label'; there are premise, hypothesis",
        ),
    ],
)
def test_bad_data_are_refused_with_the_place(tmp_path, change, message):
    with pytest.raises(data.DataError, match=message):
        data.load(merged(xnli_clone(tmp_path, change)))


def test_a_missing_language_and_a_missing_clone_are_named(tmp_path):
    with pytest.raises(data.DataError, match="XNLI, ru"):
        data.load(merged(xnli_clone(tmp_path, languages=XNLI[:4])))
    with pytest.raises(
        data.DataError, match="no folder google-research-datasets/paws-x in data_root"
    ):
        data.load(merged(tmp_path, task="pawsx"))


def test_changed_data_change_the_fingerprint(tmp_path):
    before = sources.fingerprint(merged(xnli_clone(tmp_path)))
    assert before == sources.fingerprint(merged(xnli_clone(tmp_path)))
    assert before != sources.fingerprint(merged(xnli_clone(tmp_path, spoil(premise="other"))))


@pytest.mark.parametrize("task", TASKS)
def test_demo_corpora(task):
    rows = pd.DataFrame(demo.load(task))
    train = rows[rows["split"] == "train"]
    kept = train[train["label"].map(TASKS[task].demo_classes or TASKS[task].classes).notna()]
    assert (kept.groupby("lang")["item"].nunique() >= 400).all()
    assert kept["lang"].nunique() == 5
    assert (rows.groupby("lang")["template"].nunique() >= 30).all()
    text = rows["text_a"] + " " + rows["text_b"].fillna("")
    assert not text.str.contains(r"[{}]|  ").any()
    pair = rows[["lang", "text_a", "text_b"]].fillna("").agg("|".join, axis=1)
    assert (rows.groupby(pair)["split"].nunique() == 1).all(), "a sample crosses splits"
    assert (rows.groupby(pair)["label"].nunique() == 1).all(), "a sample has two labels"
    if TASKS[task].parallel:
        assert (rows.groupby(["split", "item"])["lang"].nunique() == 5).all()
        assert (rows.groupby(["split", "item"])["label"].nunique() == 1).all()
        positive = rows["label"].map(TASKS[task].classes) == 1
        assert (positive.groupby(rows["phenomenon"]).mean() == 0.5).all(), (
            "a phenomenon tells the label"
        )
        both = positive.groupby(rows["template"]).nunique() == 2
        assert both.mean() == pytest.approx(1 / 3), "a third of the templates are minimal pairs"


@pytest.mark.data
@pytest.mark.skipif(
    not CLONES.is_dir(),
    reason=f"no folder {CLONES}: set the environment variable XL_DATA_ROOT to a folder with clones "
    "of the data sets, as for the parameter data_root",
)
@pytest.mark.parametrize("task", TASKS)
def test_real_clones(task):
    train_size = 500
    given = {"study": "cpu", "task": task, "data_root": str(CLONES), "train_size": train_size}
    train = data.load(params.merge(given))["train"]
    assert (train.groupby("lang").size() == train_size).all()
    assert set(train["label"]) == {0, 1}


def test_planted_translations_are_in_one_language_and_leave_the_test_samples():
    count = 7
    given = params.merge({"study": "smoke", "task": "pawsx", "planted": count})
    plain, planted = data.load(given | {"planted": 0}), data.load(given)
    assert (planted["train"]["lang"].value_counts() == given["train_size"]).all()
    items = set(planted["train"]["item"]) & set(planted["test"]["item"])
    assert len(items) == count
    assert not set(plain["train"]["item"]) & set(plain["test"]["item"])
    both = planted["train"][planted["train"]["item"].isin(items)]
    assert both["item"].is_unique
    assert set(both["lang"]) == set(given["languages"])
    assert not set(both["uid"]) & set(planted["test"]["uid"])
    assert len(planted["test"]) == len(plain["test"]) - count
    without = data.load(params.with_variant(given, "without-es"))
    assert list(without["test"]["uid"]) == list(planted["test"]["uid"])
    assert "es" not in set(without["train"]["lang"])


def test_translations_are_planted_only_where_there_are_any():
    given = params.merge({"study": "smoke", "task": "marc"})
    plain, planted = data.load(given), data.load(given | {"planted": 7})
    pd.testing.assert_frame_equal(planted["train"], plain["train"])
    with pytest.raises(data.DataError, match="only the demo corpora"):
        data.plant(given | {"data": "hub", "planted": 7}, TASKS["xnli"], {})


def test_a_larger_draw_begins_with_the_smaller():
    given = params.merge({"study": "smoke", "task": "marc"})
    base = data.load(given)["train"]
    more = data.load(params.with_variant(given, "plus-50-de"))["train"]
    for lang, part in base.groupby("lang"):
        larger = more[more["lang"] == lang]
        assert list(larger["uid"])[: len(part)] == list(part["uid"])
        assert len(larger) == len(part) * (1.5 if lang == "de" else 1)


@pytest.mark.parametrize("short", ["en", None])
def test_a_language_with_fewer_items_than_the_others_is_named(tmp_path, short):
    """Without it the others share more items, so no variant can leave it out."""

    def shorten(lang, split, frame):
        return frame.head(ROWS - 3) if lang == short else frame

    _, uneven, _ = data.load_for_variants(merged(xnli_clone(tmp_path, shorten)))
    assert uneven == ([short] if short else [])
