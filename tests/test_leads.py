"""Leads say what the evidence says: with chance, an interval if any, no trend from two epochs."""

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from xl_influence import comparison_leads, leads, manifest, paper
from xl_influence.claim_estimates import Estimate

SPACE = "\u00a0"
RULE = "less than 5 points above the most frequent class"


def text(sentence):
    return sentence.replace(SPACE, " ")


def test_accuracy_is_compared_with_the_most_frequent_class():
    assert text(leads.say_accuracy(0.783, 0.675, [])) == (
        "The model classifies 78 % of the development samples correctly; "
        "always choosing the most frequent class would reach 68 %."
    )
    assert leads.say_accuracy(0.5, 0.5, ["Korean"]).endswith(f"In Korean, it is {RULE}.")


def by_k():
    ks = [1, 10, 100]
    rows = {
        "test_lang": "all",
        "sign": "positive",
        "k": ks,
        "share": [0.56, 0.7, 0.76],
        "chance": 0.8,
        "test_samples": 25,
    }
    return pd.DataFrame(rows | {"ci_low": [0.47, np.nan, 0.74], "ci_high": [0.64, np.nan, 0.78]})


def test_the_share_is_given_for_several_k_with_chance():
    assert text(leads.say_cross_language(by_k(), 100)) == (
        "Languages other than the test sample's account for 56 % (interval 47 to 64 %) of the "
        "single most helpful training samples, 70 % of the top ten and 76 % (interval 74 to 78 %) "
        "of the top 100. Chance is 80 %; 25 test samples."
    )


def test_one_sentence_says_for_all_tasks_how_many_are_in_another_language():
    rows = {
        "XNLI": {"share": 0.28, "chance": 0.8},
        "MARC": {"share": 0.5, "chance": 0.8},
    }
    assert text(leads.say_across_tasks(rows, 20)) == (
        "Of the 20 training samples that help a prediction most, 28 % (XNLI) and 50 % (MARC) are "
        "in another language. Chance is 80 %."
    )
    assert text(leads.say_across_tasks(rows, 1)) == (
        "The training sample that helps a prediction most is in another language for 28 % (XNLI) "
        "and 50 % (MARC) of the test samples. Chance is 80 %."
    )


def test_a_share_is_compared_with_chance_by_its_interval():
    row = {"share": 0.7, "ci_low": 0.6, "ci_high": 0.75, "chance": 0.8, "test_samples": 25}
    assert text(leads.say_against_chance(row)) == (
        "Chance is 80 %; the interval over 25 test samples is 60 to 75 %: the test language's own "
        "samples are preferred."
    )
    assert leads.say_against_chance(row | {"ci_high": 0.85}).endswith(
        "not distinguishable from chance."
    )
    above = leads.say_against_chance(row | {"ci_low": 0.81, "ci_high": 0.9})
    assert above.endswith("samples in other languages are preferred.")
    same = leads.say_against_chance(row | {"share": 0.0, "ci_low": 0.0, "ci_high": 0.0})
    assert same.endswith("the same share, so there is no meaningful interval.")
    few = leads.say_against_chance(row | {"ci_low": np.nan, "ci_high": np.nan, "test_samples": 5})
    assert few.endswith("5 test samples are too few for an interval.")


def own(shares):
    rows = [("en", "en", "positive", epoch, share) for epoch, share in enumerate(shares, 1)]
    columns = ["test_lang", "train_lang", "sign", "checkpoint", "share"]
    return pd.DataFrame(rows, columns=columns).assign(test_samples=25)


def test_a_trend_needs_more_than_two_epochs_and_an_interval_beyond_zero():
    falls = Estimate(-0.2, -0.3, -0.1)
    assert text(leads.say_trend(own([0.4, 0.3, 0.2]), falls)) == (
        "The test language's share of the helpful samples is 40 % after epoch 1 and 20 % after "
        "epoch 3: sharing grows (−20.0 points, interval −30.0 to −10.0, 25 test samples)."
    )
    assert "sharing shrinks" in leads.say_trend(own([0.2, 0.3, 0.4]), Estimate(0.2, 0.1, 0.3))
    unclear = leads.say_trend(own([0.4, 0.3, 0.35]), Estimate(-0.05, -0.3, 0.1))
    assert "no clear change" in unclear
    two = leads.say_trend(own([0.4, 0.2]), falls)
    assert two.endswith("Two epochs cannot show a trend.")
    assert text(leads.say_trend(own([0.4]), None)).endswith(
        "is 40 % after epoch 1, the only epoch."
    )


