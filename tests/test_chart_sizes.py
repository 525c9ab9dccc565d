"""Every chart fits a page of any width, and says what it shows to those who cannot see it."""

import html
import itertools
import json
import re
import sys

import numpy as np
import pandas as pd
import pytest
import vl_convert
from conftest import ROOT

from xl_influence import charts, methods, scale
from xl_influence.charts import composition, layout
from xl_influence.charts.training import CONTROLS, MODELS

sys.path.append(str(ROOT / "book" / "_ext"))
import still_charts

LANGS = ("en", "de", "es", "fr", "zh")
MANY = (*LANGS, "ar", "bg", "el", "hi", "ja", "ru", "sw", "th", "tr", "vi")
SIGNS = ("positive", "negative")
GROUPS = ("all", "embeddings", "layer-00", "layer-11", "head", "all but embeddings")


def make_shares(**columns):
    """Shares for every combination of the columns' values; the first and last are 0 and 100 %."""
    table = pd.DataFrame(itertools.product(*columns.values()), columns=list(columns))
    share = np.linspace(0, 1, len(table))
    ends = {"ci_low": share / 2, "ci_high": (share + 1) / 2, "chance": 0.2}
    return table.assign(share=share, **ends, test_samples=125, items=25)


def make_composition(langs, size):
    keys = {"test_lang": langs, "train_lang": langs, "sign": SIGNS}
    each = make_shares(test=range(size), **keys)
    each = each.assign(share=(each["share"] * 20).round() / 20)
    return make_shares(**keys).assign(checkpoint=0), each, 20


def make_history():
    values = {lang: [0.5, 0.7, 1.0] for lang in LANGS}
    return pd.DataFrame({"epoch": [1, 2, 3], "accuracy": 0.7, "train_loss": 0.1} | values), 0.5


def make_distribution():
    keys = {"test_lang": LANGS, "train_lang": LANGS, "low": np.linspace(-1, 0.75, 8)}
    table = make_shares(**keys)
    return table.assign(high=table["low"] + 0.25)


CASES = ("e5-small, whole vocabulary", "XLM-R base, vocabulary cut to 5,000")


def make_rates():
    table = pd.DataFrame({"way": ["xl-influence", "dattri-llm TracIn, our products"]})
    table = table.assign(rate=[1234.5, 1.5], exact=[True, False], covered="12 of 12")
    return pd.concat([table.assign(case=case, peak_gb=1.5) for case in CASES])


def make_growth():
    axes = ("training samples", "test samples", "parameters", "tokens of a sample")
    table = pd.DataFrame(itertools.product(axes, (100, 100_000)), columns=["axis", "value"])
    return table.assign(seconds=table["value"] / 10, low=5, high=20_000)


def make_steps():
    return pd.DataFrame({"step": ["forward", "backward", "products"], "seconds": [0.01, 0.02, 0.5]})


def make_removal():
    table = make_shares(sign=SIGNS, strategy=CONTROLS, k=(5,))
    table["difference"] = 2 * table["share"] - 1
    return table


def make_methods(measures):
    long = "cosine, language + label out, both"
    names = ("all but embeddings", long, "first token", "BM25", "random weights")
    table = make_shares(method=names, measure=measures).rename(columns={"share": "value"})
    kinds = ("gradients", "gradients", "representations", "words", "control")
    return table.assign(k=100), dict(zip(names, kinds, strict=True)), measures


def make_lds():
    panels = ["random halves", "random halves, labels taken out", "by language, labels taken out"]
    table, kinds, _ = make_methods(panels)
    names = {"share": "lds", "value": "lds", "measure": "kind", "chance": "null_high"}
    return table.rename(columns=names), kinds, panels, panels[1]


def make_zero_shot():
    table = make_shares(train_lang=LANGS, sign=SIGNS, model=list(MODELS))
    return table.assign(language="es", test_lang="es")


def make_by_k():
    return make_shares(test_lang=("all",), sign=SIGNS, k=(1, 10, 100, 500))


