"""Charts of methods side by side, and of influence with language and label taken out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from .marks import SIGN_COLORS, SIGN_ORDER, make_tooltip, name_signs, plot_intervals

PANELS = {  # measure of `methods.compare` → title of its panel
    "other languages": "from other languages, k = {k}",
    "planted": "same phenomenon and label",
    "own translation": "own translation, 1 / rank",
    "agreement": "agreement with the cosine",
}
KINDS = {
    "gradients": "#0072B2",
    "representations": "#009E73",
    "words": "#E69F00",
    "control": "#5A5A5A",
}
TWO = ["#0072B2", "#D55E00"]  # blue and vermilion, which colour-blind readers tell apart


def plot_methods(
    table: pd.DataFrame, kinds: dict[str, str], measures: Sequence[str]
) -> alt.FacetChart:
    """Values of every method with intervals, one panel per measure; gray ticks are chance.

    Parameters
    ----------
    table
        From `methods.compare`.
    kinds
        Method → its kind.
    measures
        The measures to draw.
    """
    part = table[table["measure"].isin(measures)].copy()
    pairs = zip(part["measure"], part["k"], strict=True)
    part["panel"] = [PANELS[measure].format(k=k) for measure, k in pairs]
    part["kind"] = part["method"].map(kinds).fillna("gradients")  # single layers, if published
    scale = alt.Scale(domain=list(KINDS), range=list(KINDS.values()))
    order = list(dict.fromkeys(part["method"]))
    return _plot_dots(
        part,
        row=alt.Y("method:N", sort=order, title=None, axis=alt.Axis(labelLimit=200)),
        color=alt.Color("kind:N", scale=scale, title=None),
        names=["method"],
        panels=list(dict.fromkeys(part["panel"])),
        description="Every method's value with its interval and chance: " + ", ".join(measures),
    )


def plot_pools(table: pd.DataFrame) -> alt.FacetChart:
    """Shares among all training samples and among those with the test sample's label.

    `table`: that of `methods.compare_pools`; the rows of all test languages are drawn.
    """
    part = name_signs(table[table["test_lang"] == "all"])
    part = part.rename(columns={"share": "value", "what": "panel"})
    scale = alt.Scale(domain=SIGN_ORDER, range=list(SIGN_COLORS))
    return _plot_dots(
        part,
        row=alt.Y("pool:N", sort=None, title=None),
        color=alt.Color("sign:N", scale=scale, sort=SIGN_ORDER, title=None),
        names=["pool", "sign"],
        offset=alt.YOffset("sign:N", sort=SIGN_ORDER),
        panels=list(dict.fromkeys(part["panel"])),
        description="Shares of the top k among all samples and among those with the same label.",
        percent=True,
    )


def plot_leakage(table: pd.DataFrame) -> alt.FacetChart:
    """Own translations and same-language samples at the top, by parameter group.

    `table`: that of `methods.leakage`; the rows of summed checkpoints are drawn.
    """
    part = table[table["checkpoint"] == 0].rename(columns={"share": "value"})
    part = part.assign(panel=[f"top {k}" for k in part["k"]])
    kinds = list(dict.fromkeys(part["what"]))
    return _plot_dots(
        part,
        row=alt.Y("group:N", sort=None, title=None, axis=alt.Axis(labelLimit=200)),
        color=alt.Color("what:N", scale=alt.Scale(domain=kinds, range=TWO), title=None),
        names=["group", "what"],
        offset=alt.YOffset("what:N", sort=kinds),
        panels=list(dict.fromkeys(part["panel"])),
        description="How often the own translation, and how much of the test language with "
        "another item, is at the top, by parameter group.",
        percent=True,
    )


def plot_nearest(table: pd.DataFrame) -> alt.FacetChart:
    """Share of the helpful samples that the nearest training samples hold, by source.

    `table`: that of `methods.nearest_first`.
    """
    part = table[(table["sign"] == "positive") & table["what"].str.startswith("found")]
    part = part.assign(source=part["what"].str.removeprefix("found, "))
    sources = ["own language", "other languages"]
    color = alt.Color("source:N", scale=alt.Scale(domain=sources, range=TWO), title="samples in")
    x = alt.X("fraction:Q", title="nearest samples looked at", axis=alt.Axis(format="%"))
    percents = make_tooltip("share", "ci_low", "ci_high", "chance", suffix=":Q", format=".1%")
    base = alt.Chart(part).encode(
        x=x, tooltip=[*make_tooltip("similarity", "source"), *percents, *_counts()]
    )
    title = "share of the top k found"
    share = alt.Y("share:Q", title=title, axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1]))
    low = alt.Y("ci_low:Q", title=title)
    chance = base.mark_line(strokeDash=[4, 4], color="gray", aria=False).encode(y="mean(chance):Q")
    layers = [
        chance,
        plot_intervals(base, y=low, y2="ci_high:Q", color=color),
        base.mark_line(point=True).encode(y=share, color=color),
    ]
    description = "Share of the top k among the nearest samples, for own and other languages."
    sized = alt.LayerChart(layer=layers).properties(width=170, height=180)
    names = list(dict.fromkeys(part["similarity"]))
    panels = sized.facet(alt.Facet("similarity:N", title=None, sort=names), columns=2)
    return panels.properties(description=description)


def _plot_dots(
    table: pd.DataFrame,
    *,
    row: alt.Y,
    color: alt.Color,
    names: Sequence[str],
    panels: Sequence[str],
    description: str,
    offset: alt.YOffset | None = None,
    percent: bool = False,
) -> alt.FacetChart:
    """A point with its interval for each row, chance as a tick, one panel after another.

    Parameters
    ----------
    table
        `value`, `ci_low`, `ci_high`, `chance`, `test_samples`, `items`, `panel`, and the columns
        of the other arguments.
    row, color, offset
        What names the rows, their colours, and the places of several points in a row.
    names
        The columns that begin a tooltip.
    panels
        The panels in their order.
    description
        What a screen reader says.
    percent
        Whether values are shares.
    """
    written = ".1%" if percent else ".2f"
    numbers = make_tooltip("value", "ci_low", "ci_high", "chance", suffix=":Q", format=written)
    tooltip = [*make_tooltip(*names), *numbers, *_counts()]
    places: dict[str, Any] = {} if offset is None else {"yOffset": offset}
    base = alt.Chart(table).encode(y=row, tooltip=tooltip, **places)
    axis = alt.Axis(format="%" if percent else "", tickCount=5)
    x = {name: alt.X(f"{name}:Q", title=None, axis=axis) for name in ("value", "ci_low", "chance")}
    layers = [
        base.mark_tick(color="gray", thickness=2, size=12, aria=False).encode(x=x["chance"]),
        plot_intervals(base, x=x["ci_low"], x2="ci_high:Q", color=color),
        base.mark_point(filled=True, size=55, opacity=1).encode(x=x["value"], color=color),
    ]
    sized = alt.LayerChart(layer=layers).properties(
        width=200, height={"step": 16 if offset is None else 10}
    )
    facet = alt.Facet("panel:N", title=None, sort=list(panels))
    drawn = sized.facet(facet, columns=3).resolve_scale(x="independent")
    return drawn.properties(description=description)


def _counts() -> list[alt.Tooltip]:
    """The end of a tooltip: how many test samples and items are behind a value."""
    return make_tooltip("test_samples", "items", suffix=":Q")
