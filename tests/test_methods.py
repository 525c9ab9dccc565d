"""Methods beside the paper's cosine: each by hand on a small cube, and the controls at chance."""

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import random_samples, tiny
from made_up_runs import FEW, given_at_random, make_cube, make_samples, planted_run
from scipy import sparse
from truth import cosines

from xl_influence import charts, methods, params, runs, tracin
from xl_influence.influence import from_values, influence
from xl_influence.methods import (
    base,
    catalogue,
    comparison,
    controls,
    five_questions,
    representations,
    words,
)
from xl_influence.tracin import gradient_products

# ----------------------------------------------------------------- from the cube


def test_methods_of_the_cube_are_the_gradients_own():
    given, gradients = given_at_random()
    whole = [np.concatenate([part[side] for part in gradients.values()], -1) for side in (0, 1)]
    paper = sum(cosines(whole[0][epoch], whole[1][epoch]) for epoch in (0, 1))
    assert np.allclose(methods.compute("cosine", given), paper)
    last = cosines(whole[0][1], whole[1][1])
    assert np.allclose(methods.compute("last checkpoint", given), last)
    dot = sum(whole[0][epoch] @ whole[1][epoch].T for epoch in (0, 1))
    assert np.allclose(methods.compute("dot product", given), dot)
    head = sum(cosines(*(side[epoch] for side in gradients["head"])) for epoch in (0, 1))
    assert np.allclose(methods.compute("head", given), head)
    rest = [
        np.concatenate([part[side] for name, part in gradients.items() if name != "embeddings"], -1)
        for side in (0, 1)
    ]
    expected = sum(cosines(rest[0][epoch], rest[1][epoch]) for epoch in (0, 1))
    assert np.allclose(methods.compute("all but embeddings", given), expected)


def test_ranks_and_votes_of_layers_by_hand():
    # cosines with the one test gradient: layer-00 .8, .6, 0; layer-01 .6, 1, -1
    test = np.array([[[1.0, 0.0]]])
    first = np.array([[[0.8, 0.6], [0.6, 0.8], [0.0, 1.0]]])
    second = np.array([[[0.6, 0.8], [1.0, 0.0], [-1.0, 0.0]]])
    cube = make_cube({"layer-00": (test, first), "layer-01": (test, second)})
    train = pd.DataFrame({"uid": list("abc"), "lang": "en", "item": range(3), "label": 0})
    one = pd.DataFrame({"uid": ["t"], "lang": "en", "item": 9, "label": 0})
    given = methods.MethodInput(cube, train, one, top_k=1)
    # ranks 3, 2, 1 and 2, 3, 1: means 2.5, 2.5, 1, over 3
    assert np.allclose(methods.compute("mean rank of layers", given), [[2.5 / 3, 2.5 / 3, 1 / 3]])
    # the top 1 is a, then b; the bottom 1 is c, twice
    expected = [[1 + 2.5 / 3, 1 + 2.5 / 3, -2 + 1 / 3]]
    assert np.allclose(methods.compute("votes of layers", given), expected)


def test_every_layer_is_a_method_and_an_unknown_one_is_refused():
    given, gradients = given_at_random()
    assert {"layer-00", "layer-01"} < set(methods.list_methods(given))
    layer = sum(cosines(*(side[epoch] for side in gradients["layer-01"])) for epoch in (0, 1))
    assert np.allclose(methods.compute("layer-01", given), layer)
    with pytest.raises(ValueError, match=r"unknown method 'cosin'; allowed are cosine, dot"):
        methods.compute("cosin", given)


def test_what_is_no_method_of_its_own_is_a_sum_of_gradient_products():
    names = [
        "cosine",
        "BM25",
        "mean of tokens",
        "random scores",
        "layer-07",
        "cosine, language out",
    ]
    kinds = ["gradients", "words", "representations", "control", "gradients", "gradients"]
    assert [methods.find_kind(name) for name in names] == kinds


