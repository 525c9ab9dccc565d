"""The way through the book: from chapter to chapter, with the notebooks' pages as an appendix.

A page that a notebook computed for one task leads back to its chapter. It is not in the search,
where it would appear up to six times; nor is the notebook behind the landing page.
"""

from collections.abc import Iterable
from typing import Any

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from xl_influence.pages import find_chapter

APPENDIX = "book/computed-pages"
RUNS = "book/runs/"
CHAPTERS = ("book/runs/11-how-fast", "book/runs/12-what-ran")  # notebooks that are chapters


def is_computed(docname: str) -> bool:
    """Whether a page belongs to the appendix of the notebooks' pages."""
    return docname.startswith(RUNS) and docname not in CHAPTERS


def chapter(docname: str) -> str:
    """The page of the book that sums up a computed page."""
    folder, _, name = docname.removeprefix(RUNS).rpartition("/")
    return "book/run-it-yourself" if folder.startswith("demo/") else f"book/{find_chapter(name)}"


def turn_pages(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Lead back from computed pages to their chapter, and never on from the appendix."""
    if is_computed(pagename):
        target = chapter(pagename)
        title = app.env.titles[target].astext()
        link = app.builder.get_relative_uri(pagename, target)
        context["prev"] = {"link": link, "title": title}
    if is_computed(pagename) or pagename == APPENDIX:
        context["next"] = None


def hide_sources(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Offer a notebook to download, but no Markdown with directives that only this book knows."""
    if context.get("page_source_suffix") == ".md":
        for button in context.get("header_buttons", []):
            if "buttons" in button:
                links = button["buttons"]
                button["buttons"] = [
                    link for link in links if link["label"] != "download-source-button"
                ]


def prune_search(app: Sphinx) -> Iterable[Any]:
    """Take the computed pages out of the search; adds no page."""
    if app.builder.format == "html" and app.builder.indexer is not None:
        app.builder.indexer.prune(find_chapters(app.env))
    return []


def find_chapters(env: BuildEnvironment) -> list[str]:
    """All pages but the computed ones."""
    return sorted(name for name in env.found_docs if not is_computed(name))


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx, after the theme."""
    app.connect("html-page-context", turn_pages, priority=600)
    app.connect("html-page-context", hide_sources, priority=502)  # after the theme adds them
    app.connect("html-collect-pages", prune_search)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
