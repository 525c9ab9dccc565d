"""How far results depend on the seed: the same samples by hand, and what zero-shot adds to it."""

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from small_cube import TEST, TRAIN, VALUES, cube, lookup

from xl_influence import comparison_leads, params, scores, sharing, workflow

SPACE = "\u00a0"
SMALL = sharing.Bootstrap(50)


def test_how_much_of_the_top_k_is_the_same_with_another_seed(small):
    # en7: en0 1.0, de0 .6, en1 .5, de1 -.9; de7: de0 1.0, de1 .6, en0 .4, en1 -.1
    swapped = (cube(VALUES[:, ::-1], TRAIN, TEST), TRAIN, TEST)  # the other's influence for each
    given = {"top_k": 2, "bootstrap": SMALL}
    same = sharing.shared_by_seeds(small, {"seed-1": small}, **given)
    assert (same["share"] == 1).all() and (same["chance"] == 0.5).all()
    # top 2: {en0, de0} and {de0, de1}: one of two is the same for both
    table = sharing.shared_by_seeds(small, {"seed-1": swapped}, **given)
    assert list(table["test_lang"].unique()) == ["all", "en", "de"]
    assert lookup(table, test_lang="all", sign="positive")["share"] == 0.5
    both = sharing.shared_by_seeds(small, {"seed-1": swapped, "seed-2": small}, **given)
    assert lookup(both, test_lang="de", sign="positive")["share"] == 0.75  # the mean over seeds
    # the most harmful one: de1 of en7, en1 of de7
    one = sharing.shared_by_seeds(small, {"seed-1": swapped}, top_k=1, bootstrap=SMALL)
    assert lookup(one, test_lang="en", sign="negative")["share"] == 0


def test_in_how_many_models_a_sample_is_among_the_most_influential(small):
    swapped = (cube(VALUES[:, ::-1], TRAIN, TEST), TRAIN, TEST)
    counts = sharing.count_again(small, {"seed-1": swapped, "seed-2": small}, top_k=2)
    # en7: de0, de1 in the one, en0, de0 in the other; de7: the other way round
    assert counts["positive"].tolist() == [[1, 0, 2, 1], [1, 0, 2, 1]]
    assert not sharing.count_again(small, {}, top_k=2)["negative"].any()


def test_runs_on_other_samples_are_refused(small):
    scores, train, test = small
    other = train.assign(uid=["en0", "en2", "de0", "de1"])
    run = (scores.assign_coords(train=list(other["uid"])), other, test)
    with pytest.raises(sharing.SharingError, match="seed-1 has other training samples"):
        sharing.shared_by_seeds(small, {"seed-1": run}, top_k=1)


def make_run(rng, items, noise, languages=("en", "de", "es")):
    """A run whose influence is that of the items, plus noise of its own."""
    n = items.shape[-1]
    train = pd.DataFrame(
        [
            {"uid": f"{lang}{i}", "lang": lang, "item": i, "label": 0}
            for lang in languages
            for i in range(n)
        ]
    )
    test = pd.DataFrame([{"uid": f"de{i}", "lang": "de", "item": i} for i in range(900, 930)])
    shape = (1, 30, len(languages) * n)
    values = np.tile(items, len(languages)) + noise * rng.uniform(size=shape)
    return cube(values, train, test), train, test


def test_leaving_a_language_out_is_told_from_another_seed_only_where_it_does_more():
    rng = np.random.default_rng(0)
    items, others = (rng.uniform(size=(1, 30, 100)) for _ in range(2))
    seen = make_run(rng, items, 0.5)
    seeds = {f"seed-{seed}": make_run(rng, items, 0.5) for seed in (1, 2)}
    given = {"top_k": 20, "bootstrap": sharing.Bootstrap(500)}

    def difference(unseen):
        table = sharing.zero_shot_against_seeds(seen, {"de": unseen}, seeds, **given)
        return lookup(table, language="all", what="same_samples", sign="positive")

    same = difference(make_run(rng, items, 0.5, ("en", "es")))  # as another seed
    assert same["ci_low"] < 0 < same["ci_high"] and same["seeds"] == 2
    assert same["difference"] == pytest.approx(same["without"] - same["other_seed"])
    other = difference(make_run(rng, others, 0.5, ("en", "es")))  # other items matter
    assert other["ci_high"] < 0 and other["without"] < 0.15 < 0.4 < other["other_seed"]


def test_leads_on_seeds():
    row = {
        "language": "all",
        "what": "same_samples",
        "sign": "positive",
        "without": 0.176,
        "other_seed": 0.199,
        "seeds": 2,
        "difference": -0.023,
        "ci_low": -0.042,
        "ci_high": -0.003,
        "test_samples": 125,
        "items": 25,
    }
    lead = comparison_leads.say_against_seeds(pd.DataFrame([row])).replace(SPACE, " ")
    assert "17.6 % help again if the test language is left out, and 19.9 % if nothing" in lead
    assert "−2.3 points (interval −4.2 to −0.3, 125 test samples of 25 items)" in lead
    assert lead.endswith("another seed alone accounts for 97 % of the change.")
    unclear = comparison_leads.say_against_seeds(pd.DataFrame([row | {"ci_high": 0.01}]))
    assert unclear.endswith("We cannot tell the two apart.")
    row |= {"ci_low": np.nan, "ci_high": np.nan}
    few = comparison_leads.say_against_seeds(pd.DataFrame([row]))
    assert "too few items for an interval" in few and few.endswith("We cannot tell the two apart.")


def test_seeds_across_tasks():
    by_k = pd.DataFrame(
        [{"test_lang": "all", "sign": "positive", "k": 100, "lowest": 0.75, "highest": 0.76}]
    )
    shared = pd.DataFrame([{"test_lang": "all", "sign": "positive", "share": 0.17, "chance": 0.01}])
    lead = comparison_leads.say_seeds_across_tasks(
        {"XNLI": (by_k, shared), "MARC": (by_k, shared.assign(share=0.21))}, 100
    )
    assert lead.replace(SPACE, " ") == (
        "In models that differ in their seed only, the share of other languages in the top 100 is "
        "75 to 76 % (XNLI) and 75 to 76 % (MARC), lowest to highest. Of the 100 most helpful "
        "samples themselves, 17 % (XNLI) and 21 % (MARC) are the same with another seed; chance "
        "is 1 %."
    )


def test_other_seeds_are_of_base_only():
    base = params.merge({"study": "smoke", "task": "pawsx", "other_seeds": [1, 4]})
    assert [run["variant"] for run in workflow.find_seeds(base)] == ["seed-1", "seed-4"]
    assert [run["seed"] for run in workflow.find_seeds(base)] == [1, 4]
    assert workflow.find_seeds(params.with_variant(base, "without-ko")) == []
    assert workflow.find_seeds(params.with_variant(base, "seed-4")) == []


def test_a_published_variant_is_not_ranked_beyond_what_it_keeps():
    given = {"study": "real", "task": "pawsx", "variant": "without-ko"}
    given |= {"runs_root": str(ROOT / "results")}
    assert len(scores.read(params.merge(given | {"top_k": scores.TAIL})).test) == 25
    with pytest.raises(scores.ScoreError, match=r"top_k=501: .*allowed are 1 to 500"):
        scores.read(params.merge(given | {"top_k": scores.TAIL + 1}))
    base = given | {"variant": "base", "top_k": scores.TAIL + 1}
    assert len(scores.read(params.merge(base)).test) == 125
