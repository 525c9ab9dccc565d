"""Charts of sections 7 and 8: which languages influence comes from."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import altair as alt
import pandas as pd

from .base import (
    HAS_INTERVAL,
    SIGN_ORDER,
    SIGN_SCALE,
    find_single_values,
    make_epochs_axis,
    make_focus,
    make_language_scale,
    make_share_tooltip,
    make_tooltip,
    name_languages,
    plot_chance,
    plot_intervals,
    plot_lines_with_bands,
    size_heat_map,
)

SIGN_SCHEMES: dict[str, Literal["greens", "purples"]] = {  # of heat maps, as in the paper
    "positive": "greens",
    "negative": "purples",
}
SOURCES = {"own": "test language", "other": "other languages"}


def plot_composition(table: pd.DataFrame, each: pd.DataFrame, top_k: int) -> alt.VConcatChart:
    """Share of each training language in the top k of each test language (Figure 2).

    Two heat maps, one per sign. Below them, the same shares for single test samples: a click on a
    test language in the heat maps leaves only its samples.

    Parameters
    ----------
    table
        The table of `sharing.composition`; checkpoint 0, the sum over all, is drawn.
    each
        The table of `sharing.composition_by_sample`.
    top_k
        How many training samples the shares are of, for the description.
    """
    table, each = name_languages(table), name_languages(each)
    languages = list(dict.fromkeys(table["train_lang"]))
    chosen = alt.selection_point(name="test_language", fields=["test_lang"])
    largest = float(table["share"].max())
    summed = table[table["checkpoint"] == 0]
    maps = [
        _plot_heat_map(summed[summed["sign"] == sign], sign, languages, chosen, largest)
        for sign in SIGN_ORDER
    ]
    with warnings.catch_warnings():  # both maps share one selection on purpose
        warnings.filterwarnings("ignore", "Automatically deduplicated selection")
        side_by_side = alt.hconcat(*maps).resolve_scale(color="independent")
        chart = side_by_side & _plot_single_samples(each, languages, chosen)
    return chart.resolve_scale(color="independent").properties(
        description=f"Percent of the top {top_k} training samples that come from each language, "
        "for each test language; below, for each test sample."
    )


def _plot_heat_map(
    part: pd.DataFrame, sign: str, languages: list[str], chosen: alt.Parameter, largest: float
) -> alt.LayerChart:
    """The shares of one sign, test language × training language; `largest` is the darkest cell."""
    x = alt.X(
        "train_lang:N",
        sort=languages,
        title="language of the training samples",
        axis=alt.Axis(labelAngle=0 if len(languages) <= 5 else -40),
    )
    y = alt.Y("test_lang:N", sort=languages, title="test language")
    base = alt.Chart(part, title=f"most {sign}ly influential").encode(x=x, y=y)
    scale = alt.Scale(scheme=SIGN_SCHEMES[sign], domain=[0, largest])
    outline = alt.condition(chosen, alt.value("#D55E00"), alt.value("transparent"), empty=False)
    cells = base.mark_rect(strokeWidth=3).encode(
        color=alt.Color("share:Q", scale=scale, legend=None),
        tooltip=make_share_tooltip("test_lang", "train_lang"),
        stroke=outline,
    )
    is_dark = alt.datum.share > 0.6 * largest
    text = base.mark_text(fontSize=12).encode(
        text=alt.Text("share:Q", format=".0%"),
        color=alt.condition(is_dark, alt.value("white"), alt.value("black")),
    )
    size: Any = size_heat_map(len(languages))
    return alt.LayerChart(layer=[cells.add_params(chosen), text], **size)


def _plot_single_samples(
    each: pd.DataFrame, languages: list[str], chosen: alt.Parameter
) -> alt.LayerChart:
    """Shares of single test samples as ticks, of the chosen test language or of all."""
    base = alt.Chart(each, title="each test sample").encode(
        y=alt.Y("train_lang:N", sort=languages, title="training language"),
        yOffset=alt.YOffset("sign:N", sort=SIGN_ORDER),
    )
    x = alt.X(
        "share:Q",
        title="share of the sample's top k",
        axis=alt.Axis(format="%"),
        scale=alt.Scale(domain=[0, 1]),
    )
    legend = alt.Legend(orient="top", symbolOpacity=1)
    ticks = base.mark_tick(thickness=3, size=13, opacity=0.5).encode(
        x=x,
        color=alt.Color("sign:N", scale=SIGN_SCALE, title=None, legend=legend),
        tooltip=[
            *make_tooltip("test", "train_lang", "sign"),
            *make_tooltip("share", format=".1%"),
        ],
    )
    chance = base.mark_tick(color="gray", thickness=2, size=15).encode(x="mean(chance):Q")
    both = alt.LayerChart(layer=[chance, ticks]).transform_filter(chosen)
    return both.properties(width=520, height={"step": 15})


def plot_own_share(table: pd.DataFrame) -> alt.FacetChart:
    """The test language's own share per epoch, with intervals, one panel per sign (Figure 3).

    `table`: the rows of `sharing.composition` for single epochs.
    """
    table = name_languages(table[table["test_lang"] == table["train_lang"]])
    tooltip = make_share_tooltip("test_lang", "checkpoint")
    return plot_lines_with_bands(
        alt.Chart(table).encode(x=make_epochs_axis(), tooltip=tooltip),
        plot_chance(table),
        field="test_lang",
        languages=dict.fromkeys(table["test_lang"]),
        title="share from the test language",
        description="Share of the test language in its own top k, by epoch and sign.",
    )


def plot_dynamics(table: pd.DataFrame) -> alt.FacetChart:
    """Share of each training language per epoch, by test language and sign (Figures 12 and 13).

    `table`: the rows of `sharing.composition` for single epochs.
    """
    table = name_languages(table)
    languages = list(dict.fromkeys(table["train_lang"]))
    chosen, fade = make_focus("train_lang")
    scale = make_language_scale(languages)
    line = (
        alt.Chart(table)
        .mark_line(point=True)
        .encode(
            x=make_epochs_axis(),
            y=alt.Y("share:Q", title="share", axis=alt.Axis(format="%")),
            color=alt.Color("train_lang:N", scale=scale, title="training language"),
            opacity=fade(1),
            tooltip=[
                *make_tooltip("test_lang", "train_lang", "checkpoint"),
                *make_tooltip("share", format=".1%"),
            ],
        )
    )
    description = "Share of each training language by epoch, test language and sign."
    layers = alt.LayerChart(layer=[line.add_params(chosen), plot_chance(table)])
    return layers.properties(width=105, height=110, description=description).facet(
        row=alt.Row("sign:N", title=None, sort=SIGN_ORDER),
        column=alt.Column("test_lang:N", title="test language", sort=languages),
    )


def plot_distribution(table: pd.DataFrame) -> alt.FacetChart:
    """Distribution of influence by training language, per test language (Figures 9 to 11).

    `table`: that of `sharing.distribution`.
    """
    table = name_languages(table)
    languages = list(dict.fromkeys(table["train_lang"]))
    chosen, fade = make_focus("train_lang")
    scale = make_language_scale(languages)
    lines = (
        alt.Chart(table)
        .mark_line(interpolate="step-after")
        .encode(
            x=alt.X("low:Q", title="influence"),
            y=alt.Y("share:Q", axis=alt.Axis(format="%"), title="share of training samples"),
            color=alt.Color("train_lang:N", scale=scale, title="training language"),
            opacity=fade(1),
            tooltip=[
                *make_tooltip("train_lang"),
                *make_tooltip("low", format=".2f"),
                *make_tooltip("share", format=".1%"),
            ],
        )
        .add_params(chosen)
    )
    description = "Distribution of influence scores by training language."
    return lines.properties(width=170, height=120, description=description).facet(
        alt.Facet("test_lang:N", title="test language", sort=languages), columns=3
    )


def plot_contributions(table: pd.DataFrame) -> alt.LayerChart:
    """Share of the influence of the top k that each parameter group carries.

    Two points per group: for samples in the test language, and for those in other languages.
    `table`: the rows of one sign of `sharing.contributions`.
    """
    table = table.assign(source=table["source"].map(SOURCES))
    order = list(SOURCES.values())
    scale = alt.Scale(domain=order, range=["#0072B2", "#E69F00"])
    color = alt.Color("source:N", scale=scale, title="samples in")
    title = "share of the influence"
    percents = make_tooltip("share", "ci_low", "ci_high", format=".1%")
    base = alt.Chart(table).encode(
        y=alt.Y("group:N", title=None, sort=None),
        yOffset=alt.YOffset("source:N", sort=order),
        tooltip=[*make_tooltip("group", "source"), *percents],
    )
    low = alt.X("ci_low:Q", title=title)
    share = alt.X("share:Q", title=title, axis=alt.Axis(format="%"))
    points = base.mark_point(filled=True, size=70, opacity=1).encode(x=share, color=color)
    description = (
        "Share of the influence that each parameter group carries: a point with its interval."
    )
    return alt.LayerChart(
        layer=[plot_intervals(base, x=low, x2="ci_high:Q", color=color), points]
    ).properties(**_fill_width(), description=description)


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
    layers = _plot_signs_over_k(_set_axes_of_k(table), paper_k)
    width = 190 if len(tables) > 1 else 420
    description = (
        "Share of the k most influential training samples that are in other languages than the "
        "test sample, against k, for each task: positive influence with its interval, negative "
        f"influence, and chance as a dashed line. The large dot is k = {paper_k}."
    )
    return layers.properties(width=width, height=220, description=description).facet(
        alt.Facet("task:N", title=None, sort=list(tables)), columns=len(tables)
    )


def _plot_signs_over_k(base: alt.Chart, paper_k: int) -> alt.LayerChart:
    """The layers of `plot_share_by_k`, from the band in the back to the large dot in front."""
    title = "share from other languages"
    percent = alt.Axis(format="%", values=[0, 0.2, 0.4, 0.6, 0.8, 1])
    y = alt.Y("share:Q", title=title, axis=percent, scale=alt.Scale(domain=[0, 1]))
    low = alt.Y("ci_low:Q", title=title)
    positive, negative = (base.transform_filter(alt.datum.sign == sign) for sign in SIGN_ORDER)
    band = positive.transform_filter(HAS_INTERVAL).mark_area(opacity=0.2, aria=False)
    chance = base.mark_line(strokeDash=[4, 4])
    at_paper_k = positive.transform_filter(alt.datum.k == paper_k)
    return alt.LayerChart(
        layer=[
            band.encode(y=low, y2="ci_high:Q"),
            chance.encode(y="mean(chance):Q", color=alt.value("gray")),
            positive.mark_line(strokeWidth=2.5).encode(y=y),
            negative.mark_line(strokeWidth=1).encode(y=y),
            positive.mark_point(filled=True, size=25, opacity=1).encode(y=y),
            negative.mark_point(filled=True, size=12, opacity=1).encode(y=y),
            at_paper_k.mark_point(filled=True, size=130, opacity=1).encode(y=y),
        ]
    )


def _set_axes_of_k(table: pd.DataFrame) -> alt.Chart:
    """The chart that all layers of `plot_share_by_k` start from: x axis, colour and tooltip."""
    scale = alt.Scale(type="log", domain=[1, int(table["k"].max())], nice=False)
    axis = alt.Axis(values=[1, 5, 20, 100, 500], format="d", grid=False)
    legend = alt.Legend(orient="top", symbolOpacity=1)
    return alt.Chart(table).encode(
        x=alt.X("k:Q", title="k most influential samples", scale=scale, axis=axis),
        color=alt.Color("sign:N", scale=SIGN_SCALE, title="influence", legend=legend),
        tooltip=make_share_tooltip("task", "sign", "k"),
    )


def plot_shares(
    table: pd.DataFrame,
    y: str,
    title: str,
    *,
    order: Sequence[str] | None = None,
    each: pd.DataFrame | None = None,
) -> alt.LayerChart:
    """Shares as points with their intervals, chance as gray ticks; the colour is the sign.

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
    base = alt.Chart(table).encode(
        y=alt.Y(f"{y}:N", title=None, sort=order or list(dict.fromkeys(table[y]))),
        yOffset=alt.YOffset("sign:N", sort=SIGN_ORDER),
        tooltip=make_share_tooltip(y, "sign"),
    )
    color = alt.Color("sign:N", scale=SIGN_SCALE, title=None, legend=alt.Legend(orient="top"))
    x = alt.X("share:Q", title=title, axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1]))
    low = alt.X("ci_low:Q", title=title)
    dots = alt.Chart(find_single_values(table, each, (y, "sign")))
    dots = dots.mark_point(size=25, opacity=0.8, aria=False)
    single = [*make_tooltip("test", suffix=":N"), *make_tooltip("share", suffix=":Q", format=".1%")]
    rows = {"y": base.encoding.y, "yOffset": base.encoding.yOffset}
    layers = alt.LayerChart(
        layer=[
            plot_intervals(base, x=low, x2="ci_high:Q", color=color),
            dots.encode(x=x, color=color, tooltip=single, **rows),
            base.mark_point(filled=True, size=70, opacity=1).encode(x=x, color=color),
            base.mark_tick(color="gray", thickness=2, size=14).encode(x="chance:Q"),
        ]
    )
    description = (
        f"{title}: a point with its interval, or small dots for single test samples; "
        "the gray tick is chance."
    )
    return layers.properties(**_fill_width(), description=description)


def _fill_width() -> dict[str, object]:
    """The size of a chart that is as wide as its page, with 18 pixels per row."""
    return {
        "width": "container",
        "height": {"step": 18},
        "autosize": alt.AutoSizeParams(type="fit-x", contains="padding"),
    }
