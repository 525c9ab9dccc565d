"""Charts of section 7 and 8: which languages influence comes from."""

import warnings

import altair as alt

from ..tasks import LANGUAGES
from .base import (
    SIGN_COLORS,
    SIGN_SCALE,
    chance_line,
    epochs_axis,
    focus,
    language_scale,
    line_with_band,
    named,
    share_tooltip,
)  # fmt: skip


def composition(table, each, top_k):
    """Share of each training language in the top k of each test language, both signs side by side (Figure 2).

    Below, the same for single test samples (`each`, of `sharing.composition_by_sample`): a click on a test language in the
    heat maps leaves its samples alone.
    """
    table, each = named(table), named(each)
    chosen = alt.selection_point(name="test_language", fields=["test_lang"])
    languages = list(dict.fromkeys(table["train_lang"]))
    panels = []
    for sign, scheme in SIGN_COLORS.items():
        part = table[(table["sign"] == sign) & (table["checkpoint"] == 0)]
        base = alt.Chart(part, title=f"most {sign}ly influential").encode(
            x=alt.X("train_lang:N", sort=languages, title="language of the training samples", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("test_lang:N", sort=languages, title="test language"),
        )
        tooltip = [
            alt.Tooltip("test_lang", title="test language"),
            alt.Tooltip("train_lang", title="training language"),
            *[alt.Tooltip(name, format=".1%") for name in ("share", "ci_low", "ci_high", "chance")],
        ]
        scale = alt.Scale(scheme=scheme, domain=[0, float(table["share"].max())])
        color = alt.Color("share:Q", scale=scale, legend=None)
        outline = alt.condition(chosen, alt.value("#D55E00"), alt.value("transparent"), empty=False)
        cells = base.mark_rect(strokeWidth=3).encode(color=color, tooltip=tooltip, stroke=outline).add_params(chosen)
        dark = alt.datum.share > 0.6 * float(table["share"].max())
        text = base.mark_text(fontSize=12).encode(
            text=alt.Text("share:Q", format=".0%"), color=alt.condition(dark, alt.value("white"), alt.value("black"))
        )
        panels.append((cells + text).properties(width=230, height=230))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Automatically deduplicated selection")  # one selection in both panels, as meant
        chart = alt.hconcat(*panels).resolve_scale(color="independent") & _spread(each, languages, chosen)
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
    x = alt.X("share:Q", title="share of its top k", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1]))
    ticks = base.mark_tick(thickness=3, size=13, opacity=0.5).encode(
        x=x,
        color=alt.Color("sign:N", scale=SIGN_SCALE, title=None, legend=alt.Legend(orient="top", symbolOpacity=1)),
        tooltip=[alt.Tooltip("test", title="test sample"), "train_lang", "sign", alt.Tooltip("share", format=".1%")],
    )
    chance = base.mark_tick(color="gray", thickness=2, size=15).encode(x="mean(chance):Q")
    return (chance + ticks).transform_filter(chosen).properties(width=520, height={"step": 15})


def answer(table):
    """Share of the top k from other languages, for each test language and all; the reader chooses the task.

    `table`: `cross_language` rows of several tasks, with a column `task`.
    """
    table = named(table.replace({"test_lang": {"all": "all languages"}}))
    tasks = list(dict.fromkeys(table["task"]))
    radio = alt.binding_radio(options=tasks, name="Task: ")
    chosen = alt.selection_point(fields=["task"], bind=radio, value=tasks[0])
    order = ["all languages", *(name for name in LANGUAGES.values() if name in set(table["test_lang"]))]
    chart = shares(table, "test_lang", "from other languages", order)
    return chart.add_params(chosen).transform_filter(chosen)


def own_share(table):
    """Share of the test language itself per epoch, with intervals, one panel per sign (Figure 3)."""
    table = named(table[table["test_lang"] == table["train_lang"]])
    languages = dict.fromkeys(table["test_lang"])
    base = alt.Chart(table).encode(
        x=epochs_axis(),
        tooltip=share_tooltip("test_lang", "checkpoint"),
    )
    description = "Share of the test language in its own top k, by epoch and sign."
    return line_with_band(base, "test_lang", languages, "from the test language", chance_line(table), description)


def dynamics(table):
    """Share of each training language per epoch, one panel per test language and sign (Figures 12 and 13)."""
    table = named(table)
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
        .properties(width=105, height=110, description="Share of each training language by epoch, test language and sign.")
        .facet(
            row=alt.Row("sign:N", title=None, sort=list(SIGN_COLORS)),
            column=alt.Column("test_lang:N", title="test language", sort=languages),
        )
    )


def distribution(table):
    """Distribution of influence scores per training language, one panel per test language (Figures 9 to 11)."""
    table = named(table)
    languages = list(dict.fromkeys(table["train_lang"]))
    chosen, faded = focus("train_lang")
    return (
        alt.Chart(table)
        .mark_line(interpolate="step-after")
        .encode(
            opacity=faded(1),
            x=alt.X("low:Q", title="influence"),
            y=alt.Y("share:Q", axis=alt.Axis(format="%"), title="training samples"),
            color=alt.Color("train_lang:N", scale=language_scale(languages), title="training language"),
            tooltip=["train_lang", alt.Tooltip("low", format=".2f"), alt.Tooltip("share", format=".1%")],
        )
        .add_params(chosen)
        .properties(width=170, height=120, description="Distribution of influence scores by training language.")
        .facet(alt.Facet("test_lang:N", title="test language", sort=languages), columns=3)
    )


def contributions(table):
    """Part of the influence of the top k that each parameter group carries, by whether the samples are in the language."""
    sources = {"own": "test language", "other": "other languages"}
    table = table.assign(source=table["source"].map(sources))
    scale = alt.Scale(domain=list(sources.values()), range=["#0072B2", "#E69F00"])
    color = alt.Color("source:N", scale=scale, title="samples in")
    base = alt.Chart(table).encode(
        y=alt.Y("group:N", title=None, sort=None),
        yOffset=alt.YOffset("source:N", sort=list(sources.values())),
        tooltip=["group", "source", *[alt.Tooltip(name, format=".1%") for name in ("share", "ci_low", "ci_high")]],
    )
    rule = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("ci_low:Q", title="part of the influence"), x2="ci_high:Q", color=color
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


def shares(table, y, title, order=None):
    """Shares with their intervals as points, chance as ticks; `y` names the column of the rows, colour is the sign."""
    color = alt.Color("sign:N", scale=SIGN_SCALE, title=None, legend=alt.Legend(orient="top"))
    base = alt.Chart(table).encode(
        y=alt.Y(f"{y}:N", title=None, sort=order),
        yOffset=alt.YOffset("sign:N", sort=["positive", "negative"]),
        tooltip=share_tooltip(y, "sign"),
    )
    x = alt.X("share:Q", title=title, axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1]))
    interval = base.mark_rule(strokeWidth=2).encode(x=alt.X("ci_low:Q", title=title), x2="ci_high:Q", color=color)
    chance = base.mark_tick(color="gray", thickness=2, size=14).encode(x="chance:Q")
    return (interval + base.mark_point(filled=True, size=70, opacity=1).encode(x=x, color=color) + chance).properties(
        width="container",
        height={"step": 18},
        autosize=alt.AutoSizeParams(type="fit-x", contains="padding"),
        description=f"{title}; point and interval; gray tick: chance.",
    )
