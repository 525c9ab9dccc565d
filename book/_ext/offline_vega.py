"""Altair charts in executed notebooks draw without a request to any other host.

Altair's HTML fetches Vega, Vega-Lite and vega-embed from a CDN, unless a global `VEGA_DEBUG` says which versions are
there already. On pages with a chart, and only there, this extension sets `VEGA_DEBUG` and adds two scripts:
`charts.js`, which stands in for vega-embed while the page loads, and the three libraries in one file.
"""

import json
import re
from pathlib import Path

import vl_convert

BUNDLE = f"vega-{vl_convert.__version__}.js"
LOADED = re.compile(r'maybeLoadScript\("(vega[a-z-]*)", "([^"]+)"\)')


def write_bundle(app):
    """Put the libraries into the book's `_static`, once for each version of vl-convert."""
    path = Path(app.outdir) / "_static" / BUNDLE
    if app.builder.format == "html" and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        module = vl_convert.javascript_bundle("window.bundledVegaEmbed = vegaEmbed;")
        path.write_text(f"(() => {{ {module} }})();\n", encoding="utf-8")  # its names stay its own


def add_scripts(app, pagename, templatename, context, doctree):
    """Add the scripts to a page that contains charts; the versions are those that its charts ask for."""
    versions = dict(LOADED.findall(context.get("body") or ""))
    if versions:
        present = {
            f"{library.replace('-', '')}_version": version for library, version in versions.items()
        }
        app.add_js_file(None, body=f"var VEGA_DEBUG = {json.dumps(present)};")
        app.add_js_file("charts.js")
        app.add_js_file(BUNDLE, loading_method="defer")


def setup(app):
    app.connect("builder-inited", write_bundle)
    app.connect("html-page-context", add_scripts)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
