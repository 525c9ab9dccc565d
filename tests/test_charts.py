"""Charts say what their captions say."""

import itertools
import re
import sys

import altair as alt
import numpy as np
import pandas as pd
import pytest
import vl_convert
from conftest import ROOT, run_python

from xl_influence import charts, paper, params
from xl_influence.charts import base, composition, marks, methods
from xl_influence.manifest import is_at_chance, languages_at_chance

sys.path.append(str(ROOT / "book" / "_ext"))
import offline_vega
import still_charts

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
    names = encodings["point"]["shape"]["scale"]["domain"]
    assert names == ["English", "German", "chance"], "chance is in the legend"


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
    names += ["real_value", "real_low", "real_high", "real_chance", "verdict"]
    board = pd.DataFrame(rows, columns=names).assign(section="7")
    ends = ("value", "low", "high", "chance", "of")
    return board.assign(**dict.fromkeys([f"demo_{end}" for end in ends], NONE))


def test_the_scoreboard_shows_values_in_their_units_and_verdicts_in_words():
    board = make_board(
        [
            ["It is so.", "count", 5, 0.8, 0.6, 0.4, 0.8, NONE, "inconclusive"],
            ["More.", "points", NONE, NONE, -0.051, -0.1, -0.02, NONE, ""],
            ["Much.", "share", NONE, 0.14, 0.1, 0.06, 0.15, 0.09, "holds"],
            ["Always.", "count", 10, 1.0, 1.0, 1.0, 1.0, NONE, "does not hold"],
            ["Unknown.", "share", NONE, NONE, NONE, NONE, NONE, NONE, "cannot be tested here"],
        ]
    )
    shown = charts.show_scoreboards(board).data
    texts = (
        "<dt>paper</dt><dd>4 of 5</dd>",
        "3 of 5 (2 to 4)",
        "−5.1 points (−10.0 to −2.0)",
        "10\u00a0% (6 to 15\u00a0%; chance 9\u00a0%)",
        "<dd>all</dd>",
        "10 of 10 (10 to 10)",
        '<td class="verdict inconclusive">? inconclusive',
        '<td class="verdict holds">✓ holds',
        '<td class="verdict does-not-hold">✗ does not hold',
        "– cannot be tested here",
        "<dt>real</dt><dd>–</dd>",
    )
    for part in texts:
        assert part in shown, part
    assert "<dt>demo</dt>" not in shown, "no demo was given"


def test_the_scoreboard_of_no_run_says_that_nothing_can_be_tested():
    board = paper.make_scoreboard({"real": paper.compare_claims("marc", {})}, "marc")
    assert "– cannot be tested here" in charts.show_scoreboards(board).data


def test_a_number_lies_where_the_forest_plot_says():
    """The plot is 160 pixels wide with edges of 6: half of 100 % is at 6 + 148 / 2 = 80."""
    rows = [["Half.", "share", NONE, 0.5, 0.25, 0.0, 1.0, 0.5, "inconclusive"]]
    rows += [["Less.", "points", NONE, NONE, -0.3, -0.4, 0.0, NONE, "holds"]]
    half, less = charts.show_scoreboards(make_board(rows)).data.split("</tr>")[1:3]
    assert 'd="M75.0,1h10' in half and '<circle cx="43.0"' in half and 'd="M6.0,17H154.0"' in half
    assert 'd="M80.0,4V35"' in half, "chance"
    assert 'd="M6.0,17H80.0"' in less, "the axis of differences ends at the largest, here 0.4"


def make_row(**columns):
    """A table of one share without an interval."""
    share = {"share": 0.6, "ci_low": None, "ci_high": None, "chance": 0.8}
    return pd.DataFrame([columns | share | {"test_samples": 5, "items": 5}])


def find_layers(chart):
    """The layers of a chart, each with the rows that it draws."""
    spec = chart.to_dict()
    layers = spec["layer"] if "layer" in spec else spec["spec"]["layer"]
    names = [layer.get("data", spec.get("data", {})).get("name") for layer in layers]
    return [
        (layer, spec["datasets"].get(name, [])) for layer, name in zip(layers, names, strict=True)
    ]


def find_small_dots(chart):
    (rows,) = [rows for layer, rows in find_layers(chart) if layer["mark"].get("size") in (25, 28)]
    return [row for row in rows if row.get("_single", True)]


def test_five_values_are_five_dots():
    table = make_row(test_lang="en", sign="positive")
    each = pd.DataFrame({"test": list("abcde"), "share": [0.5, 0.55, 0.6, 0.65, 0.7]})
    each = each.assign(test_lang="en", sign="positive")
    drawn = charts.plot_shares(table, "test_lang", "from other languages", each=each)
    assert len(find_small_dots(drawn)) == 5
    (rule,) = [layer for layer, _ in find_layers(drawn) if layer["mark"]["type"] == "rule"]
    assert rule["transform"] == [{"filter": "isValid(datum.ci_low)"}]
    with_interval = table.assign(ci_low=0.5, ci_high=0.7)
    drawn = charts.plot_shares(with_interval, "test_lang", "from other languages", each=each)
    assert len(find_small_dots(drawn)) == 0


