"""Charts of what was trained, once or again."""

import altair as alt
import pandas as pd

from ..tasks import LANGUAGES
from .base import (
    HAS_INTERVAL,
    focus,
    language_scale,
    line_with_band,
    name_languages,
    share_tooltip,
    singles,
)


def plot_dev_accuracy(history, majority):
    """Development accuracy per epoch and language, and the majority class's share as a rule."""
    history = history.drop(columns=["accuracy", "train_loss"], errors="ignore").rename(
        columns=LANGUAGES
    )
    languages = [column for column in history if column != "epoch"]
    frame = history.melt("epoch", languages, "language", "accuracy")
    chosen, faded = focus("language")
    base = alt.Chart(frame).encode(
        opacity=faded(1),
        x=alt.X(
            "epoch:Q",
            axis=alt.Axis(tickMinStep=1, format="d"),
            scale=alt.Scale(nice=False, padding=20),
        ),
        y=alt.Y(
            "accuracy:Q",
            axis=alt.Axis(format="%"),
            title="dev accuracy",
            scale=alt.Scale(zero=False),
        ),
        color=alt.Color("language:N", scale=language_scale(languages), title=None),
        tooltip=["language", "epoch", alt.Tooltip("accuracy", format=".1%")],
    )
    rule = (
        alt.Chart(pd.DataFrame({"y": [majority]}))
        .mark_rule(strokeDash=[4, 4], color="gray")
        .encode(y="y:Q")
    )
    return (
        base.mark_line().add_params(chosen) + base.mark_point(filled=True, size=50) + rule
    ).properties(
        width="container",
        height=240,
        description="Development accuracy of each language after each epoch; dashed: majority class.",
    )


def plot_removal(table, each=None):
    """Change of confidence against the number of removed samples, by what was removed (Figures 1, 6 to 8).

    `each`: the changes of single test samples (`removal.by_sample`), drawn as small dots where there is no interval.
    """
    names = {
        "top": "the most influential",
        "random": "random",
        "random_labels": "random, same labels",
        "random_languages": "random, same languages",
    }
    few = singles(table, each, "sign", "strategy", "k").assign(single=True)
    table = pd.concat([table.assign(single=False), few]).assign(
        removed=lambda rows: rows["strategy"].map(names)
    )
    scale = alt.Scale(
        domain=list(names.values()), range=["#D55E00", "#999999", "#0072B2", "#009E73"]
    )
    color = alt.Color("removed:N", title="removed", scale=scale)
    titles = {"change": "change", "ci_low": "interval from", "ci_high": "interval to"}
    numbers = [
        alt.Tooltip(f"{name}:Q", format="+.3f", title=title) for name, title in titles.items()
    ]
    base = alt.Chart(table).encode(
        x=alt.X("k:O", title="samples removed (k)", axis=alt.Axis(labelAngle=0)),
        xOffset=alt.XOffset("removed:N", sort=list(names.values())),
        tooltip=["removed", "k", *numbers, alt.Tooltip("test_samples:Q", title="test samples")],
    )
    low, change = (
        alt.Y(f"{name}:Q", title="change of confidence") for name in ("ci_low", "change")
    )
    bars = (
        base.transform_filter(HAS_INTERVAL)
        .mark_rule(strokeWidth=2, aria=False)
        .encode(y=low, y2="ci_high:Q", color=color)
    )
    points = (
        base.transform_filter("!datum.single")
        .mark_point(filled=True, size=60, opacity=1)
        .encode(y=change, color=color)
    )
    dots = (
        base.transform_filter("datum.single")
        .mark_point(size=25, opacity=0.8, aria=False)
        .encode(y=change, color=color)
    )
    zero = (
        alt.Chart(table)
        .mark_rule(strokeDash=[4, 4], color="gray", aria=False)
        .encode(y=alt.datum(0))
    )
    return (
        (bars + dots + points + zero)
        .properties(
            width=250,
            height=220,
            description="Change of confidence after training without k samples.",
        )
        .facet(alt.Facet("sign:N", title=None, sort=["positive", "negative"]), columns=2)
    )


def plot_zero_shot(table):
    """Share of each training language in the top k of a language that was trained on, and left out (Figure 4).

    `table`: `plot_composition` rows with `language` (left out, or not) and `model` ('trained on it', 'without it').
    """
    table = name_languages(table)
    models = ["trained on it", "without it"]
    base = alt.Chart(table).encode(
        y=alt.Y("train_lang:N", title="training language"),
        yOffset=alt.YOffset("model:N", sort=models),
        tooltip=share_tooltip("language", "train_lang", "model", "sign"),
    )
    color = alt.Color(
        "model:N", scale=alt.Scale(domain=models, range=["#0072B2", "#E69F00"]), title=None
    )
    low = alt.X("ci_low:Q", title="share of the top k")
    bars = (
        base.transform_filter(HAS_INTERVAL)
        .mark_rule(strokeWidth=2, aria=False)
        .encode(x=low, x2="ci_high:Q", color=color)
    )
    share = alt.X("share:Q", title="share of the top k", axis=alt.Axis(format="%"))
    points = base.mark_point(filled=True, size=60, opacity=1).encode(x=share, color=color)
    chance = base.mark_tick(color="gray", thickness=2, size=10).encode(x="chance:Q")
    return (
        (bars + points + chance)
        .properties(
            width=240, height={"step": 14}, description="Share of each training language, by model."
        )
        .facet(
            row=alt.Row("language:N", title="test language", sort=None),
            column=alt.Column("sign:N", title=None, sort=["positive", "negative"]),
        )
    )


def plot_imbalance(table):
    """Share of a language in its own top k as it gets more training samples (Figure 5)."""
    table = name_languages(table)
    languages = dict.fromkeys(table["language"])
    base = alt.Chart(table).encode(
        x=alt.X(
            "percent:O", title="additional samples of the language, %", axis=alt.Axis(labelAngle=0)
        ),
        tooltip=share_tooltip("language", "percent", "sign"),
    )
    chance = base.mark_line(strokeDash=[4, 4], color="gray").encode(y="mean(chance):Q")
    description = "Share of a language in its own top k by additional samples."
    return line_with_band(
        base, "language", languages, "from the language itself", chance, description
    )
