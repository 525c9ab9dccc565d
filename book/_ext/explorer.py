"""`{explorer}`: the page on which a reader looks up the training samples behind a prediction.

The directive leaves an empty element. `explorer.js` fills it from `_static/explorer/<task>.js`.
These hold what the runs left as `explorer.json` (see `xl_influence.explorer`). They are scripts
because a book that is opened from a disk may load scripts, but no JSON.
"""

import html
import json
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from numbers_in_prose import RUNS, bands
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from xl_influence.tasks import TASKS


class Explorer(SphinxDirective):
    """The element that `explorer.js` fills, with the names and titles of the tasks."""

    def run(self) -> list[nodes.Node]:
        """The element; a warning if no task has data."""
        folder = Path(self.env.srcdir) / RUNS / "explorer"
        names = [f"{prefix}{task}" for prefix in ("", "demo-") for task in TASKS]
        present = [name for name in names if (folder / f"{name}.js").exists()]
        if not present:
            message = f"{RUNS} holds no task: gather a study first"
            return [self.state.document.reporter.warning(message, line=self.lineno)]
        titles = bands(self.env)
        tasks = [[name, titles[name.replace("demo-", "demo/")]["title"]] for name in present]
        text = (
            f'<div id="xl-explorer" data-tasks="{html.escape(json.dumps(tasks))}">'
            "<noscript>The explorer needs JavaScript.</noscript></div>"
        )
        return [nodes.raw("", text, format="html")]


def add_scripts(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Load script and style only on the page with the explorer."""
    if '<div id="xl-explorer"' in (context.get("body") or ""):
        app.add_css_file("explorer.css")
        app.add_js_file("explorer.js", loading_method="defer")


def copy_data(app: Sphinx, error: Exception | None) -> None:
    """Put the tasks' data beside the script."""
    source, target = Path(app.srcdir) / RUNS / "explorer", Path(app.outdir) / "_static" / "explorer"
    if app.builder.format == "html" and not error and source.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.add_directive("explorer", Explorer)
    app.connect("html-page-context", add_scripts)
    app.connect("build-finished", copy_data)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
