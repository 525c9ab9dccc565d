"""The paper's claims beside a run: verdicts by hand, and quantities whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from xl_influence import paper, quantities
from xl_influence.claim_estimates import Estimate, RunTables
from xl_influence.sharing import Bootstrap
from xl_influence.tasks import TASKS

NAN = np.nan


@pytest.mark.parametrize(
    ("value", "low", "high", "expect", "said", "chance", "holds"),
    [
        (0.6, 0.55, 0.65, "> 0.5", NAN, NAN, "holds"),
        (0.6, 0.45, 0.65, "> 0.5", NAN, NAN, "inconclusive"),
        (0.4, 0.35, 0.45, "> 0.5", NAN, NAN, "does not hold"),
        (-0.2, -0.3, -0.1, "< 0", NAN, NAN, "holds"),
        (-0.2, -0.3, 0.1, "< 0", NAN, NAN, "inconclusive"),
        (0.2, 0.1, 0.3, "< 0", NAN, NAN, "does not hold"),
        (0.1, 0.05, 0.15, "about", 0.13, NAN, "holds"),
        (0.1, 0.05, 0.15, "about", 0.13, 0.2, "holds"),
        # the paper's number and chance are both inside
        (0.09, 0.02, 0.16, "about", 0.14, 0.09, "inconclusive"),
        (0.1, 0.05, 0.12, "about", 0.13, 0.1, "does not hold"),
        (0.8, 0.75, 0.85, "> 0.5", NAN, 0.8, "inconclusive"),  # so would random scores
        (0.7, 0.65, 0.75, "> 0.5", NAN, 0.8, "inconclusive"),  # random scores would, more clearly
        (0.2, 0.15, 0.25, "< 0.5", NAN, 0.1, "inconclusive"),
        (0.9, 0.85, 0.95, "> 0.5", NAN, 0.8, "holds"),
        (0.8, 0.78, 0.82, "at least", 0.78, NAN, "holds"),
        (0.8, 0.7, 0.9, "at least", 0.78, NAN, "inconclusive"),
        # in every language, whichever items are drawn
        (1.0, 1.0, 1.0, "at least", 1.0, 0.2, "holds"),
        (1.0, 0.8, 1.0, "at least", 1.0, 0.2, "inconclusive"),
        (0.6, 0.4, 0.8, "at least", 1.0, 0.2, "does not hold"),
        (1.0, NAN, NAN, "at least", 1.0, NAN, "inconclusive"),  # no interval, no verdict
        (0.8, NAN, NAN, "> 0", NAN, NAN, "inconclusive"),
        (NAN, NAN, NAN, "> 0", NAN, NAN, "cannot be tested here"),
    ],
)
def test_verdicts(value, low, high, expect, said, chance, holds):
    estimate = Estimate(value, low, high, chance)
    assert paper.judge(estimate, expect, said) == holds


def test_every_claim_is_complete():
    claims = paper.read_paper()["claims"]
    assert len({claim["id"] for claim in claims}) == len(claims)
    for claim in claims:
        assert set(claim["tasks"]) <= set(TASKS) and claim["quantity"] in quantities.QUANTITIES, (
            claim["id"]
        )
        assert claim["expect"] != "about" or "paper" in claim, claim["id"]


@pytest.mark.parametrize("task", TASKS)
def test_without_tables_nothing_can_be_tested(task):
    claims = paper.compare_claims(task, {})
    assert list(claims.columns) == paper.COLUMNS and len(claims)
    assert (claims["holds"] == "cannot be tested here").all()


def languages(task, share_of, sign):
    """Composition rows: the share of each training language for each test language."""
    langs = list(paper.read_paper()["tables"]["mean_influence"][task])
    return [
        {
            "test_lang": a,
            "train_lang": b,
            "sign": sign,
            "checkpoint": epoch,
            "share": share_of(a, b, epoch),
        }
        for a in langs
        for b in langs
        for epoch in (0, 1, 2, 3)
    ]


def by_sample(rows, items=12, value="share", jitter=0.01):
    """Each row once per item, its value alternately higher and lower; languages share items."""
    shifts = [jitter if i % 2 else -jitter for i in range(items)]
    each = [
        row | {"test": i, "item": i, value: row[value] + shift}
        for row in rows
        for i, shift in enumerate(shifts)
    ]
    return pd.DataFrame(each)


def with_interval(table, half=0.01):
    table = pd.DataFrame(table)
    return table.assign(ci_low=table["share"] - half, ci_high=table["share"] + half)


@pytest.fixture
def tables():
    """A run of PAWS-X in which the paper's claims hold, as far as its tables go."""
    rest = {"de": 0.18, "en": 0.16, "es": 0.17, "fr": 0.17, "ko": 0.12}

    def positive(a, b, epoch):
        if a == b:
            return (0.7 if a == "ko" else 0.4) - 0.05 * epoch
        return 0.25 if {a, b} == {"es", "fr"} else rest[b]

    def negative(a, b, epoch):
        return {"ko": 0.4, "en": 0.1}.get(b, 0.15)

    cross = [
        {"test_lang": a, "sign": "positive", "share": 0.3 if a == "ko" else 0.6}
        for a in ("de", "en", "es", "fr", "ko")
    ]
    shares = languages("pawsx", positive, "positive") + languages("pawsx", negative, "negative")
    said = paper.read_paper()["tables"]
    means = [
        {"test_lang": a, "train_lang": b, "mean": v}
        for a, part in said["mean_influence"]["pawsx"].items()
        for b, v in part.items()
    ]
    translations = [
        {"test_lang": lang, "sign": sign, "share": share, "chance": 0.1}
        for sign, part in said["reinforcement"]["pawsx"].items()
        for lang, share in part.items()
    ]
    more = [
        {"language": lang, "percent": percent, "sign": "positive", "share": share, "chance": 0.2}
        for lang in ("es", "ko")
        for percent, share in ((0, 0.3), (100, 0.45 if lang == "es" else 0.8))
    ]
    accuracy = dict.fromkeys(("accuracy", "de", "en", "es", "fr", "ko"), 0.9)
    return {
        "manifest": {
            "chosen_epoch": 2,
            "dev_accuracy": [{"epoch": 2} | accuracy],
            "rows": {"validation": 1000},
            "majority_share": {"validation": 0.55},
        },
        "composition_by_sample": by_sample(
            [row | {"chance": 0.2} for row in shares if row["checkpoint"] == 0]
        ),
        "epochs_by_sample": by_sample(shares),
        "cross_language": with_interval(
            [*cross, {"test_lang": "all", "sign": "positive", "share": 0.54}]
        ).assign(chance=0.8),
        "scripts": with_interval(
            [{"train_lang": "ko", "sign": "positive", "share": 0.11, "chance": 0.05}]
        ),
        "mean_influence": pd.DataFrame(means),
        "mean_influence_by_sample": by_sample(means, value="mean", jitter=0.0001),
        "reinforcement": with_interval(translations),
        "reinforcement_by_sample": by_sample(translations),
        "epoch_tests": pd.DataFrame(
            {
                "test_lang": ["de", "ko"],
                "effect": [0.3, -0.4],
                "ci_low": [0.2, -0.5],
                "ci_high": [0.4, -0.3],
            }
        ),
        "zero_shot": with_interval(
            [
                {"language": lang, "what": what, "sign": "positive", "share": share, "chance": 0.01}
                for lang, what, share in (
                    ("ko", "translations", 0.05),
                    ("ko", "same_samples", 0.04),
                    ("es", "translations", 0.14),
                    ("es", "same_samples", 0.13),
                )
            ]
        ),
        "imbalance_by_sample": by_sample(more),
        "removal_change": with_interval(
            [
                {"sign": sign, "strategy": "top", "k": k, "share": direction * k}
                for sign, direction in (("positive", -1), ("negative", 1))
                for k in (1, 2)
            ]
        ).rename(columns={"share": "change"}),
        "removal_controls": with_interval(
            [{"sign": "positive", "strategy": "random_labels", "k": 2, "share": -0.2}]
        ).rename(columns={"share": "difference"}),
    }


