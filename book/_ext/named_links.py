"""Links that carry the name of their data, and exist only where what they lead to does.

    By epoch, see {figures}`fig-epochs`.  By epoch, see Figures 14 (XNLI) and 15 (PAWS-X).
    Every pair: {computed}`06-sharing-dynamics`.               Every pair: XNLI, PAWS-X, MARC.

`{figures}` names the figures of `{task-figures}` with that name, or the tabs, which say why they
have none; `{computed}` the pages of a notebook. `{computed-table}` is the table of all computed
pages, of the demo with `:study: demo`.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from numbers_in_prose import RUNS, bands
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective, SphinxRole

from xl_influence.pages import find_chapter
from xl_influence.tasks import TASKS
from xl_influence.workflow import PER_TASK


class figure_links(nodes.Inline, nodes.TextElement):  # noqa: N801 (docutils' naming)
    """Stands for links to the figures of all tasks until all figures are known."""


class Figures(SphinxRole):
    """'Figures 2 (XNLI), 3 (PAWS-X) and 4 (MARC)', each linked."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """The placeholder."""
        titles = {task: bands(self.env)[task]["title"] for task in TASKS}
        return [figure_links("", name=self.text, titles=titles, refdoc=self.env.docname)], []


class LinkFigures(SphinxPostTransform):
    """Put the links in place, before Sphinx resolves links."""

    default_priority = 5

    def run(self, **kwargs: Any) -> None:
        """Replace the placeholders of one page."""
        known = self.env.domaindata["std"]["anonlabels"]
        for node in list(self.document.findall(figure_links)):
            found = {
                title: f"{node['name']}-{task}"
                for task, title in node["titles"].items()
                if f"{node['name']}-{task}" in known
            }
            node.replace_self(
                list(_link_all(found, node["refdoc"])) or nodes.Text("the tabs below")
            )


def _link_all(labels: dict[str, str], docname: str) -> Iterator[nodes.Node]:
    """Links to the figures, by title, with words between them."""
    for number, (title, label) in enumerate(labels.items()):
        if number:
            yield nodes.Text(" and " if number == len(labels) - 1 else ", ")
        else:
            yield nodes.Text("Figures " if len(labels) > 1 else "Figure ")
        yield _link("numref", label, f"%s ({title})", docname)


def _link(kind: str, target: str, text: str, docname: str) -> nodes.Node:
    """A link for Sphinx to resolve, of a kind such as 'numref', on the page `docname`."""
    link = addnodes.pending_xref(
        "",
        refdomain="std",
        reftype=kind,
        reftarget=target,
        refexplicit=True,
        refdoc=docname,
        refwarn=True,
    )
    link += nodes.inline("", text, classes=["xref", "std", f"std-{kind}"])
    return link


class Computed(SphinxRole):
    """Links to a notebook's pages of the main study, by task."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """The links."""
        links: list[nodes.Node] = []
        for task in TASKS:
            if links:
                links.append(nodes.Text(", "))
            target = f"/{RUNS.as_posix()}/{task}/{self.text}"
            title = bands(self.env)[task]["title"]
            links.append(_link("doc", target, title, self.env.docname))
        return links, []


class ComputedTable(SphinxDirective):
    """A row for each notebook with its chapter's title, a column for each task.

    For a page in the folder `book`.
    """

    option_spec: ClassVar = {"study": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """The table."""
        prefix = f"{self.options['study']}/" if "study" in self.options else ""
        titles = [bands(self.env)[f"{prefix}{task}"]["title"] for task in TASKS]
        lines = [
            f"| notebook and chapter | {' | '.join(titles)} |",
            "| --- " * (len(titles) + 1) + "|",
        ]
        for name in PER_TASK:
            links = [
                f"[{title}](runs/{prefix}{task}/{name}.ipynb)"
                for task, title in zip(TASKS, titles, strict=True)
            ]
            chapter = f"{name.partition('-')[0]}: [](/book/{find_chapter(name)}.md)"
            lines.append(f"| {chapter} | {' | '.join(links)} |")
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Sphinx) -> dict[str, Any]:
    """Add roles, directive and the step that puts the links in place."""
    app.add_node(figure_links)
    app.add_role("figures", Figures())
    app.add_role("computed", Computed())
    app.add_directive("computed-table", ComputedTable)
    app.add_post_transform(LinkFigures)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
