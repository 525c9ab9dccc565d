"""The analyses on a cube small enough to check by hand, and on a planted one whose answer is known."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from xl_influence import sharing

TRAIN = pd.DataFrame(
    {"uid": ["en0", "en1", "de0", "de1"], "lang": ["en", "en", "de", "de"], "item": [0, 1, 0, 1], "label": [0, 1, 0, 1],
     "text_a": list("abcd"), "text_b": None}
)  # fmt: skip
TEST = pd.DataFrame({"uid": ["en7", "de7"], "lang": ["en", "de"], "item": 7, "label": 0, "text_a": list("xy"), "text_b": None})
VALUES = np.array([[[0.9, 0.2, 0.5, -0.4], [0.1, -0.2, 0.8, 0.7]], [[0.1, 0.3, 0.1, -0.5], [0.3, 0.1, 0.2, -0.1]]])


def cube(values, train, test):
    """A cube whose influence at each checkpoint is `values` (checkpoint, test, train): unit norms, split over two groups."""
    half = np.stack([values / 2, values / 2], 1)
    ones = {dim: np.full((len(values), 2, n), 0.5) for dim, n in (("test", len(test)), ("train", len(train)))}
    return xr.Dataset(
        {
            "dot": (("checkpoint", "group", "test", "train"), half),
            "test_sqnorm": (("checkpoint", "group", "test"), ones["test"]),
            "train_sqnorm": (("checkpoint", "group", "train"), ones["train"]),
        },
        coords={
            "checkpoint": range(1, len(values) + 1),
            "group": ["embeddings", "head"],
            "test": list(test["uid"]),
            "train": list(train["uid"]),
        },
    )


@pytest.fixture
def small():
    return cube(VALUES, TRAIN, TEST), TRAIN, TEST


def lookup(table, **where):
    for key, value in where.items():
        table = table[table[key] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_composition_by_hand(small):
    # sums: en7: en0 1.0, en1 .5, de0 .6, de1 -.9; de7: en0 .4, en1 -.1, de0 1.0, de1 .6
    table = sharing.composition(*small, top_k=2, resamples=50)
    assert list(table.columns) == ["test_lang", "train_lang", "sign", "checkpoint", "share", "ci_low", "ci_high", "chance"]
    assert lookup(table, test_lang="en", train_lang="en", sign="positive", checkpoint=0)["share"] == 0.5
    assert lookup(table, test_lang="de", train_lang="de", sign="positive", checkpoint=0)["share"] == 1
    assert lookup(table, test_lang="de", train_lang="en", sign="negative", checkpoint=0)["share"] == 1
    assert (
        lookup(table, test_lang="en", train_lang="en", sign="positive", checkpoint=2)["share"] == 1
    )  # en1 .3, then en0 before de0
    assert (table["chance"] == 0.5).all() and set(table["checkpoint"]) == {0, 1, 2}
    total = table.groupby(["test_lang", "sign", "checkpoint"])["share"].sum()
    assert np.allclose(total, 1)


def test_cross_language_by_hand(small):
    table = sharing.cross_language(*small, top_k=2, resamples=50)
    row = lookup(table, test_lang="all", sign="positive")
    assert row["share"] == 0.25 and row["chance"] == 0.5 and row["test_samples"] == 2
    assert lookup(table, test_lang="en", sign="positive")["share"] == 0.5


def test_mean_influence_by_hand(small):
    table = sharing.mean_influence(*small, resamples=50)
    assert lookup(table, test_lang="en", train_lang="de")["mean"] == pytest.approx((0.6 - 0.9) / 2)
    assert lookup(table, test_lang="de", train_lang="de")["mean"] == pytest.approx(0.8)


def test_distribution_counts_every_score(small):
    table = sharing.distribution(*small, bins=7)
    assert np.allclose(table.groupby(["test_lang", "train_lang"])["share"].sum(), 1)
    assert table["low"].min() == pytest.approx(-0.9) and table["high"].max() == pytest.approx(1.0)


def test_influential_samples_in_order(small):
    table = sharing.influential_samples(*small, "en7", n=2)
    assert table["uid"].tolist() == ["en7", "en0", "de0", "de1", "en1"]
    assert table["influence"].tolist()[1:] == pytest.approx([1.0, 0.6, -0.9, 0.5])
    with pytest.raises(sharing.SharingError, match="no test sample 'fr1'"):
        sharing.influential_samples(*small, "fr1")


def test_planted_answer_is_found_with_its_chance_level():
    rng = np.random.default_rng(0)
    train = pd.DataFrame(
        {"lang": np.repeat(["en", "de"], 100), "phenomenon": np.tile(list("abcdefghij"), 20), "label": rng.integers(0, 2, 200)}
    )
    test = pd.DataFrame({"lang": ["en", "de"] * 10, "phenomenon": list("abcdefghij") * 2, "label": rng.integers(0, 2, 20)})
    for frame in (train, test):
        frame["item"] = range(len(frame))
        frame["uid"] = frame["lang"] + frame["item"].astype(str)
    same = (train["phenomenon"].to_numpy() == test["phenomenon"].to_numpy()[:, None]) * np.where(
        train["label"].to_numpy() == test["label"].to_numpy()[:, None], 1, -1
    )
    scores = cube((same + rng.normal(0, 0.05, same.shape))[None] / 4, train, test)
    found = sharing.planted(scores, train, test, top_k=5, resamples=200)
    assert lookup(found, what="both", sign="positive")["share"] > 0.95
    assert lookup(found, what="both", sign="positive")["chance"] < 0.1
    assert lookup(found, what="phenomenon", sign="negative")["share"] > 0.95
    assert lookup(found, what="label", sign="negative")["share"] < 0.05
    noise = cube(rng.normal(0, 0.2, same.shape)[None], train, test)
    blind = lookup(sharing.planted(noise, train, test, top_k=50, resamples=500), what="label", sign="positive")
    assert blind["ci_low"] < blind["chance"] < blind["ci_high"]


def test_ties_go_to_the_earlier_sample_and_edges_are_refused(small):
    assert sharing.top_samples(np.zeros((1, 4)), 2, "positive").tolist() == [[0, 1]]
    assert sharing.top_samples(np.zeros((1, 4)), 4, "negative").tolist() == [[0, 1, 2, 3]]
    for k in (0, 5):
        with pytest.raises(sharing.SharingError, match=f"top_k={k}: allowed are 1 to 4"):
            sharing.composition(*small, top_k=k)
    scores, train, test = small
    with pytest.raises(sharing.SharingError, match="not those of the table"):
        sharing.composition(scores, train.iloc[::-1], test, top_k=2)


def test_bootstrap_interval():
    each = np.random.default_rng(1).normal(3, 1, 400)
    low, high = sharing.bootstrap(each, 4000, 0.95, seed=0)
    assert low == pytest.approx(each.mean() - 1.96 * each.std() / 20, abs=0.01)
    assert high == pytest.approx(each.mean() + 1.96 * each.std() / 20, abs=0.01)
    assert sharing.bootstrap([0.5] * 3, 10, 0.95, 0) == (0.5, 0.5)


def test_reinforcement_by_hand(small):
    # top 3 of en7: en0, de0, en1: de0 is the translation of en0; own items 2 of 2. Of de7: de0, de1, en0: likewise
    scores, train, test = small
    table = sharing.reinforcement(scores, train, test, top_k=3)
    row = lookup(table, test_lang="en", sign="positive")
    assert (row["share"], row["chance"], row["test_samples"]) == (1.0, 1.0, 1)
    # negative, top 2 of en7: de1, en1: a translation; own items 1 of 2. Of de7: en1, en0: none of its own
    row = lookup(sharing.reinforcement(scores, train, test, top_k=2), test_lang="en", sign="negative")
    assert (row["share"], row["chance"]) == (1.0, 0.5)
    row = lookup(sharing.reinforcement(scores, train, test, top_k=2), test_lang="de", sign="negative")
    assert (row["share"], row["chance"]) == (0.0, 0.0)


def test_reinforcement_is_found_where_planted_and_at_chance_where_not():
    n, rng = 200, np.random.default_rng(0)
    train = pd.DataFrame(
        [{"uid": f"{lang}{i}", "lang": lang, "item": i, "label": i % 2} for lang in ("en", "de") for i in range(n)]
    )
    test = pd.DataFrame([{"uid": f"en{i}", "lang": "en", "item": i} for i in range(900, 920)])
    noise = rng.uniform(size=(1, 20, 2 * n))
    by_item = np.tile(rng.uniform(size=(1, 20, n)), 2)
    planted, chance = (
        lookup(sharing.reinforcement(cube(values, train, test), train, test, top_k=40), sign="positive")
        for values in (by_item, noise)
    )
    assert planted["share"] > 0.9 > 0.2 > planted["chance"]
    assert chance["share"] == pytest.approx(chance["chance"], abs=0.03)


def test_reinforcement_refuses_what_is_not_parallel(small):
    scores, train, test = small
    with pytest.raises(sharing.SharingError, match="parallel task"):
        sharing.reinforcement(scores, train.assign(label=[0, 1, 1, 1]), test, top_k=2)
    alone = train["lang"] == "en"  # one language: nothing comes from another
    assert sharing.reinforcement(scores.isel(train=alone.to_numpy(), test=[0]), train[alone], test[:1], top_k=2).empty


def test_epoch_tests_by_hand_and_in_order():
    train = pd.DataFrame({"uid": [f"en{i}" for i in range(6)], "lang": "en", "item": range(6), "label": 0})
    test = TEST[:1]
    change = np.array([0.1, 0.2, 0.3, 0.4, 0.5, -0.6])  # ranks 1 to 6: 15 up, 6 down
    values = np.stack([np.zeros(6), change, 2 * change])[:, None]
    table = sharing.epoch_tests(cube(values, train, test), train, test)
    assert table[["checkpoint_a", "checkpoint_b"]].to_numpy().tolist() == [[1, 2], [1, 3], [2, 3]]
    assert table["statistic"].tolist() == [6, 6, 6] and table["effect"].tolist() == pytest.approx([9 / 21] * 3)
    assert (table["p"] == 0.4375).all() and (table["p_adjusted"] == 1).all()  # exact p of W = 6 for six pairs; three tests
    assert sharing.epoch_tests(cube(values[:1], train, test), train, test).empty


def test_holm():
    assert sharing._holm(np.array([0.04, 0.01, 0.03])).tolist() == pytest.approx([0.06, 0.03, 0.06])
