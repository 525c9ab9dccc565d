"""Which languages the most influential samples are in: heat maps, and each test sample as a dot."""

from __future__ import annotations

import warnings
from typing import Any

import altair as alt
import pandas as pd

from .base import name_languages
from .layout import describe_panels, lay_out
from .marks import (
    DASHED,
    GRAY,
    HELPFUL,
    SIGN_ORDER,
    TICK,
    describe_rows,
    make_share_tooltip,
    make_signs,
    make_tooltip,
    mark_points,
    name_signs,
)

LIMIT = 0.4  # where the colours end: 40 points more or less than chance
DIVERGING = ["#2166AC", "#C4C4C4", "#B8501A"]
LABELS = 104  # pixels for the names of the test languages


def plot_composition(table: pd.DataFrame, each: pd.DataFrame, top_k: int) -> alt.VConcatChart:
    """Share of each training language in the top k of each test language (Figure 2).

    Two heat maps, one per sign, whose colour is the difference from chance, on the same scale in
    every chart. A cell without colour cannot be told from chance. Below, the same shares for
    single test samples: a click on a test language leaves only its samples.

    Parameters
    ----------
    table
        The table of `sharing.composition`; checkpoint 0, the sum over all, is drawn.
    each
        The table of `sharing.composition_by_sample`.
    top_k
        How many training samples the shares are of.
    """
    summed = _find_differences(table[table["checkpoint"] == 0], each)
    summed = describe_rows(name_signs(name_languages(summed)))
    each = name_signs(name_languages(each))
    languages = list(dict.fromkeys(summed["train_lang"]))
    chosen = alt.selection_point(name="test_language", fields=["test_lang"], toggle="true")
    maps = [_plot_heat_map(summed, sign, languages, chosen) for sign in SIGN_ORDER]
    with warnings.catch_warnings():  # both maps share one selection on purpose
        warnings.filterwarnings("ignore", "Automatically deduplicated selection")
        side_by_side = alt.concat(*maps, columns=2).resolve_scale(color="shared")
        chart = side_by_side & _plot_single_samples(each, languages, chosen, top_k)
    apart = dict.fromkeys(("color", "fill", "shape"), "independent")
    chart = chart.resolve_scale(**apart).properties(
        description=f"Percent of the top {top_k} training samples that come from each language, "
        "for each test language; below, for each test sample."
    )
    return lay_out(
        chart,
        describe_panels(
            "vconcat.0.concat.0",
            "vconcat.0.concat.1",
            columns=(2, 1),
            beside=LABELS + 40,
            apart=LABELS + 40,
            grid="vconcat.0",
        ),
        describe_panels("vconcat.1.spec", beside=14),
    )


def _find_differences(table: pd.DataFrame, each: pd.DataFrame) -> pd.DataFrame:
    """Add `difference` from chance, and `_told`: whether the cell can be told from chance.

    Its interval must not cover chance. Where there is none, all values must lie on one side.
    """
    keys = ["test_lang", "train_lang", "sign"]
    sides = each.assign(side=(each["share"] - each["chance"]).round(9))
    sides = sides.groupby(keys)["side"].agg(["min", "max"]).reset_index()
    table = table.merge(sides, on=keys, how="left")
    by_interval = (table["ci_low"] > table["chance"]) | (table["ci_high"] < table["chance"])
    by_values = (table["min"] > 0) | (table["max"] < 0)
    told = by_interval.where(table["ci_low"].notna(), by_values)
    counts = table["test_samples"].astype(str)
    return table.drop(columns=["min", "max"]).assign(
        difference=table["share"] - table["chance"], _told=told, _n=counts
    )


def _plot_heat_map(
    table: pd.DataFrame, sign: str, languages: list[str], chosen: alt.Parameter
) -> alt.LayerChart:
    """The shares of one sign, test language × training language, with names of rows to click on."""
    part = table[table["sign"] == sign]
    part = part.assign(_row=part["test_lang"] + " (n = " + part["_n"] + ")")
    angle = 0 if len(languages) <= 5 else -40
    x = alt.X(
        "train_lang:N",
        sort=languages,
        title="language of the training samples",
        axis=alt.Axis(labelAngle=angle, ticks=False, domain=False, labelLimit=90),
    )
    blank = alt.Axis(labels=False, ticks=False, domain=False, titlePadding=LABELS)
    y = alt.Y("test_lang:N", sort=languages, title="test language", axis=blank)
    base = alt.Chart(part).encode(x=x, y=y)
    # the selection does not fade other rows, it outlines its own
    outline = alt.condition(chosen, alt.value("#D55E00"), alt.value("#8A8A8A40"), empty=False)
    cells = base.mark_rect(strokeWidth=2, cursor="pointer").encode(
        color=alt.condition("datum._told", _color_differences(), alt.value("transparent")),
        tooltip=make_share_tooltip("test_lang", "train_lang", "sign"),
        stroke=outline,
    )
    texts = _write_shares(base)
    names = alt.Chart(part).transform_aggregate(cells="count()", groupby=["test_lang", "_row"])
    names = names.mark_text(align="right", fontSize=11, cursor="pointer").encode(
        y=y, x=alt.value(-6), text="_row:N"
    )
    size: dict[str, Any] = {"width": max(220, 44 * len(languages)), "height": {"step": 34}}
    title = f"most {sign}"
    layers = [cells.add_params(chosen), *texts, names]
    return alt.LayerChart(layer=layers, title=title).properties(**size)