def test_a_run_like_the_papers_holds(tables):
    claims = paper.compare_claims("pawsx", tables).set_index("claim")
    apart = ["korean-gives", "still-sharing", "other-languages", "complementary"]
    assert set(claims["holds"].drop(apart)) == {"holds"}, claims["holds"].drop(apart).to_dict()
    value, holds = claims.loc["korean-gives", ["value", "holds"]]
    assert value == pytest.approx(0.12) and holds == "does not hold"  # ± 0.006
    first = claims.loc["own-language-first", ["value", "ci_low", "of", "unit"]]
    assert first.tolist() == [1, 1, 5, "count"]
    assert claims.loc["own-language-first", "chance"] == 0.2
    assert claims.loc["sharing-grows", "value"] == pytest.approx(-0.05)
    assert claims.loc["english-average", ["value", "of"]].tolist() == pytest.approx([0.8, 5])
    assert claims.loc["removing-positive", ["value", "unit"]].tolist() == [-2, "points"]
    assert claims.loc["korean-apart", "value"] == pytest.approx(0.3 - 0.6)
    # random samples would come from other languages more often still
    assert claims.loc["still-sharing", ["value", "chance"]].tolist() == pytest.approx([0.55, 0.8])
    assert set(claims.loc[apart[1:], "holds"]) == {"inconclusive"}


