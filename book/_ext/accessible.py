"""What docutils and the theme leave out for screen readers and keyboards.

A list without list items is not called a list. A table from a notebook can be wider than its place
and then scrolls, so the keyboard must reach it; the theme sees to this in computed pages only.
"""

from typing import Any

from sphinx.application import Sphinx

CITATIONS = 'class="citation-list"'
TABLE = '<div class="output text_html"'


def complete_page(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Drop the role of the list of citations, and let the keyboard reach tables that scroll."""
    if body := context.get("body"):
        body = body.replace(f'<div role="list" {CITATIONS}>', f"<div {CITATIONS}>")
        context["body"] = body.replace(f"{TABLE}>", f'{TABLE} tabindex="0">')


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx, after the theme."""
    app.connect("html-page-context", complete_page, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
