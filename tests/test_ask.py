"""Asking a run: the cheap score, texts with new tokens, exact influence, and how much is found."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from conftest import random_samples, tiny

from xl_influence import (
    ask,
    e5small,
    encoders,
    head,
    params,
    question,
    runs,
    scores,
    summary,
    tables,
)
from xl_influence.influence import influence
from xl_influence.tracin import gradient_products

# ------------------------------------------------------------- gradients of the head


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta", "distilbert", "gpt2"])
def test_the_cheap_score_is_the_cosine_over_the_head(kind):
    model = tiny(kind)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("ln_f" not in name)  # GPT-2's last norm is no Linear layer
    train, test = random_samples(12, seed=3), random_samples(4, seed=4)
    own = gradient_products(model, train, test).sel(group="head")
    lengths = np.sqrt(own["test_sqnorm"].values[:, None] * own["train_sqnorm"].values)
    cheap = head.compare([head.compute(model, test)], [head.compute(model, train)])
    assert cheap.shape == (4, 12)
    assert np.abs(cheap - own["dot"].values / lengths).max() < 5e-3, "float16 has three digits"


def test_hidden_states_are_compared_by_their_cosine():
    layer = head.Layer(np.float16([[3, 4], [4, -3], [6, 8]]), np.float16([[1], [1], [1]]), True)
    assert np.allclose(head.compare_states([[layer]], [[layer]])[0], [1, 0, 1], atol=1e-6)


def test_the_model_is_left_as_it_was():
    model = tiny("bert")
    model.bert.pooler.dense.weight.requires_grad_(False)
    before = {name: p.requires_grad for name, p in model.named_parameters()}
    head.compute(model, random_samples(3, seed=5))
    assert {name: p.requires_grad for name, p in model.named_parameters()} == before
    assert not model.classifier._forward_hooks


def test_a_model_without_a_head_is_refused():
    model = tiny("bert")
    model.bert.pooler, model.classifier = torch.nn.Identity(), torch.nn.Identity()
    with pytest.raises(head.HeadError, match="no Linear layer"):
        head.compute(model, random_samples(1, seed=6))


# ------------------------------------------------------------------------- questions


def read(task="xnli", **asked):
    given = {f"ask_{key}": value for key, value in asked.items()}
    return question.read_question(params.merge({"study": "smoke", "task": task} | given))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"text_a": "Eins."}, r"ask_text_b is empty: demo-NLI is about pairs"),
        ({"text_b": "Zwei."}, r"ask_text_a is empty"),
        ({"text_a": " \n", "text_b": "Zwei."}, r"ask_text_a is empty"),
        ({"task": "marc", "text_a": "Gut.", "text_b": "Schlecht."}, r"demo-reviews has one text"),
        ({"text_a": "A", "text_b": "B", "label": "maybe"}, r"'maybe'.*'not entailment'"),
        ({"text_a": "A", "text_b": "B", "label": "2"}, r"'2'.*'entailment'"),
        ({"text_a": "A", "text_b": "B", "lang": "d e"}, r"'d e'.*language tag"),
        ({"lang": "de"}, r"without a text"),
    ],
)
def test_a_wrong_question_is_an_error_that_says_why(asked, message):
    with pytest.raises(question.AskError, match=message):
        read(**asked)


def test_a_label_is_given_by_name_or_number():
    texts = {"text_a": "A", "text_b": "B"}
    assert read(**texts, label="entailment").label == read(**texts, label="1").label == 1
    assert read(**texts).label is None


def test_an_example_stands_in_for_a_text():
    assert read().is_example and read("marc").text_b == ""
    assert not read(text_a="A", text_b="B").is_example


def test_a_question_of_yours_does_not_change_the_book():
    merged = params.merge({"study": "smoke"})
    asked = params.merge({"study": "smoke", "ask_text_a": "A", "ask_text_b": "B"})
    assert (
        tables.find_output_dir(asked) != tables.find_output_dir(merged) == runs.find_folder(merged)
    )
    # no table depends on the question
    assert tables.select_parameters(asked) == tables.select_parameters(merged)


# ------------------------------------------------------------------------------ runs


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A finished run of the smoke study."""
    folder = tmp_path_factory.mktemp("ask")
    merged = params.merge({"study": "smoke", "task": "xnli", "runs_root": str(folder)})
    scores.make(merged, progress=False)
    return merged


def answer(config, text_a, text_b, **changes):
    asked = {"ask_text_a": text_a, "ask_text_b": text_b}
    return ask.answer(config | changes, question.read_question(config | asked | changes), False)


@pytest.mark.slow
def test_a_test_sample_of_the_run_gets_the_influence_of_its_cube(config):
    run = scores.read(config)
    train = run.train
    sample, row = run.test.iloc[3], influence(run.cube).to_numpy()[3]
    found = answer(config, sample["text_a"], sample["text_b"], ask_candidates=len(train))
    assert list(found.samples["uid"]) == list(train["uid"])
    assert np.abs(found.samples["influence"] - row).max() < 1e-5
    assert found.probability[sample["label"]] == pytest.approx(sample["confidence"], abs=1e-6)
    assert found.input.vectors is None
    few = answer(config, sample["text_a"], sample["text_b"])
    assert len(few.samples) == config["ask_candidates"] < len(train)
    exact = pd.Series(row, train["uid"])
    assert np.abs(few.samples["influence"] - exact[few.samples["uid"]].to_numpy()).max() < 1e-5


