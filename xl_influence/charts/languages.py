"""Charts of section 7 and 8: which languages influence comes from."""

import warnings

import altair as alt
import pandas as pd

from .base import (
    HAS_INTERVAL,
    SIGN_COLORS,
    SIGN_SCALE,
    chance_line,
    epochs_axis,
    focus,
    language_scale,
    line_with_band,
    name_languages,
    share_tooltip,
    singles,
)


def plot_composition(table, each, top_k):
    """Share of each training language in the top k of each test language, both signs side by side (Figure 2).

    Below, the same for single test samples (`each`, of `sharing.composition_by_sample`): a click on a test language in the
    heat maps leaves its samples alone.
    """
    table, each = name_languages(table), name_languages(each)
    chosen = alt.selection_point(name="test_language", fields=["test_lang"])
    languages = list(dict.fromkeys(table["train_lang"]))
    panels = []
    for sign, scheme in SIGN_COLORS.items():
        part = table[(table["sign"] == sign) & (table["checkpoint"] == 0)]
        base = alt.Chart(part, title=f"most {sign}ly influential").encode(
            x=alt.X(
                "train_lang:N",
                sort=languages,
                title="language of the training samples",
                axis=alt.Axis(labelAngle=0),
            ),
            y=alt.Y("test_lang:N", sort=languages, title="test language"),
        )
        tooltip = share_tooltip("test_lang", "train_lang")
        scale = alt.Scale(scheme=scheme, domain=[0, float(table["share"].max())])
        color = alt.Color("share:Q", scale=scale, legend=None)
        outline = alt.condition(chosen, alt.value("#D55E00"), alt.value("transparent"), empty=False)
        cells = (
            base.mark_rect(strokeWidth=3)
            .encode(color=color, tooltip=tooltip, stroke=outline)
            .add_params(chosen)
        )
        dark = alt.datum.share > 0.6 * float(table["share"].max())
        text = base.mark_text(fontSize=12).encode(
            text=alt.Text("share:Q", format=".0%"),
            color=alt.condition(dark, alt.value("white"), alt.value("black")),
        )
        panels.append((cells + text).properties(width=230, height=230))
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Automatically deduplicated selection"
        )  # one selection in both panels, as meant
        chart = alt.hconcat(*panels).resolve_scale(color="independent") & _spread(
            each, languages, chosen
        )
    return chart.resolve_scale(color="independent").properties(
        description=f"Percent of the top {top_k} training samples that come from each language, for each test language; "
        "below, for each test sample."
    )


def _spread(each, languages, chosen):
    """Shares of single test samples as ticks, of the test language that is chosen or of all."""
    base = alt.Chart(each, title="each test sample").encode(
        y=alt.Y("train_lang:N", sort=languages, title="training language"),
        yOffset=alt.YOffset("sign:N", sort=list(SIGN_COLORS)),
    )
    x = alt.X(
        "share:Q",
        title="share of its top k",
        axis=alt.Axis(format="%"),
        scale=alt.Scale(domain=[0, 1]),
    )
    ticks = base.mark_tick(thickness=3, size=13, opacity=0.5).encode(
        x=x,
        color=alt.Color(
            "sign:N", scale=SIGN_SCALE, title=None, legend=alt.Legend(orient="top", symbolOpacity=1)
        ),
        tooltip=[
            alt.Tooltip("test", title="test sample"),
            "train_lang",
            "sign",
            alt.Tooltip("share", format=".1%"),
        ],
    )
    chance = base.mark_tick(color="gray", thickness=2, size=15).encode(x="mean(chance):Q")
    return (chance + ticks).transform_filter(chosen).properties(width=520, height={"step": 15})


def plot_own_share(table):
    """Share of the test language itself per epoch, with intervals, one panel per sign (Figure 3)."""
    table = name_languages(table[table["test_lang"] == table["train_lang"]])
    languages = dict.fromkeys(table["test_lang"])
    base = alt.Chart(table).encode(
        x=epochs_axis(),
        tooltip=share_tooltip("test_lang", "checkpoint"),
    )
    description = "Share of the test language in its own top k, by epoch and sign."
    return line_with_band(
        base, "test_lang", languages, "from the test language", chance_line(table), description
    )


