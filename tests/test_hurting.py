"""Samples that are wrong on purpose: what is changed, what finds them, whom they hurt."""

import json

import numpy as np
import pandas as pd
import pytest
from made_up_runs import given_at_random

from xl_influence import corruption, data, inputs, params, runs, scores
from xl_influence.manifest import read_manifest
from xl_influence.methods import detection, evidence, harm, hurting, suspects, suspicion
from xl_influence.methods import hurting_sentences as sentences
from xl_influence.sharing import Bootstrap

FEW = Bootstrap(200)
LANGUAGES = ["en", "de", "es"]


def config(**changes):
    return params.merge({"study": "smoke", "task": "pawsx", **changes})


@pytest.fixture
def train():
    """Twenty items in three languages; a text says which row it was drawn for."""
    rows = [(lang, item) for lang in LANGUAGES for item in range(20)]
    frame = pd.DataFrame(rows, columns=["lang", "item"])
    frame["uid"] = frame["lang"] + frame["item"].astype(str)
    frame["label"] = frame["item"] % 2
    return frame.assign(text_a="a " + frame["uid"], text_b="b " + frame["uid"])


# ------------------------------------------------------------------------- what is changed


def test_without_corruption_nothing_changes(train):
    found, order = corruption.corrupt(config(languages=LANGUAGES), train)
    assert found is train and (order == np.arange(60)).all()


def test_labels_are_flipped_in_each_language_and_recorded(train):
    chosen = config(languages=LANGUAGES, flip_share=0.1, corruption_seed=5)
    found, order = corruption.corrupt(chosen, train)
    assert found.groupby("lang")["flipped"].sum().to_dict() == {"en": 2, "de": 2, "es": 2}
    assert (found["true_label"] == train["label"]).all()
    assert ((found["label"] != found["true_label"]) == found["flipped"]).all()
    assert (order == np.arange(60)).all() and (found["text_a"] == train["text_a"]).all()
    again, _ = corruption.corrupt(chosen, train)
    assert again.equals(found), "the seed decides"
    other, _ = corruption.corrupt(chosen | {"corruption_seed": 6}, train)
    assert (other["flipped"] != found["flipped"]).any()


def test_languages_have_draws_of_their_own(train):
    chosen = config(languages=LANGUAGES, flip_share=0.5)
    found, _ = corruption.corrupt(chosen, train)
    items = [set(part.loc[part["flipped"], "item"]) for _, part in found.groupby("lang")]
    assert len(set(map(frozenset, items))) == 3


def test_texts_are_exchanged_within_a_language_and_no_row_keeps_its_own(train):
    chosen = config(languages=LANGUAGES, swap_share=0.25)
    found, order = corruption.corrupt(chosen, train)
    assert found.groupby("lang")["swapped"].sum().to_dict() == {"en": 5, "de": 5, "es": 5}
    for column in ("text_a", "text_b"):
        assert (found[column].to_numpy() == train[column].to_numpy()[order]).all()
        assert ((found[column] != train[column]) == found["swapped"]).all()
        assert sorted(found[column]) == sorted(train[column]), "texts move, none is lost"
    assert (found["lang"].to_numpy() == train["lang"].to_numpy()[order]).all()
    assert found[["uid", "lang", "item", "label"]].equals(train[["uid", "lang", "item", "label"]])
    assert (found["true_label"].to_numpy() == train["label"].to_numpy()[order]).all()


def test_only_the_training_samples_of_a_run_are_changed():
    clean = inputs.load(config())
    for changes in ({"flip_share": 0.25}, {"swap_share": 0.25}):
        found = inputs.load(config(**changes))
        for split in ("validation", "test"):
            assert found.samples[split].equals(clean.samples[split])
            assert found.sequences[split] == clean.sequences[split]
        assert found.data_fingerprint == clean.data_fingerprint, "of the samples as drawn"
        assert (found.kept == clean.kept).all()
    moved = found.samples["train"]["swapped"].to_numpy()
    pairs = zip(found.sequences["train"], clean.sequences["train"], strict=True)
    differs = np.array([a != b for a, b in pairs])
    assert moved.sum() == 5 * 6 and not (differs & ~moved).any() and differs.sum() > 20


def test_a_corruption_that_is_not_possible_is_refused(train):
    with pytest.raises(data.DataError, match=r"flip_share=0.01: 0 of 20 samples in 'en'"):
        corruption.corrupt(config(flip_share=0.01), train)
    with pytest.raises(data.DataError, match=r"swap_share=0.05: 1 of 20 .* two or more"):
        corruption.corrupt(config(swap_share=0.05), train)
    reviews = params.merge({"study": "smoke", "task": "marc", "swap_share": 0.1})
    with pytest.raises(data.DataError, match=r"swap_share=0.1: the samples of marc are not transl"):
        corruption.corrupt(reviews, train)


