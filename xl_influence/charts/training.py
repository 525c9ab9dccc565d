"""Charts of models: how well they do, and what changes when they are trained on other samples."""

from __future__ import annotations

import altair as alt
import pandas as pd

from ..tasks import name_language
from .base import (
    SIGN_ORDER,
    find_single_values,
    make_focus,
    make_language_scale,
    make_share_tooltip,
    make_tooltip,
    name_languages,
    plot_intervals,
    plot_lines_with_bands,
)

REMOVED = {  # what was removed → what readers see
    "top": "the most influential",
    "random": "random",
    "random_labels": "random, same labels",
    "random_languages": "random, same languages",
}
MODELS = ["trained on it", "without it"]


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
    chosen, fade = make_focus("language")
    x_axis, x_scale = alt.Axis(tickMinStep=1, format="d"), alt.Scale(nice=False, padding=20)
    y_axis, y_scale = alt.Axis(format="%"), alt.Scale(zero=False)
    base = alt.Chart(history.melt("epoch", languages, "language", "accuracy")).encode(
        x=alt.X("epoch:Q", axis=x_axis, scale=x_scale),
        y=alt.Y("accuracy:Q", axis=y_axis, title="dev accuracy", scale=y_scale),
        color=alt.Color("language:N", scale=make_language_scale(languages), title=None),
        opacity=fade(1),
        tooltip=[*make_tooltip("language", "epoch"), *make_tooltip("accuracy", format=".1%")],
    )
    chance = alt.Chart(pd.DataFrame({"y": [majority]}))
    chance = chance.mark_rule(strokeDash=[4, 4], color="gray").encode(y="y:Q")
    lines = base.mark_line().add_params(chosen)
    points = base.mark_point(filled=True, size=50)
    description = (
        "Development accuracy of each language after each epoch; dashed: the share of the most "
        "frequent class."
    )
    return alt.LayerChart(layer=[lines, points, chance]).properties(
        width="container", height=240, description=description
    )


def plot_removal(table: pd.DataFrame, each: pd.DataFrame | None = None) -> alt.FacetChart:
    """Change in confidence against how many samples were removed (Figures 1, 6 to 8).

    Parameters
    ----------
    table
        The mean changes by sign, strategy and k, as `removal.change` returns them.
    each
        The changes of single test samples, as `removal.by_sample` returns them. They are drawn as
        small dots where a mean has no interval.
    """
    single = find_single_values(table, each, ("sign", "strategy", "k")).assign(single=True)
    table = pd.concat([table.assign(single=False), single])
    table = table.assign(removed=table["strategy"].map(REMOVED))
    base = _set_axes_of_removal(table)
    scale = alt.Scale(
        domain=list(REMOVED.values()), range=["#D55E00", "#999999", "#0072B2", "#009E73"]
    )
    color = alt.Color("removed:N", title="removed", scale=scale)
    low, change = (
        alt.Y(f"{name}:Q", title="change in confidence") for name in ("ci_low", "change")
    )
    means = base.transform_filter("!datum.single").mark_point(filled=True, size=60, opacity=1)
    dots = base.transform_filter("datum.single").mark_point(size=25, opacity=0.8, aria=False)
    zero = alt.Chart(table).mark_rule(strokeDash=[4, 4], color="gray", aria=False)
    layers = alt.LayerChart(
        layer=[
            plot_intervals(base, y=low, y2="ci_high:Q", color=color),
            dots.encode(y=change, color=color),
            means.encode(y=change, color=color),
            zero.encode(y=alt.datum(0)),
        ]
    )
    description = "Change in confidence after retraining without k samples."
    return layers.properties(width=250, height=220, description=description).facet(
        alt.Facet("sign:N", title=None, sort=SIGN_ORDER), columns=2
    )


def _set_axes_of_removal(table: pd.DataFrame) -> alt.Chart:
    """The chart that the layers of `plot_removal` start from: x axis and tooltip."""
    return alt.Chart(table).encode(
        x=alt.X("k:O", title="samples removed (k)", axis=alt.Axis(labelAngle=0)),
        xOffset=alt.XOffset("removed:N", sort=list(REMOVED.values())),
        tooltip=[
            *make_tooltip("removed", "k"),
            *make_tooltip("change", "ci_low", "ci_high", suffix=":Q", format="+.3f"),
            *make_tooltip("test_samples", suffix=":Q"),
        ],
    )


def plot_zero_shot(table: pd.DataFrame) -> alt.FacetChart:
    """Share of each training language in a language's top k, trained on it or not (Figure 4).

    Parameters
    ----------
    table
        Rows of `sharing.composition` with two more columns: `language`, the one that a model was
        trained with and another without, and `model` ('trained on it' or 'without it').
    """
    table = name_languages(table)
    base = alt.Chart(table).encode(
        y=alt.Y("train_lang:N", title="training language"),
        yOffset=alt.YOffset("model:N", sort=MODELS),
        tooltip=make_share_tooltip("language", "train_lang", "model", "sign"),
    )
    scale = alt.Scale(domain=MODELS, range=["#0072B2", "#E69F00"])
    color = alt.Color("model:N", scale=scale, title=None)
    low = alt.X("ci_low:Q", title="share of the top k")
    share = alt.X("share:Q", title="share of the top k", axis=alt.Axis(format="%"))
    layers = alt.LayerChart(
        layer=[
            plot_intervals(base, x=low, x2="ci_high:Q", color=color),
            base.mark_point(filled=True, size=60, opacity=1).encode(x=share, color=color),
            base.mark_tick(color="gray", thickness=2, size=10).encode(x="chance:Q"),
        ]
    )
    description = "Share of each training language, by model."
    return layers.properties(width=240, height={"step": 14}, description=description).facet(
        row=alt.Row("language:N", title="test language", sort=None),
        column=alt.Column("sign:N", title=None, sort=SIGN_ORDER),
    )


def plot_imbalance(table: pd.DataFrame) -> alt.FacetChart:
    """Share of a language in its own top k as it gets more training samples (Figure 5).

    `table`: that of `sharing.imbalance` for all languages and percentages.
    """
    table = name_languages(table)
    title = "additional samples in the language (%)"
    base = alt.Chart(table).encode(
        x=alt.X("percent:O", title=title, axis=alt.Axis(labelAngle=0)),
        tooltip=make_share_tooltip("language", "percent", "sign"),
    )
    chance = base.mark_line(strokeDash=[4, 4], color="gray").encode(y="mean(chance):Q")
    return plot_lines_with_bands(
        base,
        chance,
        field="language",
        languages=dict.fromkeys(table["language"]),
        title="share from the language itself",
        description="Share of a language in its own top k, by additional samples.",
    )
