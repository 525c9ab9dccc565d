"""Charts of lines: shares over epochs, over k, and over the depth of the network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import altair as alt
import pandas as pd

from .base import HAS_INTERVAL, name_languages
from .layout import describe_panels, fill_width, lay_out, wrap_labels
from .marks import (
    DASH,
    DASHED,
    GRAY,
    PAIR,
    PERCENT,
    SIGN_ORDER,
    Series,
    describe_rows,
    has_intervals,
    make_epochs_axis,
    make_languages,
    make_share_tooltip,
    make_signs,
    make_ticks,
    make_tooltip,
    mark_mean_chance,
    mark_points,
    name_signs,
    plot_chance,
    plot_intervals,
)

SOURCES = {"own": "the test language", "other": "other languages"}
SOURCE_LOOKS = dict(zip(SOURCES.values(), PAIR, strict=True))
LETTERS = 12  # of a line of the names of parameter groups
ROOM = 0.25  # of a panel of shares: a name beside a point needs so much


def plot_lines_with_bands(
    base: alt.Chart,
    chance: alt.Chart,
    *,
    field: str,
    languages: Iterable[str],
    title: str,
    description: str,
) -> alt.FacetChart:
    """Shares as lines with their intervals as bands, one panel per sign.

    Parameters
    ----------
    base
        The chart with the x axis and the tooltip; its table is one of `name_signs`.
    chance
        The layer that shows chance.
    field
        The column of languages, one line each.
    languages
        The names of these languages, in the order of the legend.
    title
        The title of the y axis.
    description
        What a screen reader says of the chart.
    """
    series = make_languages(field, languages)
    low = alt.Y("ci_low:Q", title=title)
    share = alt.Y("share:Q", title=title, axis=PERCENT, scale=alt.Scale(zero=True))
    band = base.transform_filter(HAS_INTERVAL).mark_area(aria=False)
    if has_intervals(base):
        fill = series.point["fill"]
        band = band.encode(y=low, y2="ci_high:Q", fill=fill, opacity=series.fade(0.12))
    line = base.mark_line(aria=False).encode(y=share, color=series.color, opacity=series.fade(1))
    points = mark_points(base).encode(y=share, opacity=series.fade(1), **series.point)
    layers = alt.LayerChart(layer=[band, line, chance, points.add_params(series.focus)])
    sized = layers.properties(width=260, height=220, description=description)
    chart = sized.facet(alt.Facet("sign:N", title=None, sort=SIGN_ORDER), columns=2)
    return lay_out(chart, describe_panels("spec", columns=(2, 1), beside=71, apart=26, grid=""))


def plot_own_share(table: pd.DataFrame) -> alt.FacetChart:
    """The test language's own share per epoch, with intervals, one panel per sign (Figure 3).

    `table`: the rows of `sharing.composition` for single epochs.
    """
    own = table[table["test_lang"] == table["train_lang"]]
    own = describe_rows(name_signs(name_languages(own)))
    tooltip = make_share_tooltip("test_lang", "checkpoint", "sign")
    return plot_lines_with_bands(
        alt.Chart(own).encode(x=make_epochs_axis(), tooltip=tooltip),
        plot_chance(own),
        field="test_lang",
        languages=dict.fromkeys(own["test_lang"]),
        title="share from the test language",
        description="Share of the test language in its own top k, by epoch and sign.",
    )


def plot_dynamics(table: pd.DataFrame) -> alt.FacetChart:
    """Share of each training language per epoch, by test language and sign (Figures 12 and 13).

    `table`: the rows of `sharing.composition` for single epochs.
    """
    table = describe_rows(name_signs(name_languages(table)))
    languages = list(dict.fromkeys(table["train_lang"]))
    series = make_languages("train_lang", languages)
    base = alt.Chart(table).encode(
        x=make_epochs_axis(),
        y=alt.Y("share:Q", title="share", axis=PERCENT),
        color=series.color,
        opacity=series.fade(1),
        tooltip=make_share_tooltip("test_lang", "train_lang", "sign", "checkpoint"),
    )
    points = mark_points(base, size=40).encode(**series.point).add_params(series.focus)
    layers = alt.LayerChart(layer=[base.mark_line(aria=False), plot_chance(table), points])
    description = "Share of each training language by epoch, test language and sign."
    chart = layers.properties(width=95, height=120, description=description).facet(
        row=alt.Row("sign:N", title=None, sort=SIGN_ORDER),
        column=alt.Column("test_lang:N", title=None, sort=languages),
    )
    columns = len(dict.fromkeys(table["test_lang"]))
    return lay_out(
        chart, describe_panels("spec", columns=(columns, 2), beside=94, apart=26, swap=True)
    )


def plot_share_by_k(tables: Mapping[str, pd.DataFrame], paper_k: int = 100) -> alt.FacetChart:
    """Share of the top k that comes from other languages against k, one panel per task.

    Positive influence is a line with a band, negative influence a thin line, chance a dashed line.

    Parameters
    ----------
    tables
        The task's name → its table of `sharing.share_by_k`.
    paper_k
        The k that the paper uses; a large dot marks it.
    """
    over_all = {task: part[part["test_lang"] == "all"] for task, part in tables.items()}
    table = pd.concat([part.assign(task=task) for task, part in over_all.items()])
    table = describe_rows(name_signs(table))
    layers = _plot_signs_over_k(table, paper_k)
    width = 186 if len(tables) > 1 else 420
    description = (
        "Share of the k most influential training samples that are in other languages than the "
        "test sample, against k, for each task: helpful samples with their interval, harmful "
        f"samples, and chance as a dashed line. The large dot is k = {paper_k}."
    )
    header = alt.Header(labelFontSize=13, labelFontWeight=600, labelPadding=4)
    facet = alt.Facet("task:N", title=None, sort=list(tables), header=header)
    chart = layers.properties(width=width, height=220, description=description).facet(
        facet, columns=len(tables)
    )
    return lay_out(
        chart, describe_panels("spec", columns=(len(tables), 1), beside=77, apart=32, grid="")
    )


def _plot_signs_over_k(table: pd.DataFrame, paper_k: int) -> alt.LayerChart:
    """The layers of `plot_share_by_k`, from the band in the back to the large dot in front."""
    title, series = "share from other languages", make_signs(DASH)
    scale = alt.Scale(type="log", domain=[1, int(table["k"].max())], nice=False)
    axis = alt.Axis(values=[1, 5, 20, 100, 500], format="d", grid=False)
    base = alt.Chart(table).encode(
        x=alt.X("k:Q", title="k most influential samples", scale=scale, axis=axis),
        tooltip=make_share_tooltip("task", "sign", "k"),
    )
    percent = alt.Axis(format="%", values=[0, 0.2, 0.4, 0.6, 0.8, 1], minExtent=34, maxExtent=34)
    y = alt.Y("share:Q", title=title, axis=percent, scale=alt.Scale(domain=[0, 1]))
    low, fade = alt.Y("ci_low:Q", title=title), series.fade
    helpful, harmful = (base.transform_filter(alt.datum.sign == sign) for sign in SIGN_ORDER)
    band = helpful.transform_filter(HAS_INTERVAL).mark_area(aria=False)
    small = mark_points(base.transform_filter(alt.datum.k != paper_k), size=28)
    large = mark_points(base.transform_filter(alt.datum.k == paper_k), size=130)
    return alt.LayerChart(
        layer=[
            band.encode(y=low, y2="ci_high:Q", fill=series.point["fill"], opacity=fade(0.2)),
            mark_mean_chance(base),
            helpful.mark_line(strokeWidth=2.5, aria=False).encode(
                y=y, color=series.color, opacity=fade(1)
            ),
            harmful.mark_line(strokeWidth=1.2, aria=False).encode(
                y=y, color=series.color, opacity=fade(1)
            ),
            small.encode(y=y, opacity=fade(1), **series.point),
            large.encode(y=y, opacity=fade(1), **series.point).add_params(series.focus),
        ]
    )


def plot_groups(table: pd.DataFrame) -> alt.LayerChart:
    """Share of the top k from other languages by parameter group, as a line over depth.

    Influence over several groups together is drawn as single points, right of the line.

    Parameters
    ----------
    table
        From `sharing.by_group`.
    """
    table = describe_rows(name_signs(table))
    return _plot_over_depth(
        table,
        make_signs(DASH),
        title="share from other languages",
        tooltip=make_share_tooltip("group", "sign"),
        shares=True,
        legend=2,
    ).properties(
        description="Share of the top k that comes from other languages, with influence over one "
        "parameter group, from the embeddings to the head, with intervals; dashed: chance."
    )


def plot_contributions(table: pd.DataFrame) -> alt.LayerChart:
    """Share of the influence of the top k that each parameter group carries, over depth.

    Two lines: for samples in the test language, and for those in other languages.
    `table`: the rows of one sign of `sharing.contributions`.
    """
    table = describe_rows(table.assign(source=table["source"].map(SOURCES)))
    series = Series("source", SOURCE_LOOKS, chance=None, title="samples in")
    tooltip = [
        *make_tooltip("group", "source", suffix=":N"),
        *make_tooltip("share", suffix=":Q", format=".1%"),
        *make_tooltip("_interval", "_samples", suffix=":N"),
    ]
    title = "share of the influence"
    return _plot_over_depth(
        table, series, title=title, tooltip=tooltip, shares=False, legend=1
    ).properties(
        description="Share of the influence that each parameter group carries, from the "
        "embeddings to the head, with intervals, for samples in the test language and in others."
    )


def _plot_over_depth(
    table: pd.DataFrame,
    series: Series,
    *,
    title: str,
    tooltip: list[alt.Tooltip],
    shares: bool,
    legend: int,
) -> alt.LayerChart:
    """A line of single groups from the top down, then points for several groups together.

    `shares`: whether the values are shares of the top k, from 0 to 1 and with chance. Otherwise
    they are parts of the influence, which may be negative. `legend`: as in `fill_width`.
    """
    together = table["group"].str.startswith("all")
    order = list(dict.fromkeys([*table["group"][~together], *table["group"][together]]))
    table = table.assign(_place=table["group"].map(order.index), _single=~together)
    names = alt.Axis(labelExpr=wrap_labels(order, LETTERS))
    y = alt.Y("group:N", sort=order, title="from input to output", axis=names)
    base = alt.Chart(table).encode(y=y, tooltip=tooltip)
    scale = alt.Scale(domain=[0, 1]) if shares else alt.Undefined
    x = alt.X("share:Q", title=title, axis=make_ticks("%", 6), scale=scale)
    low, fade = alt.X("ci_low:Q", title=title), series.fade
    line = base.transform_filter("datum._single").mark_line(aria=False)
    line = line.encode(x=x, color=series.color, order="_place:Q", opacity=fade(1))
    intervals = plot_intervals(base, x=low, x2="ci_high:Q", color=series.color, opacity=fade(0.6))
    points = mark_points(base).encode(x=x, opacity=fade(1), **series.point)
    layers: list[Any] = [line, intervals, points.add_params(series.focus)]
    if shares:
        layers += _label_lines(table, series, order, title)
        rule = alt.Chart(table).mark_rule(strokeDash=DASHED, color=GRAY, strokeWidth=1.5)
        layers.insert(0, rule.encode(x=alt.X("mean(chance):Q", title=title)))
    chart = alt.LayerChart(layer=layers).properties(height=26 * len(order))
    return fill_width(chart, legend)


def _label_lines(
    table: pd.DataFrame, series: Series, order: list[str], title: str
) -> list[alt.Chart]:
    """The name of each line above its first point, to the left of the smallest, right of others.

    Without room for them on both sides there are none: the legend has them too.
    """
    first = table[table["group"] == order[0]].sort_values("share")
    if first["share"].min() < ROOM or first["share"].max() > 1 - ROOM:
        return []
    return [
        alt.Chart(first[first[series.column] == name])
        .mark_text(align="left" if place else "right", dy=-9, fontSize=11, aria=False)
        .encode(
            y=alt.Y("group:N", sort=order, title="from input to output"),
            x=alt.X("share:Q", title=title),
            text=alt.value(name),
            color=alt.value(series.colors[name]),
        )
        for place, name in enumerate(first[series.column])
    ]