@pytest.mark.slow
def test_new_tokens_have_the_embeddings_of_the_encoder(config, tmp_path):
    texts = ("ხვალ წვიმა მოვა.", "कल बारिश होगी 🙂")  # Georgian and Hindi
    found = answer(config, *texts)
    assert len(found.input.vectors) > 5
    epoch = len(head.find_checkpoints(runs.find_folder(config)))
    encoders.export(runs.find_folder(config), epoch, tmp_path / "whole")
    load = transformers.AutoModelForSequenceClassification.from_pretrained
    model, tokenizer = load(tmp_path / "whole").eval(), encoders.load_tokenizer(config["encoder"])
    inputs = tokenizer(*texts, truncation=True, max_length=48, return_tensors="pt")
    with torch.no_grad():
        expected = model(inputs["input_ids"]).logits.softmax(-1)[0]
    assert found.probability == pytest.approx(expected.numpy(), abs=1e-5)


@pytest.mark.slow
def test_embeddings_of_e5_are_read_alone():
    rows = np.array([0, 1, 5000, 60000])
    merged = params.merge({"study": "demo"})
    model = encoders.load_model(merged, ["a", "b"], seed=0, kept=rows)
    assert torch.equal(e5small.read_embeddings(rows), model.get_input_embeddings().weight.data)


@pytest.mark.slow
def test_of_two_classes_the_other_one_turns_every_influence_around(config):
    # The loss gradient at the logits is (-p, p) for one label and (q, -q) for the other, where p
    # and q are probabilities: antiparallel, and so is all that is computed from it.
    one, other = (answer(config, "A dog.", "An animal.", ask_label=label) for label in "01")
    values = [found.samples.set_index("uid")["influence"] for found in (one, other)]
    both = values[0].index.intersection(values[1].index)
    assert len(both) > 10
    assert np.allclose(values[0][both], -values[1][both], atol=1e-5)


@pytest.mark.slow
def test_what_is_shown(config):
    text = "<b>" + "word " * 100
    found = answer(config, text, "B", ask_lang="en")
    assert found.input.is_cut
    said = ask.describe(found, config)
    assert "You named no class" in said and "cut to max_length=48" in said
    assert "You asked for **entailment**" in ask.describe(
        answer(config, "A", "B", ask_label="1"), config
    )
    shown = ask.find_most_influential(found, 3)
    assert list(shown["sign"]) == ["test", *["positive"] * 3, *["negative"] * 3]
    assert shown["influence"][1:4].is_monotonic_decreasing
    assert shown["influence"][4:].is_monotonic_increasing
    table = ask.count_languages(found, config)
    assert (table.groupby("sign")["samples"].sum() == config["top_k"]).all()
    assert np.allclose(table.groupby("sign")[["share", "chance"]].sum(), 1)


@pytest.mark.slow
def test_recall_is_measured_against_the_whole_cube(config):
    n = len(runs.read_samples(config, "train"))
    table = ask.measure_recall(config, [20, 60, n, n + 1], progress=False)
    assert list(table["candidates"].unique()) == [20, 60, n]
    assert (table.loc[table["candidates"] == n, "share"] == 1).all()
    assert np.allclose(table["chance"], table["candidates"] / n)
    assert (table["test_samples"] == 10).all()
    shares = table[table["score"] == "gradients of the head"].groupby("sign")["share"]
    assert shares.is_monotonic_increasing.all()
    assert "10 test samples" in summary.say_candidates(table, 60, n)


@pytest.mark.slow
def test_the_gradients_of_the_head_are_kept_until_the_model_changes(config, monkeypatch):
    kept = head.read(config, torch.device("cpu"), progress=False)
    monkeypatch.setattr(head, "compute", None)  # a second computation would fail
    again = head.read(config, torch.device("cpu"), progress=False)
    assert np.array_equal(kept[0][0].grads, again[0][0].grads)
    monkeypatch.setattr(head, "read_manifest", lambda run: {"finetune_fingerprint": "another"})
    with pytest.raises((TypeError, KeyError)):
        head.read(config, torch.device("cpu"), progress=False)


@pytest.mark.slow
def test_a_run_that_cannot_be_asked_says_what_to_do(config, tmp_path):
    unfinished = config | {"runs_root": str(tmp_path / "none")}
    with pytest.raises(question.AskError, match=r"no finished run.*notebook 02 or `make study"):
        ask.check_run(unfinished)
    with pytest.raises(question.AskError, match="ask_candidates=4: allowed are 20 or more"):
        answer(config, "A", "B", ask_candidates=4)
    copy = config | {"runs_root": str(tmp_path / "copy")}
    shutil.copytree(runs.find_folder(config), runs.find_folder(copy))
    shutil.rmtree(runs.find_folder(copy) / "checkpoints")
    with pytest.raises(head.HeadError, match=r"epoch-1 does not exist.*another folder"):
        ask.check_run(copy)
    shutil.move(runs.find_folder(copy) / "scores.zarr", runs.find_folder(copy) / "influence.zarr")
    with pytest.raises(question.AskError, match=r"published.*no checkpoints.*make study"):
        ask.check_run(copy)
