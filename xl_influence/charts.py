"""Tidy tables to charts and readable tables. One colour per language through the whole book.

A chart function takes a table of `sharing`, returns an `alt.Chart`, and describes itself to screen readers. Colours are
Okabe and Ito's, told apart by colour-blind readers, on light and dark backgrounds.
"""

import html
import os

import altair as alt
import pandas as pd
from IPython.display import HTML, display

from .tasks import LANGUAGES

COLORS = {
    "en": "#0072B2",
    "de": "#E69F00",
    "es": "#D55E00",
    "fr": "#009E73",
    "ko": "#CC79A7",
    "ru": "#56B4E9",
    "zh": "#8C6BB1",
}
SIGN_COLORS = {"positive": "greens", "negative": "purples"}  # as in the paper


def setup():
    """Make charts draw without a connection. Call once at the top of a notebook.

    Altair's own output fetches Vega from a CDN. Here Vega comes once per notebook out of the installed `vl_convert`.
    Under `xl_influence.notebook` nothing is inlined: the book's pages bring Vega themselves.
    """
    alt.renderers.enable("default")
    alt.data_transformers.disable_max_rows()
    if not os.environ.get("XL_INFLUENCE_BOOK"):
        display(HTML(f"<script>{_vega()}</script>"))


def _vega():
    """JavaScript that defines vegaEmbed and tells altair's output that it is there."""
    import vl_convert

    names = {"vega": alt.VEGA_VERSION, "vega-lite": alt.VEGALITE_VERSION, "vega-embed": alt.VEGAEMBED_VERSION}
    debug = ", ".join(f"{name.replace('-', '')}_version: {version!r}" for name, version in names.items())
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return f"(() => {{ {bundle} }})(); var VEGA_DEBUG = {{{debug}}};"


def language_scale(languages):
    """The book's colours for these languages, given by name."""
    codes = {name: code for code, name in LANGUAGES.items()}
    return alt.Scale(domain=list(languages), range=[COLORS[codes[name]] for name in languages])


def named(table):
    """The table with languages by name instead of by code."""
    return table.replace({column: LANGUAGES for column in ("lang", "test_lang", "train_lang") if column in table})


def dev_accuracy(history, majority):
    """Development accuracy per epoch and language, and the majority class's share as a rule."""
    history = history[["epoch", *(column for column in history if column in LANGUAGES)]].rename(columns=LANGUAGES)
    languages = [column for column in history if column != "epoch"]
    frame = history.melt("epoch", languages, "language", "accuracy")
    base = alt.Chart(frame).encode(
        x=alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1, format="d"), scale=alt.Scale(nice=False, padding=20)),
        y=alt.Y("accuracy:Q", axis=alt.Axis(format="%"), title="dev accuracy", scale=alt.Scale(zero=False)),
        color=alt.Color("language:N", scale=language_scale(languages), title=None),
        tooltip=["language", "epoch", alt.Tooltip("accuracy", format=".1%")],
    )
    rule = alt.Chart(pd.DataFrame({"y": [majority]})).mark_rule(strokeDash=[4, 4], color="gray").encode(y="y:Q")
    return (base.mark_line() + base.mark_point(filled=True, size=50) + rule).properties(
        width="container",
        height=240,
        description="Development accuracy of each language after each epoch; dashed: majority class.",
    )


def composition(table, top_k):
    """Share of each training language in the top k of each test language, both signs side by side (Figure 2)."""
    table = named(table)
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
        cells = base.mark_rect().encode(color=alt.Color("share:Q", scale=scale, legend=None), tooltip=tooltip)
        dark = alt.datum.share > 0.6 * float(table["share"].max())
        text = base.mark_text(fontSize=12).encode(
            text=alt.Text("share:Q", format=".0%"), color=alt.condition(dark, alt.value("white"), alt.value("black"))
        )
        panels.append((cells + text).properties(width=230, height=230))
    return (
        alt.hconcat(*panels)
        .resolve_scale(color="independent")
        .properties(
            description=f"Percent of the top {top_k} training samples that come from each language, for each test language."
        )
    )


