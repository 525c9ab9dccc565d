"""What the runs found, in the text of the book.

`{number}` is a number in a sentence, `{lead}` a whole sentence, `{task-numbers}` a table by task,
`{glued-table}` a table that a notebook has glued as Markdown:

    On XNLI it is {number}`xnli/04 cross_positive`. In words: {lead}`xnli/04 cross_lead`

    ```{task-numbers} 04-cross-language-influence
    helpful, from other languages | cross_positive
    **chance** | cross_chance
    ```

All read what the executed notebooks in `book/runs` have glued, by `<folder>/<notebook> <key>`; the
beginning of the notebook's name is enough. The keys in a task's notebook begin with the task, which
we leave out here. `:study: demo` reads the demo's notebooks. Where a run lacks a number there is
a dash. `{where-computed}` holds what a page says about numbers that a study may lack for all tasks:
a sentence then stands in its place. `{data-band}` says which data the numbers of a page come from,
`{task}` what a task's data are called.
"""

import ast
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import nbformat
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective, SphinxRole

from xl_influence.tasks import TASKS

RUNS = Path("book") / "runs"
MISSING = "–"
TEXT = "application/papermill.record/text/plain"  # the text of what is glued
NOTE = "application/papermill.record/text/markdown"  # what a note says in place of a chart


def bands(env: BuildEnvironment) -> dict[str, dict[str, Any]]:
    """For each folder of `book/runs`, what its data are called and what a page says about them.

    The page that asks depends on the file.
    """
    path = Path(env.srcdir) / RUNS / "bands.json"
    env.note_dependency(str(path))
    return read_json(path)


