"""Charts of how time and memory grow with the number of training samples."""

from __future__ import annotations

import altair as alt
import pandas as pd

from .base import COLORS

PANELS = {"seconds": "seconds on one core", "peak_gb": "peak memory, GB"}


def plot_scale(table: pd.DataFrame) -> alt.HConcatChart:
    """Time and peak memory of each notebook's analyses as training samples are added.

    Parameters
    ----------
    table
        From `scale.by_notebook`.
    """
    colors = [color for color in COLORS.values() if isinstance(color, str)]
    names = list(dict.fromkeys(table["notebook"]))
    scale = alt.Scale(domain=names, range=[colors[at % len(colors)] for at in range(len(names))])
    panels = []
    for column, title in PANELS.items():
        line = alt.Chart(table).mark_line(point=True)
        chart = line.encode(
            x=alt.X("n_train:Q", title="training samples", axis=alt.Axis(format="~s", tickCount=4)),
            y=alt.Y(f"{column}:Q", title=title),
            color=alt.Color("notebook:N", title="notebook", scale=scale, sort=names),
            tooltip=["notebook", "n_train", alt.Tooltip(column, format=".2f")],
        )
        description = f"{title.capitalize()} against training samples, one line per notebook."
        panels.append(chart.properties(width=240, height=200, description=description))
    return alt.hconcat(*panels)
