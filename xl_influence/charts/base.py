"""What all charts share: Vega without a connection, one colour per language, axes and rules.

Colours are Okabe and Ito's, told apart by colour-blind readers, on light and dark backgrounds.
"""

import os

import altair as alt
from IPython.display import HTML, display

from ..tasks import LANGUAGES
from . import vega

COLORS = {
    "en": "#0072B2",
    "de": "#E69F00",
    "es": "#D55E00",
    "fr": "#009E73",
    "ko": "#CC79A7",
    "ru": "#56B4E9",
    "zh": "#8C6BB1",
    # beyond the paper's languages; so many cannot all be told apart by everyone
    "ar": "#A6761D",
    "bg": "#5A5A5A",
    "el": "#E7298A",
    "hi": "#66A61E",
    "ja": "#7570B3",
    "sw": "#1B9E77",
    "th": "#B15928",
    "tr": "#2C7A9B",
    "ur": "#B2182B",
    "vi": "#386CB0",
}
UNKNOWN = "#777777"
SIGN_COLORS = {"positive": "greens", "negative": "purples"}  # of heat maps, as in the paper
HAS_INTERVAL = (
    "isValid(datum.ci_low)"  # tables have none where too few test samples are behind a value
)
TITLES = {
    "test_lang": "test language",
    "train_lang": "training language",
    "checkpoint": "epoch",
    "ci_low": "interval from",
    "ci_high": "interval to",
    "test_samples": "test samples",
    "items": "different items",
}
SIGN_SCALE = alt.Scale(domain=["positive", "negative"], range=["#2f9e57", "#9970ab"])


def set_up():
    """Make charts draw without a connection. Call once at the top of a notebook.

    Altair's own output fetches Vega from a CDN. Here Vega comes once per notebook out of the installed `vl_convert`.
    Under `xl_influence.notebook` nothing is inlined: the book's pages bring Vega themselves.
    """
    alt.renderers.enable("default")
    alt.data_transformers.disable_max_rows()
    if not os.environ.get("XL_INFLUENCE_BOOK"):
        display(HTML(f"<script>{_vega()}</script>"))


def _vega() -> str:
    """JavaScript that defines vegaEmbed, and tells Altair's output that it is there."""
    versions = {
        "vega": alt.VEGA_VERSION,
        "vega-lite": alt.VEGALITE_VERSION,
        "vega-embed": alt.VEGAEMBED_VERSION,
    }
    return f"{vega.bundle_script('vegaEmbed')} {vega.versions_script(versions)}"


def language_scale(languages):
    """The book's colours for these languages, given by name."""
    codes = {name: code for code, name in LANGUAGES.items()}
    return alt.Scale(
        domain=list(languages), range=[COLORS.get(codes.get(name), UNKNOWN) for name in languages]
    )


def name_languages(table):
    """The table with languages by name instead of by code."""
    return table.replace(
        {
            column: LANGUAGES
            for column in ("lang", "test_lang", "train_lang", "language")
            if column in table
        }
    )


def focus(field):
    """A click into the legend fades all other series: the selection, and a function from an opacity to its condition."""
    chosen = alt.selection_point(name=f"focus_{field}", fields=[field], bind="legend")
    return chosen, lambda opacity: alt.condition(
        chosen, alt.value(opacity), alt.value(opacity * 0.15)
    )


def epochs_axis():
    """The axis of the checkpoints: no ticks between them."""
    return alt.X("checkpoint:O", title="epoch", axis=alt.Axis(labelAngle=0))


def chance_line(table):
    """A dashed line across the panel."""
    return alt.Chart(table).mark_rule(strokeDash=[4, 4], color="gray").encode(y="mean(chance):Q")


def line_with_band(base, field, languages, title, chance, description):
    """Shares as lines, their intervals as bands, and the layer `chance`; one panel per sign.

    `field`: the column of the languages that the lines are of.
    """
    legend = alt.Legend(
        title=field.replace("_lang", " language"), symbolOpacity=1
    )  # not the bands' opacity
    color = alt.Color(f"{field}:N", scale=language_scale(languages), legend=legend)
    chosen, faded = focus(field)
    low = alt.Y("ci_low:Q", title="")
    band = (
        base.transform_filter(HAS_INTERVAL)
        .mark_area(aria=False)
        .encode(y=low, y2="ci_high:Q", color=color, opacity=faded(0.12))
    )
    share = alt.Y("share:Q", title=title, axis=alt.Axis(format="%"), scale=alt.Scale(zero=True))
    line = (
        base.mark_line(point=True).encode(y=share, color=color, opacity=faded(1)).add_params(chosen)
    )
    return (
        (band + line + chance)
        .properties(width=260, height=220, description=description)
        .facet(alt.Facet("sign:N", title=None, sort=list(SIGN_COLORS)), columns=2)
    )


def share_tooltip(*columns):
    """These columns, then the share with its interval and chance as percentages, and how much is behind it."""
    shown = ("share", "ci_low", "ci_high", "chance")
    percents = [alt.Tooltip(f"{name}:Q", format=".1%", title=_title(name)) for name in shown]
    counts = [alt.Tooltip(f"{name}:Q", title=_title(name)) for name in ("test_samples", "items")]
    return [*[alt.Tooltip(name, title=_title(name)) for name in columns], *percents, *counts]


def _title(name):
    return TITLES.get(name, name)


def singles(table, each, *keys):
    """The single values behind rows of `table` that have no interval, from its table by sample; `keys` name the rows."""
    if each is None:
        return table.iloc[:0]
    return each.merge(table.loc[table["ci_low"].isna(), list(keys)])