CHARTS = {  # chart → what it draws, as arguments
    "plot_composition": [make_composition(LANGS, 25), make_composition(MANY, 4)],
    "plot_contributions": [(make_shares(group=GROUPS, source=("own", "other")),)],
    "plot_dev_accuracy": [make_history()],
    "plot_distribution": [(make_distribution(),)],
    "plot_dynamics": [
        (make_shares(test_lang=LANGS, train_lang=LANGS, sign=SIGNS, checkpoint=(1, 2)),)
    ],
    "plot_groups": [(make_shares(group=GROUPS, sign=SIGNS),)],
    "plot_growth": [(make_growth(),)],
    "plot_imbalance": [(make_shares(language=LANGS, sign=SIGNS, percent=(0, 50, 100)),)],
    "plot_leakage": [
        (
            make_shares(
                group=GROUPS, what=("own translation", "same language, wrong item"), k=(1, 5)
            ).assign(checkpoint=0),
        )
    ],
    "plot_lds": [make_lds()],
    "plot_methods": [make_methods(list(methods.MEASURES)[:1]), make_methods(methods.MEASURES)],
    "plot_nearest": [
        (
            make_shares(
                similarity=("first token", "mean of tokens", "token overlap", "BM25"),
                what=("found, own language", "found, other languages"),
                fraction=(0.05, 0.1, 0.5),
                sign=("positive",),
            ),
        )
    ],
    "plot_own_share": [
        (make_shares(test_lang=LANGS, train_lang=LANGS, sign=SIGNS, checkpoint=(1, 2)),)
    ],
    "plot_pools": [
        (
            make_shares(
                pool=("all samples", "same label"),
                what=("other languages", "reinforcing"),
                sign=SIGNS,
                test_lang=("all",),
            ),
        )
    ],
    "plot_rates": [(make_rates(),)],
    "plot_removal": [(make_removal(),)],
    "plot_scale": [(scale.sum_by_notebook(scale.read()),)],
    "plot_share_by_k": [
        ({"demo-NLI": make_by_k()},),
        ({"demo-NLI": make_by_k(), "MARC": make_by_k(), "XNLI": make_by_k()},),
    ],
    "plot_shares": [
        (
            make_shares(what=("in scripts of its own", "in other scripts"), sign=SIGNS),
            "what",
            "same",
        )
    ],
    "plot_steps": [(make_steps(),)],
    "plot_zero_shot": [(make_zero_shot(),)],
}
EVERY = [(name, number) for name, cases in CHARTS.items() for number in range(len(cases))]


@pytest.fixture(scope="module")
def specs():
    layout.enable_theme()
    drawn = {
        (name, number): still_charts.adapt(getattr(charts, name)(*CHARTS[name][number]).to_dict())
        for name, number in EVERY
    }
    yield drawn
    charts.layout.alt.theme.enable("default")


def test_every_chart_is_tried():
    assert set(CHARTS) == {name for name in charts.__all__ if name.startswith("plot_")}


@pytest.mark.parametrize("which", EVERY, ids=lambda which: f"{which[0]}-{which[1]}")
def test_a_chart_fits_its_page_fills_it_and_is_called_what_it_shows(specs, which, tmp_path):
    spec = specs[which]
    found = still_charts.draw(spec, "one", tmp_path)
    widths = [float(width) for width in re.findall(r'viewBox="0 0 ([\d.]+)', found)]
    for place, drawn in zip(still_charts.WIDTHS.values(), widths, strict=True):
        assert 0.9 * place <= drawn <= place + 1
    labels = re.findall(r'aria-label="([^"]*)"', found)
    assert labels == 2 * [html.escape(spec["description"])] and len(labels[0]) > 20
    svg = vl_convert.vegalite_to_svg(json.dumps(spec))
    assert vl_convert.vegalite_to_vega(spec)["description"] == spec["description"]
    natural = float(re.search(r'<svg[^>]* width="([\d.]+)"', svg)[1])
    assert natural <= still_charts.WIDTHS["wide"], "as a notebook shows it"