def test_a_run_unlike_the_papers_does_not(tables):
    shares = tables["composition_by_sample"]
    flipped = shares.assign(train_lang=shares["train_lang"].replace({"ko": "en", "en": "ko"}))
    other = tables["reinforcement_by_sample"].assign(share=[0.9, 0.88] * 60)
    claims = paper.compare_claims(
        "pawsx", tables | {"composition_by_sample": flipped, "reinforcement_by_sample": other}
    )
    claims = claims.set_index("claim")["holds"]
    for name in ("korean-harms", "own-language-first", "english-harms-least", "complementary"):
        assert claims[name] == "does not hold", name


def test_without_an_interval_there_is_no_verdict(tables):
    five = tables["composition_by_sample"].query("item < 5")
    few = tables["zero_shot"].assign(ci_low=NAN, ci_high=NAN)
    claims = paper.compare_claims(
        "pawsx", tables | {"zero_shot": few, "composition_by_sample": five}
    ).set_index("claim")
    for name in ("zero-shot-korean", "own-language-first", "korean-gives", "korean-apart"):
        assert claims.loc[name, "holds"] == "inconclusive" and np.isfinite(
            claims.loc[name, "value"]
        ), name
    whole = {name: table for name, table in tables.items() if not name.endswith("by_sample")}
    shares = languages("pawsx", lambda a, b, _: 0.4 if a == b else 0.15, "positive")
    claims = paper.compare_claims("pawsx", whole | {"composition": pd.DataFrame(shares)}).set_index(
        "claim"
    )
    assert claims.loc["own-language-first", ["value", "holds"]].tolist() == [1, "inconclusive"]


def test_a_count_that_depends_on_the_items_drawn_is_inconclusive(tables):
    shares = tables["composition_by_sample"].copy()
    mine = (shares["test_lang"] == "de") & (shares["sign"] == "positive")
    shares.loc[mine & (shares["train_lang"] == "de"), "share"] = [0.1, 0.5] * 6  # mean 0.3
    shares.loc[mine & (shares["train_lang"] == "fr"), "share"] = 0.29
    row = (
        paper.compare_claims("pawsx", tables | {"composition_by_sample": shares})
        .set_index("claim")
        .loc["own-language-first"]
    )
    assert row[["value", "ci_low", "ci_high", "holds"]].tolist() == [1, 0.8, 1, "inconclusive"]


def test_languages_at_chance_enter_no_claim(tables):
    tables["manifest"]["dev_accuracy"][0]["ko"] = 0.59  # four points above 55 %
    claims = paper.compare_claims("pawsx", tables).set_index("claim")
    assert set(claims["left_out"]) == {"ko"}
    for name in ("korean-apart", "korean-gives", "korean-harms", "zero-shot-korean"):
        assert claims.loc[name, "holds"] == "cannot be tested here", name
    assert claims.loc["own-language-first", ["value", "of"]].tolist() == [1, 4]
    assert claims.loc["other-languages", "value"] == pytest.approx(0.6)  # of the four others
    assert claims.loc["english-average", "value"] == pytest.approx(1)
    assert claims.loc["more-data-more-influence", "value"] == pytest.approx(0.15)  # Spanish alone
    assert (
        claims.loc["removing-positive", "holds"] == "cannot be tested here"
    )  # the means have Korean in them
    assert claims.loc["zero-shot-spanish", "holds"] == "holds"


