"""Charts say what their captions say."""

import itertools

import pandas as pd
import pytest

from xl_influence import charts, runs


@pytest.mark.parametrize("draw", [charts.own_share, charts.dynamics])
def test_chance_lies_across_and_epochs_are_whole(draw):
    rows = itertools.product(("en", "de"), ("en", "de"), ("positive", "negative"), (1, 2))
    table = pd.DataFrame(rows, columns=["test_lang", "train_lang", "sign", "checkpoint"])
    layers = draw(table.assign(share=0.4, ci_low=0.3, ci_high=0.5, chance=0.5)).to_dict()["spec"]["layer"]
    marks = {layer["mark"]["type"]: layer["encoding"] for layer in layers}
    assert "x" not in marks["rule"] and marks["rule"]["y"]["field"] == "chance"  # with an x it would stand upright
    assert marks["line"]["x"]["type"] == "ordinal"


def test_words_that_moved_are_underlined_and_words_that_differ_are_bold():
    moved = charts.compared("Anna met Bob in Rome.", "Bob met Anna in Rome.")
    assert moved == ["<u>Anna</u> met <u>Bob</u> in Rome.", "<u>Bob</u> met <u>Anna</u> in Rome."]
    assert charts.compared("It is late.", "It is early.") == ["It is <b>late</b>.", "It is <b>early</b>."]
    assert charts.compared("same", "same") == ["same", "same"]
    assert (
        charts.compared("他今天买了一本新的书给妹妹", "他今天买了一本旧的书给妹妹")[0] == "他今天买了一本<b>新</b>的书给妹妹"
    )


def test_markup_in_a_text_shows_as_text():
    row = {"sign": "test", "uid": "en1", "lang": "en", "label": 0, "text_b": "<b>x</b> & y"}
    table = pd.DataFrame([row | {"text_a": "<script>alert(1)</script>"}])
    for marked in (False, True):
        shown = charts.samples(table, ("no", "yes"), marked=marked).data
        assert "<script" not in shown and "&lt;" in shown and "&amp;" in shown


def test_the_scoreboard_names_every_verdict():
    claims = pd.DataFrame(
        [
            ["a", "7", "It is so.", 0.5, 0.6, 0.55, 0.65, "holds"],
            ["b", "8", "It is not.", *[float("nan")] * 4, "cannot be told"],
        ],
        columns=["claim", "section", "statement", "paper_value", "value", "ci_low", "ci_high", "holds"],
    )
    shown = charts.scoreboard(claims).to_html()
    for part in ("✓ holds", "? cannot be told", "0.55 to 0.65", "–"):
        assert part in shown


def test_models_at_chance_are_named():
    manifest = {"chosen_epoch": 1, "dev_accuracy": [{"epoch": 1, "accuracy": 0.6}], "majority_share": {"validation": 0.56}}
    assert runs.at_chance(manifest) and not runs.at_chance(manifest | {"majority_share": {"validation": 0.54}})
    assert "**At chance**: Spanish; less than 5 points" in charts.at_chance(["Spanish"]).data
    assert charts.at_chance([], "language").data.startswith("Every language is at least 5 points")
