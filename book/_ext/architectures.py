"""`{architectures}`: which sequence classifiers of transformers the engine covers, as a table.

It reads `benchmarks/architectures.json`, which `benchmarks/architectures.py` writes.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "architectures.json"


class Architectures(SphinxDirective):
    """A sentence with the counts, and a folded table of all models."""

    def run(self) -> list[nodes.Node]:
        """Make the sentence and the table."""
        self.env.note_dependency(str(FILE))
        found = json.loads(FILE.read_text(encoding="utf-8"))
        return self.parse_text_to_nodes("\n".join(describe(found)))


def describe(found: dict[str, Any]) -> list[str]:
    """The lines of Markdown for the results of `architectures.py`."""
    results = found["results"]
    counts = Counter(each["outcome"] for each in results)
    batches = Counter(each["batches"] for each in results if each["outcome"] == "exact")
    images = [name for names in found["left_out"].values() for name in names]
    lines = [
        f"Of the {len(results)} sequence classifiers for text in `transformers` "
        f"{found['transformers']}, built tiny with random weights, {counts['exact']} are exact: "
        f"{batches['any']} of them in batches, {batches['equal length']} in batches of equal "
        f"length, {batches['one sample']} one sample at a time. {counts['refused']} are refused "
        f"with a reason, {counts['WRONG'] + counts['FAILED']} give wrong scores or an error, and "
        f"{counts['not built']} could not be built or differentiated in float64 at this size. "
        f"{len(images)} that take images were left out.",
        "",
        "```{dropdown} All of them",
        "| model | outcome | samples go through | largest error of a cosine |",
        "| --- | --- | --- | --- |",
    ]
    for each in results:
        error = "–" if each["error"] is None else f"{each['error']:.0e}"
        outcome = each["outcome"] + (f": {clean(each['reason'])}" if each["reason"] else "")
        lines.append(f"| `{each['name']}` | {outcome} | {each['batches'] or '–'} | {error} |")
    return [*lines, "```"]


def clean(reason: str) -> str:
    """A message as code inside a table."""
    return f"`{reason.replace('|', ' ').replace('`', ' ')}`"


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("architectures", Architectures)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
