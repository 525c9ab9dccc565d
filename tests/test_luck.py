"""What luck gives the LDS: shuffled outcomes, on cases whose answer is known."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from xl_influence import methods
from xl_influence.methods import datamodels, equal_sizes
from xl_influence.sharing import Bootstrap

FEW = Bootstrap(100)
TEST, TRAIN, SUBSETS = 10, 60, 60
SHUFFLES, TRIALS = 199, 400


def test_subsets_are_correlated_among_those_of_equal_size_by_hand():
    sizes = np.array([5, 5, 5, 9, 9, 9, 9, 7])  # 7 is alone and does not count
    a = np.array([[1.0, 2, 3, 10, 20, 30, 40, 0]])
    b = np.array([[1.0, 2, 3, 4, 3, 2, 1, 99]])
    # +1 with weight 3, −1 with weight 4
    assert equal_sizes.correlate_by_size(a, b, sizes) == pytest.approx([-1 / 7])
    with pytest.raises(ValueError, match="2 subsets: at least 3 must have the same size"):
        equal_sizes.correlate_by_size(a[:, :2], b[:, :2], sizes[:2])


def test_shuffled_outcomes_are_correlated_as_if_one_by_one():
    rng = np.random.default_rng(0)
    sizes = rng.permutation([4] * 5 + [6] * 7 + [9] * 2)
    a, b = rng.integers(5, size=(2, 3, 14)).astype(float)  # with ties
    a[1] = 2  # predicts nothing
    orders = equal_sizes.draw_orders(sizes, n=20)
    found = equal_sizes.correlate_shuffled(a, b, sizes, orders)
    expected = [equal_sizes.correlate_by_size(a, b[:, order], sizes).mean() for order in orders]
    assert found == pytest.approx(expected) and len(set(found.round(6))) > 10


def test_orders_keep_sizes_and_are_as_frequent_as_each_other():
    sizes = np.array([3, 5, 3, 5, 3])
    orders = equal_sizes.draw_orders(sizes, n=6000)
    assert (sizes[orders] == sizes).all()
    counts = pd.Series(map(tuple, orders)).value_counts()
    assert len(counts) == 12 and counts.between(400, 600).all(), "3! times 2!, about 500 each"
    assert (equal_sizes.draw_orders(sizes, n=6000) == orders).all(), "the seed decides"


def test_groups_of_the_same_sizes_change_places_as_a_whole():
    sizes = np.array([3, 5, 5, 3, 5, 5, 3, 5])
    groups = np.array([*"aaabbbcc"])  # c lacks one subset of size 5, so it keeps its place
    orders = equal_sizes.draw_orders(sizes, groups, n=400)
    assert (sizes[orders] == sizes).all() and (groups[orders] == groups)[:, 6:].all()
    moved = groups[orders][:, :6]
    assert {"".join(row) for row in moved} == {"aaabbb", "bbbaaa"}
    within = orders[:, [1, 2]]
    assert {tuple(row) for row in within} == {(1, 2), (2, 1), (4, 5), (5, 4)}


def test_luck_by_hand():
    lucky = np.array([[0.1, 0.2, 0.3, 0.4], [0.5, 0.1, 0.1, 0.1], [0.9, 0.9, 0.9, 0.9]])
    tested = np.array([True, True, False])
    found = equal_sizes.compare_with_luck(np.array([0.3, 0.6, 0.2]), lucky, tested)
    # 2, 0 and 4 of 4 are as high, and what was measured counts too
    assert found["p"].tolist() == pytest.approx([3 / 5, 1 / 5, 1])
    # the highest of the first two: 0.5, 0.2, 0.3, 0.4
    assert found["p_best"].tolist() == pytest.approx([4 / 5, 1 / 5, 1])
    ends = [0.2 + 0.075 * 0.1, 0.5 - 0.075 * 0.1]  # a fortieth of the way, three steps in all
    assert found.loc[2, ["best_low", "best_high"]].tolist() == pytest.approx(ends)
    assert found.loc[1, "null_high"] == pytest.approx(0.5 - 0.075 * 0.4)
    with pytest.raises(ValueError, match="1 controls: allowed are one or more methods"):
        equal_sizes.compare_with_luck(np.zeros(1), lucky[:1], ~tested[:1])


def p_value(values, masks, outcomes, groups=None, seed=0):
    sizes, predicted = masks.sum(1), (masks @ values.T).T
    orders = equal_sizes.draw_orders(sizes, groups, n=SHUFFLES, seed=seed)
    lucky = equal_sizes.correlate_shuffled(predicted, outcomes.T, sizes, orders)
    found = equal_sizes.correlate_by_size(predicted, outcomes.T, sizes).mean()
    one = np.array([True])
    return equal_sizes.compare_with_luck(np.array([found]), lucky[None], one)["p"].iloc[0]


def test_the_truth_has_the_lowest_p_value_there_is():
    rng = np.random.default_rng(0)
    masks, values = datamodels.draw_subsets(TRAIN, SUBSETS), rng.normal(size=(TEST, TRAIN))
    assert p_value(values, masks, masks @ values.T) == pytest.approx(1 / (SHUFFLES + 1))
    assert p_value(-values, masks, masks @ values.T) == 1


@pytest.mark.parametrize("shared", [False, True])
def test_scores_that_know_nothing_have_uniform_p_values(shared):
    """Also if all test samples share outcomes and scores, so that they are one sample in truth."""
    rng = np.random.default_rng(1)
    masks, found = datamodels.draw_subsets(TRAIN, SUBSETS), []
    for trial in range(TRIALS):
        rows = 1 if shared else TEST
        outcomes = np.tile(rng.normal(size=(SUBSETS, rows)), TEST // rows)
        values = np.tile(rng.normal(size=(rows, TRAIN)), (TEST // rows, 1))
        found.append(p_value(values, masks, outcomes, seed=trial))
    assert stats.kstest(found, "uniform").pvalue > 0.05
    assert 0.02 < np.mean(np.array(found) <= 0.05) < 0.08


def test_luck_that_test_samples_share_is_no_evidence():
    """Intervals over test samples and random scores, drawn for each, take such luck for success."""
    rng = np.random.default_rng(2)
    masks = datamodels.draw_subsets(TRAIN, SUBSETS)
    items = pd.Series(range(30)).astype(str)
    outcomes = rng.normal(size=(1, SUBSETS, 1)) + 0.1 * rng.normal(size=(2, SUBSETS, 30))
    values = {  # methods that know nothing and rank the subsets alike for all test samples
        f"method {number}": rng.normal(size=TRAIN) + 0.1 * rng.normal(size=(30, TRAIN))
        for number in range(100)
    }
    values |= {"random scores": rng.normal(size=(30, TRAIN))}
    table = methods.lds(values, masks, outcomes, items, shuffles=SHUFFLES, bootstrap=FEW)
    table, random = table.iloc[:-1], table.iloc[-1]
    naive = (table["ci_low"] > 0) & (table["lds"] > random["null_high"])
    assert naive.mean() > 0.3
    assert (table["lds"] > table["null_high"]).mean() < 0.08, "1 in 40 is expected"
    assert table["lds"].max() < table["best_high"].iloc[0]
    assert random["null_high"] < table["null_high"].min() / 2, "luck of its own for each sample"
    assert table["null_high"].between(0.15, 0.35).all()


def test_few_languages_agree_by_luck_unless_they_move_as_a_whole():
    """Outcomes and scores both depend on the language that is missing, but not alike."""
    rng = np.random.default_rng(3)
    lang = pd.Series(np.repeat([*"abcde"], 12))
    masks = datamodels.draw_language_subsets(lang, 100)
    lost = lang.to_numpy()[(~masks).argmax(1)]
    places = pd.factorize(lost)[0]
    free, whole = [], []
    for trial in range(TRIALS):
        outcomes = rng.normal(size=5)[places][:, None] + 0.1 * rng.normal(size=(100, TEST))
        values = np.repeat(rng.normal(size=5), 12) + 0.1 * rng.normal(size=(TEST, 60))
        free.append(p_value(values, masks, outcomes, seed=trial))
        whole.append(p_value(values, masks, outcomes, lost, seed=trial))
    assert np.mean(np.array(free) <= 0.05) > 0.3
    assert 0.02 < np.mean(np.array(whole) <= 0.05) < 0.08


def test_controls_do_not_count_as_methods_that_were_tried():
    rng = np.random.default_rng(4)
    masks, values = datamodels.draw_subsets(TRAIN, SUBSETS), rng.normal(size=(TEST, TRAIN))
    outcomes, items = rng.normal(size=(2, SUBSETS, TEST)), pd.Series(range(TEST)).astype(str)
    both = {"cosine": values, "random scores": rng.normal(size=(TEST, TRAIN))}
    found = methods.lds(both, masks, outcomes, items, shuffles=SHUFFLES, bootstrap=FEW)
    first = found.iloc[0]
    assert [first["best_low"], first["best_high"]] == [first["null_low"], first["null_high"]]
    assert first["p_best"] == first["p"]
