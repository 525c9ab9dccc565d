"""Leads say what the evidence says: with chance, an interval if any, no trend from two epochs."""

import numpy as np
import pandas as pd

from xl_influence import leads
from xl_influence.found import Estimate

SPACE = "\u00a0"


def text(sentence):
    return sentence.replace(SPACE, " ")


def test_accuracy_is_compared_with_the_most_frequent_class():
    assert text(leads.accuracy(0.783, 0.675, [])) == (
        "The model classifies 78 % of the development samples correctly; "
        "always choosing the most frequent class would reach 68 %."
    )
    assert leads.accuracy(0.5, 0.5, ["Korean"]).endswith("In Korean, it is no better than chance.")


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


def test_the_share_is_given_for_several_k_with_chance():
    assert text(leads.cross_language(by_k(), 100)) == (
        "Languages other than the test sample's account for 56 % (interval 47 to 64 %) of the "
        "single most helpful training samples, 70 % of the top ten and 76 % (interval 74 to 78 %) "
        "of the top 100. Chance is 80 %."
    )


def own(shares):
    rows = [("en", "en", "positive", epoch, share) for epoch, share in enumerate(shares, 1)]
    return pd.DataFrame(rows, columns=["test_lang", "train_lang", "sign", "checkpoint", "share"])


def test_a_trend_needs_more_than_two_epochs_and_an_interval_beyond_zero():
    falls = Estimate(-0.2, -0.3, -0.1)
    assert text(leads.trend(own([0.4, 0.3, 0.2]), falls)) == (
        "The test language's share of the helpful samples is 40 % after epoch 1 and 20 % after "
        "epoch 3: sharing grows (−20.0 points, interval −30.0 to −10.0)."
    )
    assert "sharing shrinks" in leads.trend(own([0.2, 0.3, 0.4]), Estimate(0.2, 0.1, 0.3))
    unclear = leads.trend(own([0.4, 0.3, 0.35]), Estimate(-0.05, -0.3, 0.1))
    assert "no clear change" in unclear
    two = leads.trend(own([0.4, 0.2]), falls)
    assert two.endswith("Two epochs cannot show a trend.")
    assert text(leads.trend(own([0.4]), None)).endswith("is 40 % after epoch 1, the only epoch.")


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
    assert text(leads.zero_shot(table)) == (
        "Trained without Spanish, the model classifies 40 % of the Spanish development samples "
        "correctly (80 % with it); 8 % (interval 2 to 17 %) of its helpful samples translate a "
        "Spanish sample that helped before, 4 % by chance."
    )
    assert leads.zero_shot(table.assign(what="same_samples")).endswith(
        " help again, 4\u00a0% by chance."
    )
    assert leads.zero_shot(table, ["es"]).endswith(
        "no better than chance, so its influence scores tell us nothing."
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
    assert "by −12.0 points relative to" in leads.removal(table)
    assert leads.removal(table).endswith("the top samples matter.")
    few = table.assign(ci_low=np.nan, ci_high=np.nan, test_samples=5, beyond=False)
    assert "5 test samples, too few for an interval): this is inconclusive." in leads.removal(few)


def test_the_group_that_shares_least_is_named():
    rows = [("all", 0.76), ("embeddings", 0.7), ("layer-00", 0.62), ("head", 0.79)]
    table = pd.DataFrame(rows, columns=["group", "share"]).assign(
        sign="positive", ci_low=np.nan, ci_high=np.nan, chance=0.8
    )
    expected = "lowest for layer-00, at 62 %, and lies between 70 % and 79 % for the other groups"
    assert expected in text(leads.groups(table))


def test_more_data_beside_the_share_of_the_data():
    table = pd.DataFrame(
        {"sign": "positive", "percent": [0, 100], "share": [0.3, 0.45], "chance": [0.2, 1 / 3]}
    )
    assert "goes from 30 % to 45 %; its share of the training data goes from 20 % to 33 %" in text(
        leads.imbalance(table)
    )