def own_share(table):
    """Share of the test language itself per epoch, with intervals, one panel per sign (Figure 3)."""
    table = named(table[table["test_lang"] == table["train_lang"]])
    legend = alt.Legend(title="test language", symbolOpacity=1)  # not the bands' opacity
    color = alt.Color("test_lang:N", scale=language_scale(dict.fromkeys(table["test_lang"])), legend=legend)
    base = alt.Chart(table).encode(
        x=_epochs(),
        tooltip=["test_lang", "checkpoint", *[alt.Tooltip(n, format=".1%") for n in ("share", "ci_low", "ci_high", "chance")]],
    )
    share = alt.Y("share:Q", title="from the test language", axis=alt.Axis(format="%"), scale=alt.Scale(zero=True))
    band = base.mark_area(opacity=0.12).encode(y=alt.Y("ci_low:Q", title=""), y2="ci_high:Q", color=color)
    line = base.mark_line(point=True).encode(y=share, color=color)
    return (
        (band + line + _chance(table))
        .properties(width=260, height=220, description="Share of the test language in its own top k, by epoch and sign.")
        .facet(alt.Facet("sign:N", title=None, sort=list(SIGN_COLORS)), columns=2)
    )


def dynamics(table):
    """Share of each training language per epoch, one panel per test language and sign (Figures 12 and 13)."""
    table = named(table)
    languages = list(dict.fromkeys(table["train_lang"]))
    base = alt.Chart(table).encode(x=_epochs())
    line = base.mark_line(point=True).encode(
        y=alt.Y("share:Q", title="share", axis=alt.Axis(format="%")),
        color=alt.Color("train_lang:N", scale=language_scale(languages), title="training language"),
        tooltip=["test_lang", "train_lang", "checkpoint", alt.Tooltip("share", format=".1%")],
    )
    return (
        (line + _chance(table))
        .properties(width=105, height=110, description="Share of each training language by epoch, test language and sign.")
        .facet(
            row=alt.Row("sign:N", title=None, sort=list(SIGN_COLORS)),
            column=alt.Column("test_lang:N", title="test language", sort=languages),
        )
    )


def _epochs():
    """The axis of the checkpoints: no ticks between them."""
    return alt.X("checkpoint:O", title="epoch", axis=alt.Axis(labelAngle=0))


def _chance(table):
    """A dashed line across the panel."""
    return alt.Chart(table).mark_rule(strokeDash=[4, 4], color="gray").encode(y="mean(chance):Q")


def distribution(table):
    """Distribution of influence scores per training language, one panel per test language (Figures 9 to 11)."""
    table = named(table)
    languages = list(dict.fromkeys(table["train_lang"]))
    return (
        alt.Chart(table)
        .mark_line(interpolate="step-after")
        .encode(
            x=alt.X("low:Q", title="influence"),
            y=alt.Y("share:Q", axis=alt.Axis(format="%"), title="training samples"),
            color=alt.Color("train_lang:N", scale=language_scale(languages), title="training language"),
            tooltip=["train_lang", alt.Tooltip("low", format=".2f"), alt.Tooltip("share", format=".1%")],
        )
        .properties(width=170, height=120, description="Distribution of influence scores by training language.")
        .facet(alt.Facet("test_lang:N", title="test language", sort=languages), columns=3)
    )