def test_a_published_run_says_what_it_cannot_do():
    given, _ = given_at_random()
    published = from_values(influence(given.cube), given.train, given.test)
    values, reasons = methods.compute_all(methods.MethodInput(published, given.train, given.test))
    assert set(values) == {"cosine", "random scores", "shuffled samples"}
    assert np.allclose(values["cosine"], methods.compute("cosine", given))
    assert "this run holds their cosines only" in reasons["dot product"]
    assert "by parameter group" in reasons["head"]
    assert "their sum only" in reasons["last checkpoint"]
    assert "token ids" in reasons["BM25"]
    assert "checkpoints" in reasons["first token"]
    assert "random_weights=true" in reasons["random weights"]
    table = methods.describe(given, reasons)
    assert "xl_influence.methods.curvature" in reasons["EK-FAC"]
    assert set(table.loc[table["not_available"] != "", "method"]) == set(reasons)


def test_a_cube_of_checkpoints_has_no_groups_but_lengths():
    given, _ = given_at_random()
    summed = given.cube.sum("group").expand_dims(group=["all"], axis=1)  # as keep=checkpoints
    kept = methods.MethodInput(summed, given.train, given.test)
    values, reasons = methods.compute_all(kept)
    assert np.allclose(values["dot product"], methods.compute("dot product", given))
    assert np.allclose(values["last checkpoint"], methods.compute("last checkpoint", given))
    assert "keep=checkpoints" in reasons["head"]


def test_the_cosine_is_computed_once_for_all_methods_and_stays_as_it_is(monkeypatch):
    given, _ = given_at_random()
    computed = []

    def count(cube):
        computed.append(cube)
        return influence(cube)

    monkeypatch.setattr(base, "influence", count)
    values, _ = methods.compute_all(given, ["cosine", *catalogue.AVERAGED])
    methods.remove_language(given)
    assert len(computed) == 1 and np.allclose(values["cosine"], influence(given.cube))
    shuffled = values["shuffled samples"]
    assert len(shuffled) == controls.DRAWS and not (shuffled[0] == shuffled[1]).all()
    assert (np.sort(shuffled[0], 1) == np.sort(values["cosine"], 1)).all()
    with pytest.raises(ValueError, match="read-only"):
        values["cosine"][0, 0] = 0


def test_with_one_checkpoint_the_last_is_no_method_of_its_own():
    given, _ = given_at_random(epochs=1)
    with pytest.raises(methods.NotAvailableError, match="one checkpoint"):
        methods.compute("last checkpoint", given)


# --------------------------------------------------------------------- from texts


def test_bm25_by_hand():
    documents = sparse.csr_array(np.array([[2, 0, 1], [1, 1, 0]]))
    queries = sparse.csr_array(np.array([[0, 1, 0], [0, 0, 2]]))
    # lengths 3 and 2, mean 2.5; tokens 1 and 2 are in one of two documents: idf = log(1 + 1.5/1.5)
    idf = np.log(2)
    b_in_second = idf * 1 * 2.5 / (1 + 1.5 * (0.25 + 0.75 * 2 / 2.5))
    c_in_first = 2 * idf * 1 * 2.5 / (1 + 1.5 * (0.25 + 0.75 * 3 / 2.5))
    expected = [[0, b_in_second], [c_in_first, 0]]
    assert np.allclose(words.score_bm25(documents, queries), expected)


@pytest.fixture
def with_inputs(tmp_path):
    """A run with token ids: two training samples and a test sample."""
    rows = [
        ["en0", "train", [0, 5, 6, 2]],
        ["de0", "train", [0, 7, 2]],
        ["en9", "test", [0, 5, 2]],
    ]
    inputs = pd.DataFrame(rows, columns=["uid", "split", "input_ids"])
    inputs.to_parquet(tmp_path / "inputs.parquet")
    train = pd.DataFrame({"uid": ["en0", "de0"], "lang": ["en", "de"], "item": 0, "label": 0})
    test = pd.DataFrame({"uid": ["en9"], "lang": "en", "item": 9, "label": 0})
    cube = from_values([[0.5, 0.1]], train, test)
    return methods.MethodInput(cube, train, test, folder=tmp_path)