def make_differences():
    """Of the top 5 against random samples: the mean without an interval, and five values."""
    key = {"sign": "positive", "strategy": "random", "k": 5}
    table = pd.DataFrame([key | {"difference": -0.2, "ci_low": NONE, "ci_high": NONE}])
    each = pd.DataFrame({"difference": [-0.1, -0.2, -0.3, -0.2, -0.2]})
    return table.assign(test_samples=5, items=5), each.assign(test_uid=list("abcde"), **key)


def test_removal_shows_paired_differences_in_points():
    drawn = charts.plot_removal(*make_differences())
    dots = find_small_dots(drawn)
    assert [dot["points"] for dot in dots] == [-10, -20, -30, -20, -20]
    assert {dot["_panel"] for dot in dots} == {"without the 5 most helpful"}
    zero = next(layer for layer, _ in find_layers(drawn) if layer["mark"]["type"] == "rule")
    assert zero["encoding"]["x"] == {"datum": 0}


def make_composition(test_lang, ci_low, ci_high, singles):
    """One cell of the heat map, at 40 % where chance is 50 %, and the samples behind it."""
    key = {"test_lang": test_lang, "train_lang": "de", "sign": "positive"}
    size = {"chance": 0.5, "test_samples": 5, "items": 5}
    ends = {"share": 0.4, "ci_low": ci_low, "ci_high": ci_high, "checkpoint": 0}
    each = pd.DataFrame({"test": list("abcde")[: len(singles)], "share": singles})
    return pd.DataFrame([key | ends | size]), each.assign(**key, chance=0.5)


@pytest.mark.parametrize(
    ("ends", "singles", "clear"),
    [
        ((0.3, 0.45), [0.4], True),
        ((0.3, 0.55), [0.4], False),
        ((NONE, NONE), [0.3, 0.4, 0.45], True),
        ((NONE, NONE), [0.3, 0.4, 0.5], False),
    ],
)
def test_a_cell_has_a_colour_if_it_can_be_told_from_chance(ends, singles, clear):
    drawn = charts.plot_composition(*make_composition("en", *ends, singles), 20).to_dict()
    cells = [rows[0] for rows in drawn["datasets"].values() if rows and "difference" in rows[0]]
    assert cells[0]["_is_clear"] is clear
    assert cells[0]["difference"] == pytest.approx(-0.1)


def test_the_heat_map_has_the_same_scale_in_every_chart():
    scales = []
    for share in (0.1, 0.9):
        table, each = make_composition("en", NONE, NONE, [share])
        drawn = charts.plot_composition(table.assign(share=share), each, 20).to_dict()
        color = drawn["vconcat"][0]["concat"][0]["layer"][0]["encoding"]["color"]
        scales.append(color["condition"]["scale"])
    assert scales[0] == scales[1] and scales[0]["domain"] == [-0.4, -1e-6, 1e-6, 0.4]


@pytest.mark.parametrize(
    ("ground", "text"), [("#ffffff", "#222832"), ("#121212", "#ced6dd"), ("#222832", "#ced6dd")]
)
@pytest.mark.parametrize("color", [composition.FEWER, composition.MORE])
def test_shares_can_be_read_on_the_strongest_colours_in_both_themes(ground, text, color):
    """The grounds are those of a page, light and dark, and of a tab in the dark theme."""
    below = [int(ground[place : place + 2], 16) for place in (1, 3, 5)]
    strongest = composition.STRONGEST
    mixed = [
        strongest * own + (1 - strongest) * page for own, page in zip(color, below, strict=True)
    ]
    cell = "#" + "".join(f"{round(part):02x}" for part in mixed)
    darker, lighter = sorted(map(get_luminance, (cell, text)))
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5
    darker, lighter = sorted(map(get_luminance, (cell, ground)))
    assert (lighter + 0.05) / (darker + 0.05) >= 1.5, "the cell stands out"


