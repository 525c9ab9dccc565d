"""Altair charts in executed notebooks: still pictures that come to life, without another host.

In place of what altair writes into a page, which loads Vega from elsewhere, this extension puts a
still picture of the chart (`still_charts.py`), its specification, and, on pages with a chart only,
`charts.js`, which loads Vega from the book's own files when a chart comes near the screen.
"""

import html
import json
import re
from pathlib import Path
from typing import Any

import vl_convert
from numbers_in_prose import RUNS, read_json
from sphinx.application import Sphinx
from still_charts import adapt, draw

from xl_influence.charts import vega
from xl_influence.tasks import TASKS

BUNDLE = f"vega-{vl_convert.__version__}.js"
CHART = re.compile(
    r"<style>\s*#(?P<id>altair-viz-[\w-]+)\.vega-embed.*?</style>\s*"
    r'<div id="(?P=id)"></div>\s*<script type="text/javascript">.*?'
    r'\n  \}\)\((?P<spec>\{.*?\}), \{"mode": "vega-lite"\}\);\s*</script>',
    re.DOTALL,
)
FIGURE = re.compile(r'<figure class="(?P<classes>[^"]*)" id="(?P<id>[^"]*)"')


def write_bundle(app: Sphinx) -> None:
    """Put the libraries into the book's `_static`, once for each version of vl-convert."""
    path = Path(app.outdir) / "_static" / BUNDLE
    if app.builder.format == "html" and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(vega.bundle_script("bundledVegaEmbed") + "\n", encoding="utf-8")


def put_charts(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Put the charts of a page into the place of altair's output."""
    body = context.get("body") or ""
    found = list(CHART.finditer(body))
    if not found:
        return
    parts, end = [], 0
    for number, match in enumerate(found, start=1):
        spec = adapt(json.loads(match["spec"]))
        file, folder = _name(pagename, body[: match.start()], number)
        about = {"file": file, "set": _find_data(spec, Path(app.srcdir) / RUNS, folder)}
        still = draw(spec, f"c{number}", Path(app.doctreedir) / "charts")
        parts += [body[end : match.start()], _show(spec, match["id"], about, still)]
        end = match.end()
    context["body"] = "".join([*parts, body[end:]])
    app.add_css_file("charts.css")
    app.add_js_file("charts.js", loading_method="defer", **{"data-bundle": BUNDLE})


def _name(pagename: str, before: str, number: int) -> tuple[str, str]:
    """The name of a chart's file, as in 'pawsx-where-from', and the folder that it comes from."""
    folder = pagename.removeprefix("book/runs/").rpartition("/")[0]
    name = f"{pagename.rpartition('/')[2]}-{number}"
    figures = list(FIGURE.finditer(before))
    if figures and "</figure>" not in before[figures[-1].end() :]:
        name = figures[-1]["id"].removeprefix("fig-")
        marked = re.search(r"\bdata-of-([\w-]+)", figures[-1]["classes"])
        folder = marked[1].replace("demo-", "demo/") if marked else folder
    for task in TASKS:
        if name.endswith(f"-{task}"):
            name = f"{task}-{name.removesuffix(f'-{task}')}"
    return name, folder


def _find_data(spec: dict[str, Any], runs: Path, folder: str) -> str:
    """What the data of a chart are called, by its column `task` or the folder in `book/runs`."""
    rows = [row for table in spec.get("datasets", {}).values() for row in table]
    named = dict.fromkeys(row["task"] for row in rows if "task" in row)
    if named:
        return ", ".join(named)
    return read_json(runs / "bands.json").get(folder, {}).get("title", "")


def _show(spec: dict[str, Any], name: str, about: dict[str, str], still: str) -> str:
    """A chart as HTML: its still picture, and for `charts.js` its specification."""
    tables = {key: pack(rows) for key, rows in spec.get("datasets", {}).items()}
    packed = json.dumps(spec | {"datasets": tables}, ensure_ascii=False, separators=(",", ":"))
    script = packed.replace("<", "\\u003c")
    attributes = "".join(f' data-{key}="{html.escape(value)}"' for key, value in about.items())
    return (
        f'<div class="xl-chart" id="{name}"{attributes}><div class="xl-plot">'
        f'<div class="xl-still">{still}</div></div>'
        f'<div class="xl-tools"></div><script type="application/json">{script}</script></div>'
    )


def pack(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """A table with the names of its columns once, not in every row; `charts.js` unpacks it.

    Parameters
    ----------
    rows
        Column → value; a column that a row lacks is empty there.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return {"columns": columns, "rows": [[row.get(name) for name in columns] for row in rows]}


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("builder-inited", write_bundle)
    app.connect("html-page-context", put_charts)
    return {"version": "2", "parallel_read_safe": True, "parallel_write_safe": True}