@pytest.mark.parametrize("which", EVERY, ids=lambda which: f"{which[0]}-{which[1]}")
def test_no_text_is_smaller_than_11_pixels_on_a_wide_page_or_a_phone(specs, which):
    """A picture that is wider than its place is shown smaller: 11 pixels are fewer then."""
    spec = specs[which]
    wide = spec | {"config": spec["config"] | {"font": "DejaVu Sans"}}  # wider than most fonts
    for place in still_charts.WIDTHS.values():
        svg = vl_convert.vegalite_to_svg(json.dumps(still_charts.arrange(wide, place)))
        width = float(re.search(r'<svg[^>]* width="([\d.]+)"', svg)[1])
        sizes = [float(size) for size in re.findall(r'font-size="([\d.]+)', svg)]
        assert len(sizes) > 2 and min(sizes) * min(1, place / width) >= 11, (place, width)


@pytest.mark.parametrize("which", EVERY, ids=lambda which: f"{which[0]}-{which[1]}")
def test_a_legend_that_says_so_can_be_clicked(specs, which):
    """Where layers share a legend, Vega-Lite takes the selection of some layers only."""
    said = json.dumps(specs[which]).count('"bind": "legend"')
    drawn = find_all("legends", vl_convert.vegalite_to_vega(specs[which]))
    symbols = [legend.get("encode", {}).get("symbols", {}) for legend in drawn]
    assert sum(look.get("interactive", False) for look in symbols) == said


@pytest.mark.parametrize("which", EVERY, ids=lambda which: f"{which[0]}-{which[1]}")
def test_a_tooltip_names_no_column_as_the_code_does(specs, which):
    titles = [line["title"] for line in find_all("tooltip", specs[which])]
    assert titles and not [title for title in titles if "_" in title]


def find_all(name, part):
    """What the lists of this name in a specification hold, however deep they are."""
    if isinstance(part, list):
        return [found for each in part for found in find_all(name, each)]
    if not isinstance(part, dict):
        return []
    own = part.get(name)
    return (own if isinstance(own, list) else []) + find_all(name, list(part.values()))


@pytest.mark.parametrize("top_k", [20, 100])
def test_dots_of_single_samples_are_where_their_shares_are(top_k):
    """Each of 20 test samples has a share of its own: no two dots in one stack or touching."""
    each = make_shares(test=range(20), test_lang=("en",), train_lang=("en",), sign=("positive",))
    each = each.assign(share=np.arange(20) / top_k)
    table = make_shares(test_lang=("en",), train_lang=("en",), sign=SIGNS).assign(checkpoint=0)
    spec = charts.plot_composition(table, each, top_k).to_dict()
    dots = max(spec["datasets"].values(), key=len)
    assert [dot["_bin"] for dot in dots] == pytest.approx([dot["share"] for dot in dots])
    dot = next(layer for layer in spec["vconcat"][1]["spec"]["layer"] if "size" in layer["mark"])
    across = dot["mark"]["size"] ** 0.5 + dot["mark"]["strokeWidth"]
    end = dot["encoding"]["x"]["scale"]["domain"][1]
    assert 0.19 <= end <= 1 and across <= composition.DOT_PLOT_WIDTH / (end * top_k)


def test_the_heat_map_says_how_many_test_samples_each_language_has():
    """Beside many columns the title says it once; if the numbers differ, every row says its own."""

    def find(table):
        _, each, top_k = make_composition(MANY, 2)
        spec = charts.plot_composition(table, each, top_k).to_dict()
        cells = spec["vconcat"][0]["concat"][0]["layer"][0]
        rows = [row for data in spec["datasets"].values() for row in data if "_row" in row]
        return cells["encoding"]["y"]["title"], {row["_row"] for row in rows}

    table = make_composition(MANY, 2)[0]
    title, rows = find(table)
    assert title == ["test language", "(n = 125)"] and "English" in rows and len(rows) == 15
    title, rows = find(
        table.assign(test_samples=table["test_lang"].map(len) + (table["test_lang"] == "en"))
    )
    assert title == "test language" and {"English (n = 3)", "German (n = 2)"} <= rows