def test_nothing_follows_from_a_model_at_chance():
    row = {
        "language": "es",
        "what": "translations",
        "sign": "positive",
        "share": 0.08,
        "ci_low": 0.02,
        "ci_high": 0.17,
        "test_samples": 25,
    }
    table = pd.DataFrame([row | {"chance": 0.04, "accuracy": 0.4, "accuracy_seen": 0.8}])
    assert text(comparison_leads.say_zero_shot(table)) == (
        "Trained without Spanish, the model classifies 40 % of the Spanish development samples "
        "correctly (80 % with it); 8 % (interval 2 to 17 %, 25 test samples) of its helpful "
        "samples translate a sample in Spanish that helped before. Chance is 4 %; the share is not "
        "distinguishable from it."
    )
    same = comparison_leads.say_zero_shot(table.assign(what="same_samples", ci_low=0.05))
    assert text(same).endswith(" help again. Chance is 4 %.")
    few = comparison_leads.say_zero_shot(
        table.assign(ci_low=np.nan, ci_high=np.nan, test_samples=5)
    )
    assert "(5 test samples, too few for an interval)" in few
    unclear = "we cannot tell whether the share differs from it."
    assert few.endswith(unclear)
    none = table.assign(share=0.0, ci_low=0.0, ci_high=0.0)
    assert comparison_leads.say_zero_shot(none).endswith(unclear)
    assert comparison_leads.say_zero_shot(table, ["es"]).endswith(
        f"One of the two is {RULE} in Spanish, so its influence scores mean nothing."
    )


def test_many_languages_are_given_as_ranges():
    row = {"what": "translations", "sign": "positive", "test_samples": 25, "accuracy_seen": 0.8}
    each = [
        {"language": "es", "share": 0.08, "ci_low": 0.02, "ci_high": 0.17, "chance": 0.04},
        {"language": "de", "share": 0.10, "ci_low": 0.08, "ci_high": 0.13, "chance": 0.01},
        {"language": "fr", "share": 0.15, "ci_low": 0.11, "ci_high": 0.20, "chance": 0.02},
    ]
    table = pd.DataFrame([row | one | {"accuracy": 0.7 + one["share"]} for one in each])
    lead = text(comparison_leads.say_zero_shot(table))
    assert lead == (
        "Trained without each of 3 languages in turn, the model classifies 78 to 85 % of the "
        "development samples in that language correctly (80 % with it); 8 to 15 % (ends of the "
        "intervals: 2 to 20 %; 25 test samples a language) of its helpful samples translate one "
        "in the language that helped before. Chance is 1 to 4 %; in Spanish, the share is not "
        "distinguishable from it."
    )
    clear = comparison_leads.say_zero_shot(table.assign(chance=0.01))
    assert text(clear).endswith("that helped before. Chance is 1 %.")
    weak = text(comparison_leads.say_zero_shot(table, ["es"]))  # two are left: a sentence each
    assert "each of" not in weak and f"One of the two is {RULE} in Spanish" in weak


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
    assert leads.say_removal(table) == (
        "Removing the top 20 changes confidence by −12.0 points relative to removing 20 random "
        "samples with the same labels (interval −20.0 to −4.0, 25 test samples). The top samples "
        "matter."
    )
    covers_zero = table.assign(ci_high=0.04, beyond=False)
    assert leads.say_removal(covers_zero).endswith("We cannot tell whether the top samples matter.")
    opposite = table.assign(difference=0.1, ci_low=0.02, ci_high=0.2, beyond=False)
    assert leads.say_removal(opposite).endswith("The top samples matter less than the random ones.")
    few = table.assign(ci_low=np.nan, ci_high=np.nan, test_samples=5, beyond=False)
    assert leads.say_removal(few).endswith(
        "(5 test samples, too few for an interval). We cannot tell whether the top samples matter."
    )