def test_a_variant_at_chance_in_its_language_enters_no_claim_about_it(tables):
    weak = tables["manifest"] | {
        "dev_accuracy": [tables["manifest"]["dev_accuracy"][0] | {"es": 0.5}]
    }
    claims = paper.compare_claims(
        "pawsx", tables | {"manifests": {"without-es": weak, "plus-100-es": weak}}
    ).set_index("claim")
    assert claims.loc["zero-shot-spanish", "holds"] == "cannot be tested here"
    assert claims.loc["zero-shot-korean", "holds"] == "holds"
    assert claims.loc["more-data-more-influence", "value"] == pytest.approx(0.5)  # Korean alone
    assert (
        claims.loc["still-sharing", "holds"] == "cannot be tested here"
    )  # Spanish was all that is not Korean


def test_one_study_is_judged_and_the_demo_is_beside_it(tables):
    real = paper.compare_claims("pawsx", tables)
    demo = paper.compare_claims("pawsx", {"manifest": tables["manifest"]}, judged=False)
    assert set(demo["holds"]) == {""}
    board = paper.make_scoreboard({"real": real, "demo": demo}, "pawsx")
    assert list(board.columns[:4]) == ["section", "statement", "unit", "paper_value"] and len(
        board
    ) == len(real)
    assert (
        board["verdict"].tolist() == real["holds"].tolist()
        and board["real_value"].tolist() == real["value"].tolist()
    )
    assert board["demo_value"].notna().tolist() == [name == "accuracy" for name in real["claim"]]
    alone = paper.make_scoreboard({"demo": real}, "pawsx")
    assert set(alone["verdict"]) == {"cannot be tested here"} and alone["demo_value"].notna().all()


@pytest.mark.parametrize(
    ("changes", "ends"),
    [
        ({}, "This run: +10.0 points (interval +5.0 to +15.0). The claim holds."),
        (
            {"unit": "share", "chance": 0.2, "holds": "does not hold"},
            "This run: 10.0\u00a0% (interval 5.0 to 15.0\u00a0%, chance 20.0\u00a0%). "
            "The claim does not hold.",
        ),
        (
            {"unit": "count", "value": 0.4, "ci_low": NAN, "of": 5, "holds": "inconclusive"},
            "This run: 2 of 5 (no interval). The claim is inconclusive.",
        ),
        ({"holds": ""}, "This run: +10.0 points (interval +5.0 to +15.0)."),
        ({"value": NAN, "holds": "cannot be tested here"}, "This run cannot test the claim."),
    ],
)
def test_a_sentence_says_what_was_found_and_what_follows(changes, ends):
    numbers = {"value": 0.1, "ci_low": 0.05, "ci_high": 0.15, "chance": NAN, "of": NAN}
    row = {"claim": "a-b", "statement": "It is so.", **numbers, "unit": "points", "holds": "holds"}
    assert paper.say_claims(pd.DataFrame([row | changes])) == {"claim_a_b": f"It is so. {ends}"}


def test_every_claim_has_a_sentence():
    for task in TASKS:
        claims = paper.compare_claims(task, {})
        found = paper.say_claims(claims)
        assert len(found) == len(claims)
        assert all(text.endswith("cannot test the claim.") for text in found.values())


def test_wilson_interval_of_the_accuracy():
    manifest = {
        "chosen_epoch": 1,
        "dev_accuracy": [{"epoch": 1, "accuracy": 0.5}],
        "rows": {"validation": 100},
    }
    reached = quantities.dev_accuracy(RunTables({"manifest": manifest}))
    half = 1.959964 * np.sqrt(0.25 / 100 + 1.959964**2 / (4 * 100**2)) / (1 + 1.959964**2 / 100)
    assert (reached.low, reached.high) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-6)
    wider = quantities.dev_accuracy(
        RunTables({"manifest": manifest}, Bootstrap(confidence_level=0.99))
    )
    assert wider.low < reached.low and wider.high > reached.high


