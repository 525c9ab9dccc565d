"""Charts say what their captions say."""

import itertools

import pandas as pd
import pytest
from conftest import run_python

from xl_influence import charts, paper
from xl_influence.manifest import is_at_chance, weak_languages

NONE = float("nan")


def test_importing_the_package_changes_nothing_in_the_process():
    code = """if True:
        import os, sys, warnings
        import torch, tqdm, xarray  # they may add filters of their own
        filters, environment = list(warnings.filters), dict(os.environ)
        import xl_influence, xl_influence.tracin
        assert warnings.filters == filters and os.environ == environment
        assert "rfc3987_syntax" not in sys.modules
    """
    run_python("-c", code)


def test_charts_skip_a_slow_grammar_and_leave_it_to_others():
    code = """if True:
        import sys
        import xl_influence.charts
        assert "jsonschema" in sys.modules and "lark" not in sys.modules
        import rfc3987_syntax
    """
    run_python("-c", code)


@pytest.mark.parametrize("draw", [charts.plot_own_share, charts.plot_dynamics])
def test_chance_lies_across_and_epochs_are_whole(draw):
    rows = itertools.product(("en", "de"), ("en", "de"), ("positive", "negative"), (1, 2))
    table = pd.DataFrame(rows, columns=["test_lang", "train_lang", "sign", "checkpoint"])
    drawn = draw(table.assign(share=0.4, ci_low=0.3, ci_high=0.5, chance=0.5)).to_dict()
    encodings = {layer["mark"]["type"]: layer["encoding"] for layer in drawn["spec"]["layer"]}
    assert encodings["rule"]["y"]["field"] == "chance"
    assert "x" not in encodings["rule"], "with an x, the line would be vertical"
    assert encodings["line"]["x"]["type"] == "ordinal"


def test_words_that_moved_are_underlined_and_words_that_differ_are_bold():
    moved = charts.mark_differences("Anna met Bob in Rome.", "Bob met Anna in Rome.")
    assert moved == ["<u>Anna</u> met <u>Bob</u> in Rome.", "<u>Bob</u> met <u>Anna</u> in Rome."]
    differing = charts.mark_differences("It is late.", "It is early.")
    assert differing == ["It is <b>late</b>.", "It is <b>early</b>."]
    assert charts.mark_differences("same", "same") == ["same", "same"]


def test_letters_are_compared_where_no_spaces_part_the_words():
    found = charts.mark_differences("他今天买了一本新的书给妹妹", "他今天买了一本旧的书给妹妹")
    assert found[0] == "他今天买了一本<b>新</b>的书给妹妹"


def test_markup_in_a_text_shows_as_text():
    row = {"sign": "test", "uid": "en1", "lang": "en", "label": 0, "text_b": "<b>x</b> & y"}
    table = pd.DataFrame([row | {"text_a": "<script>alert(1)</script>"}])
    for marked in (False, True):
        shown = charts.show_samples(table, ("no", "yes"), marked=marked).data
        assert "<script" not in shown and "&lt;" in shown and "&amp;" in shown


def make_board(rows):
    """A scoreboard of the real study alone: statement, unit, of, paper, value, ends, verdict."""
    names = ["statement", "unit", "real_of", "paper_value"]
    names += ["real_value", "real_low", "real_high", "verdict"]
    board = pd.DataFrame(rows, columns=names).assign(section="7")
    return board.assign(**dict.fromkeys(["demo_value", "demo_low", "demo_high", "demo_of"], NONE))


def test_the_scoreboard_shows_values_in_their_units_and_verdicts_in_words():
    board = make_board(
        [
            ["It is so.", "count", 5, 0.8, 0.6, 0.4, 0.8, "inconclusive"],
            ["More.", "points", NONE, NONE, -0.051, -0.1, -0.02, ""],
            ["Much.", "share", NONE, 0.14, 0.1, 0.06, 0.15, "holds"],
            ["Always.", "count", 10, 1.0, 1.0, 1.0, 1.0, "does not hold"],
            ["Unknown.", "share", NONE, NONE, NONE, NONE, NONE, "cannot be tested here"],
        ]
    )
    shown = charts.show_scoreboards(board).to_html()
    texts = (
        "4 of 5",
        "3 of 5",
        "2 of 5 to 4 of 5",
        "−5.1 points",
        "10\u00a0%",
        "6\u00a0% to 15\u00a0%",
        ">all</td>",
        "10 of 10 to 10 of 10",
        "? inconclusive",
        "✓ holds",
        "✗ does not hold",
        "– cannot be tested here",
        ">–</td>",
    )
    for part in texts:
        assert part in shown, part


def test_the_scoreboard_of_no_run_says_that_nothing_can_be_tested():
    board = paper.scoreboard({"real": paper.claims("marc", {})}, "marc")
    assert "– cannot be tested here" in charts.show_scoreboards(board).to_html()


def make_row(**columns):
    """A table of one share without an interval."""
    share = {"share": 0.6, "ci_low": None, "ci_high": None, "chance": 0.8}
    return pd.DataFrame([columns | share | {"test_samples": 5, "items": 5}])


