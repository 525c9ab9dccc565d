"""Numbered figures of charts that notebooks have glued: `{glued-figure}` and `{task-figures}`.

`{glue:figure}` of myst-nb sees only the keys of its own notebook; `{glued-figure}` takes the
document as an option. `{task-figures}` makes one for each task, in tabs:

    ```{glued-figure} answer_chart
    :doc: runs/00-the-answer.ipynb
    :name: fig-answer

    The caption.
    ```

    ```{task-figures} composition_chart
    :notebook: 04-cross-language-influence
    :name: fig-where-from

    the caption, which follows the task's name; the figures are fig-where-from-xnli and so on.
    ```
"""

from collections.abc import Iterator
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from myst_nb.ext.glue.utils import create_pending_glue_ref
from numbers_in_prose import MISSING, NOTE, bands, lookup
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from xl_influence.tasks import TASKS


class GluedFigure(SphinxDirective):
    """A figure of what the document `doc` has glued under the key in the argument."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {"doc": directives.unchanged_required, "name": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """The figure, with the first paragraph as its caption and the others as its legend."""
        source, line = self.get_source_info()
        glued = create_pending_glue_ref(
            self.state.document, source, line, self.options["doc"], self.arguments[0]
        )
        folder = self.options["doc"].removeprefix("runs/").rpartition("/")[0].replace("/", "-")
        # `offline_vega` finds in the class which data a chart shows
        figure = nodes.figure("", glued, classes=[f"data-of-{folder}"] if folder else [])
        self.set_source_info(figure)
        self.add_name(figure)
        text = self.parse_content_to_nodes()
        if text:
            figure += nodes.caption("", "", *text[0].children)
        if text[1:]:
            figure += nodes.legend("", *text[1:])
        return [figure]


class TaskFigures(SphinxDirective):
    """The same figure for every task, in tabs; the argument is the key, without its task."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar = dict.fromkeys(
        ("notebook", "name", "tasks", "study"), directives.unchanged_required
    )

    def run(self) -> list[nodes.Node]:
        """The tabs."""
        lines = ["::::{tab-set}", ":sync-group: task", ""]
        tasks = self.options.get("tasks", " ".join(TASKS)).split()
        notes = {task: self._find_note(task) for task in tasks}
        shown = next(
            (task for task in tasks if not notes[task]), tasks[0]
        )  # the first with a figure
        for task in tasks:
            lines.extend(self._tab(task, notes[task], task == shown))
        return self.parse_text_to_nodes("\n".join([*lines, "::::"]))

    def _folder(self, task: str) -> str:
        """The folder of the task's pages in `book/runs`."""
        return f"{self.options['study']}/{task}" if "study" in self.options else task

    def _find_note(self, task: str) -> str:
        """Why a task has no figure; empty if it has one."""
        return lookup(
            self.env, self._folder(task), self.options["notebook"], self.arguments[0], NOTE
        )

    def _tab(self, task: str, note: str, is_shown: bool) -> Iterator[str]:
        """The lines of one task's tab: a figure, or why there is none."""
        folder, notebook, key = self._folder(task), self.options["notebook"], self.arguments[0]
        title = bands(self.env)[folder]["title"]
        yield f":::{{tab-item}} {title}"
        yield f":sync: {task}"
        if is_shown:
            yield ":selected:"
        yield ""
        if note == MISSING:
            yield f"This study has no such runs on {title} yet."
        elif note:
            yield note
        else:
            yield f"```{{glued-figure}} {task}_{key}"
            yield f":name: {self.options['name']}-{task}"
            yield f":doc: runs/{folder}/{notebook}.ipynb"
            yield ""
            yield f"{title}: {self.content[0]}"
            yield from self.content[1:]
            yield "```"
        yield ":::"


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directives to Sphinx."""
    app.add_directive("glued-figure", GluedFigure)
    app.add_directive("task-figures", TaskFigures)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