def test_token_overlap_counts_no_token_that_all_samples_have(with_inputs):
    # {5} and {5, 6}: one of two; {5} and {7}: none
    assert methods.compute("token overlap", with_inputs).tolist() == [[0.5, 0.0]]
    bm25 = methods.compute("BM25", with_inputs)
    assert bm25[0, 0] > 0 and bm25[0, 1] == 0


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_representations_do_not_depend_on_the_batch(kind):
    model = tiny(kind)
    samples = random_samples(9, seed=4)
    first, mean = representations.encode(model, samples, max_tokens=40)  # several batches
    for row, sample in enumerate(samples):
        alone = representations.encode(model, [sample])
        assert np.allclose(first[row], alone[0], atol=1e-5)
        assert np.allclose(mean[row], alone[1], atol=1e-5)
    assert not np.allclose(first[0], first[1], atol=1e-3)


def test_representations_by_hand():
    model, (sample,) = tiny("bert"), random_samples(1, seed=4)
    with torch.no_grad():
        states = model.base_model(torch.tensor([sample["input_ids"]])).last_hidden_state[0]
    first, mean = representations.encode(model, [sample])
    assert np.allclose(first[0], states[0], atol=1e-5)
    assert np.allclose(mean[0], states.mean(0), atol=1e-5)


# ----------------------------------------------------------------------- controls


def test_random_weights_are_computed_once_and_belong_to_their_scores(tmp_path, monkeypatch):
    config = params.merge({"study": "smoke", "runs_root": str(tmp_path), "device": "cpu"})
    run = runs.find_folder(config)
    model = tiny("bert")
    for parameter in model.parameters():  # as no initialisation would draw them
        parameter.data *= 8
    model.save_pretrained(run / "checkpoints" / "epoch-1")
    samples = [
        sample | {"uid": f"{split}{row}", "split": split, "lang": "en", "item": row}
        for split, number in (("train", 5), ("test", 2))
        for row, sample in enumerate(random_samples(number, seed=number))
    ]
    inputs = pd.DataFrame(samples)
    inputs.to_parquet(run / "inputs.parquet")
    frames = {split: part.reset_index(drop=True) for split, part in inputs.groupby("split")}
    for split, frame in frames.items():
        frame[["uid", "lang", "item", "label"]].to_parquet(run / f"{split}.parquet")
    (run / "manifest.json").write_text('{"scores_fingerprint": "one"}')
    path = methods.compute_random_weights(config, seed=7)  # the checkpoint has seed 0
    cube = from_values(np.zeros((2, 5)), frames["train"], frames["test"])
    given = methods.MethodInput(cube, frames["train"], frames["test"], folder=run)
    found = methods.compute("random weights", given)
    assert found.shape == (2, 5) and np.abs(found).max() <= 1 + 1e-6 and found.std() > 0
    trained = influence(gradient_products(model, samples[:5], samples[5:])).to_numpy()
    assert not np.allclose(found, trained, atol=1e-3), "these are the checkpoint's weights"
    used = {}

    def spy(*_, **options):
        used.update(options)
        return gradient_products(model, samples[:5], samples[5:])

    with monkeypatch.context() as patched:
        patched.setattr(tracin, "gradient_products", spy)
        methods.compute_random_weights(config | {"max_tokens": 99}, seed=8)
    assert (used["max_tokens"], used["precision"]) == (99, config["precision"])
    assert used["device"] == torch.device("cpu")
    path = methods.compute_random_weights(config, seed=7)
    monkeypatch.setattr(controls, "_pass", None)  # a second pass would fail
    assert methods.compute_random_weights(config, seed=7) == path
    (run / "manifest.json").write_text('{"scores_fingerprint": "two"}')
    with pytest.raises(methods.NotAvailableError, match="belongs to other scores"):
        methods.compute("random weights", given)


@pytest.fixture(scope="module")
def compared():
    given = planted_run()
    values, _ = methods.compute_all(given)
    return methods.compare(values, given, ks=(5, 10, 50), translated=True, bootstrap=FEW)