def test_the_group_that_shares_least_is_named():
    rows = [("all", 0.76), ("embeddings", 0.7), ("layer-00", 0.62), ("head", 0.79)]
    table = pd.DataFrame(rows, columns=["group", "share"]).assign(sign="positive", chance=0.8)
    table["test_samples"] = 25
    table["ci_low"], table["ci_high"] = table["share"] - 0.03, table["share"] + 0.03
    assert text(leads.say_groups(table)) == (
        "When samples are ranked by one parameter group at a time, the share of other languages is "
        "lowest in the first layer (layer-00): 62 % (interval 59 to 65 %), against 70 to 79 % in "
        "the other groups. Chance is 80 %; 25 test samples."
    )
    unclear = "We cannot tell whether this group differs from the others."
    assert leads.say_groups(table.assign(ci_high=0.68)).endswith(unclear)
    assert leads.say_groups(table.assign(ci_low=np.nan, ci_high=np.nan)).endswith(unclear)


def more_data(*rows):
    columns = ["language", "percent", "share", "chance"]
    return pd.DataFrame(rows, columns=columns).assign(sign="positive", test_samples=5)


def test_more_data_beside_the_share_of_the_data():
    """Chance goes from 1/5 to 2/6, that is by 13.3 points."""
    languages = {"en": (0.2, 0.4), "de": (0.4, 0.5)}
    rows = [(lang, 0, before, 0.2) for lang, (before, _) in languages.items()]
    rows += [(lang, 100, after, 1 / 3) for lang, (_, after) in languages.items()]
    table = more_data(*rows)
    assert text(leads.say_imbalance(table, Estimate(0.15, 0.02, 0.2))) == (
        "With 100 % more training data, a language's own share of its helpful samples goes from "
        "30 % to 45 % (+15.0 points, interval +2.0 to +20.0, 10 test samples). Chance, its share "
        "of the training data, goes from 20 % to 33 %. We cannot tell whether this is more or "
        "less than by chance."
    )
    assert leads.say_imbalance(table, Estimate(0.15, 0.14, 0.2)).endswith("more than by chance.")
    assert leads.say_imbalance(table, Estimate(0.15, 0.02, 0.13)).endswith("less than by chance.")
    unclear = "We cannot tell whether the language's own share changes."
    for change in (Estimate(0.15, -0.01, 0.3), Estimate(0.15), Estimate(0.1, 0.1, 0.1), None):
        assert leads.say_imbalance(table, change).endswith(unclear)
    assert "(+15.0 points, no interval, 10 test samples)" in leads.say_imbalance(
        table, Estimate(0.15)
    )
    with_a_third = pd.concat([table, more_data(("fr", 0, 0.9, 0.2))])
    change = Estimate(0.15, 0.02, 0.2)
    assert leads.say_imbalance(with_a_third, change) == leads.say_imbalance(table, change)


def test_the_change_with_more_data_is_paired_by_sample():
    """Shares of five test samples rise by 0.1, 0.1, 0.2, 0.2 and 0.4: by 0.2 on average."""
    each = pd.DataFrame({"test": range(5), "item": range(5)}).assign(language="en", sign="positive")
    before = each.assign(percent=0, share=[0.5, 0.1, 0.3, 0.0, 0.2])
    rise = np.array([0.1, 0.1, 0.2, 0.2, 0.4])
    after = before.assign(percent=100, share=before["share"] + rise)
    found = paper.estimate_imbalance_change({"imbalance_by_sample": pd.concat([before, after])})
    assert found.value == pytest.approx(0.2)
    assert np.isnan(found.low) or 0.1 <= found.low < 0.2 < found.high <= 0.4
    assert paper.estimate_imbalance_change({"imbalance_by_sample": before}) is None


def test_helpful_samples_that_translate_others_have_an_interval_and_a_count():
    rows = {"sign": "positive", "share": [0.2, 0.3], "chance": 0.02, "test_samples": 25}
    table = pd.DataFrame(rows | {"test_lang": ["en", "de"]})
    assert text(leads.say_reinforcement(table, Estimate(0.25, 0.21, 0.29))) == (
        "25 % of the helpful samples from other languages translate helpful samples in the test "
        "language (interval 21 to 29 %, 50 test samples; 20 to 30 % depending on the test "
        "language); chance is 2 %."
    )
    assert "(no interval, 50 test samples; " in leads.say_reinforcement(table, Estimate(0.25))
    assert paper.estimate_reinforcing({"reinforcement": table}).value == 0.25


def test_the_rule_for_no_better_than_chance_is_what_pages_say():
    assert manifest.AT_CHANCE == RULE and manifest.CHANCE == 0.05
    for page in ("book/the-paper-and-this-run.md", "notebooks/14-methods.ipynb"):
        assert RULE in (ROOT / page).read_text(encoding="utf-8").replace('\\n",\n    "', "")