def test_the_change_over_epochs_is_paired(tables):
    change = paper.estimate_own_change({"epochs_by_sample": tables["epochs_by_sample"]}, 2)
    assert change[:3] == pytest.approx((-0.05, -0.05, -0.05))  # the same for every item
    whole = languages("pawsx", lambda a, b, epoch: 0.4 - 0.1 * epoch, "positive")
    change = paper.estimate_own_change({"composition": pd.DataFrame(whole)}, 1)
    assert change.value == pytest.approx(-0.2) and np.isnan(change.low)
    assert paper.estimate_own_change({"epochs_by_sample": tables["epochs_by_sample"]}, 3) is None


def test_a_difference_of_independent_estimates():
    difference = Estimate(0.7, 0.6, 0.75).minus(Estimate(0.4, 0.36, 0.43))
    low = 0.3 - np.hypot(0.1, 0.03)  # its own lower end and the other's upper end
    high = 0.3 + np.hypot(0.05, 0.04)
    assert difference[:3] == pytest.approx((0.3, low, high))


def test_the_complement_swaps_the_ends():
    estimate = Estimate(0.7, 0.6, 0.75, chance=0.8)
    assert estimate.complement()[:4] == pytest.approx((0.3, 0.25, 0.4, 0.2))
    assert estimate.complement().beyond_chance()[:3] == pytest.approx((0.1, 0.05, 0.2))


def test_reviews_are_compared_with_the_other_tasks(tables):
    mine = tables["cross_language"]
    others = {
        f"{task}/cross_language": mine.assign(
            share=mine["share"] + 0.1, ci_low=mine["ci_low"] + 0.1, ci_high=mine["ci_high"] + 0.1
        )
        for task in ("xnli", "pawsx")
    }
    beyond = quantities.own_beyond_other_tasks(RunTables(tables | others), sign="positive")
    half = np.sqrt(0.01**2 / 2 + 0.01**2)  # of the mean of two, and of one
    assert (beyond.value, beyond.low, beyond.high) == pytest.approx((0.1, 0.1 - half, 0.1 + half))
    assert quantities.own_beyond_other_tasks(RunTables(tables), sign="positive") is None


def test_tables_side_by_side(tables):
    means = paper.compare_table("pawsx", tables["mean_influence"], "mean_influence")
    assert (means["paper"] == means["this_run"]).all() and len(means) == 25
    assert paper.correlate_means(means)["agreement"].tolist() == pytest.approx([1] * 5)
    assert len(paper.compare_table("pawsx", tables["reinforcement"], "reinforcement")) == 10
    assert paper.compare_table("marc", None, "reinforcement") is None


def test_items_count_once_when_a_language_at_chance_is_left_out():
    """Of MARC, which isn't parallel, en0 and de0 are two items: six without Korean, not three."""
    uids = [f"{lang}{number}" for lang in ("en", "de", "ko") for number in range(3)]
    langs = [uid[:2] for uid in uids]
    removed = pd.DataFrame({"test_uid": uids, "item": uids, "test_lang": langs}).assign(
        sign="positive", strategy="top", k=50, confidence_before=0.9, confidence_after=0.8
    )
    accuracy = {"epoch": 1, "train_loss": 0.5, "accuracy": 0.8, "en": 0.9, "de": 0.9, "ko": 0.5}
    manifest = {
        "dev_accuracy": [accuracy],
        "chosen_epoch": 1,
        "majority_share": {"validation": 0.5},
    }

    def change(table):
        run = RunTables({"manifest": manifest, "removal": table})
        return quantities.removal_change(run, "positive")

    apart = change(removed)
    assert (apart.value, apart.low, apart.high) == pytest.approx((-0.1, -0.1, -0.1))
    translated = removed.assign(item=removed["test_uid"].str[2:])
    assert np.isnan(change(translated).low)  # three items
