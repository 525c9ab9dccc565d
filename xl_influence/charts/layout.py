"""How charts fill the width that they get, and the sizes of their text.

A chart says under `usermeta` how wide its panels are in a page of any width, and how many stand
side by side. The book follows it when it draws the still picture of a chart, and in the page
(`book/_ext/still_charts.py`, `book/_static/charts.js`). JupyterLab shows the chart's own sizes.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

from ..imports import without_iri_grammar

with without_iri_grammar():  # altair imports jsonschema
    import altair as alt

Chart = TypeVar("Chart", bound=alt.TopLevelMixin)
PANEL_GAP = 20  # pixels between panels
AT_COMMAS = "split(datum.label, ', ')"  # a `labelExpr`: one line after the other
THEME: dict[str, Any] = {
    "padding": {"left": 2, "right": 10, "top": 4, "bottom": 4},
    "axis": {
        "labelFontSize": 11,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 6,
        "labelLimit": 190,
    },
    "legend": {
        "columnPadding": 18,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
    },
    "header": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"},
    "title": {"fontSize": 13, "fontWeight": 600, "anchor": "start"},
    "text": {"fontSize": 12},
    "concat": {"spacing": PANEL_GAP},
    "facet": {"spacing": PANEL_GAP},
}


def enable_theme() -> None:
    """Give the charts of this process the text sizes of the book."""
    alt.theme.register("xl_influence", enable=True)(
        lambda: alt.theme.ThemeConfig(config=cast(Any, THEME))
    )


def wrap_labels(names: Iterable[str], letters: int) -> str:
    """A `labelExpr` that breaks long labels into lines, so that they leave room for the panel.

    Parameters
    ----------
    names
        All labels of an axis or of panels.
    letters
        The most letters of a line.
    """
    return f"{json.dumps({name: textwrap.wrap(name, letters) for name in names})}[datum.label]"


def describe_panels(
    *panels: str,
    columns: Sequence[int] = (1, 1),
    beside: int = 0,
    apart: int = PANEL_GAP,
    grid: str | None = None,
    swap: bool = False,
) -> dict[str, Any]:
    """One rule of a layout: how wide some panels of a chart are.

    Parameters
    ----------
    *panels
        Where in the specification the panels are, as keys with dots between; '' is the whole.
    columns
        How many panels stand side by side in a wide page, and in a narrow one.
    beside
        Pixels of the chart's width that are no panel: axis, titles, padding.
    apart
        Pixels between two panels, with the axis of the second if it has its own.
    grid
        Where in the specification the number of columns stands; None if nowhere.
    swap
        Whether rows and columns of a facet change places in a narrow page.
    """
    rule = {"panels": list(panels), "columns": list(columns), "beside": beside, "apart": apart}
    return rule | ({} if grid is None else {"grid": grid}) | ({"swap": True} if swap else {})


def lay_out(chart: Chart, *rules: Mapping[str, Any], legend: int = 3) -> Chart:
    """The chart with its layout, one or several results of `describe_panels`.

    A facet is described as its panels are: Vega-Lite reads the description of the whole only.

    Parameters
    ----------
    chart
        Any chart; the panel of a facet has a description.
    *rules
        From `describe_panels`.
    legend
        How many columns the legend has in a narrow page.
    """
    meta = {"layout": [dict(rule) for rule in rules], "legend": legend}
    if isinstance(chart, alt.FacetChart):
        chart = chart.properties(description=chart.spec.description)
    return chart.properties(usermeta=meta)


def fill_width(chart: Chart, legend: int = 3) -> Chart:
    """A chart of one panel that is as wide as its page, axis and titles included.

    Parameters
    ----------
    chart
        The chart; its height stays. It is in pixels: Vega-Lite warns of a height by row.
    legend
        How many columns the legend has in a narrow page.
    """
    autosize = alt.AutoSizeParams(type="fit-x", contains="padding")
    laid_out = lay_out(chart, describe_panels(""), legend=legend)
    return laid_out.properties(width="container", autosize=autosize)