def lookup(table, method, measure, k):
    where = (table["method"] == method) & (table["measure"] == measure) & (table["k"] == k)
    assert where.sum() == 1
    return table[where].iloc[0]


PLACES = [("other languages", 5), ("other languages", 50), ("planted", 10), ("own translation", 0)]


@pytest.mark.parametrize(("measure", "k"), PLACES)
@pytest.mark.parametrize("control", catalogue.AVERAGED)
def test_controls_are_at_chance_and_the_cosine_is_not(compared, control, measure, k):
    row = lookup(compared, control, measure, k)
    spread = max(row["ci_high"] - row["ci_low"], 0.02)
    assert abs(row["value"] - row["chance"]) < spread
    paper = lookup(compared, "cosine", measure, k)
    if k != 50:
        assert not paper["ci_low"] <= paper["chance"] <= paper["ci_high"]


@pytest.mark.parametrize("control", catalogue.AVERAGED)
def test_controls_do_not_agree_with_the_cosine(compared, control):
    assert abs(lookup(compared, control, "agreement", 0)["value"]) < 0.05
    assert lookup(compared, "cosine", "agreement", 0)["value"] == pytest.approx(1)


def test_every_row_has_chance_and_counts(compared):
    assert not compared.drop(columns=["ci_low", "ci_high"]).isna().any().any()
    assert set(compared["measure"]) == set(comparison.MEASURES)
    drawn = charts.plot_methods(compared, {"cosine": "gradients"}, ["other languages"]).to_dict()
    assert [layer["mark"]["type"] for layer in drawn["spec"]["layer"]] == ["tick", "rule", "point"]


def test_rank_correlation_by_hand():
    a = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    b = np.array([[10.0, 20.0, 30.0], [3.0, 1.0, 2.0], [1.0, 2.0, 3.0]])
    # second: ranks 1 2 3 and 3 1 2: differences 2, 1, 1; 1 - 6 * 6 / (3 * 8)
    assert methods.correlate_ranks(a, b).tolist() == pytest.approx([1, -0.5, 0])


def make_lengths(lengths):
    """Two test samples, and training samples whose gradients differ in length only."""
    train = make_samples(["en"], range(len(lengths)))
    test = make_samples(["en"], [100, 101], prefix="test-")
    along = np.array(lengths, dtype=float)[:, None] * [1.0, 0.0]
    cube = make_cube({"head": (np.ones((1, 2, 2)), along[None])})
    cube = cube.assign_coords(train=list(train["uid"]), test=list(test["uid"]))
    return methods.MethodInput(cube, train, test)


def test_long_gradients_come_first_by_the_dot_product_and_not_by_the_cosine():
    """Of 20 samples the two longest, the last, are first by dot product: 2 of the top 10.

    By the cosine all are equal, and the first ten come first: 0 of the top 10. Chance is 2 / 20.
    """
    given = make_lengths(range(1, 21))
    values, _ = methods.compute_all(given, ["cosine", "dot product"])
    rows = methods.measure_long_gradients(values, given, FEW).set_index("method")
    assert rows["share"].to_dict() == {"dot product": 0.2, "cosine": 0.0}
    assert (rows["chance"] == 0.1).all() and (rows["test_samples"] == 2).all()
    assert methods.measure_long_gradients({"cosine": values["cosine"]}, given).empty


# ---------------------------------------------------------------------- questions


@pytest.fixture(scope="module")
def answered():
    return methods.answer_questions(methods.Runs(planted_run()), bootstrap=FEW)


def test_answers_are_those_of_the_numbers(answered):
    given, table = planted_run(), answered
    one = table[table["question"] == 1].set_index("method")
    assert set(one.index) == set(methods.list_methods(given))
    paper = one.loc["cosine"]
    assert paper["ci_high"] < 0.5 and paper["verdict"] == "does not hold"
    assert one.loc["random scores", "verdict"] == "inconclusive", "chance is no evidence"
    assert one.loc["BM25", "verdict"] == "cannot be tested here" and one.loc["BM25", "why_not"]
    assert (table.loc[table["question"].isin([2, 4, 5]), "why_not"] != "").all()
    counts = methods.count_answers(table, methods.list_questions(True, True))
    assert len(counts) == 5
    first = counts.iloc[0]
    asked = one[(one["kind"] != "control") & ~one.index.str.startswith("layer-")]
    asked = asked[asked["why_not"] == ""]
    assert first["of"] == len(asked) - 1
    assert first["same"] == (asked["verdict"] == paper["verdict"]).sum() - 1
    assert len(methods.say_same_as_paper(counts)) == 5
    assert "This run cannot test it" in methods.say_same_as_paper(counts)[1]


