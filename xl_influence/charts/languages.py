"""Charts of sections 7 and 8: which languages influence comes from."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from .base import COLORS, name_languages
from .layout import describe_panels, fill_width, lay_out
from .marks import (
    TICK,
    describe_rows,
    find_single_values,
    make_share_tooltip,
    make_signs,
    make_tooltip,
    mark_chance,
    mark_points,
    name_signs,
    plot_intervals,
)


def plot_distribution(table: pd.DataFrame) -> alt.FacetChart:
    """Distribution of influence by training language, per test language (Figures 9 to 11).

    One row for each training language: the stronger the colour, the more of its samples are there.

    Parameters
    ----------
    table
        From `sharing.distribution`.
    """
    table = name_languages(table[table["share"] > 0])
    table = table.assign(
        _samples=table["test_samples"].astype(str), _panel="tested on " + table["test_lang"]
    )
    languages = list(dict.fromkeys(table["train_lang"]))
    legend = alt.Legend(title="share of training samples", orient="top", format=".1%")
    scale = alt.Scale(type="sqrt", range=[0.05, 1], zero=True)  # on light and dark ground alike
    rows = alt.Chart(table).encode(
        x=alt.X("low:Q", title="influence", axis=alt.Axis(tickCount=4, grid=False)),
        x2="high:Q",
        y=alt.Y(
            "train_lang:N",
            sort=languages,
            title=None,
            axis=alt.Axis(minExtent=62, maxExtent=62),
        ),
        opacity=alt.Opacity("share:Q", scale=scale, legend=legend),
        tooltip=[
            *make_tooltip("test_lang", "train_lang", suffix=":N"),
            *make_tooltip("low", "high", suffix=":Q", format=".2f"),
            *make_tooltip("share", suffix=":Q", format=".1%"),
            *make_tooltip("_samples", suffix=":N"),
        ],
    )
    zero = alt.Chart(table).mark_rule(strokeDash=[2, 2], aria=False).encode(x=alt.datum(0))
    panel = alt.LayerChart(layer=[rows.mark_rect(color=COLORS["en"]), zero]).properties(
        width=105,
        height={"step": 20},
        description="Distribution of influence by training language, for each test language.",
    )
    tests = list(dict.fromkeys(table["_panel"]))
    columns = len(tests) if len(tests) <= 5 else 3
    chart = panel.facet(alt.Facet("_panel:N", title=None, sort=tests), columns=columns)
    if len(tests) > columns:  # a last row that is not full has axes of its own
        chart = chart.resolve_axis(x="independent")
    return lay_out(
        chart, describe_panels("spec", columns=(columns, 1), beside=76, apart=14, grid="")
    ).properties(spacing=12)


def plot_shares(
    table: pd.DataFrame,
    y: str,
    title: str,
    *,
    order: Sequence[str] | None = None,
    each: pd.DataFrame | None = None,
) -> alt.LayerChart:
    """Shares as points with their intervals, chance as gray ticks; colour and shape are the sign.

    Parameters
    ----------
    table
        A table of `sharing` with `share`, `ci_low`, `ci_high`, `chance` and `sign`.
    y
        The column that names the rows of the chart.
    title
        What the shares are, as the title of the x axis.
    order
        The rows from top to bottom; by default as they come in the table.
    each
        The shares by test sample. Where a share has no interval, they are drawn as small dots.
    """
    single_values = name_signs(find_single_values(table, each, (y, "sign")))
    table, series = describe_rows(name_signs(table)), make_signs(TICK)
    base = alt.Chart(table).encode(
        y=alt.Y(f"{y}:N", title=None, sort=order or list(dict.fromkeys(table[y]))),
        yOffset=alt.YOffset("sign:N", sort=["helpful", "harmful"]),
        tooltip=make_share_tooltip(y, "sign"),
    )
    fade, low = series.fade, alt.X("ci_low:Q", title=title)
    axis = alt.Axis(format="%", values=[0, 0.2, 0.4, 0.6, 0.8, 1])
    x = alt.X("share:Q", title=title, axis=axis, scale=alt.Scale(domain=[0, 1]))
    single = [
        *make_tooltip("test", "sign", suffix=":N"),
        *make_tooltip("share", suffix=":Q", format=".1%"),
    ]
    rows = {"y": base.encoding.y, "yOffset": base.encoding.yOffset}
    dots = mark_points(alt.Chart(single_values), size=25, aria=False).encode(
        x=x, opacity=fade(0.6), tooltip=single, **series.point, **rows
    )
    layers = alt.LayerChart(
        layer=[
            mark_chance(base),
            plot_intervals(base, x=low, x2="ci_high:Q", color=series.color, opacity=fade(1)),
            dots.add_params(series.focus),
            mark_points(base, size=75).encode(x=x, opacity=fade(1), **series.point),
        ]
    )
    description = (
        f"{title}: a point with its interval, or small dots for single test samples; "
        "the gray tick is chance."
    )
    signs, rows_of_chart = table["sign"].nunique(), table[y].nunique()
    height = 25 * signs * (rows_of_chart + 0.2)  # 20 pixels for each sign of a row, and gaps
    sized = layers.properties(height=height, description=description)
    return fill_width(sized, legend=2)
