"""Retraining without samples: which are removed, the changes, and what is kept on disk."""

import json

import numpy as np
import pandas as pd
import pytest
from small_cube import TEST, TRAIN, VALUES, cube

from xl_influence import params, removal, retraining, runs, scores, sharing
from xl_influence.retrainer import Retrainer


def test_plan_removes_the_top_and_matches_its_controls():
    train = pd.concat(
        [TRAIN.assign(uid=TRAIN["uid"] + str(i)) for i in range(5)], ignore_index=True
    )
    values = np.random.default_rng(0).normal(size=(1, 2, 20)) / 10
    found = retraining.plan_removals(
        cube(values, train, TEST), train, TEST, ks=[3, 6], samples=2, seeds=[0, 1]
    )
    assert len(found) == 2 * 2 * 2 * 2 * 4
    by = {(r.test_uid, r.sign, r.strategy, r.k, r.seed): list(r.removed) for r in found}
    assert by["en7", "positive", "top", 3, 0] == sorted(np.argsort(-values[0, 0])[:3])
    assert by["de7", "negative", "top", 6, 1] == sorted(np.argsort(values[0, 1])[:6])
    for (uid, sign, how, k, seed), rows in by.items():
        assert len(set(rows)) == k
        top = by[uid, sign, "top", k, seed]
        for column in {"random_labels": ["label"], "random_languages": ["lang"]}.get(how, []):
            assert sorted(train[column][rows]) == sorted(train[column][top])
    assert (
        by["en7", "positive", "random", 3, 0] == by["de7", "negative", "random", 3, 0]
    )  # trained once
    assert by["en7", "positive", "random", 3, 0] != by["en7", "positive", "random", 3, 1]


def test_test_samples_come_from_the_languages_in_turn():
    test = pd.DataFrame({"lang": ["en", "en", "de", "de", "fr", "fr"]})
    assert retraining.take_in_turn(test, 4) == [0, 2, 4, 1]


def test_removing_all_is_refused():
    with pytest.raises(
        retraining.RemovalError, match=r"removal_ks=\[4\]: allowed are 1 to 3; there are 4"
    ):
        retraining.plan_removals(
            cube(VALUES, TRAIN, TEST), TRAIN, TEST, ks=[4], samples=1, seeds=[0]
        )


def table(changes):
    """A removal table from {(sign, strategy, k): [change of each test sample]}; seeds add ±0.01."""
    rows = [
        (
            f"en{i}",
            str(i),
            "en",
            k,
            sign,
            strategy,
            seed,
            0.8,
            0.8 + each + (0.01 if seed else -0.01),
        )
        for (sign, strategy, k), values in changes.items()
        for i, each in enumerate(values)
        for seed in (0, 1)
    ]
    return pd.DataFrame(rows, columns=retraining.COLUMNS)


def test_changes_by_hand():
    found = table(
        {("positive", "top", 5): [-0.3, -0.5] * 3, ("positive", "random", 5): [0.1, -0.1] * 3}
    )
    change = removal.measure_change(found, bootstrap=sharing.Bootstrap(200)).set_index("strategy")
    assert change.loc["top", "change"] == pytest.approx(-0.4)
    assert -0.5 < change.loc["top", "ci_low"] < -0.4 < change.loc["top", "ci_high"] < -0.3
    assert change.loc["top", "test_samples"] == 6
    controls = removal.compare_with_controls(found, bootstrap=sharing.Bootstrap(200))
    assert controls[["strategy", "difference", "beyond"]].to_numpy().tolist() == [
        ["random", pytest.approx(-0.4), True]
    ]
    assert removal.compare_with_controls(found.assign(sign="negative"))["beyond"].tolist() == [
        False
    ]
    two = found[
        found["test_uid"].isin(["en0", "en1"])
    ]  # whose interval excludes zero as well, and says nothing
    assert removal.compare_with_controls(two)["beyond"].tolist() == [False]


def test_where_the_curve_levels_off():
    noise = np.random.default_rng(0).normal(0, 0.01, 30)
    curve = {k: -depth + noise for k, depth in ((50, 0.1), (100, 0.2), (150, 0.201), (200, 0.2))}
    curve[150] = curve[150] + np.random.default_rng(1).normal(0, 0.02, 30)
    found = table(
        {("positive", "top", k): values for k, values in curve.items()}
        | {("negative", "top", 50): -noise}
    )
    assert removal.find_level(found, bootstrap=sharing.Bootstrap(500)) == {
        "positive": 100,
        "negative": None,
    }


@pytest.mark.slow
def test_a_retraining_of_all_samples_is_the_run_and_results_are_kept(tmp_path, monkeypatch):
    merged = params.merge(
        {"study": "smoke", "task": "marc", "runs_root": str(tmp_path), "epochs": 1}
    )
    scores.make(merged, progress=False)
    run = scores.read(merged)
    test = run.test
    again = Retrainer(merged, run.train, test, run.manifest["chosen_epoch"])
    assert again._train(merged["seed"], ()) == pytest.approx(
        test["confidence"].to_numpy(), abs=1e-6
    )
    assert again._train(merged["seed"], (0, 1, 2, 3)) != pytest.approx(
        test["confidence"].to_numpy(), abs=1e-6
    )
    found = retraining.retrain(merged, progress=False)
    assert list(found.columns) == retraining.COLUMNS and set(found["strategy"]) == set(
        retraining.STRATEGIES
    )
    assert (found["item"] == found["test_uid"]).all()  # reviews have no translations
    kept = sorted((runs.find_folder(merged) / "retrainings").glob("*.json"))
    assert (
        len(kept) == 7
    )  # one test sample: of two signs the top, labels and languages; the random draw is shared
    assert set(json.loads(kept[0].read_text())) == set(test["uid"])
    monkeypatch.setattr(Retrainer, "_train", lambda *_: pytest.fail("trained again"))
    pd.testing.assert_frame_equal(retraining.retrain(merged, progress=False), found)
    kept[0].unlink()
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        retraining.retrain(merged, progress=False)
