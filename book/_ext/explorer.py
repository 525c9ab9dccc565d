"""`{explorer}`: the page on which a reader looks up what stands behind one prediction.

The directive leaves an empty element; `explorer.js` fills it from `_static/explorer/<task>.js`, which hold what the runs
left as `explorer.json` (see `xl_influence.explorer`). They are scripts, not JSON: a book opened from a disk may load those.
"""

import html
import json
import shutil
from pathlib import Path

from docutils import nodes
from numbers_in_prose import RUNS, bands
from sphinx.util.docutils import SphinxDirective

from xl_influence.tasks import TASKS


class Explorer(SphinxDirective):
    def run(self):
        runs = Path(self.env.srcdir) / RUNS
        names = [f"{prefix}{task}" for prefix in ("", "demo-") for task in TASKS]
        there = [name for name in names if (runs / "explorer" / f"{name}.js").exists()]
        if not there:
            return [
                self.state.document.reporter.warning(
                    f"{RUNS} holds no task: gather a study first", line=self.lineno
                )
            ]
        titles = [
            [name, bands(self.env)[name.replace("demo-", "demo/")]["title"]] for name in there
        ]
        tasks = html.escape(json.dumps(titles))
        text = f'<div id="xl-explorer" data-tasks="{tasks}"><noscript>The explorer needs JavaScript.</noscript></div>'
        return [nodes.raw("", text, format="html")]


def add_scripts(app, pagename, templatename, context, doctree):
    """Only the page with the explorer loads its script and style."""
    if '<div id="xl-explorer"' in (context.get("body") or ""):
        app.add_css_file("explorer.css")
        app.add_js_file("explorer.js", loading_method="defer")


def copy_data(app, error):
    """Put the tasks' data beside the script."""
    source, target = Path(app.srcdir) / RUNS / "explorer", Path(app.outdir) / "_static" / "explorer"
    if app.builder.format == "html" and not error and source.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)


def setup(app):
    app.add_directive("explorer", Explorer)
    app.connect("html-page-context", add_scripts)
    app.connect("build-finished", copy_data)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
