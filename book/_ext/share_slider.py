"""`{share-sentence}` and `{share-cards}`: the landing page's answer, for every k.

The sentence has a slider over k. It moves the sentence and the cards, one for each task; without
JavaScript they stay at the k of the study. All numbers come from `book/runs/share-by-k.json`, which
`xl_influence.pages` writes from the tables behind the chart. A card's question is a line of the
directive:

    ```{share-cards}
    xnli: Does one sentence follow from another?
    ```
"""

import html
import json
import math
from pathlib import Path
from typing import Any

from docutils import nodes
from numbers_in_prose import MISSING, RUNS, bands, lookup, read_json
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

from xl_influence import leads
from xl_influence.prose import in_words, percent

SLIDER = """<div class="share-slider pst-js-only" hidden>
<label for="share-k">How many of the most helpful samples? <output>{k}</output></label>
<input type="range" id="share-k" min="0" max="{last}" step="1" value="{position}"
  aria-valuetext="{k}"/></div>"""
CARD = """<section class="share-card" data-task="{task}" aria-label="{title}">
<h3>{title}</h3><p class="question">{question}</p>
<p class="number" data-slot="share">{share}</p>
<p><span data-slot="of">{of}</span> in a language other than the test sample's.</p>
<div class="share-scale" aria-hidden="true" style="{style}"><i></i><b></b><u></u></div>
<p data-slot="reading">{reading}</p><p class="model">{model}</p></section>"""


def read_shares(env: BuildEnvironment) -> list[dict[str, Any]]:
    """The share of other languages by task and k; the page that asks depends on the file."""
    path = Path(env.srcdir) / RUNS / "share-by-k.json"
    env.note_dependency(str(path))
    return read_json(path)


def common_ks(shares: list[dict[str, Any]]) -> list[int]:
    """The k that every task has."""
    return sorted(set.intersection(*({row["k"] for row in task["rows"]} for task in shares)))


def starting_k(shares: list[dict[str, Any]]) -> int:
    """The k of the study, or the next smaller one that every task has."""
    top_k = min(task["top_k"] for task in shares)
    return max(k for k in common_ks(shares) if k <= top_k)


def at(task: dict[str, Any], k: int) -> dict[str, Any]:
    """The row of a task for one k; missing ends of an interval are NaN."""
    [row] = [row for row in task["rows"] if row["k"] == k]
    return {name: math.nan if value is None else value for name, value in row.items()}


def slots(row: dict[str, Any]) -> dict[str, str]:
    """What a card says about one k, as text, and where its marks are."""
    low, high = row["ci_low"], row["ci_high"]
    marks = {"value": row["share"], "chance": row["chance"], "low": low, "high": high}
    if math.isnan(low):
        marks["low"] = marks["high"] = row["share"]
    return {
        "share": percent(row["share"]),
        "of": leads.name_top(row["k"]),
        "reading": leads.say_against_chance(row),
        "style": ";".join(f"--{name}:{100 * value:.1f}%" for name, value in marks.items()),
    }


class ShareSentence(SphinxDirective):
    """The sentence, the slider, and the numbers for all k."""

    def run(self) -> list[nodes.Node]:
        """The HTML; nothing if no task has been computed."""
        shares = read_shares(self.env)
        if not shares:
            return []
        ks, k = common_ks(shares), starting_k(shares)
        steps = [{"k": each, "sentence": sentence(shares, each)} for each in ks]
        for step in steps:
            step["tasks"] = {task["task"]: slots(at(task, step["k"])) for task in shares}
        data = json.dumps(steps, ensure_ascii=False).replace("</", "<\\/")
        text = (
            f'<p class="share-sentence" aria-live="polite">{sentence(shares, k)}</p>'
            f"{SLIDER.format(k=k, last=len(ks) - 1, position=ks.index(k))}"
            f'<script type="application/json" id="share-by-k">{data}</script>'
        )
        return [nodes.raw("", text, format="html")]


def sentence(shares: list[dict[str, Any]], k: int) -> str:
    """The landing page's sentence for one k, as HTML."""
    rows = {task["title"]: at(task, k) for task in shares}
    return html.escape(leads.say_across_tasks(rows, k), quote=False)


class ShareCards(SphinxDirective):
    """A card for each task: its share, what it means, how many samples, how good the model."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """The cards."""
        found = read_shares(self.env)
        shares = {task["task"]: task for task in found}
        k = starting_k(found) if found else 0
        questions = dict(line.split(": ", 1) for line in self.content if line.strip())
        cards = [self._card(task, shares.get(task), text, k) for task, text in questions.items()]
        text = f'<div class="share-cards">{"".join(cards)}</div>'
        return [nodes.raw("", text, format="html")]

    def _card(self, task: str, found: dict[str, Any] | None, question: str, k: int) -> str:
        """The card of one task, for this k."""
        title = bands(self.env)[task]["title"]
        if found is None:
            nothing = f"<h3>{title}</h3><p>{question}</p><p>Not computed yet.</p>"
            return f'<section class="share-card" aria-label="{title}">{nothing}</section>'
        texts = slots(at(found, k))
        model = lookup(self.env, task, "01", "accuracy_lead")
        counts = count_samples(found["rows"][0], found["languages"])
        model = f"{counts}. {'' if model == MISSING else html.escape(model, quote=False)}"
        return CARD.format(task=task, title=title, question=question, model=model, **texts)


def count_samples(row: dict[str, Any], languages: int) -> str:
    """How many test samples there are and, in a parallel task, of how many items.

    Parameters
    ----------
    row
        The row of a task for any k.
    languages
        How many test languages the task has.
    """
    samples, items = row["test_samples"], row["items"]
    if items == samples:
        return f"{samples} test samples"
    each = "" if samples == items * languages else "up to "
    return f"{samples} test samples ({items} items in {each}{in_words(languages)} languages)"


def add_script(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Load the script only on the page with the slider."""
    if 'id="share-by-k"' in (context.get("body") or ""):
        app.add_js_file("share_slider.js", loading_method="defer")


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directives and the script."""
    app.add_directive("share-sentence", ShareSentence)
    app.add_directive("share-cards", ShareCards)
    app.connect("html-page-context", add_script)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
