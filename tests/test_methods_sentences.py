"""What pages say of methods: sentences from small tables, and the runs that are compared."""

import numpy as np
import pandas as pd
import pytest
from made_up_runs import FEW, given_at_random, planted_run

from xl_influence import methods, params, scores
from xl_influence.methods import sentences, study
from xl_influence.paper import HOLDS
from xl_influence.prose import say_share

SPACE = "\u00a0"
COUNTS = {"test_samples": 10, "items": 10}


def plain(text):
    return text.replace(SPACE, " ")


def compared(rows):
    """A table of `compare`: (method, measure, k, value, low, high, chance)."""
    columns = ["method", "measure", "k", "value", "ci_low", "ci_high", "chance"]
    return pd.DataFrame(rows, columns=columns).assign(**COUNTS)


SHARES = compared(
    [
        ("cosine", "other languages", 10, 0.5, 0.4, 0.6, 0.8),
        ("cosine", "other languages", 100, 0.6, 0.5, 0.7, 0.8),
        ("layer-00", "other languages", 10, 0.3, 0.2, 0.4, 0.8),
        ("BM25", "other languages", 10, 0.7, np.nan, np.nan, 0.8),
        ("random scores", "other languages", 10, 0.81, 0.8, 0.82, 0.8),
        ("cosine", "own translation", 0, 0.25, 0.125, 0.5, 0.03),
    ]
)


def test_the_range_of_methods_leaves_controls_out():
    assert plain(sentences.say_methods(SHARES)) == (
        "With the paper's cosine, 50 % (interval 40 to 60 %) of the top 10 come from other "
        "languages; chance is 80 %. Across 2 methods and 1 single layer, the share lies between 30 "
        "% (layer-00) and 70 % (BM25)."
    )
    two = plain(sentences.say_methods(SHARES[SHARES["method"].isin(["cosine", "BM25"])]))
    assert two.endswith("chance is 80 %. One other method, BM25, gives 70 %.")
    alone = sentences.say_methods(SHARES[SHARES["method"] == "cosine"])
    assert alone.endswith("No other method can be computed from this run.")
    one = sentences.say_methods(SHARES.assign(chance=0.0))
    assert one == sentences.ONE_LANGUAGE


def test_numbers_of_methods_have_a_key_each_and_a_dash_where_there_is_none():
    found = {key: plain(text) for key, text in sentences.format_method_numbers(SHARES).items()}
    assert found["others_10_cosine"] == "50 % (40 to 60 %)"
    assert found["others_10_bm25"] == "70 %", "no interval"
    assert found["others_100_chance"] == "80 %" and found["others_100_bm25"] == "–"
    assert found["own_cosine"] == "0.25 (0.12 to 0.50)"
    assert found["own_chance"] == "0.03" and found["agreement_chance"] == "–"
    assert len(found) == 5 * (len(methods.METHODS) + 1)


def test_agreement_counts_the_answers_that_every_method_gives():
    counts = pd.DataFrame(
        {
            "by_cosine": ["holds", "does not hold", HOLDS[-1], "inconclusive"],
            "same": [3, 2, 0, 0],
            "of": [3, 3, 0, 0],
            "same_layers": [2, 2, 0, 0],
            "of_layers": [2, 2, 0, 0],
        }
    )
    assert sentences.say_agreement(counts) == (
        "This run can test 3 of the paper's 4 answers, 2 of them also with up to 3 other methods "
        "and 2 single layers. On 1 of these 2, all of them give the cosine's verdict."
    )
    published = counts.assign(same=[1, 0, 0, 0], of=[1, 1, 0, 0], same_layers=0, of_layers=0)
    assert sentences.say_agreement(published) == (
        "This run can test 3 of the paper's 4 answers, 2 of them also with one other method, which "
        "gives the cosine's verdict on 1."
    )
    none = counts.assign(of=0, of_layers=0)
    assert sentences.say_agreement(none).endswith(
        "the paper's 4 answers, and only with the cosine."
    )
    assert "none of the paper's answers" in sentences.say_agreement(counts[2:3])


