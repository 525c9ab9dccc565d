"""Loaders, label maps and draws, from the demo corpora and from clones that we make here."""

import json
import os
from pathlib import Path

import fake_hub
import pandas as pd
import pytest
from conftest import ROOT

from xl_influence import data, demo, params, sources, translations
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
            "20 samples per language asked for, but there are only 9 items",
        ),
        (spoil(label=7), "XNLI, de, train .*unknown label 7; allowed are 0, 1, 2"),
        (spoil(label=0), "misaligned translations: item 4 is labelled 0 in en and 1 in de"),
        # neutral and contradiction are one class, but not the same
        (spoil(label=2), "item 4 is labelled 1 in en and 2 in de"),
        (
            lambda lang, split, frame: frame.drop(columns="label"),
            "no column 'label'; there are premise, hypothesis",
        ),
    ],
)
def test_bad_data_are_refused_with_the_place(tmp_path, change, message):
    with pytest.raises(data.DataError, match=message):
        data.load(merged(xnli_clone(tmp_path, change)))


@pytest.mark.parametrize(
    "columns",
    [
        {"hypothesis": "  "},
        {"premise": None},
        {"premise": "\u200b\ufeff"},  # invisible
        {"premise": "\u00a0\u3000"},
        {"label": -1},
    ],
)
def test_an_item_that_one_language_lacks_leaves_in_all_and_is_counted(tmp_path, columns):
    samples, untranslated = data.load_and_count(merged(xnli_clone(tmp_path, spoil(**columns))))
    assert untranslated["train"] == {"items": 1, "rows": dict.fromkeys(XNLI, 0) | {"de": 1}}
    assert untranslated["test"] == {"items": 0, "rows": dict.fromkeys(XNLI, 0)}
    assert 4 not in set(samples["train"]["item"]) and 4 in set(samples["test"]["item"])


def pawsx_clone(root, rows=30):
    """A clone of PAWS-X as the hub has it, see `fake_hub.UNTRANSLATED`."""
    folder = root / "google-research-datasets" / "paws-x"
    card = ["---", "configs:"]
    for lang in ("en", "de", "es", "fr", "ko"):
        (folder / lang).mkdir(parents=True)
        card += [f"- config_name: {lang}", "  data_files:"]
        for split in SPLITS:
            frame = pd.DataFrame({"id": range(1, rows + 1), "label": [0, 1] * (rows // 2)})
            frame["text_a"] = lang + " one " + frame["id"].astype(str)
            frame["text_b"] = lang + " two " + frame["id"].astype(str)
            for row, values in fake_hub.UNTRANSLATED.get(lang, {}).items():
                frame.loc[row, list(values)] = list(values.values())
            frame = frame.rename(columns={"text_a": "sentence1", "text_b": "sentence2"})
            frame.to_json(folder / lang / f"{split}.jsonl", orient="records", lines=True)
            card += [f"  - split: {split}", f"    path: {lang}/{split}.jsonl"]
    (folder / "README.md").write_text("\n".join([*card, "---", ""]))
    return root


def test_rows_of_pawsx_that_were_never_translated_leave_in_all_languages(tmp_path):
    given = merged(pawsx_clone(tmp_path), task="pawsx")
    samples, untranslated = data.load_and_count(given)
    rows = {"en": 0, "de": 2, "es": 1, "fr": 1, "ko": 1}
    assert untranslated == {split: {"items": 5, "rows": rows} for split in SPLITS}
    left = {3, 4, 5, 6, 7}  # `id` begins at 1
    for lang, part in samples["test"].groupby("lang"):
        assert set(part["item"]) == set(range(1, 31)) - left, lang
    # A run without a language draws the same items as the others, and so does `make prepare`.
    without = data.load(params.with_variant(given, "without-ko"))["train"]
    train = samples["train"]
    pd.testing.assert_frame_equal(without, train[train["lang"] != "ko"].reset_index(drop=True))
    _, uneven, counted = data.load_for_variants(given)
    assert (uneven, counted) == ([], untranslated)
    message = r"26 samples .* 25 items .*\(5 dropped: .*: 2 in de, 1 in es, 1 in fr, 1 in ko\)"
    with pytest.raises(data.DataError, match=message):
        data.load(given | {"train_size": 26})


def reorder(order):
    """A change to the places of German training rows; the labels stay where they are."""

    def change(lang, split, frame):
        if (lang, split) == ("de", "train"):
            texts = ["premise", "hypothesis"]
            frame[texts] = frame.loc[order(len(frame)), texts].to_numpy()
        return frame

    return change


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (
            lambda n: [*range(3, n), 0, 1, 2],
            "de beside en: rows 0 to 26 belong 3 rows further down",
        ),
        (lambda n: [n - 1, *range(n - 1)], "de beside en: rows 1 to 29 belong 1 row further up"),
        (lambda n: [*range(5), 8, 6, 7, 5, *range(9, n)], "rows 5 and 8 have changed places"),
    ],
)
def test_rows_in_the_wrong_place_are_named(tmp_path, order, message):
    """XNLI has only their order, and equal labels do not tell."""
    with pytest.raises(data.DataError, match=f"XNLI, train: misaligned translations: .*{message}"):
        data.load(merged(xnli_clone(tmp_path, reorder(order))))


def test_the_order_of_one_language_beside_all_others_is_that_languages_fault():
    texts = pd.DataFrame({"text_a": [f"Premise {i}" for i in range(40)], "text_b": None})
    moved = texts.loc[[39, *range(39)]].reset_index(drop=True)
    found = translations.describe_misplaced({"en": moved, "de": texts, "fr": texts})
    assert found.startswith("en beside de, fr: rows 1 to 39 belong 1 row further up")
    assert translations.describe_misplaced({"en": texts, "de": texts, "fr": texts}) is None


def test_a_missing_language_and_a_missing_clone_are_named(tmp_path):
    with pytest.raises(data.DataError, match="XNLI, ru"):
        data.load(merged(xnli_clone(tmp_path, languages=XNLI[:4])))
    with pytest.raises(
        data.DataError, match="no folder google-research-datasets/paws-x in data_root"
    ):
        data.load(merged(tmp_path, task="pawsx"))


def test_changed_data_change_the_fingerprint(tmp_path):
    before = sources.hash_source(merged(xnli_clone(tmp_path)))
    assert before == sources.hash_source(merged(xnli_clone(tmp_path)))
    assert before != sources.hash_source(merged(xnli_clone(tmp_path, spoil(premise="other"))))


def test_a_clone_is_read_again_when_it_changed_or_lies_elsewhere(tmp_path):
    """The cards of these clones are the same, by which `datasets` knows them."""
    first = xnli_clone(tmp_path / "first")
    data.load(merged(first))
    other = xnli_clone(tmp_path / "other", spoil(premise="elsewhere 4"))
    texts = data.load(merged(other) | {"train_size": ROWS})["train"]["text_a"]
    assert "elsewhere 4" in set(texts)
    xnli_clone(tmp_path / "first", spoil(premise="changed 4"))
    texts = data.load(merged(first) | {"train_size": ROWS})["train"]["text_a"]
    assert "changed 4" in set(texts)


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