# ------------------------------------------------------------------------- what finds them


def draws_at_random(n, strength):
    """`n` trainings of 2 × 100 samples, 10 of each language wrong; `strength`: how they stand out.

    Languages have very different scores, which must not matter.
    """
    rng = np.random.default_rng(0)
    lang = pd.Series(["en"] * 100 + ["de"] * 100)
    found = []
    for _ in range(n):
        marked = np.zeros(200, bool)
        marked[[*rng.choice(100, 10, replace=False), *(100 + rng.choice(100, 10, False))]] = True
        level = np.where(lang == "en", 0, 1000)
        known = level + strength * marked + rng.normal(size=200)
        values = {"known": known, "constant": np.ones(200), "random": rng.random(200)}
        found.append(detection.Draw(values, lang, marked))
    return found


def test_the_auroc_over_draws_is_that_of_the_normal_distribution():
    # a normal score that is 1 higher where the label is wrong: P(x + 1 > y) = Φ(1 / √2) = 0.760
    found = detection.find_marked(draws_at_random(20, 1.0), bootstrap=FEW)
    table = found.set_index(["score", "language"])
    row = table.loc[("known", "all")]
    assert row["auroc"] == pytest.approx(0.760, abs=0.03)
    assert row["ci_low"] < 0.760 < row["ci_high"] < row["ci_low"] + 0.1
    assert row[["marked", "samples", "draws"]].tolist() == [400, 4000, 20]
    assert table.loc[("constant", "all"), ["auroc", "ci_low", "ci_high"]].tolist() == [0.5] * 3
    assert table.loc[("random", "all"), "ci_low"] < 0.5 < table.loc[("random", "all"), "ci_high"]
    by_language = table.loc["known"].loc[["en", "de"], "auroc"]
    assert by_language.mean() == pytest.approx(row["auroc"])


def test_one_draw_gives_the_auroc_by_hand():
    lang, marked = pd.Series(["en"] * 4), np.array([True, True, False, False])
    draw = detection.Draw({"x": np.array([3.0, 1.0, 2.0, 1.0])}, lang, marked)
    # pairs: 3 > 2, 3 > 1, 1 < 2, 1 = 1: (2 + 0 + 0.5) / 4
    assert detection.find_marked([draw])["auroc"].tolist() == [0.625, 0.625]
    ignored = draw._replace(ignored=np.array([False, True, False, False]))
    assert detection.find_marked([ignored._replace(marked=marked & ~ignored.ignored)])[
        "auroc"
    ].tolist() == [1, 1]


def test_repeated_random_scores_count_by_their_mean():
    lang, marked = pd.Series(["en"] * 4), np.array([True, True, False, False])
    twice = np.array([[4.0, 3.0, 2.0, 1.0], [4.0, 1.0, 3.0, 2.0]])  # 1, and (2 + 0) / 4
    draw = detection.Draw({"x": twice}, lang, marked)
    assert detection.find_marked([draw])["auroc"].tolist() == [0.75, 0.75]


def test_the_counted_bootstrap_is_the_plain_one():
    draw = draws_at_random(1, 1.0)[0]
    above, below = detection._split(draw, "known", "en")
    low, high = detection._interval([detection._compare(above, below)], FEW)
    wins = (above[0][:, None] > below[0]) + 0.5 * (above[0][:, None] == below[0])

    def plain(a, b, axis):
        return np.array([wins[np.ix_(x, y)].mean() for x, y in zip(a, b, strict=True)])

    assert (low, high) == pytest.approx(detection.interval_of(plain, list(wins.shape), FEW))


def test_every_score_is_high_where_it_should_be():
    given, gradients = given_at_random()
    n = len(given.train)
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(2), size=(2, n))
    values, reasons = suspicion.compute_suspicion(given, probabilities)
    assert set(values) | set(reasons) == set(suspicion.SCORES)
    lengths = sum((part[1] ** 2).sum((0, 2)) for part in gradients.values())
    assert values[suspicion.NORM] == pytest.approx(lengths)
    assert np.ptp(values[suspicion.COSINE_SELF]) < 1e-9, "constant, so it finds nothing"
    assert values[suspicion.COSINE] == pytest.approx(-given.cosine.sum(0))
    given_label = probabilities[:, np.arange(n), given.train["label"]]
    assert values[suspicion.CONFIDENCE] == pytest.approx(1 - given_label[1])
    assert values[suspicion.LOSS] == pytest.approx(-np.log(given_label).sum(0))
    assert suspicion.losses(np.array([0.0]))[0] < np.inf
    streams = [np.random.default_rng([0, stream]).random(n) for stream in range(9)]
    assert values[suspicion.RANDOM].shape[1] == n
    assert not any((values[suspicion.RANDOM] == each).any() for each in streams), (
        "which samples are changed is drawn with these"
    )


