"""`{taken-out}`: one sentence for all tasks on sharing without the label and without the language.

Its numbers come from `book/runs/taken-out.json`, which `xl_influence.pages` writes from the tables
of notebook 15. Intervals are in the sentences by task, which the notebook stores.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from docutils import nodes
from numbers_in_prose import RUNS, read_json
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

from xl_influence.prose import percent


class TakenOut(SphinxRole):
    """The sentence; the text of the role is its beginning if no task has the numbers."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """The sentence as text."""
        path = Path(self.env.srcdir) / RUNS / "taken-out.json"
        self.env.note_dependency(str(path))
        found = read_json(path)
        text = describe(found) if found else self.text
        return [nodes.inline("", text, classes=["pasted-sentence"])], []


def describe(tasks: Sequence[dict[str, Any]]) -> str:
    """Say how the share from other languages changes, and what chance is.

    Parameters
    ----------
    tasks
        For each task its `title`, `k`, `chance`, and the shares before and after: `label` and
        `language`.
    """
    largest = max(abs(after - before) for before, after in (task["label"] for task in tasks))
    moved = f"by {100 * largest:.0f} points or less" if largest >= 0.01 else "by less than a point"
    changes = [
        f"from {percent(before)} to {percent(after)} ({task['title']})"
        for task in tasks
        for before, after in [task["language"]]
    ]
    ks, chances = (
        sorted({write(task) for task in tasks})
        for write in (lambda task: str(task["k"]), lambda task: percent(task["chance"]))
    )
    return (
        f"Taking the label out changes the share of other languages among the {_list(ks)} most "
        f"helpful samples {moved}; taking the language out changes it {_list(changes)}. "
        f"Chance is {_list(chances)}."
    )


def _list(parts: Sequence[str]) -> str:
    """The parts as in 'a, b and c'."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the role to Sphinx."""
    app.add_role("taken-out", TakenOut())
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
