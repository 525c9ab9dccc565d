"""Tables that can be read on a phone, and heads and cells in words.

On a narrow screen each row of a table becomes a card (`custom.css`): every cell then needs to know
the head of its column, which this extension notes in `data-label`. Columns that a table names as
the code does, such as `mean_reciprocal_rank`, get words, and codes of languages their names.
"""

import re
from typing import Any

import bs4
from sphinx.application import Sphinx

from xl_influence.charts.base import TITLES
from xl_influence.languages import LANGUAGES

TABLE = re.compile(r"<table\b.*?</table>", re.DOTALL)
FEWEST = 3  # columns of a table that needs cards
# Heads that the code's names do not explain: those of the charts' tooltips, and these
HEADS = TITLES | {
    "ci_low": "interval from",
    "ci_high": "to",
    "n_test": "test samples",
    "peak_gb": "peak memory (GB)",
    "lang": "language",
    "checkpoint_a": "epoch",
    "checkpoint_b": "compared with epoch",
    "p_adjusted": "p (Holm)",
    "memory_gb": "memory (GB)",
    "accuracy_seen": "accuracy, trained on it",
}
LANGUAGE_HEADS = ("test language", "training language", "language")
IDENTIFIER = re.compile(r"[a-z0-9]+(_[a-z0-9]+)+|lang")


def rewrite_tables(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Rewrite the tables of a page."""
    if pagename in app.env.found_docs and "<table" in (context.get("body") or ""):
        context["body"] = TABLE.sub(lambda found: rewrite(found[0]), context["body"])


def rewrite(table: str) -> str:
    """A table with heads in words, and with the head of its column at each cell.

    Parameters
    ----------
    table
        Its HTML. A table inside another, or with heads over several columns, stays as it is.
    """
    soup = bs4.BeautifulSoup(table, "html.parser")
    rows = soup.select("thead tr")
    if len(rows) != 1 or table.count("<table") > 1 or soup.select_one("[colspan], [rowspan]"):
        return table
    heads = rows[0].find_all("th")
    for head in heads:
        name = head.get_text(strip=True)
        if IDENTIFIER.fullmatch(name) or name in LANGUAGES:
            head.string = in_words(name)
    labels = [head.get_text(" ", strip=True) for head in heads]
    for row in soup.select("tbody tr"):
        for label, cell in zip(labels, row.find_all(["th", "td"]), strict=False):
            code = cell.get_text(strip=True)
            if code in LANGUAGES and (label in LANGUAGE_HEADS or cell.name == "th"):
                cell.string = LANGUAGES[code]
            cell["data-label"] = label
    if len(labels) >= FEWEST:
        soup.table["class"] = [*soup.table.get("class", []), "cards"]
    return str(soup)


def in_words(name: str) -> str:
    """A column's name in words."""
    return HEADS.get(name) or LANGUAGES.get(name) or name.replace("_", " ")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("html-page-context", rewrite_tables, priority=400)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