def _color_differences() -> alt.Color:
    """Colour for `difference`: the same scale in every chart, gray at chance."""
    legend = alt.Legend(
        title=["more or less than chance; no colour: cannot be told from it"],
        orient="top",
        format="+.0%",
        values=[-0.4, -0.2, 0, 0.2, 0.4],
        gradientLength=200,
        titleLimit=340,
    )
    scale = alt.Scale(domain=[-LIMIT, 0, LIMIT], range=DIVERGING, clamp=True)
    return alt.Color("difference:Q", scale=scale, legend=legend)


def _write_shares(base: alt.Chart) -> list[alt.Chart]:
    """The shares in percent: white on dark cells, black on pale ones, gray where there is none."""
    dark = "abs(datum.difference) > 0.22"
    kinds: dict[str, dict[str, Any]] = {
        f"datum._told && {dark}": {"color": "white"},
        f"datum._told && !({dark})": {"color": "black"},
        "!datum._told": {"opacity": 0.75},
    }
    return [
        base.transform_filter(test)
        .mark_text(fontSize=12, aria=False, tooltip=None, cursor="pointer", **look)
        .encode(text=alt.Text("share:Q", format=".0%"))
        for test, look in kinds.items()
    ]


def _plot_single_samples(
    each: pd.DataFrame, languages: list[str], chosen: alt.Parameter, top_k: int
) -> alt.FacetChart:
    """Shares of single test samples as stacked dots: helpful ones above the line, harmful below."""
    step = 1 / min(top_k, 20)
    each = each.assign(
        bin=(each["share"] / step).round() * step, _panel="samples in " + each["train_lang"]
    )
    tallest = int(each.groupby(["train_lang", "sign", "bin"]).size().max())
    height = min(110, max(50, 14 * tallest))
    size = min(7.0, 0.5 * height / tallest) ** 2 * 0.8
    series = make_signs(TICK)
    title = f"share of the test sample's top {top_k}"
    x = alt.X(
        "bin:Q",
        title=title,
        axis=alt.Axis(format="%"),
        scale=alt.Scale(domain=[0, 1]),
    )
    up = f"datum.sign == '{HELPFUL}' ? datum.place - 0.5 : 0.5 - datum.place"
    bounds = alt.Scale(domain=[-tallest, tallest], nice=False)
    base = alt.Chart().transform_filter(chosen)
    stacked = base.transform_window(
        place="row_number()", groupby=["train_lang", "sign", "bin"]
    ).transform_calculate(stack=up)
    dots = mark_points(stacked, size=size).encode(
        x=x,
        y=alt.Y("stack:Q", axis=None, scale=bounds),
        opacity=series.fade(0.9),
        tooltip=[
            *make_tooltip("test", "train_lang", "sign", suffix=":N"),
            *make_tooltip("share", "chance", suffix=":Q", format=".1%"),
        ],
        **series.point,
    )
    chance = base.mark_rule(strokeDash=DASHED, color=GRAY, strokeWidth=1.5, aria=False)
    line = base.mark_rule(opacity=0.5, aria=False).encode(y=alt.YDatum(0, axis=None, scale=bounds))
    # altair wants the parameter in the first layer of a facet beside other charts
    layers = [
        line.add_params(series.focus),
        chance.encode(x=alt.X("mean(chance):Q", title=title)),
        dots,
    ]
    panel = alt.LayerChart(layer=layers).properties(width=520, height=height)
    header = alt.Header(labelAnchor="start", labelPadding=2)
    names = [f"samples in {language}" for language in languages]
    facet = alt.Facet("_panel:N", title=None, sort=names, header=header)
    return panel.facet(facet, data=each, columns=1).properties(
        title="each test sample: helpful above the line, harmful below", spacing=6
    )
