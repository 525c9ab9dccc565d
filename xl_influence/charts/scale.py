"""Charts of how time and memory grow with the number of training samples."""

from __future__ import annotations

import altair as alt
import pandas as pd

from .base import COLORS, SHAPES
from .layout import describe_panels, lay_out
from .marks import INSET, Series, make_ticks, make_tooltip, mark_points

PANELS = {"seconds": "seconds on one core", "peak_gb": "peak memory (GB)"}


def plot_scale(table: pd.DataFrame) -> alt.FacetChart:
    """Time and peak memory of each notebook's analyses as training samples are added.

    Parameters
    ----------
    table
        From `scale.sum_by_notebook`.
    """
    names = list(dict.fromkeys(table["notebook"]))
    colors = list(COLORS.values())
    looks = {
        name: (colors[place % len(colors)], SHAPES[place % len(SHAPES)])
        for place, name in enumerate(names)
    }
    series = Series("notebook", looks, chance=None, title="notebook")
    long = table.rename(columns=PANELS).melt(
        ["notebook", "n_train"], list(PANELS.values()), "_panel", "value"
    )
    extent = alt.Axis(tickCount=5, minExtent=34, maxExtent=34)
    base = alt.Chart(long).encode(
        x=alt.X("n_train:Q", title="training samples", axis=make_ticks("~s", 4), scale=INSET),
        y=alt.Y("value:Q", title=None, axis=extent, scale=alt.Scale(nice=False)),
        opacity=series.fade(1),
        tooltip=[
            *make_tooltip("notebook", suffix=":N"),
            *make_tooltip("n_train", suffix=":Q", format=",d"),
            *make_tooltip("value", suffix=":Q", format=".2f"),
        ],
    )
    lines = base.mark_line(aria=False).encode(color=series.color)
    points = mark_points(base, size=40).encode(**series.point).add_params(series.focus)
    description = "Seconds and peak memory against training samples, one line per notebook."
    panel = alt.LayerChart(layer=[lines, points]).properties(
        width=240, height=200, description=description
    )
    facet = alt.Facet("_panel:N", title=None, sort=list(PANELS.values()))
    chart = panel.facet(facet, columns=2).resolve_scale(y="independent")
    rule = describe_panels("spec", columns=(2, 1), beside=56, apart=64, grid="")
    return lay_out(chart, rule)
