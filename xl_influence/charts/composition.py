"""Which languages the most influential samples are in: heat maps, and each test sample as a dot."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping
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
    Series,
    describe_rows,
    make_share_tooltip,
    make_signs,
    make_ticks,
    make_tooltip,
    mark_points,
    name_signs,
)

TITLE_OF_ROWS: dict[str, Any] = {  # above the names of the rows
    "titleAngle": 0,
    "titleAlign": "right",
    "titleBaseline": "bottom",
    "titleX": -6,
    "titleY": -4,
}
LIMIT = 0.4  # where the colours end: 40 points more or less than chance
NOTHING = 1e-6  # a difference without colour
# Less than chance, and more. The less a cell differs from chance, the more the page shows through,
# light or dark. At its strongest too, text in the page's colour can be read on it.
FEWER, MORE, STRONGEST = (30, 110, 220), (200, 75, 0), 0.7
MOST_NAMED = 5  # training languages; with more, codes stand below the columns
LONGEST = 8  # letters of a name that fits below a column
LETTER = 6.4  # pixels of a letter, about
DOT_PLOT_WIDTH = 220  # pixels for single test samples on a narrow page
SMALLEST, LARGEST = 2.5, 7.0  # pixels across a dot
LOWEST, TALLEST = 50, 150  # pixels of a panel of dots


def plot_composition(table: pd.DataFrame, each: pd.DataFrame, top_k: int) -> alt.VConcatChart:
    """Share of each training language in the top k of each test language (Figure 2).

    Two heat maps, one per sign, whose colour is the difference from chance, on the same scale in
    every chart. Cells without colour show no clear difference. Below, the same shares
    for single test samples: a click on a test language leaves only its samples.

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
    codes = dict.fromkeys(summed["train_lang"])
    summed = describe_rows(name_signs(name_languages(summed)))
    each = name_signs(name_languages(each))
    languages = dict(zip(dict.fromkeys(summed["train_lang"]), codes, strict=True))
    chosen = alt.selection_point(name="test_language", fields=["test_lang"], toggle="true")
    rows, title_of_rows = _name_rows(summed)
    summed, labels = summed.assign(_row=rows), max(80, int(6.3 * rows.str.len().max()))
    columns = (2 if _has_names(languages) else 1, 1)
    maps = [_plot_heat_map(summed, sign, languages, chosen, title_of_rows) for sign in SIGN_ORDER]
    with warnings.catch_warnings():  # both maps share one selection on purpose
        warnings.filterwarnings("ignore", "Automatically deduplicated selection")
        side_by_side = alt.concat(*maps, columns=columns[0]).resolve_scale(color="shared")
        chart = side_by_side & _plot_single_samples(each, list(languages), chosen, top_k)
    apart = dict.fromkeys(("color", "fill", "shape"), "independent")
    chart = chart.resolve_scale(**apart).properties(
        description=f"Percent of the top {top_k} training samples that come from each language, "
        "for each test language; below, for each test sample."
    )
    beside = labels + 30
    maps_rule = describe_panels(
        "vconcat.0.concat.0",
        "vconcat.0.concat.1",
        columns=columns,
        beside=beside,
        apart=beside,
        grid="vconcat.0",
    )
    samples_rule = describe_panels("vconcat.1.spec", beside=beside)
    return lay_out(chart, maps_rule, samples_rule, legend=2)


def _has_names(languages: Mapping[str, str]) -> bool:
    """Whether the names of these languages (name → code) fit below the columns of a heat map."""
    return len(languages) <= MOST_NAMED and max(map(len, languages)) <= LONGEST


def _name_rows(
    table: pd.DataFrame,
) -> tuple[pd.Series, str | list[str]]:
    """The names of the rows of a heat map and their title, one of them with the test samples.

    The title has the number if it is the same in all rows, which leaves more room for the columns.
    """
    counts = table["test_samples"].astype(str)
    if counts.nunique() == 1:
        return table["test_lang"], ["test language", f"(n = {counts.iloc[0]})"]
    return table["test_lang"] + " (n = " + counts + ")", "test language"


