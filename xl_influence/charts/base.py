"""What all charts share: Vega without a connection, one colour per language, axes and marks.

Every colour of `COLORS` has a contrast of 3 : 1 or more on the book's light and dark backgrounds.
The languages of one task differ for colour-blind readers too, and shapes tell series apart without
any colour.
"""

from __future__ import annotations

import os
import warnings
import zlib
from collections.abc import Iterable, Sequence

import pandas as pd
from IPython.display import HTML, display

from ..imports import without_iri_grammar
from ..tasks import LANGUAGES, name_language
from . import layout, vega

with without_iri_grammar():  # altair imports jsonschema
    import altair as alt

COLORS = {
    "en": "#3D67F3",
    "de": "#AA8F2F",
    "es": "#A16548",
    "fr": "#207E72",
    "ko": "#EC4D88",
    "ru": "#3F9DC1",
    "zh": "#D6249F",
    # beyond the paper's languages; nobody can tell this many colours apart
    "ar": "#A6761D",
    "bg": "#717171",
    "el": "#E7298A",
    "hi": "#65A41E",
    "ja": "#7570B3",
    "sw": "#1B9E77",
    "th": "#B15928",
    "tr": "#2C7A9B",
    "ur": "#DD1E35",
    "vi": "#3B73BB",
}
# for languages that are not in `COLORS`: first what is left of it, then these
FURTHER = (
    "#A1960D",
    "#49A646",
    "#A153AD",
    "#14A1B0",
    "#F459AB",
    "#B05B2A",
    "#938EC2",
    "#637939",
    "#E41A1C",
    "#B8877E",
    "#31A354",
    "#489BCC",
)
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
STUDY_COLORS: dict[str, str] = {}  # name → colour of the languages of this notebook's study
BEST = 7  # of `COLORS`, the first: those that colour-blind readers tell apart best
HAS_INTERVAL = "isValid(datum.ci_low)"  # too few test samples have no interval
TITLES = {
    "test": "test sample",
    "test_lang": "test language",
    "train_lang": "training language",
    "checkpoint": "epoch",
    "_interval": "interval",
    "_samples": "test samples",
    "sign": "influence",
    "low": "influence from",
    "source": "samples in",
    "what": "shared with the test sample",
    "percent": "additional samples (%)",
    "n_train": "training samples",
    "test_uid": "test sample",
    "way": "method",
    "lds": "LDS",
    "null_high": "at most by luck",
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
    layout.enable_theme()
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


def choose_colors(names: Sequence[str]) -> dict[str, str]:
    """A colour for each language, given by name; no two have the same.

    Languages that are not in `COLORS` take colours that no other language has, from the first
    seven as long as there are enough. Each begins its search where its name says, so that it keeps
    its colour if languages are added.
    """
    codes = {name: code for code, name in LANGUAGES.items()}
    known = {name: COLORS[codes[name]] for name in names if codes.get(name) in COLORS}
    chosen = {name: STUDY_COLORS[name] for name in names if name in STUDY_COLORS} | known
    rest = sorted(set(names) - set(chosen))
    used = {*chosen.values(), *STUDY_COLORS.values()}
    best = [color for color in list(COLORS.values())[:BEST] if color not in used]
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