def test_single_groups_are_a_line_from_input_to_output():
    groups = ["all", "embeddings", "layer-00", "head"]
    rows = itertools.product(groups, ("positive", "negative"))
    table = pd.DataFrame(rows, columns=["group", "sign"])
    table = table.assign(share=[0.1 * n for n in range(1, 9)])
    table = table.assign(ci_low=0.0, ci_high=0.9, chance=0.8, test_samples=25, items=7)
    layers = find_layers(charts.plot_groups(table))
    (line,) = [layer for layer, _ in layers if layer["mark"]["type"] == "line"]
    assert line["transform"] == [{"filter": "datum._single"}]
    assert line["encoding"]["y"]["sort"] == ["embeddings", "layer-00", "head", "all"]
    names = [layer["encoding"] for layer, _ in layers if layer["mark"]["type"] == "text"]
    # of the embeddings, harmful samples have the larger share: 0.4 against 0.3
    assert [name["text"]["value"] for name in names] == ["helpful", "harmful"]
    low, high = table.assign(share=table["share"] - 0.1), table.assign(share=table["share"] + 0.4)
    for no_room in (low, high):  # beside 0.2 or 0.8 there is less than a quarter of the panel
        layers = find_layers(charts.plot_groups(no_room))
        assert not [layer for layer, _ in layers if layer["mark"]["type"] == "text"]


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
    assert {"test samples", "interval", "chance"} <= titles
    assert {row["_interval"] for row in rows} == {"40.0 % to 60.0 %"}
    assert {row["_samples"] for row in rows} == {"125 (25 different items)"}


def get_luminance(color):
    """The relative luminance of WCAG, from 0 to 1, of a colour such as '#3D67F3'."""
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize(
    "color",
    [
        *base.COLORS.values(),
        *base.FURTHER,
        *marks.SIGN_COLORS,
        marks.GRAY,
        *(color for color, _ in [*marks.PAIR, *methods.KINDS.values()]),
    ],
)
def test_every_colour_has_three_to_one_on_light_and_dark_ground(color):
    own, dark = get_luminance(color), get_luminance("#14181e")  # the theme's dark ground
    assert 1.05 / (own + 0.05) >= 3 and (own + 0.05) / (dark + 0.05) >= 3


def test_english_and_chinese_differ_for_readers_without_red_cones():
    """By Machado et al. (2009): protanopia as a matrix on linear colours, then CIE 1976 ΔE."""
    protan = np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216]])
    protan = np.vstack([protan, [-0.003882, -0.048116, 1.051998]])
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )

    def find_lab(color):
        parts = np.array([int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        x, y, z = np.cbrt(to_xyz @ np.clip(protan @ linear, 0, 1) / [0.9505, 1, 1.089])
        return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])

    for task in ("xnli", "pawsx", "marc"):
        colors = [base.COLORS[lang] for lang in params.merge({"task": task})["languages"]]
        for one, other in itertools.combinations(colors, 2):
            assert np.linalg.norm(find_lab(one) - find_lab(other)) >= 10, (one, other)


def test_helpful_and_harmful_differ_without_colour():
    series = marks.make_signs()
    looks = {channel: series.point[channel].to_dict()["scale"] for channel in ("fill", "shape")}
    fills = dict(zip(looks["fill"]["domain"], looks["fill"]["range"], strict=True))
    assert fills["helpful"] != "transparent" and fills["harmful"] == "transparent"
    assert len(set(looks["shape"]["range"])) == 3, "chance has a shape too"


def test_panels_share_the_width_and_stand_in_one_column_on_a_phone():
    rows = itertools.product(("all",), ("positive", "negative"), (1, 10, 100))
    table = pd.DataFrame(rows, columns=["test_lang", "sign", "k"])
    table = table.assign(share=0.5, ci_low=0.4, ci_high=0.6, chance=0.8, test_samples=5, items=5)
    spec = charts.plot_share_by_k({"XNLI": table, "MARC": table, "own": table}).to_dict()
    (rule,) = spec["usermeta"]["layout"]
    wide, narrow = (still_charts.arrange(spec, width) for width in (708, 358))
    # three panels with two gaps of 32 pixels beside 77 pixels for the axis
    assert wide["columns"] == 3 and wide["spec"]["width"] == (708 - 77 - 2 * 32) // 3 == 189
    assert narrow["columns"] == 1 and narrow["spec"]["width"] == 358 - rule["beside"]


def test_a_still_picture_follows_the_theme_and_says_what_it_shows(tmp_path):
    chart = charts.plot_shares(make_row(what="x & y", sign="positive"), "what", "same")
    spec = still_charts.adapt(chart.to_dict())
    shown = still_charts.draw(spec, "one", tmp_path)
    assert shown.count("<svg") == 2 and 'class="wide"' in shown and 'class="narrow"' in shown
    assert 'fill="currentColor"' in shown and "font-family" not in shown
    assert "x &amp; y" in shown and 'aria-label="same: a point' in shown
    ids = re.findall(r' id="([^"]+)"', shown)
    assert len(ids) == len(set(ids)) and all(name.startswith("one-") for name in ids)
    assert still_charts.draw(spec, "one", tmp_path) == shown, "from the cache"


