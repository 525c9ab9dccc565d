"""Charts say what their captions say."""

import itertools

import pandas as pd
import pytest

from xl_influence import charts, paper
from xl_influence.manifest import is_at_chance, weak_languages


@pytest.mark.parametrize("draw", [charts.plot_own_share, charts.plot_dynamics])
def test_chance_lies_across_and_epochs_are_whole(draw):
    rows = itertools.product(("en", "de"), ("en", "de"), ("positive", "negative"), (1, 2))
    table = pd.DataFrame(rows, columns=["test_lang", "train_lang", "sign", "checkpoint"])
    layers = draw(table.assign(share=0.4, ci_low=0.3, ci_high=0.5, chance=0.5)).to_dict()["spec"][
        "layer"
    ]
    marks = {layer["mark"]["type"]: layer["encoding"] for layer in layers}
    assert (
        "x" not in marks["rule"] and marks["rule"]["y"]["field"] == "chance"
    )  # with an x it would stand upright
    assert marks["line"]["x"]["type"] == "ordinal"


def test_words_that_moved_are_underlined_and_words_that_differ_are_bold():
    moved = charts.mark_differences("Anna met Bob in Rome.", "Bob met Anna in Rome.")
    assert moved == ["<u>Anna</u> met <u>Bob</u> in Rome.", "<u>Bob</u> met <u>Anna</u> in Rome."]
    assert charts.mark_differences("It is late.", "It is early.") == [
        "It is <b>late</b>.",
        "It is <b>early</b>.",
    ]
    assert charts.mark_differences("same", "same") == ["same", "same"]
    assert (
        charts.mark_differences("他今天买了一本新的书给妹妹", "他今天买了一本旧的书给妹妹")[0]
        == "他今天买了一本<b>新</b>的书给妹妹"
    )


def test_markup_in_a_text_shows_as_text():
    row = {"sign": "test", "uid": "en1", "lang": "en", "label": 0, "text_b": "<b>x</b> & y"}
    table = pd.DataFrame([row | {"text_a": "<script>alert(1)</script>"}])
    for marked in (False, True):
        shown = charts.show_samples(table, ("no", "yes"), marked=marked).data
        assert "<script" not in shown and "&lt;" in shown and "&amp;" in shown


def test_the_scoreboard_names_every_verdict():
    claims = pd.DataFrame(
        [
            ["a", "7", "It is so.", 0.5, 0.6, 0.55, 0.65, "holds"],
            ["b", "8", "It is not.", *[float("nan")] * 4, "cannot be tested here"],
        ],
        columns=[
            "claim",
            "section",
            "statement",
            "paper_value",
            "value",
            "ci_low",
            "ci_high",
            "holds",
        ],
    )
    shown = charts.show_scoreboard(claims).to_html()
    for part in ("✓ holds", "– cannot be tested here", "0.55 to 0.65", "–"):
        assert part in shown


def test_counts_are_shown_as_counts_and_differences_in_points():
    rows = [
        ["a", "7", "It is so.", 0.8, 0.6, 0.4, 0.8, "inconclusive", "count", 5, 0.2, ""],
        [
            "b",
            "8",
            "More.",
            float("nan"),
            -0.051,
            -0.1,
            -0.02,
            "",
            "points",
            float("nan"),
            float("nan"),
            "",
        ],
        ["c", "8", "Much.", 0.14, 0.1, 0.06, 0.15, "holds", "share", float("nan"), 0.05, ""],
        ["d", "8", "Always.", 1.0, 1.0, 1.0, 1.0, "holds", "count", 10, float("nan"), ""],
    ]
    shown = charts.show_scoreboard(pd.DataFrame(rows, columns=paper.COLUMNS)).to_html()
    texts = (
        "4 of 5",
        "3 of 5",
        "2 of 5 to 4 of 5",
        "−5.1 points",
        "10\u00a0%",
        "6\u00a0% to 15\u00a0%",
        "? inconclusive",
    )
    for part in texts:
        assert part in shown, part
    assert ">all</td>" in shown and "10 of 10 to 10 of 10" in shown
    board = paper.scoreboard({"real": paper.claims("marc", {})}, "marc")
    assert "– cannot be tested here" in charts.show_scoreboards(board).to_html()


def rows_with(share, **columns):
    found = {
        "share": share,
        "ci_low": None,
        "ci_high": None,
        "chance": 0.8,
        "test_samples": 5,
        "items": 5,
    }
    return pd.DataFrame([columns | found])