def find_layers(chart):
    """The layers of a chart, each with the rows that it draws."""
    spec = chart.to_dict()
    names = [layer.get("data", spec.get("data", {})).get("name") for layer in spec["layer"]]
    return [
        (layer, spec["datasets"].get(name, []))
        for layer, name in zip(spec["layer"], names, strict=True)
    ]


def count_small_dots(chart):
    (count,) = [len(rows) for layer, rows in find_layers(chart) if layer["mark"].get("size") == 25]
    return count


def test_five_values_are_five_dots():
    table = make_row(test_lang="en", sign="positive")
    each = pd.DataFrame({"test": list("abcde"), "share": [0.5, 0.55, 0.6, 0.65, 0.7]})
    each = each.assign(test_lang="en", sign="positive")
    drawn = charts.plot_shares(table, "test_lang", "from other languages", each=each)
    assert count_small_dots(drawn) == 5
    (rule,) = [layer for layer, _ in find_layers(drawn) if layer["mark"]["type"] == "rule"]
    assert rule["transform"] == [{"filter": "isValid(datum.ci_low)"}]
    with_interval = table.assign(ci_low=0.5, ci_high=0.7)
    drawn = charts.plot_shares(with_interval, "test_lang", "from other languages", each=each)
    assert count_small_dots(drawn) == 0


def test_changes_of_five_test_samples_are_five_dots():
    key = {"sign": "positive", "strategy": "top", "k": 5}
    table = pd.DataFrame([key | {"change": -0.2, "ci_low": None, "test_samples": 5}])
    each = pd.DataFrame({"change": [-0.1, -0.2, -0.3, -0.2, -0.2]}).assign(**key)
    drawn = charts.plot_removal(table.assign(ci_high=None), each).to_dict()
    (rows,) = drawn["datasets"].values()
    assert [row["single"] for row in rows] == [False, *[True] * 5]
    filters = [layer.get("transform", [{}])[0].get("filter") for layer in drawn["spec"]["layer"]]
    assert filters[:3] == ["isValid(datum.ci_low)", "datum.single", "!datum.single"]


def test_share_by_k_has_a_panel_for_each_task():
    rows = itertools.product(("all", "en"), ("positive", "negative"), (1, 10, 100))
    table = pd.DataFrame(rows, columns=["test_lang", "sign", "k"])
    table = table.assign(share=0.5, ci_low=0.4, ci_high=0.6, chance=0.8, test_samples=125, items=25)
    drawn = charts.plot_share_by_k({"XNLI": table, "MARC": table}).to_dict()
    (rows,) = drawn["datasets"].values()
    assert {row["test_lang"] for row in rows} == {"all"}
    assert drawn["facet"]["sort"] == ["XNLI", "MARC"]
    encoding = drawn["spec"]["layer"][0]["encoding"]
    assert encoding["x"]["scale"]["type"] == "log"
    titles = {line["title"] for line in encoding["tooltip"]}
    assert {"test samples", "different items", "interval from"} <= titles


def test_tables_show_a_dash_where_there_is_no_interval():
    table = make_row(test_lang="all", sign="positive").astype({"ci_low": float})
    shown = charts.show_percents(table).to_html()
    assert "60.0%" in shown and "–" in shown and "nan" not in shown
    assert "all languages" in shown


def test_languages_at_chance_are_found():
    row = {"epoch": 1, "train_loss": 0.5, "accuracy": 0.6, "en": 0.7, "ko": 0.52}
    manifest = {"chosen_epoch": 1, "dev_accuracy": [row], "majority_share": {"validation": 0.5}}
    assert weak_languages(manifest) == ["ko"] and weak_languages({}) == []
    assert is_at_chance(manifest, "ko") and is_at_chance(manifest, ["en", "ko"])
    assert not is_at_chance(manifest, "en")
    assert not is_at_chance(manifest), "all languages together: 60 %, ten points above"
    # the share of the most frequent class is 66 % in English and 40 % in Korean
    counts = {"en": {"0": 66, "1": 34}, "ko": {"0": 30, "1": 40, "2": 30}}
    assert weak_languages(manifest | {"class_counts": {"validation": counts}}) == ["en"]


def test_a_model_less_than_five_points_above_the_most_frequent_class_is_at_chance():
    manifest = {"chosen_epoch": 1, "dev_accuracy": [{"epoch": 1, "accuracy": 0.6}]}
    assert is_at_chance(manifest | {"majority_share": {"validation": 0.56}})
    assert not is_at_chance(manifest | {"majority_share": {"validation": 0.55}})


def test_models_and_languages_at_chance_are_named():
    shown = charts.show_at_chance(["Spanish"], "language").data
    assert shown.startswith("**At chance**: Spanish; less than 5 points")
    assert shown.endswith("for these languages.")
    shown = charts.show_at_chance([], "language").data
    assert shown.startswith("Every language is at least 5 points")
