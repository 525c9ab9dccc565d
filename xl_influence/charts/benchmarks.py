"""Charts and tables of what `make bench` measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import altair as alt
import pandas as pd

from .base import COLORS
from .layout import AT_COMMAS, describe_panels, fill_width, lay_out
from .marks import PAIR, Series, make_ticks, make_tooltip, mark_points

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler


def _three_digits(number: float) -> str:
    return f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"


class Column(NamedTuple):
    """How a column is shown: its title, and the format of its values."""

    title: str
    format: str | Callable[[float], str]


COLUMNS = {  # of `speed.make_comparison` and `speed.make_paper_scale`
    "case": Column("case", "{}"),
    "way": Column("method", "{}"),
    "rate": Column("samples/s", _three_digits),
    "ratio": Column("× slower", _three_digits),
    "of_bound": Column("of the limit", "{:.2%}"),
    "peak_gb": Column("peak GB", "{:.1f}"),
    "seconds": Column("seconds", "{:.1f}"),
    "passes": Column("backward passes", "{:,.0f}"),
    "covered": Column("covers", "{}"),
    "max_error": Column("error", "{:.0e}"),
    "tile": Column("tile", "{:.0f}"),
    "hours": Column("hours", "{:,.2g}"),
}


# over all parameters, or only over some
EXACT = dict(zip(("all parameters (exact)", "some only"), PAIR, strict=True))


def plot_growth(table: pd.DataFrame) -> alt.FacetChart:
    """Seconds against the quantity that grows, one panel per axis.

    Both scales are logarithmic, so growth by equal ratios is a straight line.

    Parameters
    ----------
    table
        From `speed.make_growth`.
    """
    value = alt.X(
        "value:Q",
        title=None,
        scale=alt.Scale(type="log", padding=7, nice=False),
        axis=make_ticks("~s", 4),
    )
    tooltip = [
        *make_tooltip("axis", suffix=":N"),
        *make_tooltip("value", "seconds", "low", "high", suffix=":Q", format=",.4~g"),
    ]
    base = alt.Chart(table).encode(x=value, tooltip=tooltip)
    axis = alt.Axis(tickCount=4, minExtent=34, maxExtent=34)
    y = alt.Y("seconds:Q", scale=alt.Scale(type="log"), axis=axis)
    low = alt.Y("low:Q", title="seconds")
    bars = base.mark_rule(color=COLORS["en"], aria=False).encode(y=low, y2="high:Q")
    line = base.mark_line(color=COLORS["en"], aria=False).encode(y=y)
    points = base.mark_point(filled=True, size=50, color=COLORS["en"], opacity=1).encode(y=y)
    panel = alt.LayerChart(layer=[bars, line, points]).properties(
        width=170,
        height=130,
        description="Seconds of the engine as one quantity grows, on logarithmic scales.",
    )
    axes = list(dict.fromkeys(table["axis"]))
    chart = panel.facet(alt.Facet("axis:N", title=None, sort=axes), columns=3)
    rule = describe_panels("spec", columns=(3, 1), beside=72, apart=24, grid="")
    return lay_out(chart.resolve_scale(x="independent"), rule)


def plot_rates(table: pd.DataFrame) -> alt.FacetChart:
    """Training samples per second of each method that computes the same influence, on a log scale.

    Parameters
    ----------
    table
        From `speed.make_comparison`; one panel per case.
    """
    series, table = Series("kind", EXACT, chance=None), _label_rates(table)
    axis = alt.Axis(minExtent=112, maxExtent=112, labelLimit=110, labelExpr=AT_COMMAS)
    ticks = alt.Axis(format="~g", tickCount=4)
    title = ["training samples per second", "(next: the next exact method)"]
    limits = [0.7 * float(table["rate"].min()), 1.4 * float(table["rate"].max())]
    middle = math.sqrt(limits[0] * limits[1])  # of a logarithmic axis
    scale = alt.Scale(type="log", domain=limits, nice=False)
    base = alt.Chart(table).encode(
        y=alt.Y("way:N", title=None, sort=alt.SortField("_order"), axis=axis),
        x=alt.X("rate:Q", title=title, scale=scale, axis=ticks),
        opacity=series.fade(1),
        tooltip=[
            *make_tooltip("way", "kind", suffix=":N"),
            alt.Tooltip("rate:Q", format=".3~g", title="training samples per second"),
            alt.Tooltip("covered:N", title="parameter tensors covered"),
            alt.Tooltip("peak_gb:Q", format=".1f", title="peak memory (GB)"),
        ],
    )
    points = mark_points(base, size=80).encode(**series.point).add_params(series.focus)
    # one layer: with two of parts of the rows, Vega-Lite warns of the order of the rows
    is_left = f"datum.rate >= {middle}"
    align, dx = (alt.expr(f"{is_left} ? {ends}") for ends in ("'right' : 'left'", "-9 : 9"))
    labels = base.mark_text(align=align, dx=dx).encode(text="_label:N")
    panel = alt.LayerChart(layer=[points, labels]).properties(
        width=420,
        height={"step": 30},
        description="Training samples per second of each library and reference: first those that "
        "are exact over all parameters, then those that cover some only.",
    )
    header = alt.Header(labelAngle=0, labelAnchor="start", labelFontWeight=600, labelExpr=AT_COMMAS)
    cases = list(dict.fromkeys(table["case"]))
    chart = panel.facet(alt.Facet("case:N", title=None, sort=cases, header=header), columns=1)
    rule = describe_panels("spec", beside=128)
    chart = lay_out(chart.resolve_scale(y="independent"), rule, legend=1)
    return chart.properties(spacing=14)


def _label_rates(table: pd.DataFrame) -> pd.DataFrame:
    """Rates with their kind, place in the chart, and what stands beside the dot.

    The fastest exact method says how many times faster it is than the next.
    """
    table = table[table["rate"].notna()]
    kinds = list(EXACT)
    table = table.assign(kind=[kinds[0] if exact else kinds[1] for exact in table["exact"]])
    table = table.sort_values(["exact", "rate"], ascending=False, kind="stable")
    labels = [f"{_three_digits(rate)} /s" for rate in table["rate"]]
    table = table.assign(_order=range(len(table)), _label=labels)
    for _, part in table[table["exact"]].groupby("case"):
        if len(part) > 1:
            first, second = part["rate"].iloc[:2]
            table.loc[part.index[0], "_label"] += f" ({first / second:.1f}× next)"
    titles = list(dict.fromkeys(table.sort_index()["case"]))
    return table.sort_values("case", key=lambda column: column.map(titles.index), kind="stable")


def show_methods(table: pd.DataFrame, columns: Sequence[str]) -> Styler:
    """Some columns of a table of methods, with titles and formats.

    Parameters
    ----------
    table
        From `speed.make_comparison` or `speed.make_paper_scale`.
    columns
        Keys of `COLUMNS`, in the order to show.
    """
    shown = table[list(columns)].rename(columns={name: COLUMNS[name].title for name in columns})
    formats = {COLUMNS[name].title: COLUMNS[name].format for name in columns}
    return shown.style.hide().format(formats, na_rep="–")


def plot_steps(table: pd.DataFrame) -> alt.LayerChart:
    """Where the time of one training sample goes, as bars.

    Parameters
    ----------
    table
        From `speed.make_steps`.
    """
    order = table.sort_values("seconds", ascending=False)["step"].tolist()
    chart = alt.Chart(table.assign(milliseconds=1000 * table["seconds"]))
    base = chart.encode(
        y=alt.Y("step:N", title=None, sort=order),
        x=alt.X("milliseconds:Q", title="milliseconds per training sample"),
        tooltip=[
            *make_tooltip("step", suffix=":N"),
            *make_tooltip("milliseconds", suffix=":Q", format=".1f"),
        ],
    )
    text = base.mark_text(align="left", dx=4, fontSize=11, aria=False)
    layers = alt.LayerChart(
        layer=[
            base.mark_bar(color=COLORS["en"]),
            text.encode(text=alt.Text("milliseconds:Q", format=".1f")),
        ]
    )
    return fill_width(
        layers.properties(
            height=24 * len(table), description="Milliseconds per training sample of each step."
        )
    )
