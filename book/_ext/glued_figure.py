"""`{glued-figure}`: a numbered figure with what another document has glued; `{task-figures}`: one for each task, in tabs.

myst-nb's `{glue:figure}` sees only the keys of its own notebook. This one takes the document as an option:

    ```{glued-figure} answer_chart
    :doc: runs/00-the-answer.ipynb
    :name: fig-answer

    The caption.
    ```

    ```{task-figures} composition_chart
    :notebook: 04-cross-language-influence
    :name: fig-where-from

    the caption, which follows the task's name; the figures are called fig-where-from-xnli and so on.
    ```
"""

from docutils import nodes
from docutils.parsers.rst import directives
from myst_nb.ext.glue.utils import create_pending_glue_ref
from numbers_in_prose import MISSING, bands, lookup
from sphinx.util.docutils import SphinxDirective

from xl_influence.tasks import TASKS


class GluedFigure(SphinxDirective):
    required_arguments = 1  # the key
    has_content = True
    option_spec = {"doc": directives.unchanged_required, "name": directives.unchanged}

    def run(self):
        source, line = self.get_source_info()
        glued = create_pending_glue_ref(
            self.state.document, source, line, self.options["doc"], self.arguments[0]
        )
        figure = nodes.figure("", glued)
        self.set_source_info(figure)
        self.add_name(figure)
        text = self.parse_content_to_nodes()
        if text:
            figure += nodes.caption("", "", *text[0].children)
        if text[1:]:
            figure += nodes.legend("", *text[1:])
        return [figure]


class TaskFigures(SphinxDirective):
    required_arguments = 1  # the key, without its task
    has_content = True
    option_spec = {
        name: directives.unchanged_required for name in ("notebook", "name", "tasks", "study")
    }

    def run(self):
        return self.parse_text_to_nodes(
            "\n".join(["::::{tab-set}", ":sync-group: task", "", *self.tabs(), "::::"])
        )

    def tabs(self):
        prefix = f"{self.options['study']}/" if "study" in self.options else ""
        for task in self.options.get("tasks", " ".join(TASKS)).split():
            folder, notebook, key = f"{prefix}{task}", self.options["notebook"], self.arguments[0]
            title = bands(self.env)[folder]["title"]
            yield from (f":::{{tab-item}} {title}", f":sync: {task}", "")
            if lookup(self.env, folder, notebook, key) == MISSING:
                yield from (f"This study has no such runs on {title} yet.", ":::")
                continue
            yield from (
                f"```{{glued-figure}} {task}_{key}",
                f":name: {self.options['name']}-{task}",
            )
            yield from (f":doc: runs/{folder}/{notebook}.ipynb", "", f"{title}: {self.content[0]}")
            yield from (*self.content[1:], "```", ":::")


def setup(app):
    app.add_directive("glued-figure", GluedFigure)
    app.add_directive("task-figures", TaskFigures)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
