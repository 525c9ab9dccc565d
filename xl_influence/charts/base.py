"""What all charts share: Vega without a connection, one colour per language, axes and marks.

The colours start from Okabe and Ito's palette, which colour-blind readers can tell apart, on light
and dark backgrounds alike.
"""

from __future__ import annotations

import os
import warnings
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd
from IPython.display import HTML, display

from ..imports import without_iri_grammar
from ..sharing import SIGNS
from ..tasks import LANGUAGES, name_language
from . import vega

with without_iri_grammar():  # altair imports jsonschema
    import altair as alt

COLORS = {
    "en": "#0072B2",
    "de": "#E69F00",
    "es": "#D55E00",
    "fr": "#009E73",
    "ko": "#CC79A7",
    "ru": "#56B4E9",
    "zh": "#8C6BB1",
    # beyond the paper's languages; nobody can tell this many colours apart
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
# for languages that are not in `COLORS`: first what is left of it, then these
FURTHER = (
    "#F0E442",
    "#4DAF4A",
    "#984EA3",
    "#17BECF",
    "#F781BF",
    "#A65628",
    "#9E9AC8",
    "#637939",
    "#E41A1C",
    "#C49C94",
    "#31A354",
    "#6BAED6",
)
STUDY_COLORS: dict[str, str] = {}  # name → colour of the languages of this notebook's study
OKABE_ITO = 7  # of `COLORS`, the first: those that colour-blind readers tell apart best
SIGN_ORDER = list(SIGNS)
SIGN_SCALE = alt.Scale(domain=SIGN_ORDER, range=["#2f9e57", "#9970ab"])
HAS_INTERVAL = "isValid(datum.ci_low)"  # too few test samples have no interval
TITLES = {
    "test": "test sample",
    "test_lang": "test language",
    "train_lang": "training language",
    "checkpoint": "epoch",
    "ci_low": "interval from",
    "ci_high": "interval to",
    "test_samples": "test samples",
    "items": "different items",
    "low": "influence from",
    "source": "samples in",
}


def set_up(languages: Iterable[str] = ()) -> None:
    """Prepare a notebook for charts; call it once at the top.

    Charts give the study's `languages` the same colours even if they show only some of them.

    Altair's own output fetches Vega from a CDN. Here Vega comes from the installed `vl_convert`,
    once per notebook. Under `xl_influence.notebook` we inline nothing, because the pages of the
    book bring Vega themselves. Progress bars are plain text, so tqdm's warning that the widgets
    for other bars are missing is silenced. Texts in tables are escaped, so markup shows as text.
    """
    STUDY_COLORS.clear()
    STUDY_COLORS.update(choose_colors([name_language(lang) for lang in languages]))
    warnings.filterwarnings("ignore", message="IProgress not found")
    alt.renderers.enable("default")
    alt.data_transformers.disable_max_rows()
    pd.set_option("styler.format.escape", "html")  # texts in tables of one's own data
    if not os.environ.get("XL_INFLUENCE_BOOK"):
        display(HTML(f"<script>{_make_vega_script()}</script>"))


def _make_vega_script() -> str:
    """JavaScript that defines vegaEmbed and tells altair's output that it is there."""
    versions = {
        "vega": alt.VEGA_VERSION,
        "vega-lite": alt.VEGALITE_VERSION,
        "vega-embed": alt.VEGAEMBED_VERSION,
    }
    return f"{vega.bundle_script('vegaEmbed')} {vega.versions_script(versions)}"


def make_language_scale(languages: Iterable[str]) -> alt.Scale:
    """The book's colours for these languages, which are given by name."""
    names = list(languages)
    colors = choose_colors(names)
    return alt.Scale(domain=names, range=[colors[name] for name in names])


def choose_colors(names: Sequence[str]) -> dict[str, str]:
    """A colour for each language, given by name; no two have the same.

    Languages that are not in `COLORS` take colours that no other language has, from Okabe and
    Ito's as long as there are enough. Each begins its search where its name says, so that it keeps
    its colour if languages are added.
    """
    codes = {name: code for code, name in LANGUAGES.items()}
    known = {name: COLORS[codes[name]] for name in names if codes.get(name) in COLORS}
    chosen = {name: STUDY_COLORS[name] for name in names if name in STUDY_COLORS} | known
    rest = sorted(set(names) - set(chosen))
    used = {*chosen.values(), *STUDY_COLORS.values()}
    best = [color for color in list(COLORS.values())[:OKABE_ITO] if color not in used]
    others = [color for color in (*COLORS.values(), *FURTHER) if color not in {*used, *best}]
    free = best if len(rest) <= len(best) else best + others
    free += [f"hsl({137.5 * n % 360:.0f}, 55%, {40 + 15 * (n % 3)}%)" for n in range(len(rest))]
    size = len(free) - len(rest)  # of the colours that are chosen by hand
    for name in rest:
        start = zlib.crc32(name.encode()) % size if size else 0
        order = [*range(start, size), *range(start), *range(size, len(free))]
        chosen[name] = free[next(place for place in order if free[place] not in used)]
        used.add(chosen[name])
    return {name: chosen[name] for name in names}


def name_languages(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the names of languages in place of their codes."""
    columns = ("lang", "test_lang", "train_lang", "language")
    named = {
        column: table[column].map({lang: name_language(lang) for lang in table[column].unique()})
        for column in columns
        if column in table
    }
    return table.assign(**named)


def make_focus(field: str) -> tuple[alt.Parameter, Callable[[float], Any]]:
    """A selection by which a click on the legend fades all other series.

    Parameters
    ----------
    field
        The column that the legend shows.

    Returns
    -------
    tuple
        The selection, and a function from an opacity to the condition that fades it.
    """
    chosen = alt.selection_point(name=f"focus_{field}", fields=[field], bind="legend")

    def fade(opacity: float) -> Any:
        return alt.condition(chosen, alt.value(opacity), alt.value(opacity * 0.15))

    return chosen, fade


def make_epochs_axis() -> alt.X:
    """The axis of the checkpoints: no ticks between them."""
    return alt.X("checkpoint:O", title="epoch", axis=alt.Axis(labelAngle=0))


def plot_chance(table: pd.DataFrame) -> alt.Chart:
    """Chance as a dashed line across the panel."""
    return alt.Chart(table).mark_rule(strokeDash=[4, 4], color="gray").encode(y="mean(chance):Q")


def plot_intervals(base: alt.Chart, **encoding: Any) -> alt.Chart:
    """Intervals as rules, for the rows that have one.

    Parameters
    ----------
    base
        The chart that the rules are a layer of.
    **encoding
        The channels from `ci_low` to `ci_high`, and the colour.
    """
    rules = base.transform_filter(HAS_INTERVAL).mark_rule(strokeWidth=2, aria=False)
    return rules.encode(**encoding)


def plot_lines_with_bands(
    base: alt.Chart,
    chance: alt.Chart,
    *,
    field: str,
    languages: Iterable[str],
    title: str,
    description: str,
) -> alt.FacetChart:
    """Shares as lines with their intervals as bands, one panel per sign.

    Parameters
    ----------
    base
        The chart with the x axis and the tooltip.
    chance
        The layer that shows chance.
    field
        The column of languages, one line each.
    languages
        The names of these languages, in the order of the legend.
    title
        The title of the y axis.
    description
        What a screen reader says of the chart.
    """
    # the symbols of the legend do not take on the opacity of the bands
    legend = alt.Legend(title=field.replace("_lang", " language"), symbolOpacity=1)
    color = alt.Color(f"{field}:N", scale=make_language_scale(languages), legend=legend)
    chosen, fade = make_focus(field)
    low = alt.Y("ci_low:Q", title="")
    share = alt.Y("share:Q", title=title, axis=alt.Axis(format="%"), scale=alt.Scale(zero=True))
    band = base.transform_filter(HAS_INTERVAL).mark_area(aria=False)
    band = band.encode(y=low, y2="ci_high:Q", color=color, opacity=fade(0.12))
    line = base.mark_line(point=True).encode(y=share, color=color, opacity=fade(1))
    layers = alt.LayerChart(layer=[band, line.add_params(chosen), chance])
    sized = layers.properties(width=260, height=220, description=description)
    return sized.facet(alt.Facet("sign:N", title=None, sort=SIGN_ORDER), columns=2)


def make_tooltip(*columns: str, suffix: str = "", **options: Any) -> list[alt.Tooltip]:
    """One line of a tooltip for each column, under the title that readers know.

    Parameters
    ----------
    *columns
        Names of columns.
    suffix
        The type that altair cannot infer from the data, such as ":Q".
    **options
        Passed on to `alt.Tooltip`: `format`.
    """
    return [
        alt.Tooltip(f"{name}{suffix}", title=TITLES.get(name, name), **options) for name in columns
    ]


def make_share_tooltip(*columns: str) -> list[alt.Tooltip]:
    """A tooltip of these columns and of a share.

    The share, its interval and chance are percentages; how many test samples and items are behind
    them comes last.
    """
    return [
        *make_tooltip(*columns),
        *make_tooltip("share", "ci_low", "ci_high", "chance", suffix=":Q", format=".1%"),
        *make_tooltip("test_samples", "items", suffix=":Q"),
    ]


def size_heat_map(languages: int) -> dict[str, int]:
    """Width and height of a heat map: more room for more than five languages."""
    return {"width": max(230, 46 * languages), "height": max(230, 30 * languages)}


def find_single_values(
    table: pd.DataFrame, each: pd.DataFrame | None, keys: Sequence[str]
) -> pd.DataFrame:
    """The values of single test samples behind the rows that have no interval.

    Parameters
    ----------
    table
        Means with `ci_low`, NaN where there is no interval.
    each
        The values by test sample; None where there is no such table.
    keys
        The columns that name a row of `table`; `each` has them too.

    Returns
    -------
    pandas.DataFrame
        The rows of `each` behind those of `table` without an interval; none if `each` is None.
    """
    if each is None:
        return table.iloc[:0]
    return each.merge(table.loc[table["ci_low"].isna(), list(keys)])
