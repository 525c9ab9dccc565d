"""Influence without language and label: identities, and answers known from how data were made."""

import numpy as np
import pandas as pd
import pytest
from made_up_runs import FEW, given_at_random, make_cube, make_samples, planted_run

from xl_influence import charts, methods, sharing
from xl_influence.influence import from_values
from xl_influence.methods import labels
from xl_influence.sharing import SharingError


def centred(vectors, blocks):
    """Subtract from each vector the mean of its block."""
    return vectors - pd.DataFrame(vectors).groupby(np.asarray(blocks)).transform("mean").to_numpy()


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@pytest.mark.parametrize("by", ["language", "language + label"])
@pytest.mark.parametrize("normalize", [True, False])
def test_centring_the_products_is_centring_the_gradients(by, normalize):
    given, gradients = given_at_random(seed=3)
    whole = [np.concatenate([part[side] for part in gradients.values()], -1) for side in (0, 1)]
    if normalize:
        whole = [unit(part) for part in whole]
    columns = ["lang"] if by == "language" else ["lang", "label"]
    blocks = [
        frame[columns].astype(str).agg("".join, axis=1) for frame in (given.test, given.train)
    ]
    for side in ("training", "both"):
        expected = 0
        for epoch in (0, 1):
            test, train = whole[0][epoch], centred(whole[1][epoch], blocks[1])
            test = centred(test, blocks[0]) if side == "both" else test
            expected = expected + test @ train.T
        found = methods.compute_without_language(given, by, side, normalize=normalize)
        assert np.allclose(found, expected, atol=1e-12)


def test_a_sample_alone_in_its_block_is_refused():
    with pytest.raises(SharingError, match="one training sample alone in 'de'"):
        methods.centre(np.zeros((2, 3)), pd.Series(["en", "en", "de"]))
    given, _ = given_at_random()
    alone = methods.MethodInput(given.cube.isel(test=[0]), given.train, given.test.head(1))
    with pytest.raises(methods.NotAvailableError, match="one test sample alone"):
        methods.compute_without_language(alone, "language", "both")
    with pytest.raises(ValueError, match="side='left': allowed are language"):
        methods.compute_without_language(given, "language", "left")


def test_taking_language_out_removes_its_direction():
    rng = np.random.default_rng(0)
    train = make_samples(["en", "de"], range(40))
    test = make_samples(["en", "de"], range(100, 110))
    language = {"en": rng.normal(size=30), "de": rng.normal(size=30)}
    sides = []
    for frame in (test, train):
        mean = np.stack([language[lang] for lang in frame["lang"]])
        sides.append((4 * mean + rng.normal(size=mean.shape))[None])
    cube = make_cube({"layer-00": sides}).assign_coords(
        train=list(train["uid"]), test=list(test["uid"])
    )
    given = methods.MethodInput(cube, train, test, top_k=10)
    values, reasons = methods.remove_language(given)
    table = methods.compare(values, given, ks=(10,), bootstrap=FEW)
    shares = table[table["measure"] == "other languages"].set_index("method")
    assert shares.loc["cosine", "value"] < 0.05
    row = shares.loc["cosine, language out, both"]
    assert row["ci_low"] - 0.05 < row["chance"] < row["ci_high"] + 0.05
    assert not reasons


# --------------------------------------------------------------------------- label


def test_label_share_by_hand():
    train = pd.DataFrame(
        {"uid": list("abcd"), "lang": "en", "item": range(4), "label": [0, 0, 1, 1]}
    )
    test = pd.DataFrame({"uid": ["t"], "lang": "en", "item": 9, "label": [0]})
    scores = from_values([[0.9, 0.1, 0.5, -0.4]], train, test)
    table = labels.measure_label_share(scores, train, test, top_k=2, bootstrap=FEW)
    found = table[table["test_lang"] == "all"].set_index("sign")["share"]
    assert found.to_dict() == {"positive": 0.5, "negative": 0.5}  # a, c; then d, b
    assert (table["chance"] == 0.5).all()


def test_within_the_label_only_its_samples_are_ranked():
    given = planted_run()
    scores, samples = given.cube, (given.train, given.test)
    each = labels.analyse_within_label(
        sharing.cross_language_by_sample, scores, *samples, top_k=5
    ).set_index(["test", "sign"])
    values = methods.compute("cosine", given)
    for row, sample in enumerate(given.test.itertuples()):
        same = (given.train["label"] == sample.label).to_numpy()
        langs = given.train["lang"].to_numpy()[same]
        top = np.argsort(-values[row][same])[:5]
        expected = (langs[top] != sample.lang).mean()
        assert each.loc[(sample.uid, "positive"), "share"] == pytest.approx(expected)
    assert len(each) == 2 * len(given.test)