def read_json(path: Path) -> Any:
    """What a JSON file holds, to be read and not changed; the file is read again if it is newer.

    Parameters
    ----------
    path
        The file.
    """
    return _read_json(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _read_json(path: Path, written: int) -> Any:
    """What the file held at this time, in nanoseconds."""
    return json.loads(path.read_text(encoding="utf-8"))


@functools.cache
def glued(path: Path, kind: str = TEXT) -> dict[str, str]:
    """Key → text of what an executed notebook has glued; a chart's is its type.

    Parameters
    ----------
    path
        The notebook.
    kind
        `TEXT`, or `NOTE`: then the text is '' unless a note was glued.
    """
    found = {}
    for cell in nbformat.read(path, 4).cells:
        for output in cell.get("outputs", []):
            if "scrapbook" in output.get("metadata", {}):
                found[output.metadata["scrapbook"]["name"]] = output.data.get(kind, "")
    return found


def lookup(env: BuildEnvironment, folder: str, notebook: str, key: str, kind: str = TEXT) -> str:
    """Find the text that a notebook has glued; a dash if the run has none.

    The page that asks is read again when the notebook changes.

    Parameters
    ----------
    env
        Sphinx's environment.
    folder
        Where the notebook is, in `book/runs`: '', '<task>' or '<study>/<task>'.
    notebook
        The beginning of its name.
    key
        The key, without the task.
    kind
        As in `glued`.
    """
    paths = sorted((Path(env.srcdir) / RUNS / folder).glob(f"{notebook}*.ipynb"))
    for path in paths:
        env.note_dependency(str(path))
    if len(paths) != 1:
        return MISSING
    task = folder.split("/")[-1]
    text = glued(paths[0], kind).get(f"{task}_{key}" if task else key)
    if text is None:
        return MISSING
    return str(ast.literal_eval(text)) if text[:1] in ("'", '"') else text


def _lookup_reference(env: BuildEnvironment, reference: str) -> str:
    """The text behind '<folder>/<notebook> <key>'."""
    where, key = reference.split()
    folder, _, notebook = where.rpartition("/")
    return lookup(env, folder, notebook, key)


def _folders(options: Mapping[str, str]) -> list[str]:
    """The folders of the tasks in `:tasks:`, by default of all, in the `:study:`."""
    prefix = f"{options['study']}/" if "study" in options else ""
    return [f"{prefix}{task}" for task in options.get("tasks", " ".join(TASKS)).split()]


class Number(SphinxRole):
    """A number that a notebook has glued, or a dash."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """The number."""
        text = _lookup_reference(self.env, self.text)
        return [nodes.inline("", text, classes=["pasted-text"])], []


class Lead(SphinxRole):
    """A sentence that a notebook has glued, or that there is none yet."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """The sentence."""
        text = _lookup_reference(self.env, self.text)
        if text == MISSING:
            text = "not computed yet."
        return [nodes.inline("", text, classes=["pasted-sentence"])], []


class DataName(SphinxRole):
    """What a task's data are called in the book's main study."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """The name."""
        return [nodes.Text(bands(self.env)[self.text]["title"])], []


class TaskNumbers(SphinxDirective):
    """A table with a row per line and a column per task; the argument is the notebook.

    With a `:caption:` and a `:name:` it is numbered, and the text can link to it.
    """

    required_arguments = 1
    has_content = True
    option_spec: ClassVar = dict.fromkeys(
        ("study", "tasks", "caption", "name"), directives.unchanged_required
    )

    def run(self) -> list[nodes.Node]:
        """The table."""
        folders = _folders(self.options)
        titles = [bands(self.env)[folder]["title"] for folder in folders]
        lines = [_table_row(["", *titles]), _table_row(["---"] * (len(folders) + 1))]
        for row in self.content:
            label, _, key = (part.strip() for part in row.rpartition("|"))
            notebook = self.arguments[0]
            if " " in key:
                notebook, key = key.split()
            numbers = [lookup(self.env, folder, notebook, key) for folder in folders]
            lines.append(_table_row([label, *numbers]))
        if "caption" in self.options:
            head = [f"```{{table}} {self.options['caption']}", f":name: {self.options['name']}", ""]
            lines = [*head, *lines, "```"]
        return self.parse_text_to_nodes("\n".join(lines))


class WhereComputed(SphinxDirective):
    """Its content if some task has a number, else the sentence `missing`, which says why none has.

    The arguments are the notebook and the number's key.
    """

    required_arguments = 2
    has_content = True
    option_spec: ClassVar = dict.fromkeys(
        ("study", "tasks", "missing"), directives.unchanged_required
    )

    def run(self) -> list[nodes.Node]:
        """The content or the sentence."""
        notebook, key = self.arguments
        numbers = [lookup(self.env, folder, notebook, key) for folder in _folders(self.options)]
        if all(number == MISSING for number in numbers):
            return self.parse_text_to_nodes(self.options["missing"])
        return self.parse_content_to_nodes()


class GluedTable(SphinxDirective):
    """A table that a notebook has glued as Markdown; the arguments are the notebook and the key."""

    required_arguments = 2

    def run(self) -> list[nodes.Node]:
        """The table, or that there is none yet."""
        text = _lookup_reference(self.env, " ".join(self.arguments))
        return self.parse_text_to_nodes("Not computed yet." if text == MISSING else text)


def _table_row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


class DataBand(SphinxDirective):
    """Which data the numbers of a page come from: the main study's, or the demo's by `:study:`."""

    option_spec: ClassVar = {"study": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """The band, and below it a fold with the size of the data and the models' accuracy."""
        found = bands(self.env)
        entries = [found[folder] for folder in _folders(self.options)]
        *first, last = [entry["title"] for entry in entries if entry["computed"]]
        names = f"{', '.join(first)} and {last}" if first else last
        if entries[0]["synthetic"]:
            kind = "synthetic"
            text = f"**Synthetic.** The numbers come from {names}: texts written for this project."
        else:
            kind = "real"
            text = f"**Real data.** The numbers come from {names}."
        lines = [
            f"```{{div}} data-band {kind}",
            text,
            "```",
            "",
            "```{dropdown} How many samples, and how good the models are",
            *(f"- {entry['text']}" for entry in entries),
            "```",
        ]
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the roles and directives to Sphinx."""
    app.add_role("number", Number())
    app.add_role("lead", Lead())
    app.add_role("task", DataName())
    app.add_directive("task-numbers", TaskNumbers)
    app.add_directive("where-computed", WhereComputed)
    app.add_directive("glued-table", GluedTable)
    app.add_directive("data-band", DataBand)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
