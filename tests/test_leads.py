"""Leads say what the evidence says: with chance, with an interval where there is one, and without a trend from two epochs."""

import numpy as np
import pandas as pd

from xl_influence import leads

SPACE = "\u00a0"


def text(sentence):
    return sentence.replace(SPACE, " ")


def test_accuracy_stands_beside_the_most_frequent_class():
    assert text(leads.accuracy(0.783, 0.675, [])) == (
        "The model is right on 78 % of the development samples; the most frequent class is 68 %."
    )
    assert leads.accuracy(0.5, 0.5, ["Korean"]).endswith("In Korean it is no better than chance.")


def by_k():
    ks = [1, 10, 100]
    rows = {
        "test_lang": "all",
        "sign": "positive",
        "k": ks,
        "share": [0.56, 0.7, 0.76],
        "chance": 0.8,
    }
    return pd.DataFrame(rows | {"ci_low": [0.47, np.nan, 0.74], "ci_high": [0.64, np.nan, 0.78]})


def test_the_share_is_told_for_several_k_with_chance():
    assert text(leads.cross_language(by_k(), 100)) == (
        "Of the single most helpful training samples, 56 % (interval 47 to 64 %); of the ten most helpful, 70 %; "
        "of the top 100, 76 % (interval 74 to 78 %) are in another language than the test sample. By chance it would be 80 %."
    )


def own(shares):
    rows = [("en", "en", "positive", epoch, share) for epoch, share in enumerate(shares, 1)]
    return pd.DataFrame(rows, columns=["test_lang", "train_lang", "sign", "checkpoint", "share"])


def test_a_trend_needs_more_than_two_epochs_and_an_interval_beyond_zero():
    assert "no trend" not in leads.trend(own([0.4, 0.3, 0.2]), (-0.2, -0.3, -0.1))
    assert "sharing grows (−20.0 points, interval −30.0 to −10.0)" in leads.trend(
        own([0.4, 0.3, 0.2]), (-0.2, -0.3, -0.1)
    )
    assert "no clear change" in leads.trend(own([0.4, 0.3, 0.35]), (-0.05, -0.3, 0.1))
    assert leads.trend(own([0.4, 0.2]), (-0.2, -0.3, -0.1)).endswith(
        "Two epochs cannot show a trend."
    )
    assert leads.trend(own([0.4]), None).endswith("There is one epoch only.")


def test_nothing_follows_from_a_model_at_chance():
    row = {
        "language": "es",
        "what": "translations",
        "sign": "positive",
        "share": 0.08,
        "ci_low": 0.02,
        "ci_high": 0.17,
    }
    table = pd.DataFrame([row | {"chance": 0.04, "accuracy": 0.4, "accuracy_seen": 0.8}])
    assert "8 % of its helpful samples (interval 2 to 17 %) translate" in text(
        leads.zero_shot(table)
    )
    assert text(leads.zero_shot(table, ["es"])).endswith(
        "no better than chance, so nothing follows from its influence."
    )


def test_removal_is_what_it_does_beyond_random_samples_with_the_same_labels():
    row = {
        "sign": "positive",
        "strategy": "random_labels",
        "k": 20,
        "difference": -0.12,
        "ci_low": -0.2,
        "ci_high": -0.04,
    }
    table = pd.DataFrame([row | {"test_samples": 25, "beyond": True}])
    assert "by −12.0 points compared" in leads.removal(table) and leads.removal(table).endswith(
        "they matter."
    )
    few = table.assign(ci_low=np.nan, ci_high=np.nan, test_samples=5, beyond=False)
    assert "5 test samples, too few for an interval): this is inconclusive." in leads.removal(few)


def test_the_group_that_shares_least_is_named():
    rows = [("all", 0.76), ("embeddings", 0.7), ("layer-00", 0.62), ("head", 0.79)]
    table = pd.DataFrame(rows, columns=["group", "share"]).assign(
        sign="positive", ci_low=np.nan, ci_high=np.nan, chance=0.8
    )
    assert "lowest in layer-00 (62 %) and lies between 70 % and 79 %" in text(leads.groups(table))


def test_more_data_beside_its_part_of_the_data():
    table = pd.DataFrame(
        {"sign": "positive", "percent": [0, 100], "share": [0.3, 0.45], "chance": [0.2, 1 / 3]}
    )
    assert "goes from 30 % to 45 %; its share of the training data goes from 20 % to 33 %" in text(
        leads.imbalance(table)
    )