def plot_dynamics(table):
    """Share of each training language per epoch, one panel per test language and sign (Figures 12 and 13)."""
    table = name_languages(table)
    languages = list(dict.fromkeys(table["train_lang"]))
    base = alt.Chart(table).encode(x=epochs_axis())
    chosen, faded = focus("train_lang")
    line = base.mark_line(point=True).encode(
        opacity=faded(1),
        y=alt.Y("share:Q", title="share", axis=alt.Axis(format="%")),
        color=alt.Color("train_lang:N", scale=language_scale(languages), title="training language"),
        tooltip=["test_lang", "train_lang", "checkpoint", alt.Tooltip("share", format=".1%")],
    )
    return (
        (line.add_params(chosen) + chance_line(table))
        .properties(
            width=105,
            height=110,
            description="Share of each training language by epoch, test language and sign.",
        )
        .facet(
            row=alt.Row("sign:N", title=None, sort=list(SIGN_COLORS)),
            column=alt.Column("test_lang:N", title="test language", sort=languages),
        )
    )


def plot_distribution(table):
    """Distribution of influence scores per training language, one panel per test language (Figures 9 to 11)."""
    table = name_languages(table)
    languages = list(dict.fromkeys(table["train_lang"]))
    chosen, faded = focus("train_lang")
    return (
        alt.Chart(table)
        .mark_line(interpolate="step-after")
        .encode(
            opacity=faded(1),
            x=alt.X("low:Q", title="influence"),
            y=alt.Y("share:Q", axis=alt.Axis(format="%"), title="training samples"),
            color=alt.Color(
                "train_lang:N", scale=language_scale(languages), title="training language"
            ),
            tooltip=[
                "train_lang",
                alt.Tooltip("low", format=".2f"),
                alt.Tooltip("share", format=".1%"),
            ],
        )
        .add_params(chosen)
        .properties(
            width=170,
            height=120,
            description="Distribution of influence scores by training language.",
        )
        .facet(alt.Facet("test_lang:N", title="test language", sort=languages), columns=3)
    )


def plot_contributions(table):
    """Part of the influence of the top k that each parameter group carries, by whether the samples are in the language."""
    sources = {"own": "test language", "other": "other languages"}
    table = table.assign(source=table["source"].map(sources))
    scale = alt.Scale(domain=list(sources.values()), range=["#0072B2", "#E69F00"])
    color = alt.Color("source:N", scale=scale, title="samples in")
    base = alt.Chart(table).encode(
        y=alt.Y("group:N", title=None, sort=None),
        yOffset=alt.YOffset("source:N", sort=list(sources.values())),
        tooltip=[
            "group",
            "source",
            *[alt.Tooltip(name, format=".1%") for name in ("share", "ci_low", "ci_high")],
        ],
    )
    rule = (
        base.transform_filter(HAS_INTERVAL)
        .mark_rule(strokeWidth=2, aria=False)
        .encode(x=alt.X("ci_low:Q", title="part of the influence"), x2="ci_high:Q", color=color)
    )
    point = base.mark_point(filled=True, size=70, opacity=1).encode(
        x=alt.X("share:Q", title="part of the influence", axis=alt.Axis(format="%")), color=color
    )
    return (rule + point).properties(
        width="container",
        height={"step": 18},
        autosize=alt.AutoSizeParams(type="fit-x", contains="padding"),
        description="Part of the influence that each parameter group carries; point and interval.",
    )