def test_the_label_comes_first_and_what_is_left_within_it():
    given = planted_run()
    share = methods.measure_label_share(
        given.cube, given.train, given.test, top_k=10, bootstrap=FEW
    )
    pools = methods.compare_pools(given.cube, given.train, given.test, top_k=10, bootstrap=FEW)
    rows = pools[(pools["test_lang"] == "all") & (pools["sign"] == "positive")]
    rows = rows[rows["what"] == "other languages"].set_index("pool")["share"]
    said = plain(sentences.say_same_label(share, pools))
    assert f"Of the helpful samples, {100 * rows['all samples']:.0f} % (interval" in said
    assert f"and {100 * rows['same label']:.0f} % (interval" in said
    numbers = sentences.format_pool_numbers(pools)
    assert numbers["cross_all"] == say_share(
        pools[(pools["pool"] == "all samples") & (pools["test_lang"] == "all")].iloc[0]
    )
    assert "–" not in numbers.values() and len(numbers) == 16
    assert set(sentences.format_pool_numbers(None).values()) == {"–"}
    assert "(interval" in said.split("have the test sample's label")[0]
    assert sentences.say_same_label(share, None).endswith("for a top k of its own.")


def test_a_label_with_fewer_samples_than_the_top_k_is_named():
    train = pd.DataFrame({"label": [0, 0, 0, 1, 1, 2]})
    assert methods.say_too_few(train, pd.DataFrame({"label": [0, 1]}), 2) == ""
    assert "only 2 training samples" in methods.say_too_few(train, train[:4], 3)
    assert "only 0 training samples" in methods.say_too_few(train[:3], train, 1)


def test_language_taken_out_before_and_after():
    table = compared(
        [
            ("cosine", "other languages", 10, 0.5, 0.4, 0.6, 0.8),
            ("cosine, language out, both", "other languages", 10, 0.75, 0.7, 0.8, 0.8),
            ("cosine", "own translation", 0, 0.25, np.nan, np.nan, 0.03),
            ("cosine, language out, both", "own translation", 0, 0.5, np.nan, np.nan, 0.03),
        ]
    )
    assert plain(sentences.say_without_language(table)) == (
        "Without the languages' mean gradients, the share of other languages in the top 10 goes "
        "from 50 % (interval 40 to 60 %) to 75 % (interval 70 to 80 %); chance is 80 %. The "
        "reciprocal rank of the test sample's own translation goes from 0.25 to 0.50; chance is "
        "0.03."
    )
    assert sentences.say_without_language(table.assign(chance=0.0)) == sentences.ONE_LANGUAGE
    alone = table[table["method"] == "cosine"]
    assert "a language has a single sample" in sentences.say_without_language(alone)


def nearest_table(given):
    near = {"similarity": methods.compute("cosine", given)}
    return methods.measure_nearest(near, given, top_k=5, fractions=(0.1, 1), bootstrap=FEW)


def test_the_nearest_by_influence_itself_hold_all():
    given, _ = given_at_random()  # 60 training samples, of which 6 are near
    said = plain(sentences.say_nearest(nearest_table(given)))
    assert "by similarity, 100 % (interval 100 to 100 %) and 100 %" in said
    assert said.endswith("Chance is 10 %.")
    mine = (given.train["lang"] == "en").to_numpy()
    one = methods.MethodInput(
        given.cube.isel(train=mine, test=[0, 1]),
        given.train[mine].reset_index(drop=True),
        given.test.head(2),
    )
    assert "all in the test language" in sentences.say_nearest(nearest_table(one))


def test_matrices_and_leakage_have_dashes_for_what_there_is_not():
    table = pd.DataFrame(
        {
            "matrix": ["BM25", "first token"],
            "correlation": [-0.5, np.nan],
            "p": [0.25, np.nan],
            "cells": [12, 2],
            "permutations": [24, 0],
        }
    )
    found = sentences.format_matrix_numbers(table)
    assert found["matrix_bm25"] == "\u22120.50 (p = 0.250)"
    assert found["matrix_first_token"] == found["matrix_token_overlap"] == "–"
    given = planted_run()
    leakage = methods.measure_leakage(given.cube, given.train, given.test, bootstrap=FEW)
    numbers = sentences.format_leakage_numbers(leakage)
    # 8 items in en, es and fr, whose German translation is among the training samples
    assert numbers["leak_samples"] == "24"
    assert plain(numbers["leak_own_chance"]) == f"{100 / len(given.train):.1f} %"
    assert set(sentences.format_leakage_numbers(leakage[:0]).values()) == {"–"}


