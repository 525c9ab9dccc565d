"""Charts of models: how well they do, and what changes when they are trained on other samples."""

from __future__ import annotations

import altair as alt
import pandas as pd

from ..tasks import name_language
from .base import name_languages
from .layout import AT_COMMAS, describe_panels, fill_width, lay_out
from .lines import plot_lines_with_bands
from .marks import (
    CHANCE,
    DASHED,
    GRAY,
    HARMFUL,
    INSET,
    PAIR,
    TICK,
    Series,
    describe_rows,
    find_single_values,
    make_languages,
    make_share_tooltip,
    make_signs,
    make_ticks,
    make_tooltip,
    mark_chance,
    mark_mean_chance,
    mark_points,
    name_signs,
    plot_intervals,
)

CONTROLS = {  # the control that the most influential samples are compared with → its row
    "random": "random samples",
    "random_labels": "random, same labels",
    "random_languages": "random, same languages",
}
MODELS = dict(zip(("trained on it", "without it"), PAIR, strict=True))


def plot_dev_accuracy(history: pd.DataFrame, majority: float) -> alt.LayerChart:
    """Development accuracy per epoch and language.

    Parameters
    ----------
    history
        One row per epoch: `epoch`, and the accuracy in each language, in columns named by code;
        `accuracy` and `train_loss` are left out.
    majority
        The share of the most frequent class, drawn as a dashed line.
    """
    history = history.drop(columns=["accuracy", "train_loss"], errors="ignore")
    history = history.rename(columns=lambda name: name if name == "epoch" else name_language(name))
    languages = [column for column in history if column != "epoch"]
    series = make_languages("language", languages)
    epochs = history["epoch"].tolist()  # a tick at each, at most at ten
    axis = alt.Axis(values=epochs[:: -(-len(epochs) // 10)], format="d", grid=False)
    scale = alt.Scale(nice=False, padding=20)
    base = alt.Chart(history.melt("epoch", languages, "language", "accuracy")).encode(
        x=alt.X("epoch:Q", axis=axis, scale=scale),
        y=alt.Y(
            "accuracy:Q",
            axis=alt.Axis(format="%"),
            title="development accuracy",
            scale=alt.Scale(zero=False),
        ),
        opacity=series.fade(1),
        tooltip=[
            *make_tooltip("language", "epoch", suffix=":N"),
            *make_tooltip("accuracy", suffix=":Q", format=".1%"),
        ],
    )
    most = pd.DataFrame([{"accuracy": majority, "language": CHANCE}])
    chance = alt.Chart(most).mark_rule(strokeDash=DASHED, color=GRAY, strokeWidth=1.5)
    tooltip = make_tooltip("accuracy", suffix=":Q", format=".1%")
    chance = chance.encode(y="accuracy:Q", tooltip=tooltip)
    lines = base.mark_line(aria=False).encode(color=series.color)
    points = mark_points(base, size=55).encode(**series.point).add_params(series.focus)
    description = (
        "Development accuracy of each language after each epoch; dashed: chance, the share of the "
        "most frequent class."
    )
    layers = alt.LayerChart(layer=[lines, chance, points])
    return fill_width(layers.properties(height=240, description=description))


def plot_removal(table: pd.DataFrame, each: pd.DataFrame | None = None) -> alt.FacetChart:
    """How much more removing the top k changes confidence than removing a control does.

    Paired differences, one row per control, with a line at zero; one panel per sign and k.

    Parameters
    ----------
    table
        From `removal.compare_with_controls`.
    each
        From `removal.compare_with_controls_by_sample`. The differences of single test samples are
        drawn as small dots where a mean has no interval.
    """
    single_values = find_single_values(table, each, ("sign", "strategy", "k"))
    table = describe_rows(table, lambda value: f"{100 * value:+.1f} points")
    parts = [table.assign(_single=False), single_values.assign(_single=True)]
    table = _name_controls(pd.concat(parts, ignore_index=True))
    series, title = make_signs(None), ["points of confidence:", "top k minus control"]
    x = alt.X("points:Q", title=title, axis=make_ticks("+.0f"), scale=INSET)
    low = alt.X("_low:Q", title=title)
    base = alt.Chart(table).encode(
        y=_set_axis_of_controls(),
        tooltip=[
            *make_tooltip("sign", "control", "k", suffix=":N"),
            *make_tooltip("points", suffix=":Q", format="+.1f"),
            *make_tooltip("_interval", "_samples", suffix=":N"),
        ],
    )
    single = [
        *make_tooltip("test_uid", "control", suffix=":N"),
        *make_tooltip("points", suffix=":Q", format="+.1f"),
    ]
    zero = alt.Chart(table).mark_rule(aria=False, strokeWidth=1.5).encode(x=alt.datum(0))
    dots = mark_points(base.transform_filter("datum._single"), size=28, aria=False)
    dots = dots.encode(x=x, opacity=alt.value(0.6), tooltip=single, **series.point)
    intervals = plot_intervals(base, x=low, x2="_high:Q", color=series.color)
    means = mark_points(base.transform_filter("!datum._single"), size=90)
    means = means.encode(x=x, opacity=alt.value(1), **series.point)
    some = [dots] if table["_single"].any() else []  # an empty layer would be an axis without ends
    layers = alt.LayerChart(layer=[zero, intervals, *some, means])
    panels = sorted(table["_panel"].unique(), key=lambda name: name.endswith(HARMFUL))
    description = (
        "Change in confidence after retraining without the k most influential samples, minus the "
        "change without a control: the mean with its interval, or small dots for test samples."
    )
    chart = layers.properties(width=230, height={"step": 34}, description=description).facet(
        alt.Facet("_panel:N", title=None, sort=panels), columns=2
    )
    return lay_out(chart, describe_panels("spec", columns=(2, 1), beside=126, apart=24, grid=""))


def _name_controls(table: pd.DataFrame) -> pd.DataFrame:
    """Differences in points, controls by name, and the name of each panel."""
    table = name_signs(table)
    panels = [
        f"without the {k} most {sign}" for sign, k in zip(table["sign"], table["k"], strict=True)
    ]
    ends = {"_low": "ci_low", "_high": "ci_high"}
    shown = {new: 100 * table[old] for new, old in ends.items() if old in table}
    control = table["strategy"].map(CONTROLS)
    points = 100 * table["difference"]
    return table.assign(_panel=panels, control=control, points=points, **shown)


def _set_axis_of_controls() -> alt.Y:
    """The rows of `plot_removal`."""
    axis = alt.Axis(minExtent=108, maxExtent=108, labelExpr=AT_COMMAS)
    return alt.Y("control:N", title=None, sort=list(CONTROLS.values()), axis=axis)


def plot_zero_shot(table: pd.DataFrame) -> alt.FacetChart:
    """Share of each training language in a language's top k, trained on it or not (Figure 4).

    Parameters
    ----------
    table
        Rows of `sharing.composition` with two more columns: `language`, the one that a model was
        trained with and another without, and `model` ('trained on it' or 'without it').
    """
    table = describe_rows(name_signs(name_languages(table)))
    panels = [
        f"tested on {language}: most {sign}"
        for language, sign in zip(table["language"], table["sign"], strict=True)
    ]
    table, series = table.assign(_panel=panels), Series("model", MODELS, chance=TICK)
    rows = list(dict.fromkeys(table["train_lang"]))
    names = alt.Axis(minExtent=62, maxExtent=62)
    base = alt.Chart(table).encode(
        y=alt.Y("train_lang:N", title=None, sort=rows, axis=names),
        yOffset=alt.YOffset("model:N", sort=list(MODELS)),
        tooltip=make_share_tooltip("language", "train_lang", "model", "sign"),
    )
    title, fade = "share of the top k", series.fade
    low = alt.X("ci_low:Q", title=title)
    share = alt.X("share:Q", title=title, axis=make_ticks("%"), scale=INSET)
    intervals = plot_intervals(base, x=low, x2="ci_high:Q", color=series.color, opacity=fade(1))
    points = mark_points(base).encode(x=share, opacity=fade(1), **series.point)
    layers = alt.LayerChart(layer=[mark_chance(base), intervals, points.add_params(series.focus)])
    description = "Share of each training language in the top k, by model."
    chart = layers.properties(width=240, height={"step": 16}, description=description).facet(
        alt.Facet("_panel:N", title=None, sort=list(dict.fromkeys(panels))), columns=2
    )
    rule = describe_panels("spec", columns=(2, 1), beside=76, apart=22, grid="")
    return lay_out(chart, rule, legend=2)


def plot_imbalance(table: pd.DataFrame) -> alt.FacetChart:
    """Share of a language in its own top k as it gets more training samples (Figure 5).

    `table`: that of `sharing.imbalance` for all languages and percentages.
    """
    table = describe_rows(name_signs(name_languages(table)))
    title = "additional samples in the language (%)"
    base = alt.Chart(table).encode(
        x=alt.X("percent:O", title=title, axis=alt.Axis(labelAngle=0)),
        tooltip=make_share_tooltip("language", "percent", "sign"),
    )
    return plot_lines_with_bands(
        base,
        mark_mean_chance(base),
        field="language",
        languages=dict.fromkeys(table["language"]),
        title="share from the language itself",
        description="Share of a language in its own top k, by additional samples.",
    )