def test_controls_are_averaged_over_the_same_draws_in_both_tables(compared, answered):
    one = answered[answered["question"] == 1].set_index("method")
    same = ["value", "ci_low", "ci_high", "chance", "test_samples", "items"]
    for name in ("cosine", *catalogue.AVERAGED):
        row = lookup(compared, name, "other languages", 10)
        assert one.loc[name, same].tolist() == pytest.approx(row[same].tolist())
    with pytest.raises(ValueError, match="'cosine' has 1, counted from 0"):
        methods.compute("cosine", planted_run(), draw=1)


@pytest.mark.parametrize(("epochs", "why"), [(1, "one checkpoint"), (2, "2 checkpoints")])
def test_the_own_share_cannot_fall_after_the_second_epoch_if_that_is_the_last(epochs, why):
    given, _ = given_at_random(epochs=epochs)
    table = methods.answer_questions(methods.Runs(given), bootstrap=FEW)
    four = table[table["question"] == 4].set_index("method")
    assert (four["verdict"] == "cannot be tested here").all() and four["value"].isna().all()
    assert why in four.loc["cosine", "why_not"] and "three or more" in four.loc["cosine", "why_not"]
    counts = methods.count_answers(table, methods.list_questions(True, True))
    assert methods.say_same_as_paper(counts)[3].endswith("This run cannot test it.")


def test_each_method_is_computed_once_for_all_questions_with_the_same_result(monkeypatch):
    given, _ = given_at_random(epochs=3)
    more, _ = given_at_random(epochs=3)
    kept = (given.train["lang"] != "de").to_numpy()
    train = given.train[kept].reset_index(drop=True)
    without = methods.MethodInput(given.cube.isel(train=kept), train, given.test, top_k=10)
    runs, computed = methods.Runs(given, given, {"en": more}, {"de": without}), []
    compute = five_questions.compute

    def count(name, given, *, draw):
        computed.append((name, given, draw))  # keeps `given`, so no other has its identity
        return compute(name, given, draw=draw)

    monkeypatch.setattr(five_questions, "compute", count)
    once = methods.answer_questions(runs, bootstrap=FEW)
    done = [each for each in computed if each[0] not in ("BM25", "token overlap")]
    assert set(once.loc[once["method"] == "cosine", "why_not"]) == {""}
    available = [each for each in done if not _fails(compute, each)]
    assert len(available) == len(set(available)) > 30
    monkeypatch.setattr(five_questions.functools, "cache", lambda function: function)
    computed.clear()
    again = methods.answer_questions(runs, bootstrap=FEW)
    assert len(computed) > 1.5 * len(done)
    pd.testing.assert_frame_equal(once, again, check_exact=True)


def _fails(compute, call):
    name, given, draw = call
    try:
        compute(name, given, draw=draw)
    except methods.NotAvailableError:
        return True
    return False


def test_change_of_the_own_share_is_from_the_second_epoch_to_the_last():
    given, _ = given_at_random(epochs=4)
    each = five_questions._change_of_own(
        five_questions.Scores("cosine"), methods.Runs(given), draw=0
    )
    own = {}
    for epoch in (2, 4):
        values = influence(given.cube.sel(checkpoint=epoch)).to_numpy()
        top = np.argsort(-values, 1)[:, :10]
        same = given.train["lang"].to_numpy()[top] == given.test["lang"].to_numpy()[:, None]
        own[epoch] = same.mean(1)
    assert np.allclose(each["share"], own[4] - own[2])
    assert (each["chance"] == 0).all()