def test_cleanlab_is_used_if_it_is_installed(monkeypatch):
    given, _ = given_at_random()
    probabilities = np.full((2, len(given.train), 2), 0.5)
    monkeypatch.setattr(suspicion.importlib.util, "find_spec", lambda name: None)
    assert suspicion.compute_suspicion(given, probabilities)[1] == {
        suspicion.CLEANLAB: "not installed"
    }
    monkeypatch.setattr(suspicion.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(suspicion, "_label_quality", lambda labels, found: found[:, 0])
    values, reasons = suspicion.compute_suspicion(given, probabilities)
    assert (values[suspicion.CLEANLAB] == 0.5).all() and not reasons


# ------------------------------------------------------------------------- whom they hurt


def harmed_by_hand(favour):
    """Three languages, 8 items; in each language, 10 of 100 samples are wrong.

    The most harmful samples of every test sample are wrong ones: of its own language if `favour`
    is 'own', otherwise of all languages alike.
    """
    names = ["en", "de", "es"]
    train = pd.DataFrame({"lang": np.repeat(names, 100)})
    marked = np.tile(np.arange(100) < 10, 3)
    test = pd.DataFrame({"lang": np.repeat(names, 8), "item": np.tile(range(8), 3)})
    test["uid"] = test["lang"] + test["item"].astype(str)
    same = test["lang"].to_numpy()[:, None] == train["lang"].to_numpy()
    values = np.random.default_rng(0).random((24, 300))
    values -= 10.0 * marked * (same if favour == "own" else 1)
    return harm.Harmed(values, train, test, marked)


def test_harm_by_the_own_language_fills_the_diagonal():
    found = harm.tabulate_harm([harmed_by_hand("own")] * 2, 10, bootstrap=FEW)
    table = found.set_index(["train_lang", "test_lang"])
    assert table.loc[("de", "de"), "share"] == 1 and table.loc[("de", "en"), "share"] == 0
    assert table.loc[("all", "all"), "share"] == 1
    assert table.loc[("all", "all"), "chance"] == pytest.approx(30 / 300)
    assert table.loc[("de", "all"), "share"] == pytest.approx(1 / 3)
    row = table.loc[("de", "de")]
    assert row["chance"] == pytest.approx(10 / 300)
    assert row[["test_samples", "items"]].tolist() == [16, 8], "draws share their items"
    pairs = harm.compare_own_and_other([harmed_by_hand("own")] * 2, 10, bootstrap=FEW).set_index(
        "where"
    )
    assert pairs["share"].tolist() == [1, 0, 1]


def test_harm_by_all_languages_alike_has_no_difference():
    pairs = harm.compare_own_and_other([harmed_by_hand("any")], 30, bootstrap=FEW).set_index(
        "where"
    )
    assert pairs.loc[[harm.OWN, harm.OTHER], "share"].tolist() == pytest.approx([1 / 3, 1 / 3])
    assert pairs.loc["difference", ["share", "chance"]].tolist() == pytest.approx([0, 0])


def test_a_draw_whose_model_is_at_chance_does_not_count():
    trained = [
        hurting.Trained({}, None, [], {"at_chance": never}, {}) for never in (False, True, False)
    ]
    assert hurting.choose_used(trained) == [trained[0], trained[2]]
    assert hurting.has_learned(trained) and not hurting.has_learned(trained[1:2])
    few = [trained[0], trained[1], trained[1]]
    assert not hurting.has_learned(few), "one of three may have been lucky"
    assert hurting.choose_used(few) == few, "the result says at_chance"


# ------------------------------------------------------------------------- what is said


def result(**changes):
    """A result of planted numbers."""
    names = [suspicion.NORM, suspicion.COSINE_SELF, suspicion.COSINE, *sentences.CONTROLS[:2]]
    areas = pd.DataFrame({"score": names, "auroc": [0.8, 0.5, 0.55, 0.6, 0.51]})
    areas = areas.assign(ci_low=areas["auroc"] - 0.1, ci_high=areas["auroc"] + 0.1, chance=0.5)
    areas = areas.assign(language="all", corruption=hurting.FLIPPED, marked=50, samples=500)
    harmed = {"train_lang": ["all"], "test_lang": ["all"], "share": [0.4], "chance": [0.1]}
    counts = {"ci_low": 0.3, "ci_high": 0.5, "test_samples": 50, "items": 12}
    pairs = {"where": [harm.OWN, harm.OTHER, "difference"], "share": [0.1, 0.08, 0.02]}
    pairs = pd.DataFrame(pairs).assign(ci_low=[0.08, 0.07, -0.01], ci_high=[0.12, 0.09, 0.05])
    found = {
        "title": "demo-reviews",
        "synthetic": True,
        "draws": 3,
        "parameters": {"study": "smoke", "top_k": 20},
        "at_chance": {"flipped": False},
        "not_computed": {"swapped": "it is not parallel", suspicion.CLEANLAB: "not installed"},
        "auroc": areas,
        "harm": pd.DataFrame(harmed).assign(**counts, corruption="flipped"),
        "pairs": pairs.assign(chance=0.02, corruption="flipped"),
        "runs": pd.DataFrame(
            {"variant": ["flipped-10-0", "flipped-10-1"], "at_chance": [False, True]}
        ),
    }
    return found | changes


def test_the_sentences_say_what_the_numbers_say():
    said = sentences.say_detection(result())
    assert said.startswith("1 of 2 models learned the task. Of the scores, squared gradient norm")
    assert "0.80 (0.70 to 0.90)" in said and "random scores reach 0.51" in said
    assert "the rarity of the label 0.60 (0.50 to 0.70)" in said
    assert said.endswith("Negative influence (cosine): not distinguishable from chance.")
    hurt = sentences.say_harm(result())
    assert "40\u00a0% (interval 30 to 50\u00a0%) of the 20 most harmful" in hurt
    assert "chance is 10\u00a0% (50 test samples of 12 items)" in hurt
    ends = "the difference is +2.0 points (interval \u22121.0 to +5.0)."
    assert hurt.endswith(f"That is no clear difference: {ends}")
    clear = sentences.say_harm(result(pairs=result()["pairs"].assign(ci_low=0.01)))
    assert (
        "By this measure, a wrong label hurts its own language more than each other one: the"
        in clear
    )
    less = sentences.say_harm(result(pairs=result()["pairs"].assign(ci_low=-0.2, ci_high=-0.1)))
    assert "hurts each other language more than its own:" in less
    assert sentences.say_swapped(result()) == "not possible: it is not parallel."
    numbers = sentences.format_page_numbers(result())
    assert numbers["flipped_norm"] == "0.80 (0.70 to 0.90)" and numbers["wrong_norm"] == "–"
    assert (numbers["flipped_count"], numbers["flipped_cleanlab"]) == (
        "50 of 500",
        "not installed",
    )


def test_models_at_chance_make_no_claim():
    never = result(at_chance={"flipped": True, "swapped": True}, not_computed={})
    for said in (sentences.say_detection, sentences.say_harm, sentences.say_swapped):
        assert "at chance" in said(never) and "claim" in said(never) and "0." not in said(never)
    assert sentences.format_page_numbers(never)["flipped_norm"] == "at chance"


def test_what_was_not_computed_is_said(tmp_path):
    assert hurting.read("real", "xnli", tmp_path) is None
    assert sentences.say_detection(None) == "not computed yet."
    assert set(sentences.format_page_numbers(None).values()) == {"–"}
    assert sentences.say_data({"xnli": None}) == "Nothing has been computed yet."
    note = sentences.say_data({"xnli": None, "marc": result()})
    assert note.startswith("Synthetic: ") and "demo-reviews (study smoke)" in note
    assert "On real data this has not been computed yet." in note


def test_a_damaged_result_is_named(tmp_path):
    path = hurting.find_file("smoke", "marc", tmp_path)
    path.write_text('{"auroc": [')
    with pytest.raises(hurting.ResultError, match=r"smoke-marc\.json is damaged.*make it again"):
        hurting.read("smoke", "marc", tmp_path)


@pytest.mark.parametrize("name", ["demo-small-xnli", "demo-small-pawsx", "demo-small-marc"])
def test_the_committed_results_are_whole_and_hold_no_text(name):
    study, _, task = name.rpartition("-")
    found = hurting.read(study, task)
    assert found["synthetic"] and found["parameters"]["study"] == study
    assert {"processor", "packages", "git_commit"} <= set(found["made_with"])
    assert len(found["runs"]) == found["draws"] * (1 if task == "marc" else 2)
    text = hurting.find_file(study, task).read_text(encoding="utf-8")
    assert len(text) < 200_000 and max(map(len, text.splitlines())) < 1500
    assert "/" not in json.dumps(found["parameters"])
    constant = found["auroc"][found["auroc"]["score"] == suspicion.COSINE_SELF]
    assert (constant["auroc"] == 0.5).all()


# ------------------------------------------------------------------------- the report


def test_the_report_ranks_the_samples_and_names_the_language():
    given, _ = given_at_random()
    probabilities = np.random.default_rng(0).dirichlet(np.ones(2), size=(2, len(given.train)))
    table = suspects.find_suspects(given, probabilities, ["no", "yes"])
    assert len(table) == len(given.train) and set(table["label"]) <= {"no", "yes"}
    assert table["influence"].is_monotonic_increasing and table["rank_influence"].iloc[0] == 1
    assert table["rank_training_loss"].tolist() == table["rank_confidence"].tolist()
    languages = list(dict.fromkeys(given.test["lang"]))
    parts = sum(table[f"influence_on_{lang}"] for lang in languages)
    assert parts.to_numpy() == pytest.approx(table["influence"].to_numpy())
    longest = table.loc[table["squared_gradient_norm"].idxmax()]
    assert longest["rank_squared_gradient_norm"] == 1
    by_language = suspects.find_harmful_languages(given, 5, FEW)
    assert by_language["share"].sum() == pytest.approx(1)
    said = suspects.describe(table, by_language, 5)
    assert table["uid"].iloc[0] in said and "look at it before you remove it" in said
    clear = by_language.assign(ci_low=0.9, ci_high=1.0)
    assert "hurts most, more than by chance" in suspects.describe(table, clear, 5)


def test_a_published_run_is_refused_with_what_is_missing(capsys):
    assert suspects.main(["study=real", "task=pawsx", "runs_root=results"]) == 2
    said = capsys.readouterr().err
    assert "results/real/pawsx/base: needs the lengths of gradients" in said
    assert "published runs" in said


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["draws=0"], "draws=0 (command line): allowed: a whole number from 1"),
        (["draws=many"], "draws=many (command line): allowed: a whole number from 1"),
        (["flip_share=0.2", "to=x"], "flip_share, swap_share, corruption_seed: set here"),
        (["epochs=1"], "epochs=1: the files of the book hold results of the study's own runs only"),
        (["keep=sum", "to=x"], "allowed are groups and checkpoints"),
        (["trian_size=3"], "did you mean 'train_size'"),
    ],
)
def test_wrong_arguments_are_refused(arguments, part, capsys):
    assert hurting.main(["study=smoke", "task=pawsx", *arguments]) == 2
    assert part in capsys.readouterr().err