def _find_differences(table: pd.DataFrame, each: pd.DataFrame) -> pd.DataFrame:
    """Add `difference` from chance, and `_is_clear`: whether the cell can be told from chance.

    Its interval must not cover chance. Where there is none, all values must lie on one side.
    """
    keys = ["test_lang", "train_lang", "sign"]
    sides = each.assign(side=(each["share"] - each["chance"]).round(9))
    sides = sides.groupby(keys)["side"].agg(["min", "max"]).reset_index()
    table = table.merge(sides, on=keys, how="left")
    by_interval = (table["ci_low"] > table["chance"]) | (table["ci_high"] < table["chance"])
    by_values = (table["min"] > 0) | (table["max"] < 0)
    is_clear = by_interval.where(table["ci_low"].notna(), by_values)
    return table.drop(columns=["min", "max"]).assign(
        difference=table["share"] - table["chance"], _is_clear=is_clear
    )


def _plot_heat_map(
    table: pd.DataFrame,
    sign: str,
    languages: Mapping[str, str],
    chosen: alt.Parameter,
    title_of_rows: str | list[str],
) -> alt.LayerChart:
    """The shares of one sign, test language × training language, with names of rows to click on."""
    part = table[table["sign"] == sign]
    part, named = part.assign(_percent=100 * part["share"]), _has_names(languages)
    label = "datum.label" if named else f"{json.dumps(languages)}[datum.label]"
    map_name = f"map_{sign}"
    turned = _turn_names(map_name, languages) if named else {"labelAngle": 0}
    below = alt.Axis(ticks=False, domain=False, labelExpr=label, **turned)
    title = "language of the training samples" if named else "training language; shares in %"
    x = alt.X("train_lang:N", sort=list(languages), title=title, axis=below)
    two_lines = {} if isinstance(title_of_rows, str) else {"titleY": -17}
    blank = alt.Axis(labels=False, ticks=False, domain=False, **TITLE_OF_ROWS | two_lines)
    y = alt.Y("test_lang:N", sort=list(languages), title=title_of_rows, axis=blank)
    base = alt.Chart(part).encode(x=x, y=y)
    # the selection does not fade other rows, it outlines its own
    uncoloured = alt.value("transparent")
    outline = alt.condition(chosen, alt.value("#D55E00"), alt.value("#8A8A8A40"), empty=False)
    cells = base.mark_rect(strokeWidth=2, cursor="pointer").encode(
        color=alt.condition("datum._is_clear", _color_differences(), uncoloured),
        tooltip=make_share_tooltip("test_lang", "train_lang", "sign"),
        stroke=outline,
    )
    numbers = alt.Text("share:Q", format=".0%") if named else alt.Text("_percent:Q", format=".0f")
    names_of_rows = alt.Chart(part).transform_aggregate(
        cells="count()", groupby=["test_lang", "_row"]
    )
    names_of_rows = names_of_rows.mark_text(align="right", fontSize=11, cursor="pointer").encode(
        y=y,
        x=alt.value(-6),
        text="_row:N",
        tooltip=make_tooltip("test_lang", suffix=":N"),  # without it a click goes through the text
    )
    size: dict[str, Any] = {"width": min(520, 44 * len(languages)), "height": {"step": 34}}
    shares = _write_shares(base, numbers, 12 if named else 11)
    size["name"] = map_name
    layers = [cells.add_params(chosen), *shares, names_of_rows]
    head = alt.TitleParams(f"most {sign}", frame="group")
    return alt.LayerChart(layer=layers, title=head).properties(**size)


def _turn_names(map_name: str, languages: Mapping[str, str]) -> dict[str, Any]:
    """How names stand below the columns of a map: aslant if the columns are too narrow for them."""
    longest = LETTER * max(map(len, languages))
    needed = longest + 3
    narrow = f"bandwidth('{map_name}_x') < {needed:.1f}"  # Vega-Lite names the scale
    extent = longest / 2 + 13  # of slanting names, for all: the height is that of the still picture
    return {
        "labelAngle": alt.expr(f"{narrow} ? -30 : 0"),
        "labelAlign": alt.expr(f"{narrow} ? 'right' : 'center'"),
        "labelBaseline": alt.expr(f"{narrow} ? 'middle' : 'top'"),
        "labelPadding": alt.expr(f"{narrow} ? 6 : 2"),
        "labelOverlap": False,
        "minExtent": extent,
        "maxExtent": extent,
    }


def _color_differences() -> alt.Color:
    """Colour for `difference`: the same scale in every chart, none at chance.

    It grows with the square root of the difference: most differences are a tenth of the largest.
    """
    legend = alt.Legend(
        title=["more or less than chance;", "no colour: no clear difference"],
        orient="top",
        format="+.0%",
        labelExpr="datum.value ? datum.label : '0%'",
        values=[-LIMIT, -LIMIT / 8, 0, LIMIT / 8, LIMIT],
        gradientLength=216,
        titleLimit=260,
    )
    ends = [-LIMIT, -NOTHING, NOTHING, LIMIT]
    sides = [(FEWER, STRONGEST), (FEWER, 0), (MORE, 0), (MORE, STRONGEST)]
    colors = [f"rgba({', '.join(map(str, color))}, {opacity})" for color, opacity in sides]
    scale = alt.Scale(type="pow", exponent=0.5, domain=ends, range=colors, clamp=True)
    return alt.Color("difference:Q", scale=scale, legend=legend)


