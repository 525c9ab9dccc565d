"""`{explorer}`: the page on which a reader looks up the training samples behind a prediction.

The directive leaves an empty element. The scripts `explorer*.js`, in one file, fill it from what
the runs left as `explorer.json` (see `xl_influence.explorer`): an index for each task,
`_static/explorer/<task>.js`, and small parts in the folder of that name. The page asks for the
first view's data at once.
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

# The page loads them as one script, in this order
SCRIPTS = ("-dom", "-state", "-controls", "-picture", "-lists", "-training", "")
BUNDLE = "explorer-all.js"


class Explorer(SphinxDirective):
    """The element that `explorer.js` fills: the tasks by name and title, and what to show first."""

    def run(self) -> list[nodes.Node]:
        """The element; a warning if no task has data."""
        folder = Path(self.env.srcdir) / RUNS / "explorer"
        names = [f"{prefix}{task}" for prefix in ("", "demo-") for task in TASKS]
        indexes = {name: read_index(folder, name) for name in names}
        present = {name: index for name, index in indexes.items() if index}
        if not present:
            message = f"{RUNS} holds no task: gather a study first"
            return [self.state.document.reporter.warning(message, line=self.lineno)]
        titles = bands(self.env)
        tasks = [[name, titles[name.replace("demo-", "demo/")]["title"]] for name in present]
        name, row = choose_first(present)
        test = present[name]["tests"][row]
        data = {
            "id": "xl-explorer",
            "data-tasks": json.dumps(tasks),
            "data-first": json.dumps([name, test["lang"], test["uid"]]),
            "data-preload": f"{name} {name}/test-{row}",
        }
        attributes = " ".join(f'{key}="{html.escape(value)}"' for key, value in data.items())
        text = f"<div {attributes}><noscript>The explorer needs JavaScript.</noscript></div>"
        return [nodes.raw("", text, format="html")]


def read_index(folder: Path, name: str) -> dict[str, Any] | None:
    """Read the index of a task; None if there is none.

    Parameters
    ----------
    folder
        The folder of the scripts.
    name
        The name of the data.
    """
    path = folder / f"{name}.js"
    if not path.is_file():
        return None
    assigned = path.read_text(encoding="utf-8").partition(" = ")[2]
    index: dict[str, Any] = json.loads(assigned.rstrip().removesuffix(";"))
    return index


def choose_first(indexes: dict[str, dict[str, Any]]) -> tuple[str, int]:
    """The task and the row of the test sample to show first: one that tells much.

    Its task has texts and translations, if there is such a task; among these, the test sample whose
    most helpful training samples depart most from chance.

    Parameters
    ----------
    indexes
        Name → index, not empty.
    """

    def judge(name: str) -> tuple[bool, bool, float]:
        index = indexes[name]
        return index["texts"], index["parallel"], abs(index["deviation"])

    name = max(indexes, key=judge)
    return name, indexes[name]["first"]


def write_bundle(app: Sphinx) -> None:
    """Put the scripts into one file of the book's `_static`."""
    if app.builder.format == "html":
        source, target = Path(app.srcdir) / "book" / "_static", Path(app.outdir) / "_static"
        parts = [(source / f"explorer{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
        target.mkdir(parents=True, exist_ok=True)
        (target / BUNDLE).write_text("\n".join(parts), encoding="utf-8")


def add_scripts(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Load scripts and style only on the page with the explorer, and its first data early."""
    body = context.get("body") or ""
    if '<div id="xl-explorer"' not in body:
        return
    app.add_css_file("explorer.css")
    app.add_js_file(BUNDLE, loading_method="defer")
    for name in body.partition('data-preload="')[2].partition('"')[0].split():
        source = context["pathto"](f"_static/explorer/{html.unescape(name)}.js", 1)
        context["metatags"] += f'\n<link rel="preload" as="script" href="{html.escape(source)}">'


def copy_data(app: Sphinx, error: Exception | None) -> None:
    """Put the tasks' data beside the scripts."""
    source, target = Path(app.srcdir) / RUNS / "explorer", Path(app.outdir) / "_static" / "explorer"
    if app.builder.format == "html" and not error and source.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.add_directive("explorer", Explorer)
    app.connect("builder-inited", write_bundle)
    app.connect("html-page-context", add_scripts)
    app.connect("build-finished", copy_data)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
