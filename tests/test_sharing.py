"""The analyses on a cube small enough to check by hand, and on one with a planted answer."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from small_cube import TEST, TRAIN, VALUES, cube, lookup

from xl_influence import sharing

SHARE = ["share", "ci_low", "ci_high", "chance", "test_samples", "items"]


def test_composition_is_the_mean_of_its_samples(small):
    each = sharing.composition_by_sample(*small, top_k=2)
    assert list(each.columns) == [
        "test",
        "item",
        "test_lang",
        "train_lang",
        "sign",
        "share",
        "chance",
    ]
    assert (
        lookup(each, test="en7", train_lang="de", sign="positive")["share"] == 0.5
    )  # en0 1.0, de0 .6
    assert lookup(each, test="de7", train_lang="de", sign="positive")["share"] == 1
    both = [
        cube(
            np.concatenate([VALUES, VALUES[:, ::-1]], 1),
            TRAIN,
            two := TEST.iloc[[0, 1, 1, 0]].assign(uid=list("abcd")),
        ),
        TRAIN,
        two,
    ]
    mean = (
        sharing.composition_by_sample(*both, top_k=2)
        .groupby(["test_lang", "train_lang", "sign"])["share"]
        .mean()
    )
    whole = sharing.composition(*both, top_k=2, bootstrap=sharing.Bootstrap(10))
    whole = whole[whole["checkpoint"] == 0].set_index(["test_lang", "train_lang", "sign"])["share"]
    assert np.allclose(mean.loc[whole.index], whole)


def test_composition_by_hand(small):
    # sums: en7: en0 1.0, en1 .5, de0 .6, de1 -.9; de7: en0 .4, en1 -.1, de0 1.0, de1 .6
    table = sharing.composition(*small, top_k=2, bootstrap=sharing.Bootstrap(50))
    assert list(table.columns) == ["test_lang", "train_lang", "sign", "checkpoint", *SHARE]
    assert (table["test_samples"] == 1).all() and table["ci_low"].isna().all()
    assert (
        lookup(table, test_lang="en", train_lang="en", sign="positive", checkpoint=0)["share"]
        == 0.5
    )
    assert (
        lookup(table, test_lang="de", train_lang="de", sign="positive", checkpoint=0)["share"] == 1
    )
    assert (
        lookup(table, test_lang="de", train_lang="en", sign="negative", checkpoint=0)["share"] == 1
    )
    assert (
        lookup(table, test_lang="en", train_lang="en", sign="positive", checkpoint=2)["share"] == 1
    )  # en1 .3, then en0 before de0
    assert (table["chance"] == 0.5).all() and set(table["checkpoint"]) == {0, 1, 2}
    total = table.groupby(["test_lang", "sign", "checkpoint"])["share"].sum()
    assert np.allclose(total, 1)


def test_cross_language_by_hand(small):
    table = sharing.cross_language(*small, top_k=2, bootstrap=sharing.Bootstrap(50))
    row = lookup(table, test_lang="all", sign="positive")
    assert row["share"] == 0.25 and row["chance"] == 0.5 and row["test_samples"] == 2
    assert lookup(table, test_lang="en", sign="positive")["share"] == 0.5


def test_mean_influence_by_hand(small):
    table = sharing.mean_influence(*small, bootstrap=sharing.Bootstrap(50))
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
        {
            "lang": np.repeat(["en", "de"], 100),
            "phenomenon": np.tile(list("abcdefghij"), 20),
            "label": rng.integers(0, 2, 200),
        }
    )
    test = pd.DataFrame(
        {
            "lang": ["en", "de"] * 10,
            "phenomenon": list("abcdefghij") * 2,
            "label": rng.integers(0, 2, 20),
        }
    )
    for frame in (train, test):
        frame["item"] = range(len(frame))
        frame["uid"] = frame["lang"] + frame["item"].astype(str)
    same = (train["phenomenon"].to_numpy() == test["phenomenon"].to_numpy()[:, None]) * np.where(
        train["label"].to_numpy() == test["label"].to_numpy()[:, None], 1, -1
    )
    scores = cube((same + rng.normal(0, 0.05, same.shape))[None] / 4, train, test)
    found = sharing.planted(scores, train, test, top_k=5, bootstrap=sharing.Bootstrap(200))
    assert lookup(found, what="both", sign="positive")["share"] > 0.95
    assert lookup(found, what="both", sign="positive")["chance"] < 0.1
    assert lookup(found, what="phenomenon", sign="negative")["share"] > 0.95
    assert lookup(found, what="label", sign="negative")["share"] < 0.05
    noise = cube(rng.normal(0, 0.2, same.shape)[None], train, test)
    blind = lookup(
        sharing.planted(noise, train, test, top_k=50, bootstrap=sharing.Bootstrap(500)),
        what="label",
        sign="positive",
    )
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
    low, high = sharing.interval_of_mean(each, sharing.Bootstrap(4000))
    assert low == pytest.approx(each.mean() - 1.96 * each.std() / 20, abs=0.01)
    assert high == pytest.approx(each.mean() + 1.96 * each.std() / 20, abs=0.01)
    assert sharing.interval_of_mean([0.5] * 6, sharing.Bootstrap(10)) == (0.5, 0.5)
    assert sharing.interval_of_mean(each, sharing.Bootstrap(4000)) == (low, high)


def test_five_values_have_no_interval():
    assert np.isnan(
        sharing.interval_of_mean([0.1, 0.2, 0.3, 0.4, 0.5], sharing.Bootstrap(10))
    ).all()
    assert np.isfinite(
        sharing.interval_of_mean([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], sharing.Bootstrap(10))
    ).all()
    assert np.isnan(
        sharing.interval_of_mean(np.arange(25), sharing.Bootstrap(10), items=np.arange(25) % 5)
    ).all()  # five items, five times


def test_translations_of_an_item_are_drawn_together():
    rng = np.random.default_rng(0)
    each = rng.normal(size=40)
    plain = sharing.interval_of_mean(each, sharing.Bootstrap(2000))
    assert (
        sharing.interval_of_mean(each, sharing.Bootstrap(2000), items=[f"i{i}" for i in range(40)])
        == plain
    )  # each item once
    copies = sharing.interval_of_mean(
        np.tile(each, 5), sharing.Bootstrap(2000), items=np.tile(np.arange(40), 5)
    )
    assert copies == pytest.approx(plain)  # the same value in five languages is one value
    naive = sharing.interval_of_mean(np.tile(each, 5), sharing.Bootstrap(2000))
    assert copies[1] - copies[0] > 1.8 * (naive[1] - naive[0])  # about the root of five


def many(n, seed=0, shared=True):
    """A cube of noise with `n` test samples in each of two languages, which share items or not."""
    rng = np.random.default_rng(seed)
    train = pd.DataFrame(
        [
            {"uid": f"{a}{i}", "lang": a, "item": i, "label": i % 2}
            for a in ("en", "de")
            for i in range(20)
        ]
    )
    test = pd.DataFrame(
        [
            {"uid": f"{a}{i}", "lang": a, "item": i, "label": i % 2}
            for a in ("en", "de")
            for i in range(n)
        ]
    )
    if not shared:
        train["item"], test["item"] = train["uid"], test["uid"]
    return cube(rng.normal(0, 0.2, (2, 2 * n, 40)), train, test), train, test


def test_items_are_counted_once_in_parallel_tasks_only():
    row = lookup(sharing.cross_language(*many(8), top_k=5), test_lang="all", sign="positive")
    assert (row["test_samples"], row["items"]) == (16, 8)
    row = lookup(
        sharing.cross_language(*many(8, shared=False), top_k=5), test_lang="all", sign="positive"
    )
    assert (row["test_samples"], row["items"]) == (16, 16)
    one = lookup(sharing.cross_language(*many(8), top_k=5), test_lang="en", sign="positive")
    other = lookup(
        sharing.cross_language(*many(8, shared=False), top_k=5), test_lang="en", sign="positive"
    )
    assert (
        one[["ci_low", "ci_high"]].tolist() == other[["ci_low", "ci_high"]].tolist()
    )  # within a language: no difference


def test_numbers_that_two_languages_share_do_not_make_a_task_parallel():
    """In reviews, row 3 has the same label in two languages by accident."""
    scores, train, test = many(8)
    assert sharing.parallel(train)
    assert not sharing.parallel(train.assign(item=train["uid"]))
    assert not sharing.parallel(train[train["lang"] == "en"])
    row = lookup(
        sharing.cross_language(
            scores, train.assign(item=train["uid"]), test.assign(item=test["uid"]), top_k=5
        ),
        test_lang="all",
        sign="positive",
    )
    assert (row["test_samples"], row["items"]) == (16, 16)


def test_share_by_k_by_hand(small):
    # en7: en0 1.0, de0 .6, en1 .5, de1 -.9; de7: de0 1.0, de1 .6, en0 .4, en1 -.1
    table = sharing.share_by_k(*small, bootstrap=sharing.Bootstrap(50))
    assert list(table.columns) == ["test_lang", "sign", "k", *SHARE]
    assert sorted(set(table["k"])) == [1, 2]  # 5 is more than the training samples
    table = sharing.share_by_k(*small, ks=(1, 2, 3, 4), bootstrap=sharing.Bootstrap(50))
    positive = table[table["sign"] == "positive"]
    shares = {
        lang: positive.loc[positive["test_lang"] == lang, "share"] for lang in ("en", "de", "all")
    }
    assert shares["en"].tolist() == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert shares["de"].tolist() == pytest.approx([0, 0, 1 / 3, 1 / 2])
    assert shares["all"].tolist() == pytest.approx([0, 1 / 4, 1 / 3, 1 / 2])
    noise = many(8)
    at_five = sharing.share_by_k(*noise, ks=(1, 5, 40)).query("k == 5").drop(columns="k")
    whole = sharing.cross_language(*noise, top_k=5)
    keys = ["test_lang", "sign"]
    pd.testing.assert_frame_equal(
        at_five.set_index(keys).sort_index(), whole.set_index(keys).sort_index()
    )


def test_single_values_are_what_the_means_are_of():
    noise, keys = many(8), ["test_lang", "sign"]
    each = sharing.cross_language_by_sample(*noise, top_k=5)
    assert list(each.columns) == ["test", "item", "test_lang", "sign", "share", "chance"]
    means = each.groupby(keys)["share"].mean()
    whole = (
        sharing.cross_language(*noise, top_k=5).query("test_lang != 'all'").set_index(keys)["share"]
    )
    assert np.allclose(means.loc[whole.index], whole)
    means = (
        sharing.mean_influence_by_sample(*noise).groupby(["test_lang", "train_lang"])["mean"].mean()
    )
    whole = sharing.mean_influence(*noise).set_index(["test_lang", "train_lang"])["mean"]
    assert np.allclose(means.loc[whole.index], whole)


def by_item(shares, items=None):
    """A table by sample of one training language from {test language: [share of each item]}."""
    rows = [
        {
            "test_lang": lang,
            "item": items[lang][i] if items else i,
            "train_lang": "en",
            "share": share,
        }
        for lang, values in shares.items()
        for i, share in enumerate(values)
    ]
    return pd.DataFrame(rows)


def test_a_count_over_languages_has_an_interval():
    def above_half(share):
        return (share.sel(train_lang="en") > 0.5).mean("test_lang")

    sure = by_item({"de": [0.9] * 10, "fr": [0.1] * 10})
    assert sharing.by_language(sure, above_half) == (0.5, 0.5, 0.5)
    unsure = by_item({"de": [0.9] * 10, "fr": [0.0, 1.0] * 5})
    value, low, high = sharing.by_language(unsure, above_half)
    assert (value, low, high) == (0.5, 0.5, 1.0)
    assert np.isnan(sharing.by_language(by_item({"de": [0.9] * 5}), above_half)[1:]).all()


def test_differences_between_languages_that_share_items_are_paired():
    values = np.random.default_rng(0).normal(size=30)

    def difference(share):
        return (share.sel(test_lang="de") - share.sel(test_lang="fr")).squeeze("train_lang")

    paired = sharing.by_language(by_item({"de": values + 1, "fr": values}), difference)
    assert paired == pytest.approx((1, 1, 1))
    apart = by_item({"de": values + 1, "fr": values}, {"de": range(30), "fr": range(30, 60)})
    value, low, high = sharing.by_language(apart, difference)
    assert value == pytest.approx(1) and low == pytest.approx(
        1 - 1.96 * values.std() * np.sqrt(2 / 30), abs=0.1
    )
    assert high == pytest.approx(1 + 1.96 * values.std() * np.sqrt(2 / 30), abs=0.1)


def test_seeds_are_shown_by_their_range(small):
    one = sharing.cross_language(*small, top_k=2, bootstrap=sharing.Bootstrap(50))
    table = sharing.over_seeds(
        {0: one, 1: one.assign(share=one["share"] + 0.1), 2: one.assign(share=one["share"] - 0.2)}
    )
    assert list(table.columns) == ["test_lang", "sign", "share", "lowest", "highest", "seeds"]
    row = lookup(table, test_lang="all", sign="positive")  # .25, .35, .05
    assert row[["share", "lowest", "highest", "seeds"]].tolist() == pytest.approx(
        [0.65 / 3, 0.05, 0.35, 3]
    )


def test_of_equal_values_at_rank_k_the_earlier_is_taken():
    values = np.random.default_rng(0).integers(0, 4, (20, 50)).astype(float)
    for k in (1, 10, 50):
        expected = np.argsort(-values, axis=1, kind="stable")[:, :k]
        assert (sharing.top_samples(values, k, "positive") == expected).all()


def test_reinforcement_by_hand(small):
    # top 3 of en7: en0, de0, en1; de0 translates en0; own items 2 of 2
    # top 3 of de7: de0, de1, en0; likewise
    scores, train, test = small
    table = sharing.reinforcement(scores, train, test, top_k=3)
    row = lookup(table, test_lang="en", sign="positive")
    assert (row["share"], row["chance"], row["test_samples"]) == (1.0, 1.0, 1)
    # negative, top 2 of en7: de1, en1, a translation; own items 1 of 2
    # negative, top 2 of de7: en1, en0, none of its own
    row = lookup(
        sharing.reinforcement(scores, train, test, top_k=2), test_lang="en", sign="negative"
    )
    assert (row["share"], row["chance"]) == (1.0, 0.5)
    row = lookup(
        sharing.reinforcement(scores, train, test, top_k=2), test_lang="de", sign="negative"
    )
    assert (row["share"], row["chance"]) == (0.0, 0.0)


def test_reinforcement_is_found_where_planted_and_at_chance_where_not():
    n, rng = 200, np.random.default_rng(0)
    train = pd.DataFrame(
        [
            {"uid": f"{lang}{i}", "lang": lang, "item": i, "label": i % 2}
            for lang in ("en", "de")
            for i in range(n)
        ]
    )
    test = pd.DataFrame([{"uid": f"en{i}", "lang": "en", "item": i} for i in range(900, 920)])
    noise = rng.uniform(size=(1, 20, 2 * n))
    by_item = np.tile(rng.uniform(size=(1, 20, n)), 2)
    planted, chance = (
        lookup(
            sharing.reinforcement(cube(values, train, test), train, test, top_k=40), sign="positive"
        )
        for values in (by_item, noise)
    )
    assert planted["share"] > 0.9 > 0.2 > planted["chance"]
    assert chance["share"] == pytest.approx(chance["chance"], abs=0.03)


def test_reinforcement_refuses_what_is_not_parallel(small):
    scores, train, test = small
    with pytest.raises(sharing.SharingError, match="parallel task"):
        sharing.reinforcement(scores, train.assign(item=train["uid"]), test, top_k=2)
    alone = train["lang"] == "en"  # one language: nothing comes from another
    assert sharing.reinforcement(
        scores.isel(train=alone.to_numpy(), test=[0]), train[alone], test[:1], top_k=2
    ).empty


def test_epoch_tests_by_hand_and_in_order():
    train = pd.DataFrame(
        {"uid": [f"en{i}" for i in range(6)], "lang": "en", "item": range(6), "label": 0}
    )
    test = TEST[:1]
    change = np.array([0.1, 0.2, 0.3, 0.4, 0.5, -0.6])  # ranks 1 to 6: 15 up, 6 down
    values = np.stack([np.zeros(6), change, 2 * change])[:, None]
    table = sharing.epoch_tests(cube(values, train, test), train, test)
    assert table[["checkpoint_a", "checkpoint_b"]].to_numpy().tolist() == [[1, 2], [1, 3], [2, 3]]
    assert table["statistic"].tolist() == [6, 6, 6] and table["effect"].tolist() == pytest.approx(
        [9 / 21] * 3
    )
    assert (table["ci_low"] < 9 / 21).all() and (table["ci_high"] > 9 / 21).all()
    assert (table["p"] == 0.4375).all() and (
        table["p_adjusted"] == 1
    ).all()  # exact p of W = 6 for six pairs; three tests
    assert sharing.epoch_tests(cube(values[:1], train, test), train, test).empty


def test_holm():
    assert sharing.epochs.adjust_by_holm(np.array([0.04, 0.01, 0.03])).tolist() == pytest.approx(
        [0.06, 0.03, 0.06]
    )


def test_scripts_by_hand(small):
    scores, train, test = small
    train = train.assign(
        lang=["en", "en", "ko", "ko"],
        uid=["en0", "en1", "ko0", "ko1"],
        text_a=["a", "b", "가 12", "가 b"],
    )
    test = test.assign(lang=["en", "ko"], uid=["en7", "ko7"])
    scores = scores.assign_coords(train=list(train["uid"]), test=list(test["uid"]))
    # en7: en0, ko0 (Hangul and digits), en1, ko1 (with a Latin letter)
    table = sharing.scripts(scores, train, test, top_k=2, bootstrap=sharing.Bootstrap(50))
    row = lookup(table, train_lang="ko", sign="positive")
    assert (row["share"], row["chance"], row["in_top_k"]) == (1.0, 0.5, 0.5)
    assert lookup(table, train_lang="ko", sign="negative")["share"] == 0.0
    assert set(table["script"]) == {"Hangul"}
    assert sharing.scripts(*small, top_k=2).empty


def test_imbalance_by_hand(small):
    # de7: de0 1.0, de1 .6, en0 .4, en1 -.1
    table = sharing.imbalance({0: small, 50: small}, "de", top_k=3, bootstrap=sharing.Bootstrap(50))
    assert list(table.columns) == ["language", "percent", "sign", *SHARE]
    row = lookup(table, percent=50, sign="positive")
    assert row["share"] == pytest.approx(2 / 3) and row["chance"] == 0.5
    assert lookup(table, percent=0, sign="negative")["share"] == pytest.approx(1 / 3)
    with pytest.raises(sharing.SharingError, match="no test sample is in 'fr'"):
        sharing.imbalance({0: small}, "fr", top_k=1)


def without(small, lang):
    scores, train, test = small
    kept = (train["lang"] != lang).to_numpy()
    return scores.isel(train=kept), train[kept], test


def test_zero_shot_by_hand(small):
    # de7 before: de0, de1, en0, en1; its own among the top 2 are items 0 and 1; after: en0, en1
    scores, train, test = small
    table = sharing.zero_shot(
        small, without(small, "de"), "de", top_k=2, bootstrap=sharing.Bootstrap(50)
    )
    row = lookup(table, what="translations", sign="positive")
    assert (row["share"], row["chance"], row["test_samples"]) == (1.0, 1.0, 1)
    assert not (
        (table["what"] == "same_samples") & (table["sign"] == "positive")
    ).any()  # none in other languages
    # negative, top 1: en1 before and after, item 1; none of its own
    table = sharing.zero_shot(
        small, without(small, "de"), "de", top_k=1, bootstrap=sharing.Bootstrap(50)
    )
    assert lookup(table, what="same_samples", sign="negative")["share"] == 1.0
    assert lookup(table, what="same_samples", sign="negative")["chance"] == 0.5
    assert lookup(table, what="translations", sign="negative")["share"] == 0.0
    with pytest.raises(sharing.SharingError, match="trained on 'de' as well"):
        sharing.zero_shot(small, small, "de", top_k=1)
    with pytest.raises(sharing.SharingError, match="same test samples in 'fr'"):
        sharing.zero_shot(small, without(small, "de"), "fr", top_k=1)
    reviews = train.assign(item=train["uid"])  # not parallel
    table = sharing.zero_shot(
        (scores, reviews, test), without((scores, reviews, test), "de"), "de", top_k=1
    )
    assert set(table["what"]) == {"same_samples"}


def test_zero_shot_is_found_where_planted_and_at_chance_where_not():
    n, rng = 200, np.random.default_rng(0)
    train = pd.DataFrame(
        [
            {"uid": f"{lang}{i}", "lang": lang, "item": i, "label": 0}
            for lang in ("en", "de", "es")
            for i in range(n)
        ]
    )
    test = pd.DataFrame([{"uid": f"de{i}", "lang": "de", "item": i} for i in range(900, 930)])
    items = np.tile(rng.uniform(size=(1, 30, n)), 3)
    noise = [rng.uniform(size=(1, 30, 3 * n)) for _ in range(2)]
    for before, after, planted in ((items, items, True), (*noise, False)):
        seen, whole = (cube(values, train, test) for values in (before, after))
        table = sharing.zero_shot(
            (seen, train, test), without((whole, train, test), "de"), "de", top_k=40
        )
        for what in ("translations", "same_samples"):
            row = lookup(table, what=what, sign="positive")
            assert (
                row["share"] > 0.6
                if planted
                else row["share"] == pytest.approx(row["chance"], abs=0.03)
            )
            assert row["chance"] < 0.15


def test_equal_scores_leave_the_rank_of_the_translation_to_chance(small):
    scores, train, test = small
    test = test.assign(item=[0, 1])
    for value in (0.0, 0.3):
        table = sharing.translation_rank_by_sample(xr.full_like(scores, value), train, test)
        assert table["mean_reciprocal_rank"].tolist() == table["chance"].tolist() == [0.75, 0.75]


def test_translation_rank_by_hand(small):
    # en7, item 0: de0 is the first of the samples in the other language, de0 .6, de1 -.9
    scores, train, test = small
    test = test.assign(item=[0, 1])
    row = sharing.translation_rank(scores, train, test, bootstrap=sharing.Bootstrap(50)).iloc[0]
    # de7, item 1: en1 is the second of en0 .4, en1 -.1
    assert (
        row["mean_reciprocal_rank"] == 0.75 and row["chance"] == 0.75 and row["test_samples"] == 2
    )
    assert sharing.translation_rank(scores, train, test.assign(item=99)).empty
    assert sharing.translation_rank(scores, train.assign(item=train["uid"]), test).empty
    assert sharing.translations.reciprocal_rank(1, 4) == pytest.approx(
        (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4
    )
    assert sharing.translations.reciprocal_rank(2, 3) == pytest.approx((1 + 1 + 1 / 2) / 3)


def test_equal_scores_below_a_higher_one_share_the_ranks_after_it():
    train = pd.concat([TRAIN, TRAIN[3:].assign(uid="de2", item=2)], ignore_index=True)
    test = TEST[:1].assign(item=0)  # in English: of de0, de1 and de2, de0 is its translation
    scores = cube(np.array([[[0.9, 0.8, 0.3, 0.3, 0.7]]]), train, test)
    table = sharing.translation_rank_by_sample(scores, train, test)
    assert table["mean_reciprocal_rank"].tolist() == [(1 / 2 + 1 / 3) / 2]  # de2 comes first


def test_groups_by_hand(small):
    scores, train, test = small
    dot = scores["dot"].copy()
    dot[:, 0], dot[:, 1] = 0.0, 2 * dot[:, 1].to_numpy()  # all of it in the head
    table = sharing.by_group(
        scores.assign(dot=dot), train, test, top_k=2, bootstrap=sharing.Bootstrap(50)
    )
    assert list(dict.fromkeys(table["group"])) == [
        "all",
        "all but embeddings",
        "embeddings",
        "head",
    ]
    assert lookup(table, group="head", sign="positive")["share"] == 0.25
    assert lookup(table, group="head", sign="positive")["overlap"] == 1
    assert lookup(table, group="embeddings", sign="positive")["share"] == 0.5  # ties: en0, en1
    parts = sharing.contributions(
        scores.assign(dot=dot), train, test, top_k=2, bootstrap=sharing.Bootstrap(50)
    )
    assert lookup(parts, group="head", source="own", sign="positive")["share"] == pytest.approx(1)
    assert lookup(parts, group="embeddings", source="other", sign="positive")[
        "share"
    ] == pytest.approx(0)
    halves = sharing.contributions(*small, top_k=2, bootstrap=sharing.Bootstrap(50))
    assert halves["share"].to_numpy() == pytest.approx(0.5)


def test_shared_tokens_by_hand(small):
    kinds = sharing.token_kinds(
        {0: "<s>", 1: "▁Anna", 2: "▁geht", 3: "7", 4: "▁.", 5: "▁", 6: "B"}, {0}
    )
    assert list(kinds.values()) == [
        "special",
        "name",
        "word",
        "number",
        "punctuation",
        "punctuation",
        "word",
    ]
    tokens = [[0, 1], [0, 2], [0, 1, 3], [0, 4]], [[0, 1, 3, 3], [0, 2, 4]]  # train, test
    table = sharing.shared_tokens(*small, tokens, kinds, top_k=2, bootstrap=sharing.Bootstrap(50))
    # en7's top 2 has de0 in the other language, which shares Anna and 7; de7's top 2 has none
    # all samples in the other language share: with en7 de0 2, de1 0; with de7 en0 0, en1 1
    assert lookup(table, kind="any", sign="positive")["shared"] == 2
    assert lookup(table, kind="any", sign="positive")["chance"] == 0.75
    assert lookup(table, kind="number", sign="positive")["shared"] == 1
    assert lookup(table, kind="special", sign="positive")["shared"] == 1


@pytest.mark.parametrize(
    "name",
    ["composition", "cross_language", "by_group", "scripts", "reinforcement", "contributions"],
)
def test_nan_and_too_large_k_are_refused(small, name):
    scores, train, test = small
    dot = scores["dot"].copy()
    dot[0, 0, 0, 0] = np.nan
    ko = train.assign(lang=["en", "en", "ko", "ko"])
    with pytest.raises(ValueError, match=r"NaN|not numbers"):
        getattr(sharing, name)(scores.assign(dot=dot), ko, test, top_k=2)
    with pytest.raises(sharing.SharingError, match="top_k=5: allowed are 1 to 4"):
        getattr(sharing, name)(scores, ko, test, top_k=5)


def test_k_larger_than_a_language_takes_all_of_it(small):
    table = sharing.composition(*small, top_k=4, bootstrap=sharing.Bootstrap(10))
    assert (table["share"] == 0.5).all()


def test_one_language_alone_shares_nothing(small):
    scores, train, test = small
    alone = (train["lang"] == "en").to_numpy()
    one = scores.isel(train=alone, test=[0]), train[alone], test[:1]
    assert (sharing.composition(*one, top_k=2, bootstrap=sharing.Bootstrap(10))["share"] == 1).all()
    assert (
        sharing.cross_language(*one, top_k=2, bootstrap=sharing.Bootstrap(10))["share"] == 0
    ).all()
    assert (sharing.by_group(*one, top_k=2, bootstrap=sharing.Bootstrap(10))["share"] == 0).all()
    assert set(sharing.contributions(*one, top_k=2, bootstrap=sharing.Bootstrap(10))["source"]) == {
        "own"
    }
    assert sharing.scripts(*one, top_k=2).empty
    assert sharing.shared_tokens(*one, ([[1], [1]], [[1]]), {1: "word"}, top_k=2).empty


def test_composition_with_and_without_has_the_rows_of_both_models(small):
    table = sharing.composition_with_and_without(
        small, without(small, "de"), "de", top_k=2, bootstrap=sharing.Bootstrap(50)
    )
    assert list(dict.fromkeys(table["model"])) == ["trained on it", "without it"] and set(
        table["language"]
    ) == {"de"}
    assert set(table["test_lang"]) == {"de"} and set(table["checkpoint"]) == {0}
    gone = table[table["model"] == "without it"]
    assert "de" not in set(gone["train_lang"]) and np.allclose(
        gone.groupby("sign")["share"].sum(), 1
    )
