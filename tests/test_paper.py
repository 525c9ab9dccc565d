"""The paper's claims beside a run: verdicts by hand, every quantity from tables whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from xl_influence import paper
from xl_influence.tasks import TASKS

NAN = np.nan


@pytest.mark.parametrize(
    ("value", "low", "high", "expect", "said", "holds"),
    [
        (0.6, 0.55, 0.65, "> 0.5", NAN, "holds"),
        (0.6, 0.45, 0.65, "> 0.5", NAN, "cannot be told"),
        (0.4, 0.35, 0.45, "> 0.5", NAN, "does not hold"),
        (-0.2, -0.3, -0.1, "< 0", NAN, "holds"),
        (-0.2, -0.3, 0.1, "< 0", NAN, "cannot be told"),
        (0.2, 0.1, 0.3, "< 0", NAN, "does not hold"),
        (0.1, 0.05, 0.15, "about", 0.13, "holds"),
        (0.1, 0.05, 0.12, "about", 0.13, "does not hold"),
        (1.0, NAN, NAN, "about", 1.0, "holds"),
        (0.8, NAN, NAN, "about", 1.0, "does not hold"),
        (0.8, 0.78, 0.82, "at least", 0.78, "holds"),
        (0.8, 0.7, 0.9, "at least", 0.78, "cannot be told"),
        (NAN, NAN, NAN, "> 0", NAN, "cannot be told"),
    ],
)
def test_verdicts(value, low, high, expect, said, holds):
    assert paper.verdict(value, low, high, expect, said) == holds


def test_every_claim_is_complete():
    claims = paper.reported()["claims"]
    assert len({claim["id"] for claim in claims}) == len(claims)
    for claim in claims:
        assert set(claim["tasks"]) <= set(TASKS) and claim["quantity"] in paper.QUANTITIES, claim["id"]
        assert claim["expect"] != "about" or "paper" in claim, claim["id"]


@pytest.mark.parametrize("task", TASKS)
def test_without_tables_nothing_can_be_told(task):
    claims = paper.claims(task, {})
    assert list(claims.columns) == paper.COLUMNS and len(claims)
    assert (claims["holds"] == "cannot be told").all()


def languages(task, share_of, sign):
    """Composition rows: the share of each training language for each test language."""
    langs = list(paper.reported()["tables"]["mean_influence"][task])
    return [
        {"test_lang": a, "train_lang": b, "sign": sign, "checkpoint": epoch, "share": share_of(a, b, epoch)}
        for a in langs for b in langs for epoch in (0, 1, 2, 3)
    ]  # fmt: skip


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
        return 0.4 if b == "ko" else 0.1 if b == "en" else 0.15

    cross = [{"test_lang": a, "sign": "positive", "share": 0.3 if a == "ko" else 0.6} for a in ("de", "en", "es", "fr", "ko")]
    said = paper.reported()["tables"]
    return {
        "manifest": {"chosen_epoch": 2, "dev_accuracy": [{"epoch": 2, "accuracy": 0.9}], "rows": {"validation": 1000}},
        "composition": with_interval(languages("pawsx", positive, "positive") + languages("pawsx", negative, "negative")),
        "cross_language": with_interval([*cross, {"test_lang": "all", "sign": "positive", "share": 0.54}]).assign(chance=0.8),
        "scripts": with_interval([{"train_lang": "ko", "sign": "positive", "share": 0.11}]),
        "mean_influence": pd.DataFrame(
            [(a, b, v) for a, part in said["mean_influence"]["pawsx"].items() for b, v in part.items()],
            columns=["test_lang", "train_lang", "mean"],
        ),
        "reinforcement": with_interval(
            [
                {"test_lang": lang, "sign": sign, "share": share}
                for sign, part in said["reinforcement"]["pawsx"].items() for lang, share in part.items()
            ]
        ),
        "epoch_tests": pd.DataFrame({"p_adjusted": [0.01, 0.02]}),
        "zero_shot": with_interval(
            [
                {"language": lang, "what": what, "sign": "positive", "share": share}
                for lang, what, share in (("ko", "translations", 0.05), ("ko", "same_samples", 0.04),
                                          ("es", "translations", 0.14), ("es", "same_samples", 0.13))
            ]
        ),
        "imbalance": with_interval(
            [
                {"language": lang, "percent": percent, "sign": "positive", "share": share}
                for lang in ("es", "ko") for percent, share in ((0, 0.3), (100, 0.45 if lang == "es" else 0.8))
            ]
        ),
        "removal_change": with_interval(
            [
                {"sign": sign, "strategy": "top", "k": k, "share": direction * k}
                for sign, direction in (("positive", -1), ("negative", 1)) for k in (1, 2)
            ]
        ).rename(columns={"share": "change"}),
        "removal_controls": with_interval(
            [{"sign": "positive", "strategy": "random_labels", "k": 2, "share": -0.2}]
        ).rename(columns={"share": "difference"}),
    }  # fmt: skip


def test_a_run_like_the_papers_holds(tables):
    claims = paper.claims("pawsx", tables).set_index("claim")
    assert claims["holds"].drop("korean-gives").unique().tolist() == ["holds"], claims["holds"]
    assert claims.loc["korean-gives", ["value", "holds"]].tolist() == [pytest.approx(0.12), "does not hold"]  # ± 0.005
    assert claims.loc["own-language-first", "value"] == 1
    assert claims.loc["sharing-grows", "value"] == pytest.approx(-0.05)
    assert claims.loc["english-average", "value"] == pytest.approx(0.8)
    assert claims.loc["removing-positive", "value"] == -2


def test_a_run_unlike_the_papers_does_not(tables):
    flipped = tables["composition"].assign(train_lang=tables["composition"]["train_lang"].replace({"ko": "en", "en": "ko"}))
    tables |= {"composition": flipped, "reinforcement": tables["reinforcement"].assign(share=0.9, ci_low=0.88, ci_high=0.92)}
    claims = paper.claims("pawsx", tables).set_index("claim")["holds"]
    for name in ("korean-harms", "own-language-first", "english-harms-least", "complementary"):
        assert claims[name] == "does not hold", name


def test_two_test_samples_tell_nothing(tables):
    few = tables["zero_shot"].assign(test_samples=2)
    claims = paper.claims("pawsx", tables | {"zero_shot": few}).set_index("claim")
    assert claims.loc["zero-shot-korean", "holds"] == "cannot be told"
    assert claims.loc["zero-shot-korean", "value"] == 0.05 and np.isnan(claims.loc["zero-shot-korean", "ci_low"])


def test_reviews_are_compared_with_the_other_tasks(tables):
    mine = tables["cross_language"]
    others = {f"{task}/cross_language": mine.assign(share=mine["share"] + 0.1) for task in ("xnli", "pawsx")}
    value, low, high = paper.own_beyond_other_tasks(tables | others, sign="positive")
    assert value == pytest.approx(0.1) and low < 0.1 < high
    assert paper.own_beyond_other_tasks(tables, sign="positive") is None


def test_tables_side_by_side(tables):
    means = paper.side_by_side("pawsx", tables["mean_influence"], "mean_influence")
    assert (means["paper"] == means["this_run"]).all() and len(means) == 25
    assert paper.agreement(means)["agreement"].tolist() == pytest.approx([1] * 5)
    assert len(paper.side_by_side("pawsx", tables["reinforcement"], "reinforcement")) == 10
    assert paper.side_by_side("marc", None, "reinforcement") is None
