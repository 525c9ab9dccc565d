"""Charts and tables of what `make bench` measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import altair as alt
import pandas as pd

from .base import COLORS

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
    "way": Column("way", "{}"),
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
        scale=alt.Scale(type="log"),
        axis=alt.Axis(format="~s", tickCount=4),
    )
    seconds = [alt.Tooltip(name, format=".1f") for name in ("seconds", "low", "high")]
    base = alt.Chart(table).encode(x=value, tooltip=["axis", "value", *seconds])
    y = alt.Y("seconds:Q", scale=alt.Scale(type="log"), axis=alt.Axis(tickCount=4))
    low = alt.Y("low:Q", title="seconds")
    bars = base.mark_rule(color=COLORS["en"]).encode(y=low, y2="high:Q")
    line = base.mark_line(point=True, color=COLORS["en"]).encode(y=y)
    panel = (bars + line).properties(
        width=170,
        height=130,
        description="Seconds of the engine as one quantity grows, on logarithmic scales.",
    )
    axes = list(dict.fromkeys(table["axis"]))
    chart = panel.facet(alt.Facet("axis:N", title=None, sort=axes), columns=3)
    return chart.resolve_scale(x="independent")


def plot_rates(table: pd.DataFrame) -> alt.FacetChart:
    """Training samples per second of each way to compute the same influence, on a log scale.

    Parameters
    ----------
    table
        From `speed.make_comparison`; one panel per case.
    """
    exact = alt.Color(
        "exact:N",
        title="over all parameters",
        scale=alt.Scale(domain=[True, False], range=[COLORS["en"], COLORS["de"]]),
        legend=alt.Legend(orient="top", labelExpr="datum.value ? 'yes' : 'some only'"),
    )
    base = alt.Chart(table[table["rate"].notna()]).encode(
        y=alt.Y("way:N", title=None, sort="-x"),
        x=alt.X("rate:Q", title="training samples per second", scale=alt.Scale(type="log")),
        color=exact,
        tooltip=[
            "way",
            alt.Tooltip("rate", format=".3~g"),
            "covered",
            alt.Tooltip("peak_gb", format=".1f", title="peak GB"),
        ],
    )
    panel = base.mark_point(filled=True, size=80, opacity=1).properties(
        width=420,
        height={"step": 20},
        description="Training samples per second of each library and reference.",
    )
    cases = alt.Row(
        "case:N",
        title=None,
        sort=list(dict.fromkeys(table["case"])),
        header=alt.Header(orient="top", labelAngle=0, labelAnchor="start"),
    )
    return panel.facet(row=cases).resolve_scale(y="independent")


def show_ways(table: pd.DataFrame, columns: Sequence[str]) -> Styler:
    """Some columns of a table of ways, with titles and formats.

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


def plot_steps(table: pd.DataFrame) -> alt.Chart:
    """Where the time of one training sample goes, as bars.

    Parameters
    ----------
    table
        From `speed.make_steps`.
    """
    chart = alt.Chart(table.assign(milliseconds=1000 * table["seconds"]))
    return (
        chart.mark_bar(color=COLORS["en"])
        .encode(
            y=alt.Y("step:N", title=None, sort="-x"),
            x=alt.X("milliseconds:Q", title="milliseconds per training sample"),
            tooltip=["step", alt.Tooltip("milliseconds", format=".1f")],
        )
        .properties(
            width="container",
            height={"step": 24},
            description="Milliseconds per training sample of each step.",
        )
    )
