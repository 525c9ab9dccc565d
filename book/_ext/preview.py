"""What a link to a page shows elsewhere: a title, a description and a picture.

The description is the lead of the page. The picture is the landing page's chart on a white card,
made with each build. Services want its whole address, so there is a picture only if `baseurl` is
set in `_config.yml`, under `html:`.
"""

import html
import re
from pathlib import Path
from typing import Any

import vl_convert
from docutils import nodes
from numbers_in_prose import RUNS, read_json
from sphinx.application import Sphinx

IMAGE = "_static/preview.png"
SIZE = (1200, 630)
LONGEST = 200  # characters of a description
SVG_HEAD = re.compile(r'<svg [^>]*viewBox="0 0 ([\d.]+) ([\d.]+)"[^>]*>')
CARD = """<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"
  font-family="sans-serif"><rect width="100%" height="100%" fill="white"/>
  <text x="60" y="92" font-size="46" font-weight="bold" fill="#14202e">{title}</text>
  <text x="60" y="140" font-size="25" fill="#48566a">{subtitle}</text>{chart}</svg>"""


def write_image(app: Sphinx) -> None:
    """Draw the chart of the landing page on a card of the size that previews have."""
    source = Path(app.srcdir) / RUNS / "answer.svg"
    if app.builder.format != "html" or not source.exists():
        return
    bands = read_json(source.parent / "bands.json")
    main = [entry for folder, entry in bands.items() if "/" not in folder]
    kind = "synthetic texts" if main[0]["synthetic"] else "data"
    data = f"{kind} of {', '.join(entry['title'] for entry in main)}"
    card = CARD.format(
        width=SIZE[0],
        height=SIZE[1],
        title=html.escape(app.config.html_title or app.config.project),
        subtitle=html.escape(f"Which training data help a prediction, on the {data}"),
        chart=_place(source.read_text(encoding="utf-8"), 60, 170, SIZE[0] - 120, SIZE[1] - 200),
    )
    target = Path(app.outdir) / IMAGE
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(vl_convert.svg_to_png(card))


def _place(svg: str, left: int, top: int, width: int, height: int) -> str:
    """A drawing as part of another, as large as it fits into this place."""
    place = f'x="{left}" y="{top}" width="{width}" height="{height}"'
    drawing = svg[svg.index("<svg") :]
    return SVG_HEAD.sub(rf'<svg {place} viewBox="0 0 \1 \2">', drawing, count=1)


def describe(doctree: nodes.document) -> str:
    """The lead of a page, or its first paragraph, shortened at the end of a word."""
    leads = [node for node in doctree.findall(nodes.container) if "lead" in node["classes"]]
    paragraphs = [
        node
        for node in (leads[0] if leads else doctree).findall(nodes.paragraph)
        if not isinstance(node.parent, nodes.container) or "lead" in node.parent["classes"]
    ]
    text = " ".join(paragraphs[0].astext().split()) if paragraphs else ""
    text = text.removeprefix("Overview. ")
    if len(text) <= LONGEST:
        return text
    return text[:LONGEST].rpartition(" ")[0].rstrip(",;:") + " …"


def name_image(address: str) -> dict[str, str]:
    """The tags of the picture; without the book's address none that needs it.

    Parameters
    ----------
    address
        Where the book is served, empty if that is not known.
    """
    if not address:
        return {"twitter:card": "summary"}
    return {
        "og:image": f"{address.rstrip('/')}/{IMAGE}",
        "og:image:alt": "Share of the training samples in other languages, by rank",
        "twitter:card": "summary_large_image",
    }


def add_tags(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Describe a page in its head, and name the book once in the landing page's title."""
    if doctree is None:
        return
    title = doctree.next_node(nodes.title)
    tags = {
        "og:type": "article",
        "og:site_name": context["docstitle"],
        "og:title": title.astext() if title else context["docstitle"],
        "og:description": describe(doctree),
        **name_image(app.config.html_baseurl),
    }
    head = [f'<meta name="description" content="{html.escape(tags["og:description"])}"/>']
    for name, content in tags.items():
        key = "name" if name.startswith("twitter") else "property"
        head.append(f'<meta {key}="{name}" content="{html.escape(content)}"/>')
    context["metatags"] = "\n    ".join([context.get("metatags") or "", *head])
    if pagename == app.config.root_doc:
        context["docstitle"] = ""  # it is this page's own title


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("builder-inited", write_image)
    app.connect("html-page-context", add_tags)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
