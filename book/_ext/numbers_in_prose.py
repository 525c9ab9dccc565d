"""What the runs found, in prose: `{number}` in a sentence, `{lead}` as a sentence, `{task-numbers}` as a table by task.

    On XNLI it is {number}`xnli/04 cross_positive`. In words: {lead}`xnli/04 cross_lead`

    ```{task-numbers} 04-cross-language-influence
    helpful, from other languages | cross_positive
    **chance** | cross_chance
    ```

All read what the executed notebooks in `book/runs` have glued, as `<folder>/<beginning of the notebook's name> <key>`; the
keys of a task's notebook begin with its task, which is left out. `:study: demo` takes the demo's. What a run does not have
is a dash. `{data-band}` says which data the numbers of a page come from; `{task}` what those of a task are called.
"""

import ast
import functools
import json
from pathlib import Path

import nbformat
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective, SphinxRole

from xl_influence.tasks import TASKS

RUNS = Path("book") / "runs"
MISSING = "–"


def bands(env):
    """What each folder of `book/runs` is called and says of its data: dict. The page that asks depends on it."""
    path = Path(env.srcdir) / RUNS / "bands.json"
    env.note_dependency(str(path))
    return json.loads(path.read_text(encoding="utf-8"))


@functools.cache
def glued(path):
    """Key → plain text of what an executed notebook has glued; a chart's text is its type."""
    outputs = [
        output for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", [])
    ]
    found = {
        o.metadata["scrapbook"]["name"]: o.data
        for o in outputs
        if "scrapbook" in o.get("metadata", {})
    }
    return {
        name: data.get("application/papermill.record/text/plain", "")
        for name, data in found.items()
    }


def lookup(env, folder, notebook, key):
    """The text glued under `key` by the notebook whose name begins so; a dash where the run has none.

    The page that asks is read again when the notebook changes.
    """
    paths = sorted((Path(env.srcdir) / RUNS / folder).glob(f"{notebook}*.ipynb"))
    for path in paths:
        env.note_dependency(str(path))
    task = folder.split("/")[-1] if folder else ""
    text = glued(paths[0]).get(f"{task}_{key}" if task else key) if len(paths) == 1 else None
    if text is None:
        return MISSING
    return str(ast.literal_eval(text)) if text[:1] in "'\"" else text


class Number(SphinxRole):
    def run(self):
        where, key = self.text.split()
        folder, _, notebook = where.rpartition("/")
        text = lookup(self.env, folder, notebook, key)
        return [nodes.inline("", text, classes=["pasted-text"])], []


class Lead(SphinxRole):
    """A sentence that a notebook has glued, or that there is none yet."""

    def run(self):
        where, key = self.text.split()
        folder, _, notebook = where.rpartition("/")
        text = lookup(self.env, folder, notebook, key)
        return [
            nodes.inline(
                "", "not computed yet." if text == MISSING else text, classes=["pasted-sentence"]
            )
        ], []


class DataName(SphinxRole):
    """What the data of a task are called in the book's main study."""

    def run(self):
        return [nodes.Text(bands(self.env)[self.text]["title"])], []


class TaskNumbers(SphinxDirective):
    required_arguments = 1  # the notebook
    has_content = True
    option_spec = {"study": directives.unchanged_required, "tasks": directives.unchanged_required}

    def run(self):
        prefix = f"{self.options['study']}/" if "study" in self.options else ""
        folders = [f"{prefix}{task}" for task in self.options.get("tasks", " ".join(TASKS)).split()]
        lines = ["| | " + " | ".join(bands(self.env)[folder]["title"] for folder in folders) + " |"]
        lines.append("| --- " * (len(folders) + 1) + "|")
        for row in self.content:
            label, _, key = (part.strip() for part in row.rpartition("|"))
            notebook, key = key.split() if " " in key else (self.arguments[0], key)
            lines.append(
                f"| {label} | "
                + " | ".join(lookup(self.env, folder, notebook, key) for folder in folders)
                + " |"
            )
        return self.parse_text_to_nodes("\n".join(lines))


class DataBand(SphinxDirective):
    """Which data the numbers of this page come from: the book's main study, or the demo with `:study: demo`."""

    option_spec = {"study": directives.unchanged_required}

    def run(self):
        found = bands(self.env)
        prefix = f"{self.options['study']}/" if "study" in self.options else ""
        entries = [found[f"{prefix}{task}"] for task in TASKS]
        kind = "synthetic" if entries[0]["synthetic"] else "real"
        *first, last = [entry["title"] for entry in entries if entry["computed"]]
        names = f"{', '.join(first)} and {last}" if first else last
        what = {
            "synthetic": f"**Synthetic.** The numbers here are from {names}: texts written for this project.",
            "real": f"**Real data.** The numbers here are from {names}.",
        }[kind]
        counts = [
            "```{dropdown} How many samples, and how good the models are",
            *(f"- {e['text']}" for e in entries),
            "```",
        ]
        return self.parse_text_to_nodes(
            "\n".join(["```{div} data-band " + kind, what, "```", "", *counts])
        )


def setup(app):
    app.add_role("number", Number())
    app.add_role("lead", Lead())
    app.add_role("task", DataName())
    app.add_directive("task-numbers", TaskNumbers)
    app.add_directive("data-band", DataBand)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