def test_a_still_picture_holds_each_shape_of_dots_once(tmp_path):
    rows = pd.DataFrame({"x": range(1000), "y": [n % 7 for n in range(1000)]})
    rows["sign"] = ["helpful", "harmful"] * 500
    chart = alt.Chart(rows).mark_point(aria=False).encode(x="x", y="y", color="sign", shape="sign")
    svg = vl_convert.vegalite_to_svg(chart.to_json())
    shared = still_charts.shorten(svg)
    assert shared.count("<use ") == 1000 and len(shared) < len(svg) / 2.5
    assert vl_convert.svg_to_png(shared) == vl_convert.svg_to_png(svg)
    shown = still_charts.draw(still_charts.adapt(chart.to_dict()), "one", tmp_path)
    assert len(shown) < 2 * 1000 * 60, "60 bytes for each dot of a picture"
    assert set(re.findall(r'href="#([^"]+)"', shown)) <= set(re.findall(r'\bid="([^"]+)"', shown))


def test_a_still_picture_holds_a_line_once_that_is_drawn_for_each_row():
    line, other = (f'<line x2="{x}" opacity="0.5"/>' for x in (5, 6))
    shortened = still_charts.shorten(f"<svg>{line * 3}{other}{line * 2}</svg>")
    assert shortened == f"<svg>{line}{other}{line}</svg>"


def test_a_page_names_the_columns_of_a_chart_s_table_once():
    rows = [{"k": 1, "share": 0.5}, {"k": 10, "share": None}]
    packed = offline_vega.pack(rows)
    assert packed == {"columns": ["k", "share"], "rows": [[1, 0.5], [10, None]]}
    assert offline_vega.pack([]) == {"columns": [], "rows": []}


def test_tables_show_a_dash_where_there_is_no_interval():
    table = make_row(test_lang="all", sign="positive").astype({"ci_low": float})
    shown = charts.show_percents(table).to_html()
    assert "60.0%" in shown and "–" in shown and "nan" not in shown
    assert "all languages" in shown


def test_languages_at_chance_are_found():
    row = {"epoch": 1, "train_loss": 0.5, "accuracy": 0.6, "en": 0.7, "ko": 0.52}
    manifest = {"chosen_epoch": 1, "dev_accuracy": [row], "majority_share": {"validation": 0.5}}
    assert languages_at_chance(manifest) == ["ko"] and languages_at_chance({}) == []
    assert is_at_chance(manifest, "ko") and is_at_chance(manifest, ["en", "ko"])
    assert not is_at_chance(manifest, "en")
    assert not is_at_chance(manifest), "all languages together: 60 %, ten points above"
    # the share of the most frequent class is 66 % in English and 40 % in Korean
    counts = {"en": {"0": 66, "1": 34}, "ko": {"0": 30, "1": 40, "2": 30}}
    assert languages_at_chance(manifest | {"class_counts": {"validation": counts}}) == ["en"]


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


def test_methods_without_a_measure_are_a_note():
    empty = pd.DataFrame(columns=["measure", "k", "method", "value", "ci_low", "ci_high", "chance"])
    note = charts.plot_methods(empty, {}, ["other languages"])
    assert note.data == "*Not applicable to this run: other languages.*"


def test_the_rows_of_single_samples_say_that_they_are_training_languages():
    table, each = make_composition("en", NONE, NONE, [0.3])
    spec = charts.plot_composition(table, each, 20).to_dict()
    svg = vl_convert.vegalite_to_svg(spec)
    assert re.search(r">from</tspan><tspan[^>]*>German<", svg)
    assert ">each test sample, by language<" in svg


def test_methods_are_sorted_by_their_lds_and_show_what_luck_gives():
    rows = [
        ["random halves", "BM25", 0.1, 0.3],
        ["random halves", "cosine", 0.4, 0.2],
        ["by language", "BM25", 0.6, 0.5],
        ["by language", "cosine", 0.0, 0.1],
    ]
    table = pd.DataFrame(rows, columns=["kind", "method", "lds", "null_high"])
    table = table.assign(ci_low=table["lds"] - 0.1, ci_high=table["lds"] + 0.1)
    table = table.assign(test_samples=100, items=20)
    kinds, panels = {"BM25": "words", "cosine": "gradients"}, ["random halves", "by language"]
    drawn = charts.plot_lds(table, kinds, panels, by="random halves").to_dict()
    tick, _, points = drawn["spec"]["layer"]
    assert tick["encoding"]["y"]["sort"] == ["cosine", "BM25"]
    assert (tick["encoding"]["x"]["field"], points["encoding"]["x"]["field"]) == (
        "null_high",
        "lds",
    )
    titles = [line["title"] for line in points["encoding"]["tooltip"]]
    assert "LDS" in titles and "at most by luck" in titles
    assert points["encoding"]["color"]["scale"]["domain"][-1] == "at most by luck"
