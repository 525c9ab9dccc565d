"""`{glued-figure}`: a numbered figure with what another document has glued.

myst-nb's `{glue:figure}` sees only the keys of its own notebook. This one takes the document as an option:

    ```{glued-figure} answer_chart
    :doc: runs/00-the-answer.ipynb
    :name: fig-answer

    The caption.
    ```
"""

from docutils import nodes
from docutils.parsers.rst import directives
from myst_nb.ext.glue.utils import create_pending_glue_ref
from sphinx.util.docutils import SphinxDirective


class GluedFigure(SphinxDirective):
    required_arguments = 1  # the key
    has_content = True
    option_spec = {"doc": directives.unchanged_required, "name": directives.unchanged}

    def run(self):
        source, line = self.get_source_info()
        glued = create_pending_glue_ref(self.state.document, source, line, self.options["doc"], self.arguments[0])
        figure = nodes.figure("", glued)
        self.set_source_info(figure)
        self.add_name(figure)
        text = self.parse_content_to_nodes()
        if text:
            figure += nodes.caption("", "", *text[0].children)
        if text[1:]:
            figure += nodes.legend("", *text[1:])
        return [figure]


def setup(app):
    app.add_directive("glued-figure", GluedFigure)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