def _write_shares(base: alt.Chart, numbers: alt.Text, size: int) -> list[alt.Chart]:
    """The shares in percent, in the colour of the page's text: muted where a cell has no colour."""
    opacities = {"datum._is_clear": 1, "!datum._is_clear": 0.75}
    return [
        base.transform_filter(test)
        .mark_text(fontSize=size, aria=False, tooltip=None, cursor="pointer", opacity=opacity)
        .encode(text=numbers)
        for test, opacity in opacities.items()
    ]


def _plot_single_samples(
    each: pd.DataFrame, languages: list[str], chosen: alt.Parameter, top_k: int
) -> alt.FacetChart:
    """Shares of single test samples as stacked dots: helpful ones above the line, harmful below."""
    each = each.assign(_bin=(each["share"] * top_k).round() / top_k)
    end = min(1.0, max(0.1, math.ceil(10 * each["_bin"].max() - 1e-9) / 10))
    above, below = _find_tallest(each)
    across = max(SMALLEST, min(LARGEST, DOT_PLOT_WIDTH / (end * top_k), TALLEST / (above + below)))
    height = min(TALLEST, max(LOWEST, across * (above + below)))
    series, title = make_signs(TICK), f"share of the test sample's top {top_k}"
    bounds = alt.Scale(domain=[-below, above], nice=False)
    base = alt.Chart().transform_filter(chosen)
    share = alt.X(
        "_bin:Q",
        title=title,
        axis=make_ticks("%", 6),
        scale=alt.Scale(domain=[0, end], padding=LARGEST / 2, nice=False),
    )
    place = alt.Y("stack:Q", axis=None, scale=bounds)
    zero = base.transform_calculate(zero="0").mark_rule(opacity=0.5, aria=False)
    line = zero.encode(y=alt.Y("mean(zero):Q", axis=None, scale=bounds))  # one, not one per dot
    chance = base.mark_rule(strokeDash=DASHED, color=GRAY, strokeWidth=1.5, aria=False)
    dots = _stack_dots(base, series, across).encode(x=share, y=place)
    # altair wants the parameter in the first layer of a facet beside other charts
    layers = [
        dots.add_params(series.focus),
        line,
        chance.encode(x=alt.X("mean(chance):Q", title=title)),
    ]
    panel = alt.LayerChart(layer=layers).properties(width=520, height=height)
    source = "['from', (datum.label)]"  # two lines; Vega-Lite puts an expression for the label
    header = alt.Header(labelAngle=0, labelAlign="left", labelPadding=6, labelExpr=source)
    rows = alt.Row("train_lang:N", title=None, sort=languages, header=header)
    about = ["each test sample, by language", "of its training samples:"]
    titled = alt.TitleParams([*about, "helpful up, harmful down"], frame="bounds")
    return panel.facet(row=rows, data=each).properties(title=titled, spacing=8)


def _find_tallest(each: pd.DataFrame) -> list[int]:
    """The dots of the tallest stack of helpful and of harmful test samples, one at least."""
    sizes = each.groupby(["train_lang", "sign", "_bin"]).size()
    signs = sizes.index.get_level_values("sign")
    return [int(sizes[signs == sign].max()) if sign in signs else 1 for sign in SIGN_ORDER]


def _stack_dots(base: alt.Chart, series: Series, across: float) -> alt.Chart:
    """A dot of `across` pixels for each row, at `stack` in its column `_bin`."""
    up = f"datum.sign == '{HELPFUL}' ? datum.place - 0.5 : 0.5 - datum.place"
    stacked = base.transform_window(
        place="row_number()", groupby=["train_lang", "sign", "_bin"]
    ).transform_calculate(stack=up)
    return mark_points(stacked, size=(across - 1) ** 2, strokeWidth=1).encode(
        opacity=series.fade(0.9),
        tooltip=[
            *make_tooltip("test", "train_lang", "sign", suffix=":N"),
            *make_tooltip("share", "chance", suffix=":Q", format=".1%"),
        ],
        **series.point,
    )