def marks(chart):
    """(type of the mark, layer, rows that it draws) of each layer."""
    spec = chart.to_dict()
    data = [
        spec["datasets"].get(layer.get("data", spec.get("data", {})).get("name"), [])
        for layer in spec["layer"]
    ]
    return [
        (layer["mark"]["type"], layer, rows)
        for layer, rows in zip(spec["layer"], data, strict=True)
    ]


def test_five_values_are_five_dots():
    table = rows_with(0.6, test_lang="en", sign="positive")
    each = pd.DataFrame(
        {
            "test": list("abcde"),
            "test_lang": "en",
            "sign": "positive",
            "share": [0.5, 0.55, 0.6, 0.65, 0.7],
        }
    )
    found = marks(charts.plot_shares(table, "test_lang", "from other languages", each=each))
    assert [len(data) for kind, layer, data in found if layer["mark"].get("size") == 25] == [5]
    assert [layer["transform"] for kind, layer, _ in found if kind == "rule"] == [
        [{"filter": "isValid(datum.ci_low)"}]
    ]
    sure = charts.plot_shares(
        table.assign(ci_low=0.5, ci_high=0.7), "test_lang", "from other languages", each=each
    )
    assert [len(data) for kind, layer, data in marks(sure) if layer["mark"].get("size") == 25] == [
        0
    ]


def test_changes_of_five_test_samples_are_five_dots():
    table = pd.DataFrame(
        [
            {
                "sign": "positive",
                "strategy": "top",
                "k": 5,
                "change": -0.2,
                "ci_low": None,
                "test_samples": 5,
            }
        ]
    )
    each = pd.DataFrame(
        {"sign": "positive", "strategy": "top", "k": 5, "change": [-0.1, -0.2, -0.3, -0.2, -0.2]}
    )
    drawn = charts.plot_removal(table.assign(ci_high=None), each).to_dict()
    (rows,) = drawn["datasets"].values()
    assert [row["single"] for row in rows] == [False, *[True] * 5]
    filters = [layer.get("transform", [{}])[0].get("filter") for layer in drawn["spec"]["layer"]]
    assert filters[:3] == ["isValid(datum.ci_low)", "datum.single", "!datum.single"]


def test_share_by_k_has_a_panel_for_each_task():
    rows = itertools.product(("all", "en"), ("positive", "negative"), (1, 10, 100))
    table = pd.DataFrame(rows, columns=["test_lang", "sign", "k"])
    table = table.assign(share=0.5, ci_low=0.4, ci_high=0.6, chance=0.8, test_samples=125, items=25)
    drawn = charts.plot_share_by_k({"XNLI": table, "MARC": table})
    spec = drawn.to_dict()
    (data,) = spec["datasets"].values()
    assert {row["test_lang"] for row in data} == {"all"} and spec["facet"]["sort"] == [
        "XNLI",
        "MARC",
    ]
    assert spec["spec"]["layer"][0]["encoding"]["x"]["scale"]["type"] == "log"
    titles = {tip.get("title") for tip in spec["spec"]["layer"][0]["encoding"]["tooltip"]}
    assert {"test samples", "different items", "interval from"} <= titles


def test_tables_show_a_dash_where_there_is_no_interval():
    shown = charts.show_percents(
        rows_with(0.6, test_lang="all", sign="positive").astype({"ci_low": float})
    ).to_html()
    assert "60.0%" in shown and "–" in shown and "nan" not in shown and "all languages" in shown


def test_languages_at_chance_are_found():
    row = {"epoch": 1, "train_loss": 0.5, "accuracy": 0.6, "en": 0.7, "ko": 0.52}
    manifest = {"chosen_epoch": 1, "dev_accuracy": [row], "majority_share": {"validation": 0.5}}
    assert weak_languages(manifest) == ["ko"] and weak_languages({}) == []
    assert (
        is_at_chance(manifest, "ko")
        and not is_at_chance(manifest, "en")
        and not is_at_chance(manifest)
    )
    assert is_at_chance(manifest, ["en", "ko"])
    counts = {
        "en": {"0": 66, "1": 34},
        "ko": {"0": 30, "1": 40, "2": 30},
    }  # the most frequent class: 66 and 40 %
    assert weak_languages(manifest | {"class_counts": {"validation": counts}}) == ["en"]


def test_models_at_chance_are_named():
    manifest = {
        "chosen_epoch": 1,
        "dev_accuracy": [{"epoch": 1, "accuracy": 0.6}],
        "majority_share": {"validation": 0.56},
    }
    assert is_at_chance(manifest) and not is_at_chance(
        manifest | {"majority_share": {"validation": 0.55}}
    )
    assert "**At chance**: Spanish; less than 5 points" in charts.show_at_chance(["Spanish"]).data
    assert charts.show_at_chance([], "language").data.startswith(
        "Every language is at least 5 points"
    )