# ------------------------------------------------------------------------ runs of a study


def finished(monkeypatch, at_chance=(), missing=()):
    """Let every run of a study be finished, but for some; each model is named by its manifest."""
    given, _ = given_at_random()

    def read(config):
        return scores.Scored(given.cube, given.train, given.test, {"name": config["variant"]})

    monkeypatch.setattr(study.scores, "read", read)
    monkeypatch.setattr(study, "_is_there", lambda config: config["variant"] not in missing)
    monkeypatch.setattr(study, "is_at_chance", lambda manifest, _: manifest["name"] in at_chance)
    return given


def folders(found):
    return {lang: run.folder.name for lang, run in found.items()}


def test_runs_are_those_of_the_study_that_are_finished_and_above_chance(monkeypatch):
    given = finished(monkeypatch, at_chance={"without-de"}, missing={"plus-50-es"})
    config, source = params.merge_with_source(
        {
            "study": "smoke",
            "zero_shot_languages": ["es", "de"],
            "imbalance_languages": ["es", "en"],
            "imbalance_percents": [25, 50],
        }
    )
    found, at_chance = methods.read_runs(config, source, given)
    assert found.base is given and found.seen.folder.name == "base"
    assert folders(found.without) == {"es": "without-es"} and at_chance == ["without-de"]
    assert folders(found.more) == {"en": "plus-50-en"}, "the largest percentage"
    assert found.seen.top_k == config["top_k"] and found.seen.device == config["device"]


def test_a_variant_is_compared_as_its_study_is_and_not_with_itself(monkeypatch):
    given = finished(monkeypatch)
    config, source = params.merge_with_source({"study": "smoke", "variant": "without-es"})
    found, _ = methods.read_runs(config, source, given)
    assert found.seen.folder.name == "base" and folders(found.without) == {"es": "without-es"}


def test_one_language_has_nothing_to_compare(monkeypatch):
    given = finished(monkeypatch)
    config, source = params.merge_with_source({"study": "smoke", "languages": ["en"]})
    found, at_chance = methods.read_runs(config, source, given)
    assert not found.more and not found.without and not at_chance


def test_without_the_run_on_all_languages_there_is_none(monkeypatch):
    given = finished(monkeypatch, missing={"base"})
    config, source = params.merge_with_source({"study": "smoke"})
    assert methods.read_runs(config, source, given) == (methods.Runs(given), [])


def test_a_run_is_read_with_its_parameters(monkeypatch):
    finished(monkeypatch)
    config = params.merge({"study": "smoke", "top_k": 7, "device": "cpu"})
    found = methods.read_given(config)
    assert (found.top_k, found.device, found.folder.name) == (7, "cpu", "base")


@pytest.mark.parametrize(("task", "said"), [("xnli", True), ("marc", True), ("pawsx", False)])
def test_the_paper_finds_most_samples_reinforcing_but_on_pawsx(task, said):
    assert methods.mostly_repeats(task) == said


def test_long_gradients_are_said_with_both_methods_interval_chance_and_count():
    ends = {"ci_low": [0.5, 0.05], "ci_high": [0.7, 0.2]}
    rows = {"method": ["dot product", "cosine"], "k": 10, "share": [0.6, 0.1], "chance": 0.1}
    table = pd.DataFrame(rows | ends).assign(**COUNTS)
    assert plain(sentences.say_long_gradients(table)) == (
        "Of the 10 most helpful training samples, 60 % (interval 50 to 70 %) by the dot product "
        "and 10 % (interval 5 to 20 %) by the cosine are among the 10 % with the longest "
        "gradients. Chance is 10 %; 10 test samples."
    )
    unclear = "We cannot tell whether the two differ."
    assert sentences.say_long_gradients(table.assign(ci_high=[0.7, 0.6])).endswith(unclear)
    assert sentences.say_long_gradients(table.assign(ci_low=np.nan, ci_high=np.nan)).endswith(
        unclear
    )
    assert "cannot compute the dot product" in sentences.say_long_gradients(table.iloc[:0])