def test_items_that_are_no_translations_stay_apart_within_a_label():
    given = planted_run()
    train, test = (frame.assign(item=frame["uid"]) for frame in (given.train, given.test))
    assert not sharing.parallel(train)
    each = labels.analyse_within_label(
        sharing.cross_language_by_sample, given.cube, train, test, top_k=5
    )
    assert each["item"].nunique() == len(given.test)


def test_pools_have_both_sections():
    given = planted_run()
    table = labels.compare_pools(given.cube, given.train, given.test, top_k=5, bootstrap=FEW)
    assert set(table["what"]) == {"other languages", "reinforcing"}
    assert set(table["pool"]) == set(labels.POOLS)
    assert not table.drop(columns=["ci_low", "ci_high"]).isna().any().any()
    assert charts.plot_pools(table).to_dict()["facet"]["field"] == "panel"


# ------------------------------------------------------------------------- leakage


def test_leakage_by_hand():
    langs, items = ["en", "en", "de", "de", "es"], [0, 1, 7, 1, 2]
    train = pd.DataFrame({"uid": list("abcde"), "lang": langs, "item": items, "label": 0})
    test = pd.DataFrame({"uid": ["s", "t"], "lang": "en", "item": [7, 8], "label": 0})
    scores = from_values([[0.9, 0.1, 0.5, -0.4, 0.2], [0, 0, 0, 0, 0]], train, test)
    table = methods.measure_leakage(scores, train, test, ks=(1, 2), bootstrap=FEW)
    table = table.set_index(["k", "what"])
    assert (table["test_samples"] == 1).all(), "the second has no translation"
    own, wrong = "own translation", "same language, wrong item"
    # the top is a (English), then c, the translation
    assert table.loc[(1, own), "share"] == 0 and table.loc[(1, wrong), "share"] == 1
    assert table.loc[(2, own), "share"] == 1 and table.loc[(2, wrong), "share"] == 0.5
    assert table.loc[(1, own), "chance"] == pytest.approx(1 / 5)
    assert table.loc[(2, own), "chance"] == pytest.approx(2 / 5)  # 1 - 4/5 * 3/4
    assert table.loc[(2, wrong), "chance"] == pytest.approx(2 / 5)


def test_leakage_has_every_group_and_epoch_and_is_at_chance_for_random_scores():
    given = planted_run()
    table = methods.measure_leakage(given.cube, given.train, given.test, bootstrap=FEW)
    assert methods.measure_leakage(given.cube, given.train, given.test, translated=False).empty
    assert list(dict.fromkeys(table["group"])) == ["all parameters", "embeddings", "layer-00"]
    assert charts.plot_leakage(table).to_dict()["columns"] == table["k"].nunique() == 2
    shares = []
    for seed in range(30):
        values = np.random.default_rng(seed).normal(size=(len(given.test), len(given.train)))
        scores = from_values(values, given.train, given.test)
        shares.append(
            methods.measure_leakage(scores, given.train, given.test, ks=(5,), bootstrap=FEW)
        )
    mean = pd.concat(shares).groupby("what")[["share", "chance"]].mean()
    assert np.allclose(mean["share"], mean["chance"], atol=0.03)


def test_without_translations_there_is_no_leakage_table():
    given, _ = given_at_random()
    table = methods.measure_leakage(given.cube, given.train, given.test)
    assert table.empty and "share" in table


# ------------------------------------------------------------------------ matrices


def test_language_matrix_is_the_mean_influence():
    given, _ = given_at_random()
    found = methods.average_by_language(methods.compute("cosine", given), given.train, given.test)
    table = sharing.mean_influence(given.cube, given.train, given.test, bootstrap=FEW)
    wide = table.pivot(index="test_lang", columns="train_lang", values="mean")
    assert np.allclose(found, wide.loc[found.index, found.columns])


def matrix(values, languages="abcd"):
    return pd.DataFrame(values, index=list(languages), columns=list(languages))


