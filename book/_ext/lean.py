"""Pages without a formula do not load MathJax, which is a megabyte."""

from typing import Any

from sphinx.application import Sphinx


def drop_mathjax(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Take MathJax from the scripts of a page without formulas."""
    if 'class="math' not in (context.get("body") or "") and "script_files" in context:
        scripts = context["script_files"]
        context["script_files"] = [file for file in scripts if "mathjax" not in str(file)]


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx, after those who add the script."""
    app.connect("html-page-context", drop_mathjax, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