def shares(table, y, title):
    """Shares with their intervals as points, chance as ticks; `y` names the column of the rows, colour is the sign."""
    color = alt.Color("sign:N", scale=alt.Scale(domain=["positive", "negative"], range=["#2f9e57", "#9970ab"]), title=None)
    base = alt.Chart(table).encode(
        y=alt.Y(f"{y}:N", title=None, sort=None),
        yOffset=alt.YOffset("sign:N", sort=["positive", "negative"]),
        tooltip=[y, "sign", *[alt.Tooltip(name, format=".1%") for name in ("share", "ci_low", "ci_high", "chance")]],
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


def growth(table):
    """Seconds against what grows, one panel per axis; a line would be straight through equal ratios (log scales)."""
    base = alt.Chart(table).encode(
        x=alt.X("value:Q", title=None, scale=alt.Scale(type="log"), axis=alt.Axis(format="~s", tickCount=4)),
        tooltip=["axis", "value", *[alt.Tooltip(name, format=".1f") for name in ("seconds", "low", "high")]],
    )
    y = alt.Y("seconds:Q", scale=alt.Scale(type="log"), axis=alt.Axis(tickCount=4))
    bars = base.mark_rule(color=COLORS["en"]).encode(y=alt.Y("low:Q", title="seconds"), y2="high:Q")
    line = base.mark_line(point=True, color=COLORS["en"]).encode(y=y)
    return (
        (bars + line)
        .properties(width=170, height=130, description="Seconds of the engine as one quantity grows, on logarithmic scales.")
        .facet(alt.Facet("axis:N", title=None, sort=list(dict.fromkeys(table["axis"]))), columns=3)
        .resolve_scale(x="independent")
    )


def rates(table):
    """Training samples per second of each way to compute the same influence, one panel per case, on a logarithmic scale."""
    base = alt.Chart(table[table["rate"].notna()]).encode(
        y=alt.Y("way:N", title=None, sort="-x"),
        x=alt.X("rate:Q", title="training samples per second", scale=alt.Scale(type="log")),
        color=alt.Color(
            "exact:N",
            title="over all parameters",
            scale=alt.Scale(domain=[True, False], range=[COLORS["en"], COLORS["de"]]),
            legend=alt.Legend(orient="top", labelExpr="datum.value ? 'yes' : 'some only'"),
        ),
        tooltip=["way", alt.Tooltip("rate", format=".3~g"), "covered", alt.Tooltip("peak_gb", format=".1f", title="peak GB")],
    )
    return (
        base.mark_point(filled=True, size=80, opacity=1)
        .properties(width=420, height={"step": 20}, description="Training samples per second of each library and reference.")
        .facet(
            row=alt.Row(
                "case:N",
                title=None,
                sort=list(dict.fromkeys(table["case"])),
                header=alt.Header(orient="top", labelAngle=0, labelAnchor="start"),
            )
        )
        .resolve_scale(y="independent")
    )


def steps(table):
    """Where the time of one training sample goes, as bars."""
    return (
        alt.Chart(table.assign(milliseconds=1000 * table["seconds"]))
        .mark_bar(color=COLORS["en"])
        .encode(
            y=alt.Y("step:N", title=None, sort="-x"),
            x=alt.X("milliseconds:Q", title="milliseconds per training sample"),
            tooltip=["step", alt.Tooltip("milliseconds", format=".1f")],
        )
        .properties(width="container", height={"step": 24}, description="Milliseconds per training sample of each step.")
    )


def matrix(table, value="mean"):
    """A test language × training language table of one column, as a styled frame; the largest of each row is bold."""
    table = named(table)
    languages = list(dict.fromkeys(table["train_lang"]))
    wide = table.pivot(index="test_lang", columns="train_lang", values=value).loc[
        list(dict.fromkeys(table["test_lang"])), languages
    ]
    wide = wide.rename_axis(index="test language", columns="training language")
    return wide.style.format("{:.3f}").highlight_max(axis=1, props="font-weight: bold")


def samples(table, class_names, scores=True):
    """Samples with their texts as an HTML table; texts are escaped, so markup in a review shows as text."""
    head = f"<tr><th>uid</th>{'<th>influence</th>' * scores}<th>text</th><th>label</th></tr>"
    body = []
    for row in table.itertuples():
        texts = [row.text_a, *([row.text_b] if isinstance(row.text_b, str) else [])]
        text = "<br>".join(f'<span lang="{row.lang}">{html.escape(text)}</span>' for text in texts)
        score = "<td>" + ("test sample" if row.sign == "test" else f"{row.influence:+.2f}") + "</td>" if scores else ""
        phenomenon = f"<br><small>{html.escape(row.phenomenon)}</small>" if hasattr(row, "phenomenon") else ""
        label = html.escape(class_names[row.label])
        body.append(f'<tr class="{row.sign}"><td>{row.uid}</td>{score}<td>{text}</td><td>{label}{phenomenon}</td></tr>')
    return HTML(f'<table class="samples"><thead>{head}</thead><tbody>{"".join(body)}</tbody></table>')
