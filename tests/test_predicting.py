"""Whether scores predict retraining: the tail patch, brittleness, their files and sentences."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT, random_samples, run_python, tiny
from torch.nn import functional

from xl_influence import fingerprints, params, runs
from xl_influence.methods import (
    brittleness,
    commands,
    evidence,
    outcomes,
    retraining_tables,
    subsets,
    tail_patch,
)
from xl_influence.methods import retraining_sentences as sentences
from xl_influence.retrainer import Retrainer
from xl_influence.sharing import Bootstrap

FEW = Bootstrap(200)
LANGUAGES = ("en", "de")


def frame(n, *, labels=2, split="train"):
    """`n` samples of each language, with labels in turn; items are shared between languages."""
    rows = [
        {"uid": f"{split}-{lang}-{item}", "lang": lang, "item": str(item), "label": item % labels}
        for lang in LANGUAGES
        for item in range(n)
    ]
    return pd.DataFrame(rows)


# --------------------------------------------------------------------- one step


@pytest.fixture
def model():
    """A tiny model in float64, for which a small step is nearly linear."""
    return tiny("bert").double()


def gradient(model, samples):
    """The gradient of the mean loss, as one vector."""
    total = 0
    for sample in samples:
        logits = model(torch.tensor([sample["input_ids"]])).logits
        total = total + functional.cross_entropy(logits, torch.tensor([sample["label"]]))
    grads = torch.autograd.grad(total / len(samples), list(model.parameters()))
    return torch.cat([grad.flatten() for grad in grads])


def test_a_small_step_changes_the_loss_by_the_dot_product_of_gradients(model):
    chosen, (test,) = random_samples(3, seed=5), random_samples(1, seed=6)
    rate = 1e-5
    # log-odds are L = log p - log(1 - p) and the loss is -log p: dL = -d loss / (1 - p)
    before = tail_patch.gold_log_odds(model, test)
    probability = 1 / (1 + np.exp(-before))
    product = float(gradient(model, chosen) @ gradient(model, [test]))
    with tail_patch.one_step(model, chosen, rate):
        after = tail_patch.gold_log_odds(model, test)
    assert after - before == pytest.approx(rate * product / (1 - probability), rel=1e-3)
    assert abs(after - before) > 1e-7, "the step does something"


def test_log_odds_by_hand(model):
    (sample,) = random_samples(1, seed=6)
    logits = model(torch.tensor([sample["input_ids"]])).logits[0].detach().numpy()
    gold = sample["label"]
    # two classes: log(p / (1 - p)) is the difference of the logits
    assert tail_patch.gold_log_odds(model, sample) == pytest.approx(logits[gold] - logits[1 - gold])


def test_the_weights_are_put_back_exactly_even_after_an_error(model):
    before = {name: weight.clone() for name, weight in model.state_dict().items()}

    def fail():
        with tail_patch.one_step(model, random_samples(3, seed=5), 0.1):
            assert any(not w.equal(before[name]) for name, w in model.state_dict().items())
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert all(weight.equal(before[name]) for name, weight in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())


def test_a_step_is_made_of_the_most_helpful_samples_of_a_language_and_of_two_controls():
    train, test = frame(8), frame(2, split="test")
    values = np.random.default_rng(0).normal(size=(4, 16))
    found = tail_patch.choose(values, train, test, k=3)
    assert set(found) == {
        (row, lang, kind)
        for row in range(4)
        for lang in LANGUAGES
        for kind in (tail_patch.TOP, tail_patch.RANDOM, tail_patch.SAME_LABEL)
    }
    for (row, lang, kind), rows in found.items():
        assert len(set(rows)) == 3 and (train["lang"].iloc[rows] == lang).all()
        if kind == tail_patch.TOP:
            pool = np.flatnonzero(train["lang"] == lang)
            assert list(rows) == sorted(pool, key=lambda each: -values[row, each])[:3]
        if kind == tail_patch.SAME_LABEL:
            assert (train["label"].iloc[rows] == test["label"].iloc[row]).all()
    again = tail_patch.choose(values, train, test, k=3)
    assert all((again[key] == rows).all() for key, rows in found.items()), "the seed decides"


@pytest.mark.parametrize("k", [0, 5])
def test_a_step_needs_enough_samples_of_each_label(k):
    # of 8 samples of a language, 4 have each label
    with pytest.raises(ValueError, match=f"k={k}: allowed are 1 to 4"):
        tail_patch.choose(np.zeros((4, 16)), frame(8), frame(2, split="test"), k=k)


def test_changes_belong_to_their_test_samples(model, monkeypatch):
    """Each step here changes the log-odds by the number of its training sample."""
    train, test = frame(8), frame(2, split="test")
    at = {"row": 0}

    class Step:
        def __init__(self, model, samples, rate):
            self.row = samples[0]["row"]

        def __enter__(self):
            at["row"] = self.row

        def __exit__(self, *error):
            at["row"] = 0

    monkeypatch.setattr(tail_patch, "one_step", Step)
    monkeypatch.setattr(tail_patch, "gold_log_odds", lambda model, sample: float(at["row"]))
    inputs = {"train": [{"row": row} for row in range(16)], "test": [{}] * 4}
    values = np.tile(np.arange(16.0), (4, 1))  # the last sample of a language is the most helpful
    choice = tail_patch.choose(values, train, test, k=1)
    each = tail_patch.measure_changes(model, choice, inputs, test, rate=1, progress=False)
    top = each[each["samples"] == tail_patch.TOP]
    assert top.groupby("train_lang")["change"].unique().map(list).to_dict() == {
        "en": [7],
        "de": [15],
    }
    # 4 test samples, 2 languages, 3 kinds and the difference
    assert len(each) == 4 * 2 * 4 and (each.groupby("test").size() == 8).all()
    for row, uid in enumerate(test["uid"]):
        chosen = choice[row, "de", tail_patch.SAME_LABEL][0]
        part = each[(each["test"] == uid) & (each["train_lang"] == "de")].set_index("samples")
        assert part.loc[tail_patch.BEYOND, "change"] == 15 - chosen
        assert part.loc[tail_patch.TOP, "test_lang"] == test["lang"].iloc[row]


def test_changes_are_averaged_within_test_language_with_intervals_over_items():
    """The own language changes by 2, the other by 1 in all eight items; the control by nothing."""
    rows = [
        [
            f"{test}{item}",
            str(item),
            test,
            train,
            kind,
            float(kind != "random") * (1 + (test == train)),
        ]
        for item in range(8)
        for test in LANGUAGES
        for train in (*LANGUAGES, "es")
        for kind in (tail_patch.TOP, tail_patch.RANDOM)
    ]
    columns = ["test", "item", "test_lang", "train_lang", "samples", "change"]
    found = tail_patch.average(pd.DataFrame(rows, columns=columns), FEW)
    table = found.set_index(["test_lang", "train_lang", "samples"])
    own = table.loc["all", tail_patch.OWN, tail_patch.TOP]
    assert own[["change", "ci_low", "ci_high", "least", "most"]].tolist() == [2] * 5
    assert own[["test_samples", "items"]].tolist() == [16, 8]
    assert table.loc[("de", tail_patch.OTHER, tail_patch.TOP), "change"] == 1
    assert table.loc[("de", "de", tail_patch.TOP), "change"] == 2
    assert (found.loc[found["samples"] == tail_patch.RANDOM, "change"] == 0).all()
    assert table.loc[("en", "de", tail_patch.TOP), "test_samples"] == 8


# ------------------------------------------------------------------ brittleness


class FakeTrainer:
    """A model whose prediction for the first test sample flips without training row 0."""

    def __init__(self, test):
        self.test, self.params = test, {"seed": 3}

    def measure_probabilities(self, seed, removed):
        assert seed == 3
        found = {uid: [0.1, 0.1, 0.1] for uid in self.test["uid"]}
        for row, (uid, gold) in enumerate(zip(self.test["uid"], self.test["label"], strict=True)):
            right = not (row == 0 and 0 in removed)
            # the right class has less than a half, but is the most probable
            found[uid][gold if right else (gold + 1) % 3] = 0.4
        return found


@pytest.fixture
def removals():
    train, test = frame(8, labels=3), frame(2, labels=3, split="test")
    values = {
        "cosine": np.tile(-np.arange(16.0), (4, 1)),
        "dot product": np.tile(np.arange(16.0), (4, 1)),
    }
    given = SimpleNamespace(train=train, test=test)
    return brittleness.plan_removals(values, given, ks=[1, 2], samples=4), test


def test_the_most_helpful_samples_are_removed_and_as_many_at_random(removals):
    found, _ = removals
    assert len(found) == 4 * 2 * 3
    assert {each.removed for each in found if each.method == "cosine"} == {(0,), (0, 1)}
    assert {each.removed for each in found if each.method == "dot product"} == {(15,), (14, 15)}
    random = [each.removed for each in found if each.method == "random" and each.k == 2]
    assert len(random) == 4 and len(set(random)) > 1, "each test sample has its own draw"


def test_a_flip_is_another_most_probable_class_also_below_a_half(removals):
    found, test = removals
    random_hits = [each for each in found if each.method == "random" and each.row == 0]
    each = brittleness.flip(found, FakeTrainer(test), progress=False)
    table = brittleness.count_flipped(each, FEW).set_index(["method", "k"])
    # one of four predictions flips; the other sample of its item does not
    assert table.loc[("cosine", 1), ["flipped", "test_samples", "items"]].tolist() == [0.25, 4, 2]
    assert table.loc[("cosine", 2), ["least", "most"]].tolist() == [0, 0.5]
    assert table.loc["dot product", "flipped"].tolist() == [0, 0]
    for removal in random_hits:
        share = table.loc[("random", removal.k), "flipped"]
        assert share == (0.25 if 0 in removal.removed else 0)


def test_the_smallest_k_is_the_first_that_flips():
    """Of three predictions, one flips at 10 and not at 20, one at 20, one never."""
    flipped = {"a": [1, 0], "b": [0, 1], "c": [0, 0]}
    rows = [
        [test, test, "en", "cosine", k, float(values[place])]
        for test, values in flipped.items()
        for place, k in enumerate((10, 20))
    ]
    columns = ["test", "item", "test_lang", "method", "k", "flipped"]
    found = brittleness.find_smallest(pd.DataFrame(rows, columns=columns)).set_index("k")
    assert found["samples"].to_dict() == {10: 1, 20: 1, 0: 1}
    assert found.loc[[10, 20], "by_k"].tolist() == pytest.approx([1 / 3, 2 / 3])
    assert np.isnan(found.loc[0, "by_k"])


@pytest.mark.parametrize(("ks", "samples"), [([16], 4), ([1], 5)])
def test_removals_must_leave_samples_and_find_test_samples(ks, samples):
    given = SimpleNamespace(train=frame(8), test=frame(2, split="test"))
    with pytest.raises(ValueError, match="ks from 1 to 15 and at most 4 samples"):
        brittleness.plan_removals({"cosine": np.zeros((4, 16))}, given, ks=ks, samples=samples)


# ------------------------------------------------------------ command lines and files


def refused(*arguments, options=None):
    with pytest.raises(params.ParameterError) as error:
        commands.read(["study=smoke", *arguments], options or subsets.OPTIONS)
    return str(error.value)


def test_options_of_a_command_are_checked():
    assert "subsets=3 (command line): allowed: a whole number from 4" in refused("subsets=3")
    assert "seeds=1 (command line): allowed: a whole number from 2" in refused("seeds=1")
    assert "seeds=2.5" in refused("seeds=2.5") and "subsets=many" in refused("subsets=many")
    assert "subsets=[4, 5]" in refused("subsets=[4, 5]"), "one number"
    assert "halves" in refused("halves=3"), "there is no such option or parameter"
    for wrong in ("20,10", "10,10", "0,10", "10,x", "[]"):
        assert "in ascending order, as in 20,60" in refused(
            f"ks={wrong}", options=brittleness.OPTIONS
        ), wrong


def test_options_have_defaults_and_are_taken_from_the_parameters():
    config, chosen, folder = commands.read(["study=smoke", "task=marc"], subsets.OPTIONS)
    assert config["task"] == "marc" and chosen == {"subsets": 100, "seeds": 2} and folder is None
    for text in ("20,60", "[20, 60]"):
        found = commands.read(["study=smoke", f"ks={text}"], brittleness.OPTIONS)[1]
        assert found["ks"] == [20, 60] and found["samples"] == 0
    one = commands.read(["study=smoke", "ks=20"], brittleness.OPTIONS)[1]
    assert one["ks"] == [20]


@pytest.mark.parametrize("changed", ["epochs=1", "variant=without-es", "resamples=7", "seed=9"])
def test_the_files_of_the_book_are_for_the_studys_own_runs(changed):
    message = refused(changed)
    assert changed in message and "to=elsewhere" in message
    folder = commands.read(["study=smoke", changed, "to=elsewhere"], subsets.OPTIONS)[2]
    assert folder.name == "elsewhere"


def test_a_run_with_other_languages_is_not_the_studys_own():
    assert "languages=['en', 'de']: the files of the book" in refused("languages=[en,de]")


LDS_COLUMNS = [
    *("kind", "method", "lds", "ci_low", "ci_high", "least", "most", "null_low", "null_high", "p"),
    *("best_low", "best_high", "p_best", "ceiling", "of_ceiling"),
    *("subsets", "shuffles", "seeds", "test_samples", "items"),
]


def lds_table(rows):
    """A table of `subsets.measure`: (kind, method, lds, low, high, ceiling)."""
    return pd.DataFrame(
        [
            [
                *(kind, name, value, low, high, value - 0.1, value + 0.1),
                *(-0.13, 0.12, 0.0004 if value > 0.15 else 0.067),
                *(-0.04, 0.15, 0.0123),
                *(ceiling, value / ceiling if ceiling else np.nan, 100, 1000, 2, 25),
                5 if np.isnan(low) else 25,
            ]
            for kind, name, value, low, high, ceiling in rows
        ],
        columns=LDS_COLUMNS,
    )


def both_kinds(rows, ceiling=0.5):
    return lds_table([[kind, *row, ceiling] for kind in sentences.SUBSETS for row in rows])


BETTER = both_kinds(
    [
        ["cosine", 0.1, -0.05, 0.2],
        ["BM25", 0.2, 0.1, 0.3],
        ["random scores", 0.0, -0.01, 0.01],
        ["same label", 0.3, 0.25, 0.35],
    ]
)


@pytest.fixture
def written(monkeypatch, tmp_path):
    """A function that writes a file for a run of the smoke study and returns its path."""
    config = params.merge({"study": "smoke", "task": "pawsx"})
    monkeypatch.setattr(runs, "read_samples", lambda config, split: range(5))
    manifest = {
        "chosen_epoch": 1,
        "dev_accuracy": [{"epoch": 1, "accuracy": 0.8}],
        "majority_share": {"validation": 0.55},
    }
    monkeypatch.setattr(evidence, "read_manifest", lambda run: manifest)

    def write(seconds, table=BETTER):
        settings = {"subsets": 100, "seeds": [0, 1]}
        found = evidence.Found({"lds": table}, settings, 360, seconds)
        return evidence.write("subsets", config, found, tmp_path)

    return write


def test_a_file_is_read_as_it_was_written_and_says_where_it_comes_from(written, tmp_path):
    path = written([30.0, 60.0])
    assert path.name == "smoke-pawsx-subsets.json"
    found = evidence.read("subsets", "pawsx", "smoke", tmp_path)
    pd.testing.assert_frame_equal(found.tables["lds"], BETTER, check_dtype=False)
    about = found.about
    assert [about[key] for key in ("trainings", "trained", "minutes")] == [360, 2, 1.5]
    config = params.merge({"study": "smoke", "task": "pawsx"})
    assert about["run"]["finetuning"] == fingerprints.hash_finetuning(config)
    assert about["model"] == {"accuracy": 0.8, "majority": 0.55, "at_chance": False}
    assert about["samples"] == {"train": 5, "test": 5}
    assert about["environment"]["packages"]["torch"] and about["environment"]["processor"]
    assert str(tmp_path) not in path.read_text(), "no path of the machine"


def test_a_call_that_trains_nothing_leaves_the_file_as_it_is(written):
    path = written([30.0])
    first = path.read_bytes()
    assert written([]).read_bytes() == first
    changed = BETTER.assign(lds=0.3)
    assert json.loads(written([], changed).read_text())["minutes"] is None
    assert not list(path.parent.glob(".*")), "temporary files are left"


def test_a_file_that_is_damaged_or_of_something_else_is_an_error(written, tmp_path):
    path = written([])
    assert evidence.read("subsets", "marc", "smoke", tmp_path) is None, "not computed yet"
    path.rename(tmp_path / "smoke-marc-subsets.json")
    with pytest.raises(runs.RunError, match=r"allowed are \['subsets', 'smoke', 'marc'\]"):
        evidence.read("subsets", "marc", "smoke", tmp_path)
    (tmp_path / "smoke-marc-subsets.json").write_text('{"part": "subs')
    with pytest.raises(runs.RunError, match="is damaged"):
        evidence.read("subsets", "marc", "smoke", tmp_path)


def test_the_files_of_the_book_belong_to_its_runs():
    """A changed study needs new results; no file is left over that no page reads."""
    used = set()
    for study, task in evidence.SHOWN.values():
        config = params.merge({"study": study, "task": task})
        path = outcomes.find_path(study, task)
        fingerprint = pd.read_parquet(path).attrs["finetuning"]
        if config["data"] == "demo":  # that of real data depends on where they were read from
            assert fingerprint == fingerprints.hash_finetuning(config), path
        used.add(path)
        for part in evidence.PARTS:
            found, path = evidence.read(part, task, study), evidence.find_path(part, study, task)
            if found:
                assert found.about["run"]["finetuning"] == fingerprint, path
                assert sentences.say(part, found) and retraining_tables.write_table(part, found)
                used.add(path)
    assert set((ROOT / evidence.FOLDER).iterdir()) == used


def test_a_wrong_command_line_is_an_error_in_one_line():
    done = run_python("-m", "xl_influence.methods.subsets", "study=smoke", "seeds=1", check=False)
    assert done.returncode == 2
    assert done.stderr == "error: seeds=1 (command line): allowed: a whole number from 2\n"


# -------------------------------------------------------------------- sentences


def plain(text):
    return text.replace("\u00a0", " ")


HIGHEST = (
    "The highest LDS is 0.20 (0.10 to 0.30), by BM25, 40 % of the ceiling of 0.50; luck gives the "
    "best of 2 methods"
)
COSINE = "The paper's cosine has 0.10 (−0.05 to 0.20); luck gives it −0.13 to 0.12 (p = 0.067)."
KNOWN = "Controls that know nothing else of a sample: same label 0.30 (0.25 to 0.35)."


def test_the_lead_names_the_best_method_with_interval_ceiling_and_luck():
    assert plain(sentences.say_lds(BETTER, evidence.BY_LANGUAGE)) == (
        "For subsets that lack a part of one language, 1 of 2 methods predicts retraining better "
        f"than luck. {HIGHEST} −0.04 to 0.15 (p = 0.012). {COSINE} {KNOWN}"
    )
    low = sentences.say_lds(BETTER.assign(null_high=0.05, p_best=0.0004), evidence.HALVES)
    assert "2 of 2 methods predict retraining" in low and "−0.04 to 0.15 (p < 0.001)." in low


def test_the_lead_also_gives_the_number_of_ek_fac():
    row = BETTER[BETTER["method"] == "cosine"].assign(method="EK-FAC", lds=0.15)
    table = pd.concat([BETTER, row], ignore_index=True)
    lead = plain(sentences.say_lds(table, evidence.HALVES))
    assert f"{COSINE} EK-FAC has 0.15 (−0.05 to 0.20); luck gives it −0.13 to 0.12" in lead


def test_the_lead_says_so_if_no_method_is_better_than_luck():
    best_by_luck = BETTER.assign(best_high=0.21, p_best=0.03)
    assert plain(sentences.say_lds(best_by_luck, evidence.HALVES)) == (
        "For random halves, no method clearly predicts retraining: 1 of 2 has a higher LDS than "
        "luck gives it, but none a higher one than luck gives the best of 2. "
        f"{HIGHEST} −0.04 to 0.21 (p = 0.030). {COSINE} {KNOWN}"
    )
    both = sentences.say_lds(best_by_luck.assign(null_high=0.05), evidence.HALVES)
    assert "2 of 2 have a higher LDS than luck gives them, but none" in both
    none = sentences.say_lds(best_by_luck.assign(null_high=0.2), evidence.HALVES)
    assert none.startswith(
        "For random halves, none of 2 methods predicts retraining better than luck. The highest"
    )


def test_the_lead_shows_a_range_where_items_are_too_few_for_an_interval():
    rows = [["cosine", 0.2, np.nan, np.nan], ["random scores", 0.0, np.nan, np.nan]]
    assert plain(sentences.say_lds(both_kinds(rows), evidence.HALVES)) == (
        "For random halves, 1 of 1 method predicts retraining better than luck. The highest LDS is "
        "0.20 (0.10 to 0.30), by cosine, 40 % of the ceiling of 0.50; luck gives the best of 1 "
        "method −0.04 to 0.15 (p = 0.012). 5 items are too few for an interval, so brackets show "
        "their range."
    )
    no_ceiling = sentences.say_lds(both_kinds(rows, ceiling=0), evidence.HALVES)
    assert "the ceiling is 0, since the seeds do not agree at all" in no_ceiling


def change_table(low):
    """Changes of the own and of another language; `low`: the lower end of every interval."""
    values = {
        (tail_patch.OWN, tail_patch.TOP): 0.03,
        (tail_patch.OTHER, tail_patch.TOP): 0.02,
        (tail_patch.OTHER, tail_patch.BEYOND): 0.01,
        ("en", tail_patch.TOP): 0.03,
        ("de", tail_patch.TOP): 0.02,
    }
    rows = [
        ["all", source, kind, value, low, 0.05, -0.5, 0.5, 25, 25]
        for (source, kind), value in values.items()
    ]
    columns = ["test_lang", "train_lang", "samples", "change", "ci_low", "ci_high", "least", "most"]
    return pd.DataFrame(rows, columns=[*columns, "test_samples", "items"])


def test_the_lead_of_the_tail_patch_compares_with_random_samples_of_the_label():
    text = sentences.say_tail_patch(change_table(0.001), k=10)
    assert text == (
        "One step on the 10 most helpful samples changes the log-odds of the right class by "
        "+0.030 (+0.001 to +0.050) with samples in the test language and +0.020 (+0.001 to +0.050) "
        "with samples in another language. In another language, this is +0.010 (+0.001 to +0.050) "
        "more than 10 random samples of the same label give (25 test samples of 25 items)."
    )
    unsure = sentences.say_tail_patch(change_table(-0.01), k=10)
    assert unsure.endswith("The interval of this difference includes 0.")
    few = sentences.say_tail_patch(change_table(np.nan), k=10)
    assert (
        few.endswith("too few for an interval, so brackets show their range.")
        and "(−0.500 to +0.500)" in few
    )


def flipped_table():
    rows = [
        [name, k, share, share - 0.1, share + 0.1, 25, 25, 0, 1]
        for name, k, share in [
            ("cosine", 20, 0.2),
            ("random", 20, 0.1),
            ("cosine", 60, 0.4),
            ("random", 60, 0.2),
        ]
    ]
    columns = ["method", "k", "flipped", "ci_low", "ci_high", "test_samples", "items"]
    return pd.DataFrame(rows, columns=[*columns, "least", "most"])


def test_the_lead_of_brittleness_has_the_largest_k_and_the_control():
    assert plain(sentences.say_flipped(flipped_table(), 500)) == (
        "Without 60 of 500 training samples, the prediction flips for 40 % (30 to 50 %) if they "
        "are the most helpful by the cosine, and for 20 % (10 to 30 %) if they are chosen at "
        "random (25 test samples of 25 items)."
    )
    few = sentences.say_flipped(flipped_table().assign(ci_low=np.nan, items=5), 500)
    assert "40 % (0 to 100 %)" in plain(few) and "too few for an interval" in few


def test_samples_for_brittleness_come_from_the_languages_in_turn_and_from_different_items():
    langs, items = ["en", "de", "es"], [f"i{number}" for number in range(6)]
    test = pd.DataFrame(
        [(lang, item) for lang in langs for item in items], columns=["lang", "item"]
    )
    rows = brittleness.choose_samples(test, 6)
    assert test["lang"].iloc[rows].tolist() == [*langs, *langs]
    assert test["item"].iloc[rows].tolist() == ["i0", "i2", "i4", "i1", "i3", "i5"]
    assert sorted(brittleness.choose_samples(test, 18)) == list(range(18))
    uneven = test.iloc[[0, 1, 2, 6, 12]].reset_index(drop=True)
    assert sorted(brittleness.choose_samples(uneven, 5)) == list(range(5))


def test_a_ceiling_that_noise_reaches_is_said_to_show_nothing():
    low = sentences.say_lds(BETTER.assign(ceiling=0.14), sentences.HALVES)
    assert "Noise alone gives a ceiling of 0.17, so this shows next to nothing." in plain(low)
    assert "Noise alone" not in sentences.say_lds(BETTER, sentences.HALVES)


def test_a_model_at_chance_allows_no_lead(results):
    for part, found in results.items():
        found.about["model"] = {"accuracy": 0.5, "majority": 0.5, "at_chance": True}
        assert plain(sentences.say(part, found)) == (
            "the model has not learned this corpus (development accuracy 50 %, most frequent class "
            "50 %), so training it again says nothing about methods."
        )


def about(part, settings):
    return {
        "part": part,
        "study": "demo-subsets",
        "settings": settings,
        "model": {"accuracy": 0.78, "majority": 0.5, "at_chance": False},
        "samples": {"train": 500, "test": 25},
        "trainings": 360,
        "trained": 12,
        "minutes": 1.5,
        "environment": {"processor": "A", "device": "cpu", "packages": {"torch": "2"}},
    }


@pytest.fixture
def results():
    """Results of every part."""
    smallest = [
        [name, k, samples, by_k]
        for name in ("cosine", "random")
        for k, samples, by_k in ((20, 5, 0.2), (60, 6, 0.44), (0, 14, np.nan))
    ]
    smallest = pd.DataFrame(smallest, columns=["method", "k", "samples", "by_k"])
    tables = {
        "subsets": ({"lds": BETTER}, {"subsets": 100, "seeds": [3, 4]}),
        "tail-patch": ({"change": change_table(0.001)}, {"k": 10, "learning_rate": 0.005}),
        "brittleness": (
            {"flipped": flipped_table(), "smallest": smallest},
            {"ks": [20, 60], "samples": 25, "seed": 3},
        ),
    }
    return {
        part: evidence.Evidence(about(part, settings), found)
        for part, (found, settings) in tables.items()
    }


def test_every_table_has_equally_long_rows_and_its_source(results):
    for part, found in results.items():
        text = retraining_tables.write_table(part, found)
        blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
        assert blocks
        for block in blocks:
            assert len({line.count("|") for line in block}) == 1, block
        assert "25 test samples of 25 items" in text and "500 training" in text
        assert "360 trainings, of which the last call did 12 in 1.5 minutes" in text


def test_the_tables_of_methods_have_controls_luck_and_ceiling(results):
    text = plain(retraining_tables.write_table("subsets", results["subsets"]))
    assert text.count("| BM25 | 0.20 (0.10 to 0.30) | −0.13 to 0.12 | < 0.001 | 40 % |") == 4
    assert "| control: random scores | 0.00 (−0.01 to 0.01) | −0.13 to 0.12 | 0.067 | 0 % |" in text
    assert "| **best of 2** | 0.20 | −0.04 to 0.15 | 0.012 |  |" in text
    assert "| **ceiling** | 0.50 |" in text and "1,000 shuffles" in text
    assert "*Random halves, 100 subsets*" in text and "*By language, 100 subsets*" in text


def test_the_tail_patch_has_its_controls_and_a_matrix_of_languages():
    each = pd.DataFrame(
        [
            [f"{test}{item}", str(item), test, train, kind, 0.1 * (kind == evidence.TOP)]
            for item in range(3)
            for test in LANGUAGES
            for train in LANGUAGES
            for kind in (evidence.TOP, evidence.RANDOM, evidence.SAME_LABEL, evidence.BEYOND)
        ],
        columns=["test", "item", "test_lang", "train_lang", "samples", "change"],
    )
    found = evidence.Evidence(
        about("tail-patch", {"k": 10}), {"change": tail_patch.average(each, FEW)}
    )
    text = retraining_tables.write_table("tail-patch", found)
    assert "| the most helpful samples | +0.10 (+0.10 to +0.10) | +0.10 (+0.10 to +0.10) |" in text
    assert "| control: random samples | +0.00 (+0.00 to +0.00) |" in text
    assert "| test language | on English | on German |" in text
    assert "| German | +0.10 | +0.10 |" in text, "no interval, so no brackets"
    assert "6 test samples of 3 items. In brackets: the lowest and the highest item" in text
    assert "One test language: 3 test samples of 3 items, too few for an interval." in text


def test_what_is_not_computed_is_said_to_be(results):
    found = {"xnli": results, "marc": dict.fromkeys(results)}
    values = retraining_tables.glue_values(found)
    assert values["marc_tail_patch_lead"] == "not computed yet."
    assert values["marc_subsets_table"] == "*Not computed yet.*"
    assert "60 of 500" in plain(values["xnli_brittleness_lead"])
    assert len(values) == 2 * 3 * 2
    titles = {"xnli": "demo-NLI (synthetic)", "marc": "MARC (real data)"}
    shown = retraining_tables.show("subsets", found, titles).data
    assert "**demo-NLI (synthetic)**: On random halves" in shown
    assert "**MARC (real data)**: not computed yet." in shown
    leads = retraining_tables.show_leads(found, titles).data
    assert leads.count("not computed yet.") == 3 and "- tail patch: One step" in leads


def test_titles_say_which_data_are_synthetic():
    titles = evidence.find_titles()
    assert titles["xnli"] == "demo-NLI (synthetic)" and titles["real_marc"] == "MARC (real data)"
    assert list(titles) == list(evidence.SHOWN) == list(evidence.read_shown())


# --------------------------------------------------------------------- a whole run


@pytest.mark.slow
def test_a_second_call_trains_nothing_and_gives_the_same_files(
    smoke, tmp_path, monkeypatch, capsys
):

    root, out = tmp_path / "runs", tmp_path / "out"
    shutil.copytree(smoke / "smoke" / "marc" / "base", root / "smoke" / "marc" / "base")
    shutil.rmtree(root / "smoke" / "marc" / "base" / "retrainings", ignore_errors=True)
    run = ["study=smoke", "task=marc", f"runs_root={root}", f"to={out}"]
    parts = {
        "subsets": (["subsets=4", "seeds=2"], subsets.OPTIONS, subsets.compute),
        "tail-patch": ([], {"k": commands.Option(0, 0)}, tail_patch.compute),
        "brittleness": (["ks=3,5", "samples=2"], brittleness.OPTIONS, brittleness.compute),
    }

    def run_all():
        for part, (more, options, compute) in parts.items():
            assert evidence.run([*run, *more], part, options, compute) == 0, part
        return {path.name: path.read_bytes() for path in out.iterdir()}

    first = run_all()
    names = [f"smoke-marc-{part}.json" for part in evidence.PARTS]
    assert sorted(first) == sorted([*names, "smoke-marc-outcomes.parquet"])
    found = {part: evidence.read(part, "marc", "smoke", out) for part in evidence.PARTS}
    assert found["subsets"].about["trained"] == found["subsets"].about["trainings"] == 16
    # 2 test samples, 2 values of k, 3 methods; equal sets are trained once
    assert found["brittleness"].about["trained"] == found["brittleness"].about["trainings"] <= 12
    for part, results in found.items():
        assert "not computed" not in sentences.say(part, results)
    monkeypatch.setattr(Retrainer, "_predict", lambda *_: pytest.fail("trained again"))
    assert run_all() == first
    assert "0 of 16 trainings were done now" in capsys.readouterr().out
