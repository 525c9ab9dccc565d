"""Altair charts in executed notebooks draw without a request to any other host.

On pages with a chart, and only there, this extension says which versions of Vega are at hand and
adds two scripts: `charts.js`, which stands in for vega-embed while the page loads, and the
libraries in one file. See `xl_influence.charts.vega`.
"""

import re
from pathlib import Path
from typing import Any

import vl_convert
from sphinx.application import Sphinx

from xl_influence.charts import vega

BUNDLE = f"vega-{vl_convert.__version__}.js"
LOADED = re.compile(r'maybeLoadScript\("(vega[a-z-]*)", "([^"]+)"\)')


def write_bundle(app: Sphinx) -> None:
    """Put the libraries into the book's `_static`, once for each version of vl-convert."""
    path = Path(app.outdir) / "_static" / BUNDLE
    if app.builder.format == "html" and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(vega.bundle_script("bundledVegaEmbed") + "\n", encoding="utf-8")


def add_scripts(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Add the scripts to a page that contains charts, with the versions that its charts ask for."""
    versions = dict(LOADED.findall(context.get("body") or ""))
    if versions:
        app.add_js_file(None, body=vega.versions_script(versions))
        app.add_js_file("charts.js")
        app.add_js_file(BUNDLE, loading_method="defer")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("builder-inited", write_bundle)
    app.connect("html-page-context", add_scripts)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
