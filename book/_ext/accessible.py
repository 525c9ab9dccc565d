"""What docutils leaves out for screen readers: a list without list items is not called a list."""

from typing import Any

from sphinx.application import Sphinx

CITATIONS = 'class="citation-list"'


def complete_page(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Drop the role of the list of citations."""
    if context.get("body"):
        context["body"] = context["body"].replace(
            f'<div role="list" {CITATIONS}>', f"<div {CITATIONS}>"
        )


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx, after the theme."""
    app.connect("html-page-context", complete_page, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