def test_matrices_are_correlated_off_the_diagonal_with_an_exact_p_value():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(4, 4))
    b = matrix(np.exp(a) + 100 * np.eye(4))  # the same order, another diagonal
    found = methods.correlate(matrix(a), b)
    assert found["correlation"] == pytest.approx(1)
    assert found["cells"] == 12 and found["permutations"] == 24
    assert found["p"] == pytest.approx(1 / 24)
    shuffled = b.loc[list("bdac"), list("bdac")]  # the names decide, not the order
    assert methods.correlate(matrix(a), shuffled) == found
    assert methods.correlate(matrix(a), b, diagonal=True)["cells"] == 16
    with pytest.raises(ValueError, match="allowed are the same languages"):
        methods.correlate(matrix(a), matrix(a, "abce"))


def test_a_language_that_is_only_tested_is_in_no_pair():
    rng = np.random.default_rng(2)
    a = matrix(rng.normal(size=(4, 4)))
    with_row = pd.concat([a, pd.DataFrame(9.0, index=["e"], columns=a.columns)])
    found = methods.correlate_matrices(with_row, {"itself": with_row})
    assert found.loc[0, ["correlation", "cells"]].tolist() == pytest.approx([1, 12])
    one = matrix([[1.0]], "a")
    assert methods.correlate_matrices(one, {"one": one})["correlation"].isna().all()


def test_p_values_of_unrelated_matrices_are_uniform():
    rng = np.random.default_rng(1)
    p = [
        methods.correlate(matrix(rng.normal(size=(4, 4))), matrix(rng.normal(size=(4, 4))))["p"]
        for _ in range(150)
    ]
    assert 0.4 < np.mean(p) < 0.6 and np.mean(np.array(p) <= 0.1) < 0.2


def test_a_matrix_with_one_column_is_correlated_within_it():
    a = matrix(np.arange(25.0).reshape(5, 5), "abcde")
    rows = dict.fromkeys("abcde", 0.9) | {"epoch": 1}
    lost = {lang: 0.9 - 0.1 * number for number, lang in enumerate("abcde")} | {"epoch": 1}
    base = {"chosen_epoch": 1, "dev_accuracy": [rows]}
    table = methods.measure_accuracy_lost(
        base, {"c": base | {"dev_accuracy": [lost]}}, list("abcde")
    )
    assert table["c"].tolist() == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert table.drop(columns="c").isna().all().all()
    found = methods.correlate(a, table)
    assert found["cells"] == 4 and found["correlation"] == pytest.approx(1)
    assert np.isnan(methods.correlate(a, table * np.nan)["correlation"])


# ------------------------------------------------------------------- nearest first


def test_nearest_first_by_hand():
    langs = ["en", "en", "de", "de"]
    train = pd.DataFrame({"uid": list("abcd"), "lang": langs, "item": range(4), "label": 0})
    test = pd.DataFrame({"uid": ["t"], "lang": "en", "item": 9, "label": 0})
    cube = from_values([[0.9, 0.1, 0.8, 0.7]], train, test)
    given = methods.MethodInput(cube, train, test)
    near = {"similarity": np.array([[0.9, 0.8, 0.2, 0.1]])}  # a and b, both English
    table = methods.measure_nearest(near, given, top_k=2, fractions=(0.5, 1), bootstrap=FEW)
    found = table[table["sign"] == "positive"].set_index(["fraction", "what"])["share"]
    # the top two are a (en) and c (de); of these a is near
    assert found[(0.5, "found, own language")] == 1
    assert found[(0.5, "found, other languages")] == 0
    assert found[(0.5, "nearest in other languages")] == 0
    assert found[(0.5, "top k in other languages")] == 0  # a, b
    assert found[(1, "top k in other languages")] == 0.5
    harmful = table[table["sign"] == "negative"].set_index(["fraction", "what"])["share"]
    # the lowest two are b (en) and d (de); b is near
    assert harmful[(0.5, "found, own language")] == 1
    assert harmful[(0.5, "found, other languages")] == 0


def test_a_random_neighbourhood_finds_its_share():
    given = planted_run()
    near = {"random": np.random.default_rng(0).normal(size=(len(given.test), len(given.train)))}
    table = methods.measure_nearest(near, given, top_k=20, fractions=(0.2, 0.5), bootstrap=FEW)
    blind = table[~table["what"].str.startswith("top k")]
    assert np.allclose(blind["share"], blind["chance"], atol=0.15)
    assert charts.plot_nearest(table).to_dict()["columns"] == 2
