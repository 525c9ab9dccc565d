"""What charts of shares have in common: looks of series, chance, intervals, tooltips.

Columns whose name begins with an underscore are text for a tooltip or a label; the book leaves them
out when a reader saves the table behind a chart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from ..sharing import SIGNS
from .base import HAS_INTERVAL, SHAPES, TITLES, choose_colors

HELPFUL, HARMFUL = "helpful", "harmful"
SIGN_NAMES = dict(zip(SIGNS, (HELPFUL, HARMFUL), strict=True))
SIGN_ORDER = list(SIGN_NAMES.values())
CHANCE = "chance"
GRAY = "#8A8A8A"
SIGN_COLORS = ("#2F9E57", "#9970AB")
SIGN_SHAPES = ("circle", "triangle-down")
PAIR = (("#3D67F3", "circle"), ("#C58800", "square"))  # two series that are no languages or signs
DASH = "M-1,-0.15L1,-0.15L1,0.15L-1,0.15Z"  # chance in the legend of a chart with lines
TICK = "M-0.15,-1L0.15,-1L0.15,1L-0.15,1Z"  # and of a chart with rows
DASHED = [4, 4]
PERCENT = alt.Axis(format="%", tickCount=5, minExtent=34, maxExtent=34)  # a y axis of shares
INSET = alt.Scale(padding=7, nice=False)  # no mark reaches over an end of its axis


def name_signs(table: pd.DataFrame) -> pd.DataFrame:
    """The table with 'helpful' and 'harmful' in `sign`."""
    return table.assign(sign=table["sign"].replace(SIGN_NAMES))


def describe_rows(table: pd.DataFrame, value: Callable[[float], str] | None = None) -> pd.DataFrame:
    """The table with two more columns of text for tooltips, `_interval` and `_samples`.

    Parameters
    ----------
    table
        A table of `sharing` with `ci_low`, `ci_high`, and in most `test_samples` and `items`.
    value
        How an end of the interval is written; by default in percent.
    """
    write = value or (lambda share: f"{100 * share:.1f} %")
    ends = zip(table["ci_low"], table["ci_high"], strict=True)
    intervals = [
        "none, too few samples" if pd.isna(low) else f"{write(low)} to {write(high)}"
        for low, high in ends
    ]
    table = table.assign(_interval=intervals)
    if "test_samples" not in table:
        return table
    pairs = zip(table["test_samples"], table["items"], strict=True)
    counts = [f"{n}" if n == items else f"{n} ({items} different items)" for n, items in pairs]
    return table.assign(_samples=counts)


class Series:
    """The colours and shapes of the series of a chart, with chance as the last of its legend.

    Parameters
    ----------
    field
        The column that names the series.
    looks
        Name → colour and shape; names are in the order of the legend.
    chance
        The shape of chance in the legend, `DASH` or `TICK`; None if the chart does not show it.
    chance_name
        What the legend calls it.
    hollow
        Series that are drawn as outlines.
    title
        The title of the legend.

    One layer of the chart must add `focus`, the selection of a click on the legend. Vega-Lite makes
    the legend clickable only in some layers, such as the first of two with points: the tests say
    when it is in the wrong one.
    """

    def __init__(
        self,
        field: str,
        looks: Mapping[str, tuple[str, str]],
        *,
        chance: str | None = DASH,
        chance_name: str = CHANCE,
        hollow: Sequence[str] = (),
        title: str | None = None,
    ) -> None:
        looks = dict(looks) | ({} if chance is None else {chance_name: (GRAY, chance)})
        self.column, self.field, names = field, f"{field}:N", list(looks)
        self.focus = alt.selection_point(
            name=f"focus_{field}", fields=[field], bind="legend", toggle="true"
        )
        colors, shapes = map(list, zip(*looks.values(), strict=True))
        self.colors = dict(zip(names, colors, strict=True))
        fills = [
            "transparent" if name in hollow else look[0]
            for name, look in zip(names, looks.values(), strict=True)
        ]
        legend = alt.Legend(title=title, orient="top", symbolOpacity=1, symbolSize=70)
        self.color = alt.Color(
            self.field, scale=alt.Scale(domain=names, range=colors), legend=legend
        )
        self.point: dict[str, Any] = {
            "color": self.color,
            "fill": alt.Fill(self.field, scale=alt.Scale(domain=names, range=fills), legend=legend),
            "shape": alt.Shape(
                self.field, scale=alt.Scale(domain=names, range=shapes), legend=legend
            ),
        }

    def fade(self, opacity: float) -> Any:
        """An opacity, a seventh of it for series that a click on the legend leaves out."""
        return alt.condition(self.focus, alt.value(opacity), alt.value(opacity * 0.15))


def make_signs(chance: str | None = TICK) -> Series:
    """Helpful and harmful: full circles and hollow triangles.

    `chance`: as in `Series`.
    """
    looks = dict(zip(SIGN_ORDER, zip(SIGN_COLORS, SIGN_SHAPES, strict=True), strict=True))
    return Series("sign", looks, chance=chance, hollow=[HARMFUL])


def make_languages(field: str, names: Iterable[str], chance: str | None = DASH) -> Series:
    """Languages, given by name, each with its colour and a shape.

    Parameters
    ----------
    field
        The column of languages.
    names
        The languages in the order of the legend.
    chance
        As in `Series`.
    """
    colors = choose_colors(list(names))
    looks = {
        name: (color, SHAPES[place % len(SHAPES)])
        for place, (name, color) in enumerate(colors.items())
    }
    return Series(field, looks, chance=chance, title=TITLES.get(field))


def mark_points(base: alt.Chart, size: float = 60, **options: Any) -> alt.Chart:
    """Points whose colour, fill and shape a `Series` gives.

    Parameters
    ----------
    base
        The chart that the points are a layer of.
    size
        Their area in square pixels.
    **options
        Passed on to `mark_point`.
    """
    return base.mark_point(**{"size": size, "strokeWidth": 1.6} | options)


def mark_chance(base: alt.Chart) -> alt.Chart:
    """Chance as a gray tick in the row of each share."""
    return base.mark_tick(color=GRAY, thickness=3, size=14, aria=False).encode(x="chance:Q")


def plot_chance(table: pd.DataFrame) -> alt.Chart:
    """Chance as a dashed line across the panel."""
    rule = alt.Chart(table).mark_rule(strokeDash=DASHED, color=GRAY, strokeWidth=1.5, aria=False)
    return rule.encode(y="mean(chance):Q")


def mark_mean_chance(base: alt.Chart) -> alt.Chart:
    """Chance as a dashed line that follows the x axis of the chart."""
    line = base.mark_line(strokeDash=DASHED, color=GRAY, strokeWidth=1.5, aria=False)
    return line.encode(y="mean(chance):Q", opacity=alt.value(1))


def has_intervals(base: alt.Chart) -> bool:
    """Whether any row of a chart's table has an interval.

    If none has, a layer of intervals must not name their columns: the browser would warn of an axis
    without ends.

    Parameters
    ----------
    base
        The chart; of a table with `ci_low`, or without a table of its own.
    """
    return not isinstance(base.data, pd.DataFrame) or bool(base.data["ci_low"].notna().any())


def plot_intervals(base: alt.Chart, **encoding: Any) -> alt.Chart:
    """Intervals as rules, for the rows that have one.

    Parameters
    ----------
    base
        The chart that the rules are a layer of.
    **encoding
        The channels from `ci_low` to `ci_high`, and the colour.
    """
    rules = base.transform_filter(HAS_INTERVAL).mark_rule(strokeWidth=2, aria=False)
    return rules.encode(**encoding) if has_intervals(base) else rules


def make_ticks(form: str, count: int = 5) -> alt.Axis:
    """Ticks of an x axis whose first and last label stay inside the panel.

    Parameters
    ----------
    form
        How d3 formats the labels, such as '%'.
    count
        About how many ticks there are.
    """
    return alt.Axis(format=form, tickCount=count, labelFlush=12)


def make_epochs_axis() -> alt.X:
    """The axis of the checkpoints: no ticks between them."""
    return alt.X("checkpoint:O", title="epoch", axis=alt.Axis(labelAngle=0))


def make_tooltip(*columns: str, suffix: str = "", **options: Any) -> list[alt.Tooltip]:
    """One line of a tooltip for each column, under the title that readers know.

    Parameters
    ----------
    *columns
        Names of columns.
    suffix
        The type that altair cannot infer from the data, such as ":Q".
    **options
        Passed on to `alt.Tooltip`: `format`.
    """
    return [
        alt.Tooltip(f"{name}{suffix}", title=TITLES.get(name, name), **options) for name in columns
    ]


def make_share_tooltip(
    *columns: str, value: str = "share", chance: str = CHANCE, format: str = ".1%"
) -> list[alt.Tooltip]:
    """A tooltip of these columns and of a share: its interval, chance, and how many test samples.

    Parameters
    ----------
    *columns
        Names of columns of a table of `describe_rows`.
    value
        The column of the shares, or of another value that has chance.
    chance
        The column of chance.
    format
        How they are written.
    """
    return [
        *make_tooltip(*columns, suffix=":N"),
        *make_tooltip(value, suffix=":Q", format=format),
        *make_tooltip("_interval", suffix=":N"),
        *make_tooltip(chance, suffix=":Q", format=format),
        *make_tooltip("_samples", suffix=":N"),
    ]


def find_single_values(
    table: pd.DataFrame, each: pd.DataFrame | None, keys: Sequence[str]
) -> pd.DataFrame:
    """The values of single test samples behind the rows that have no interval.

    Parameters
    ----------
    table
        Means with `ci_low`, NaN where there is no interval.
    each
        The values by test sample; None where there is no such table.
    keys
        The columns that name a row of `table`; `each` has them too.

    Returns
    -------
    pandas.DataFrame
        The rows of `each` behind those of `table` without an interval; none if `each` is None.
    """
    if each is None:
        return table.iloc[:0]
    return each.merge(table.loc[table["ci_low"].isna(), list(keys)])
