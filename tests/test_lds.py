"""Predicting retraining: on outcomes that follow from the scores, with noise that is known."""

import numpy as np
import pandas as pd
import pytest

from xl_influence import methods
from xl_influence.corruption import flip_labels
from xl_influence.methods import datamodels as lds
from xl_influence.methods import detection, subsets
from xl_influence.retrainer import Retrainer
from xl_influence.sharing import Bootstrap

FEW = Bootstrap(100)


@pytest.fixture
def outcomes():
    """(values, masks, outcomes): each subset's outcome is its sum of values, plus noise by seed."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(8, 60))
    masks = lds.draw_subsets(60, 80)
    clean = masks @ values.T  # (subset, test)
    noise = clean.std(0) * rng.normal(size=(2, *clean.shape))
    return values, masks, clean + noise


def test_subsets_are_halves_and_differ():
    masks = lds.draw_subsets(61, 20, share=0.5)
    assert (masks.sum(1) == 30).all() and len(np.unique(masks, axis=0)) == 20
    assert (lds.draw_subsets(61, 20) == masks).all(), "the seed decides"
    with pytest.raises(ValueError, match="share=1: 10 of 10 samples"):
        lds.draw_subsets(10, 2, share=1)


def test_language_subsets_lack_a_part_of_one_language_only():
    lang = pd.Series(["en"] * 8 + ["de"] * 8 + ["es"] * 8)
    masks = lds.draw_language_subsets(lang, 12)
    for number, mask in enumerate(masks):
        lost = lang[~mask].value_counts()
        assert list(lost.index) == [["en", "de", "es"][number % 3]]
        assert lost.iloc[0] == [2, 4, 6, 8][number // 3]
    with pytest.raises(ValueError, match="two or more languages"):
        lds.draw_language_subsets(pd.Series(["en"] * 4), 2)


def test_lds_is_one_for_the_truth_and_zero_for_random_scores(outcomes):
    values, masks, noisy = outcomes
    assert lds.lds_by_sample(values, masks, masks @ values.T) == pytest.approx(1)
    random = np.random.default_rng(1).normal(size=values.shape)
    items, both = pd.Series(range(8)).astype(str), {"truth": values, "random": random}
    found = methods.lds(both, masks, noisy, items, shuffles=999, bootstrap=FEW).set_index("method")
    assert found.loc["truth", "ci_low"] > 0.6 and found.loc["truth", "p"] == pytest.approx(0.001)
    low, value, high = found.loc["random", ["null_low", "lds", "null_high"]]
    assert -0.2 < low < value < high < 0.2 and found.loc["random", "p"] > 0.025
    assert found["best_high"].nunique() == 1 and found["best_high"].iloc[0] > high
    least, most = found.loc["truth", ["least", "most"]]
    each = lds.lds_by_sample(values, masks, noisy.mean(0))  # each sample is its own item
    assert [least, most] == pytest.approx([each.min(), each.max()])
    counts = found.loc["truth", ["subsets", "shuffles", "seeds", "test_samples", "items"]]
    assert counts.tolist() == [80, 999, 2, 8, 8]
    for wrong in (values[None], values[:, :-1], values[:-1]):
        with pytest.raises(ValueError, match="allowed are"):
            lds.lds_by_sample(wrong, masks, noisy[0])


def test_the_ceiling_is_what_the_truth_reaches(outcomes):
    values, masks, noisy = outcomes
    # signal and noise have equal variance: r = 1/2, reliability of two seeds 2/3, its root 0.816
    assert lds.split_half_ceiling(noisy).mean() == pytest.approx(np.sqrt(2 / 3), abs=0.07)
    items = pd.Series(range(8)).astype(str)
    found = methods.lds({"truth": values}, masks, noisy, items, bootstrap=FEW)
    assert found["of_ceiling"].iloc[0] == pytest.approx(1, abs=0.08)
    assert lds.split_half_ceiling(np.stack([noisy[0], noisy[0]])) == pytest.approx(1)
    with pytest.raises(ValueError, match="two seeds"):
        lds.split_half_ceiling(noisy[:1])


def test_the_size_of_a_subset_predicts_nothing():
    """Outcomes that follow from size alone: positive scores would predict them, if sizes mixed."""
    lang = pd.Series(["en"] * 40 + ["de"] * 40)
    masks = lds.draw_language_subsets(lang, 80)
    rng = np.random.default_rng(0)
    outcomes = masks.sum(1)[:, None] + 0.1 * rng.normal(size=(80, 30))
    values = rng.uniform(size=(30, 80))
    predicted = masks @ values.T
    assert methods.correlate_ranks(predicted.T, outcomes.T).mean() > 0.9
    assert abs(lds.lds_by_sample(values, masks, outcomes).mean()) < 0.1
    assert lds.lds_by_sample(values, masks, predicted) == pytest.approx(1)


def test_subsets_say_which_language_they_lack():
    lang = pd.Series(["en"] * 8 + ["de"] * 8 + ["es"] * 8)
    masks = lds.draw_language_subsets(lang, 12)
    assert subsets.find_lost(masks, lang).tolist() == ["en", "de", "es"] * 4


def measured(reliability, seeds, subsets, n_test=40):
    """The truth, and outcomes whose mean over seeds has a reliability."""
    rng = np.random.default_rng(seeds)
    truth = rng.normal(size=(subsets, n_test))
    # variances: truth 1, noise of one seed s²; of the mean, 1 / (1 + s² / n) = reliability
    noise = np.sqrt(seeds * (1 - reliability) / reliability)
    return truth, truth + noise * rng.normal(size=(seeds, subsets, n_test))


@pytest.mark.parametrize("seeds", [2, 3, 4, 5])
@pytest.mark.parametrize("reliability", [0.3, 0.6, 0.9])
def test_the_ceiling_follows_a_known_reliability_for_any_number_of_seeds(seeds, reliability):
    truth, outcomes = measured(reliability, seeds, subsets=1000)
    reached = methods.correlate_ranks(truth.T, outcomes.mean(0).T).mean()
    # Spearman's correlation of two normal variables whose Pearson's is the root of the reliability
    assert reached == pytest.approx(6 / np.pi * np.arcsin(np.sqrt(reliability) / 2), abs=0.01)
    assert lds.split_half_ceiling(outcomes).mean() == pytest.approx(reached, abs=0.02)


def test_the_ceiling_is_close_for_few_subsets_and_too_high_for_noise():
    for reliability in (0.1, 0.15, 0.2, 0.5, 0.9):
        truth, outcomes = measured(reliability, seeds=2, subsets=100, n_test=4000)
        reached = methods.correlate_ranks(truth.T, outcomes.mean(0).T).mean()
        assert -0.05 < lds.split_half_ceiling(outcomes).mean() - reached < 0.01
    noise = np.random.default_rng(0).normal(size=(2, 100, 4000))
    assert lds.split_half_ceiling(noise).mean() == pytest.approx(lds.NOISE, abs=0.01)
    more_seeds = np.random.default_rng(0).normal(size=(4, 100, 4000))
    assert lds.split_half_ceiling(more_seeds).mean() < lds.split_half_ceiling(noise).mean()


def test_every_split_of_the_seeds_into_halves_counts_once():
    assert list(lds._splits(2)) == [((0,), (1,))]
    assert list(lds._splits(3)) == [((0,), (1,)), ((0,), (2,)), ((1,), (2,))]
    assert [len(list(lds._splits(n))) for n in (4, 5)] == [3, 15]
    # three seeds, of which the first is the odd one out: the order does not matter
    outcomes = measured(0.5, seeds=3, subsets=50)[1]
    assert lds.split_half_ceiling(outcomes) == pytest.approx(lds.split_half_ceiling(outcomes[::-1]))


def test_probabilities_of_zero_and_one_have_finite_log_odds():
    found = lds.log_odds(np.array([0, 0.5, 1]))
    assert np.isfinite(found).all() and found[0] == pytest.approx(-found[2]) and found[1] == 0


def test_auroc_by_hand():
    scores, marked = np.array([3.0, 1.0, 2.0, 1.0]), np.array([True, True, False, False])
    # pairs: 3 > 2, 3 > 1, 1 < 2, 1 = 1: (2 + 0 + 0.5) / 4
    assert methods.auroc(scores, marked) == pytest.approx(0.625)
    assert np.isnan(methods.auroc(scores, np.zeros(4, bool)))


def test_labels_are_flipped_in_one_language_and_found_within_it():
    rng = np.random.default_rng(0)
    lang = pd.Series(["en"] * 100 + ["de"] * 100)
    labels = pd.Series(rng.integers(3, size=200))
    new, flipped = flip_labels(labels, lang, "de", share=0.2)
    assert flipped.sum() == 20 and (lang[flipped] == "de").all()
    assert ((new != labels) == flipped).all()
    scores = {"knows": flipped * 2.0, "constant": np.ones(200), "random": rng.normal(size=200)}
    found = methods.find_flipped(scores, lang, flipped, bootstrap=FEW).set_index("score")
    assert found["language"].tolist() == ["de"] * 3 and found["samples"].tolist() == [100] * 3
    assert found["auroc"].loc[["knows", "constant"]].tolist() == [1, 0.5]
    row = found.loc["random"]
    assert row["ci_low"] < 0.5 < row["ci_high"]
    with pytest.raises(ValueError, match="in 'fr'"):
        flip_labels(labels, lang, "fr")


def test_self_influence_of_the_cosine_finds_nothing():
    from test_methods import given_at_random

    given, gradients = given_at_random()
    expected = sum((part[1] ** 2).sum((0, 2)) for part in gradients.values())
    assert np.allclose(detection.sum_squared_lengths(given.cube), expected)


@pytest.mark.slow
def test_subsets_are_trained_once(smoke, monkeypatch):
    from xl_influence import params

    merged = params.merge({"study": "smoke", "task": "marc", "runs_root": str(smoke)})
    masks = lds.draw_subsets(5 * merged["train_size"], 3)
    first = subsets.train_subsets(merged, masks, seeds=[0, 1], progress=False)
    assert first.shape == (2, 3, 5 * merged["test_size"])
    trainer = subsets.make_trainer(merged)
    found = subsets.read_or_train(merged, trainer, n=3, seeds=[0, 1], progress=False)
    given = methods.read_given(merged)
    table = subsets.measure(given, found, n=3, bootstrap=Bootstrap.of(merged))
    kinds = ("random halves", "by language")
    assert list(dict.fromkeys(table["kind"])) == [
        name for kind in kinds for name in (kind, f"{kind}, labels taken out")
    ]
    methods_of = {kind: set(part["method"]) for kind, part in table.groupby("kind")}
    for kind in kinds:
        assert methods_of[kind] > {"cosine", "BM25", "random scores", "same language"}
        assert methods_of[kind] - methods_of[f"{kind}, labels taken out"] == {"same label"}
    assert table["lds"].between(-1, 1).all() and (table[["subsets", "seeds"]] == [3, 2]).all().all()
    monkeypatch.setattr(Retrainer, "_train", lambda *_: pytest.fail("trained again"))
    own = subsets.measure_own(merged, {"mine": methods.compute("BM25", given)}, n=3)
    bm25 = table.set_index("method").loc[["BM25"], "lds"].tolist()
    assert own["lds"].tolist() == pytest.approx(bm25) and set(own["method"]) == {"mine"}
    again = subsets.train_subsets(merged, masks, seeds=[0, 1], progress=False)
    assert (first == again).all()


def test_what_the_number_of_samples_of_each_label_explains_is_taken_out():
    labels = np.array([0, 1, 2] * 20)
    masks = lds.draw_subsets(60, 50)
    counts = np.stack([masks[:, labels == label].sum(1) for label in range(3)])  # (label, subset)
    rest = np.random.default_rng(1).normal(size=(2, 50))
    explained = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]]) @ counts
    left = lds.take_out_labels(explained + rest, masks, labels)
    assert np.allclose(left, lds.take_out_labels(rest, masks, labels))
    assert (lds.take_out_labels(explained, masks, labels) == 0).all(), "only rounding is left"
    assert np.allclose(left @ counts.T, 0) and np.allclose(left.mean(1), 0)


def test_scores_that_know_only_the_label_predict_nothing_once_labels_are_taken_out():
    rng = np.random.default_rng(0)
    train, test = rng.integers(0, 2, 60), rng.integers(0, 2, 8)
    same = (test[:, None] == train).astype(float)
    own = rng.normal(size=(8, 60))
    masks = lds.draw_subsets(60, 100)
    outcomes = np.stack([masks @ (3 * same + own).T] * 2)  # (seed, subset, test)
    values, items = {"same": same, "own": own}, pd.Series(np.arange(8).astype(str))
    plain = lds.lds(values, masks, outcomes, items, shuffles=50, bootstrap=FEW)
    left = lds.lds(values, masks, outcomes, items, labels=train, shuffles=50, bootstrap=FEW)
    assert plain["lds"][0] > plain["lds"][1] and left["lds"][0] == 0
    assert left["lds"][1] > 0.99
