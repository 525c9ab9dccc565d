"""A page loads only what it uses: no MathJax without a formula, no copy button without code.

This goes for scripts and for style sheets.

Scripts that a page does use run after its text is read.
"""

from typing import Any

from sphinx.application import Sphinx
from sphinx.builders.html._assets import _CascadingStyleSheet, _JavaScript

# A script or style sheet, by a part of its name → what a page that uses it contains
USED_BY = {
    "mathjax": 'class="math',
    "clipboard": "<pre",
    "copybutton": "<pre",
    "design-tabs": "sd-tab-set",
    "sphinx-design": "sd-",
}
# Scripts inside the page read their names at once; the charts' scripts defer by themselves
IMMEDIATE = ("documentation_options", "charts.js", "vega-")


def choose_assets(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Leave out what a page of the book does not use, and defer the scripts that it does."""
    if pagename in app.env.found_docs and "script_files" in context:
        body = context.get("body") or ""
        for kind in ("script_files", "css_files"):
            context[kind] = [asset for asset in context[kind] if _is_used(asset, body)]
        context["script_files"] = [_defer(script) for script in context["script_files"]]


def _is_used(asset: _JavaScript | _CascadingStyleSheet, body: str) -> bool:
    """Whether a page with this body uses the asset; those that we do not know are used."""
    return all(mark in body for name, mark in USED_BY.items() if name in str(asset.filename))


def _defer(script: _JavaScript) -> _JavaScript:
    """Let a script with a file of its own run after the page's text is read."""
    name = str(script.filename or "")
    if not name or any(part in name for part in IMMEDIATE):
        return script
    attributes = {"defer": "defer"} | script.attributes
    return _JavaScript(name, priority=script.priority, **attributes)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx, after those who add the scripts."""
    app.connect("html-page-context", choose_assets, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
