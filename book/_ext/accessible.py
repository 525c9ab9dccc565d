"""What the theme and docutils leave out for screen readers.

The toggles of the sidebar get names, and a list without list items is no longer called a list.
"""

from typing import Any

from sphinx.application import Sphinx

CITATIONS = 'class="citation-list"'


def complete_page(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Name the toggles, which show only an arrow, and drop the role of the list of citations."""
    generate = context.get("generate_toctree_html")
    if generate:
        context["generate_toctree_html"] = lambda *args, **options: _name_toggles(
            generate(*args, **options)
        )
    if context.get("body"):
        context["body"] = context["body"].replace(
            f'<div role="list" {CITATIONS}>', f"<div {CITATIONS}>"
        )


def _name_toggles(tree: Any) -> Any:
    """The sidebar's tree, a soup, with names; where there are no pages it is an empty string."""
    if hasattr(tree, "find_all"):
        for toggle in tree.find_all("summary"):
            toggle["aria-label"] = "Show or hide the pages below"
    return tree


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx, after the theme."""
    app.connect("html-page-context", complete_page, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