def plot_share_by_k(tables, paper_k=100):
    """Share of the top k that comes from other languages against k, one panel per task; a dot at the paper's k.

    `tables`: the task's name → its table of `sharing.share_by_k`. Positive influence as a line with a band, negative as a
    thin line, chance dashed.
    """
    table = pd.concat(
        [part[part["test_lang"] == "all"].assign(task=task) for task, part in tables.items()]
    )
    base = alt.Chart(table).encode(
        x=alt.X(
            "k:Q",
            title="k most influential samples",
            scale=alt.Scale(type="log", domain=[1, int(table["k"].max())], nice=False),
            axis=alt.Axis(values=[1, 5, 20, 100, 500], format="d", grid=False),
        ),
        color=alt.Color(
            "sign:N",
            scale=SIGN_SCALE,
            title="influence",
            legend=alt.Legend(orient="top", symbolOpacity=1),
        ),
        tooltip=share_tooltip("task", "sign", "k"),
    )
    positive, negative = (base.transform_filter(alt.datum.sign == sign) for sign in SIGN_COLORS)
    percent = alt.Axis(format="%", values=[0, 0.2, 0.4, 0.6, 0.8, 1])
    y = alt.Y(
        "share:Q", title="share from other languages", axis=percent, scale=alt.Scale(domain=[0, 1])
    )
    low = alt.Y("ci_low:Q", title="share from other languages")
    band = (
        positive.transform_filter(HAS_INTERVAL)
        .mark_area(opacity=0.2, aria=False)
        .encode(y=low, y2="ci_high:Q")
    )
    lines = positive.mark_line(strokeWidth=2.5).encode(y=y) + negative.mark_line(
        strokeWidth=1
    ).encode(y=y)
    points = positive.mark_point(filled=True, size=25, opacity=1).encode(y=y)
    points += negative.mark_point(filled=True, size=12, opacity=1).encode(y=y)
    dot = (
        positive.transform_filter(alt.datum.k == paper_k)
        .mark_point(filled=True, size=130, opacity=1)
        .encode(y=y)
    )
    chance = base.mark_line(strokeDash=[4, 4]).encode(y="mean(chance):Q", color=alt.value("gray"))
    description = (
        "Share of the k most influential training samples that are in other languages than the test sample, against k, "
        f"for each task: positive influence with its interval, negative, and chance dashed. The large dot is k = {paper_k}."
    )
    return (
        (band + chance + lines + points + dot)
        .properties(width=190 if len(tables) > 1 else 420, height=220, description=description)
        .facet(alt.Facet("task:N", title=None, sort=list(tables)), columns=len(tables))
    )


def plot_shares(table, y, title, order=None, each=None):
    """Shares with their intervals as points, chance as ticks; `y` names the column of the rows, colour is the sign.

    `each`: the table by sample; where a share has no interval its single values are drawn as small dots.
    """
    color = alt.Color("sign:N", scale=SIGN_SCALE, title=None, legend=alt.Legend(orient="top"))
    base = alt.Chart(table).encode(
        y=alt.Y(f"{y}:N", title=None, sort=order or list(dict.fromkeys(table[y]))),
        yOffset=alt.YOffset("sign:N", sort=["positive", "negative"]),
        tooltip=share_tooltip(y, "sign"),
    )
    x = alt.X("share:Q", title=title, axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1]))
    low = alt.X("ci_low:Q", title=title)
    interval = (
        base.transform_filter(HAS_INTERVAL)
        .mark_rule(strokeWidth=2, aria=False)
        .encode(x=low, x2="ci_high:Q", color=color)
    )
    dots = alt.Chart(singles(table, each, y, "sign")).mark_point(size=25, opacity=0.8, aria=False)
    tooltip = [alt.Tooltip("test:N", title="test sample"), alt.Tooltip("share:Q", format=".1%")]
    dots = dots.encode(
        x=x, y=base.encoding.y, yOffset=base.encoding.yOffset, color=color, tooltip=tooltip
    )
    chance = base.mark_tick(color="gray", thickness=2, size=14).encode(x="chance:Q")
    points = base.mark_point(filled=True, size=70, opacity=1).encode(x=x, color=color)
    return (interval + dots + points + chance).properties(
        width="container",
        height={"step": 18},
        autosize=alt.AutoSizeParams(type="fit-x", contains="padding"),
        description=f"{title}; point and interval, or small dots for single test samples; gray tick: chance.",
    )