@pytest.mark.slow
def test_the_smoke_study_from_corruption_to_result(tmp_path, capsys, monkeypatch):
    given = ["study=smoke", "task=pawsx", f"runs_root={tmp_path}", "draws=1", "test_size=2"]
    assert hurting.main([*given, f"to={tmp_path}"]) == 0
    assert str(tmp_path / "smoke-pawsx.json") in capsys.readouterr().out
    found = hurting.read("smoke", "pawsx", tmp_path)
    assert list(found["runs"]["variant"]) == ["flipped-10-0", "swapped-10-0"]
    assert list(found["runs"]["changed"]) == [10, 10], "2 of 24 in each of five languages"
    assert found["auroc"]["auroc"].between(0, 1).all()
    assert not (tmp_path / "smoke" / "pawsx" / "base").exists()
    chosen = config(runs_root=str(tmp_path), variant="flipped-10-0", test_size=2)
    run = runs.find_folder(chosen)
    train = pd.read_parquet(run / "train.parquet")
    assert train["flipped"].sum() == 10
    assert not {"flipped", "true_label"} & set(pd.read_parquet(run / "pool.parquet"))
    assert read_manifest(run)["parameters"]["flip_share"] == 0.1
    monkeypatch.setattr("xl_influence.finetune._train", lambda *_: pytest.fail("trained again"))
    again = hurting.measure(config(runs_root=str(tmp_path), test_size=2), draws=1, progress=False)
    assert again["auroc"] == evidence.make_rows(found["auroc"], hurting.DIGITS)
    assert scores.is_done(chosen)
    path, said = suspects.report(chosen)
    table = pd.read_csv(path)
    assert path == run / "suspects.csv" and len(table) == 120 and "hurt" in said
