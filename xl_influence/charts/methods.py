"""Charts of methods side by side, and of influence with language and label taken out."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd
from IPython.display import Markdown

from .base import TITLES
from .layout import describe_panels, lay_out, wrap_labels
from .marks import (
    CHANCE,
    GRAY,
    INSET,
    PAIR,
    PERCENT,
    SIGN_ORDER,
    TICK,
    Series,
    describe_rows,
    make_share_tooltip,
    make_signs,
    make_ticks,
    mark_mean_chance,
    mark_points,
    name_signs,
    plot_intervals,
)
from .tables import show_note

PANELS = {  # measure of `methods.compare` → title of its panel
    "other languages": "other languages, k = {k}",
    "planted": "same phenomenon and label",
    "own translation": "own translation, 1 / rank",
    "agreement": "agreement with the cosine",
}
KINDS = {  # of methods → colour and shape
    "gradients": PAIR[0],
    "representations": ("#207E72", "triangle-up"),
    "words": PAIR[1],
    "control": ("#A153AD", "diamond"),
}
LETTERS = 18  # of a line of a row's name; longer names get a second line


def plot_methods(
    table: pd.DataFrame, kinds: dict[str, str], measures: Sequence[str]
) -> alt.FacetChart | Markdown:
    """Values of every method with intervals, one panel per measure; gray ticks are chance.

    Parameters
    ----------
    table
        From `methods.compare`.
    kinds
        Method → its kind.
    measures
        The measures to draw.

    Returns
    -------
    altair.FacetChart or Markdown
        The chart; a note if the run has none of the measures.
    """
    part = table[table["measure"].isin(measures)].copy()
    if part.empty:
        return show_note(f"Not applicable to this run: {', '.join(measures)}.")
    pairs = zip(part["measure"], part["k"], strict=True)
    part["panel"] = [PANELS[measure].format(k=k) for measure, k in pairs]
    part["kind"] = part["method"].map(kinds).fillna("gradients")  # single layers, if published
    present = {kind: look for kind, look in KINDS.items() if kind in set(part["kind"])}
    return _plot_dots(
        part,
        Series("kind", present, chance=TICK),
        row="method",
        panels=list(dict.fromkeys(part["panel"])),
        description="Every method's value with its interval and chance: " + ", ".join(measures),
        legend=1,
    )


def plot_lds(
    table: pd.DataFrame, kinds: dict[str, str], panels: Sequence[str], by: str
) -> alt.FacetChart:
    """How well every method predicts retraining; gray ticks are the most that luck gives it.

    Parameters
    ----------
    table
        From `methods.subsets.measure`.
    kinds
        Method → its kind.
    panels
        The kinds of subsets to draw.
    by
        The one whose LDS sorts the methods; those that it lacks come last.
    """
    part = table[table["kind"].isin(panels)].rename(columns={"kind": "panel"})
    part["kind"] = part["method"].map(kinds)
    first = part[part["panel"] == by].set_index("method")["lds"]
    part = part.sort_values("method", key=lambda names: -names.map(first), kind="stable")
    present = {kind: look for kind, look in KINDS.items() if kind in set(part["kind"])}
    return _plot_dots(
        part,
        Series("kind", present, chance=TICK, chance_name=TITLES["null_high"]),
        row="method",
        value="lds",
        chance="null_high",
        panels=panels,
        description="LDS of every method, with interval and the most that luck gives it: "
        + "; ".join(panels),
        title="split(datum.label, ', ')",  # the second part on a line of its own
        legend=1,
    )


def plot_pools(table: pd.DataFrame) -> alt.FacetChart:
    """Shares among all training samples and among those with the test sample's label.

    `table`: that of `methods.compare_pools`; the rows of all test languages are drawn.
    """
    part = name_signs(table[table["test_lang"] == "all"])
    part = part.rename(columns={"share": "value", "what": "panel"})
    return _plot_dots(
        part,
        make_signs(TICK),
        row="pool",
        offsets=SIGN_ORDER,
        panels=list(dict.fromkeys(part["panel"])),
        description="Shares of the top k among all samples and among those with the same label.",
        percent=True,
    )


def plot_leakage(table: pd.DataFrame) -> alt.FacetChart:
    """Own translations and same-language samples at the top, by parameter group.

    `table`: that of `methods.measure_leakage`; the rows of summed checkpoints are drawn.
    """
    part = table[table["checkpoint"] == 0].rename(columns={"share": "value"})
    part = part.assign(panel=[f"top {k}" for k in part["k"]])
    kinds = list(dict.fromkeys(part["what"]))
    return _plot_dots(
        part,
        Series("what", dict(zip(kinds, PAIR, strict=True)), chance=TICK),
        row="group",
        offsets=kinds,
        panels=list(dict.fromkeys(part["panel"])),
        description="How often the own translation, and how much of the test language with "
        "another item, is at the top, by parameter group.",
        percent=True,
        legend=1,
    )


def plot_nearest(table: pd.DataFrame) -> alt.FacetChart:
    """Share of the helpful samples that the nearest training samples hold, by source.

    `table`: that of `methods.measure_nearest`.
    """
    part = table[(table["sign"] == "positive") & table["what"].str.startswith("found")]
    part = part.assign(source=part["what"].str.removeprefix("found, "))
    looks = dict(zip(("own language", "other languages"), PAIR, strict=True))
    series, title = Series("source", looks, title="samples in"), "share of the top k found"
    base = alt.Chart(describe_rows(part)).encode(
        x=alt.X("fraction:Q", title="nearest samples looked at", axis=make_ticks("%"), scale=INSET),
        opacity=series.fade(1),
        tooltip=make_share_tooltip("similarity", "source"),
    )
    share = alt.Y("share:Q", title=title, axis=PERCENT, scale=alt.Scale(domain=[0, 1]))
    points = mark_points(base, size=45).encode(y=share, **series.point).add_params(series.focus)
    layers = [
        mark_mean_chance(base),
        plot_intervals(base, y=alt.Y("ci_low:Q", title=title), y2="ci_high:Q", color=series.color),
        base.mark_line(aria=False).encode(y=share, color=series.color),
        points,
    ]
    panel = alt.LayerChart(layer=layers).properties(
        width=250,
        height=180,
        description="Share of the top k among the nearest samples, for own and other languages.",
    )
    names = list(dict.fromkeys(part["similarity"]))
    chart = panel.facet(alt.Facet("similarity:N", title=None, sort=names), columns=2)
    rule = describe_panels("spec", columns=(2, 1), beside=76, apart=26, grid="")
    return lay_out(chart, rule, legend=2)


def _plot_dots(
    table: pd.DataFrame,
    series: Series,
    *,
    row: str,
    panels: Sequence[str],
    description: str,
    value: str = "value",
    chance: str = CHANCE,
    offsets: Sequence[str] = (),
    percent: bool = False,
    title: str = "datum.label",
    legend: int = 3,
) -> alt.FacetChart:
    """A point with its interval for each row, chance as a tick, one panel after another.

    Parameters
    ----------
    table
        `ci_low`, `ci_high`, `test_samples`, `items`, `panel`, and the columns that the other
        arguments name.
    series
        The looks of the points.
    row
        The column that names the rows.
    panels
        The panels in their order.
    description
        What a screen reader says.
    value, chance
        The columns of the points and of the ticks.
    offsets
        The series in the order in which they share a row; none if each row has one point.
    percent
        Whether values are shares.
    title
        The Vega expression of a panel's title.
    legend
        As in `lay_out`.
    """
    written = ".1%" if percent else ".2f"
    table = describe_rows(table, None if percent else "{:.2f}".format)
    names = dict.fromkeys((row, series.column))
    rows = list(dict.fromkeys(table[row]))
    longest = max(map(len, rows))
    extent, lines = 16 + 6 * min(LETTERS, longest), wrap_labels(rows, LETTERS)
    axis = alt.Axis(minExtent=extent, maxExtent=extent, labelLimit=extent - 6, labelExpr=lines)
    base = alt.Chart(table).encode(
        y=alt.Y(f"{row}:N", sort=rows, title=None, axis=axis),
        opacity=series.fade(1),
        tooltip=make_share_tooltip(*names, value=value, chance=chance, format=written),
    )
    if offsets:
        base = base.encode(yOffset=alt.YOffset(series.field, sort=list(offsets)))
    ticks = make_ticks("%" if percent else "", 4)
    x = {
        name: alt.X(f"{name}:Q", title=None, axis=ticks, scale=INSET)
        for name in (value, "ci_low", chance)
    }
    layers = [
        base.mark_tick(color=GRAY, thickness=3, size=12, aria=False).encode(
            x=x[chance], opacity=alt.value(1)
        ),
        plot_intervals(base, x=x["ci_low"], x2="ci_high:Q", color=series.color),
        mark_points(base).encode(x=x[value], **series.point).add_params(series.focus),
    ]
    step = 30 if longest > LETTERS else 12 if offsets else 18
    sized = alt.LayerChart(layer=layers).properties(
        width=150, height={"step": step}, description=description
    )
    columns = 2 if len(panels) == 4 else min(3, len(panels))
    facet = alt.Facet(
        "panel:N",
        title=None,
        sort=list(panels),
        header=alt.Header(labelAnchor="end", labelExpr=title),
    )
    chart = sized.facet(facet, columns=columns).resolve_scale(x="independent")
    rule = describe_panels(
        "spec",
        columns=(columns, 1),
        beside=extent + 18,
        apart=24,
        grid="",
    )
    return lay_out(chart, rule, legend=legend)
