"""Tables for people: matrices, samples with their texts, the scoreboard."""

import difflib
import html
import math
import re

import pandas as pd
from IPython.display import HTML, Markdown

from ..manifest import CHANCE
from ..tasks import LANGUAGES
from .base import name_languages

IN_PAPER = 5  # languages of a task, of which the paper counts
START = ' style="text-align: start"'  # JupyterLab sets the text of every cell to the right


def show_matrix(table, value="mean"):
    """A test language × training language table of one column, as a styled frame; the largest of each row is bold."""
    table = name_languages(table)
    languages = list(dict.fromkeys(table["train_lang"]))
    wide = table.pivot(index="test_lang", columns="train_lang", values=value).loc[
        list(dict.fromkeys(table["test_lang"])), languages
    ]
    wide = wide.rename_axis(index="test language", columns="training language")
    return wide.style.format("{:.3f}").highlight_max(axis=1, props="font-weight: bold")


def show_samples(table, class_names, scores=True, marked=False):
    """Samples as an HTML table, with their texts where the table has them, else with their languages.

    Texts are escaped, so markup in a review shows as text. `marked`: words of a pair that its other text has at another place
    are underlined, words that it lacks are bold.
    """
    what = "text" if "text_a" in table else "language"
    head = f"<tr><th>uid</th>{'<th>influence</th>' if scores else ''}<th{START}>{what}</th><th{START}>label</th></tr>"
    body = [_sample(row, class_names, scores, marked) for row in table.itertuples()]
    return HTML(
        f'<table class="samples"><thead>{head}</thead><tbody>{"".join(body)}</tbody></table>'
    )


def _sample(row, class_names, scores, marked):
    """One row of `show_samples`."""
    texts = [
        text
        for text in (getattr(row, "text_a", None), getattr(row, "text_b", None))
        if isinstance(text, str)
    ]
    parts = mark_differences(*texts) if marked and len(texts) == 2 else map(html.escape, texts)
    text = "<br>".join(f'<span lang="{row.lang}">{part}</span>' for part in parts) or LANGUAGES.get(
        row.lang, row.lang
    )
    score = (
        "<td>" + ("test sample" if row.sign == "test" else f"{row.influence:+.2f}") + "</td>"
        if scores
        else ""
    )
    phenomenon = (
        f"<br><small>{html.escape(row.phenomenon)}</small>" if hasattr(row, "phenomenon") else ""
    )
    words = (
        f"<td{START}>{text}</td><td{START}>{html.escape(class_names[row.label])}{phenomenon}</td>"
    )
    return f'<tr class="{row.sign}"><td>{row.uid}</td>{score}{words}</tr>'


def mark_differences(a, b):
    """Two texts as escaped HTML: `<u>` around words that stand elsewhere in the other text, `<b>` around those it lacks."""
    words = [re.findall(r"\w|\W" if _unspaced(text) else r"\w+|\W", text) for text in (a, b)]
    keys = [[word.casefold() for word in part] for part in words]
    blocks = difflib.SequenceMatcher(None, *keys, autojunk=False).get_matching_blocks()
    result = []
    for side, part in enumerate(words):
        in_place = {block[side] + i for block in blocks for i in range(block.size)}
        other = set(keys[1 - side])
        result.append(
            "".join(
                _mark(word, i in in_place, keys[side][i] in other) for i, word in enumerate(part)
            )
        )
    return result


def _unspaced(text):
    """Whether words are not told apart by spaces, as in Chinese: then letters are compared."""
    return len(text) > 12 and text.count(" ") < len(text) / 12


def _mark(word, in_place, elsewhere):
    tag = "" if in_place or not any(c.isalnum() for c in word) else "u" if elsewhere else "b"
    return f"<{tag}>{html.escape(word)}</{tag}>" if tag else html.escape(word)


def show_note(text):
    """A sentence that stands where a table or chart would."""
    return Markdown(f"*{text}*")


def show_at_chance(names, kind="model"):
    """What a page says of models or languages: which are at chance by `CHANCE`, or that none is."""
    points = f"{100 * CHANCE:.0f} points above the most frequent class"
    if not names:
        return Markdown(f"Every {kind} is at least {points}.")
    return Markdown(
        f"**At chance**: {', '.join(names)}; less than {points}. Do not trust what follows of them."
    )


def show_pairs(values, name, value):
    """A dict or Series as a table of two columns with these titles, as a styled frame."""
    return pd.DataFrame(list(values.items()), columns=[name, value]).style.hide()


def show_side_by_side(table, row, column):
    """A table of `paper.side_by_side` as a styled frame: this run's number, the paper's in brackets."""
    text = [
        f"{ours:.3f} ({paper:.3f})"
        for ours, paper in zip(table["this_run"], table["paper"], strict=True)
    ]
    table = name_languages(table.assign(text=text))
    order = [list(dict.fromkeys(table[name])) for name in (row, column)]
    wide = table.pivot(index=row, columns=column, values="text").loc[order[0], order[1]]
    return wide.rename_axis(index="this run (paper)", columns=None).style


MARKS = {
    "holds": "✓ holds",
    "does not hold": "✗ does not hold",
    "inconclusive": "? inconclusive",
    "cannot be tested here": "– cannot be tested here",
    "": "",
}


def show_scoreboard(claims):
    """The paper's claims with this run's values and the verdict (`paper.claims`), as a styled frame."""
    claims = claims if "unit" in claims else claims.assign(unit="", of=math.nan)
    shown = claims[["section", "statement"]].assign(
        paper=_numbers(claims["paper_value"], claims["unit"]),
        this=_numbers(claims["value"], claims["unit"], claims["of"]),
        interval=_intervals(claims, "ci_low", "ci_high", "of"),
        verdict=claims["holds"].map(MARKS),
    )
    return _sentences(shown.rename(columns={"this": "this run"}))


def show_scoreboards(board):
    """The table of `paper.scoreboard` as a styled frame: the paper, the real study with its verdict, the demo."""
    shown = board[["section", "statement"]].assign(
        paper=_numbers(board["paper_value"], board["unit"])
    )
    for study in ("real", "demo"):
        shown[study] = _numbers(board[f"{study}_value"], board["unit"], board[f"{study}_of"])
        shown[f"{study}: interval"] = _intervals(
            board, f"{study}_low", f"{study}_high", f"{study}_of"
        )
        if study == "real":
            shown["verdict on real"] = board["verdict"].map(MARKS)
    return _sentences(shown)


def _sentences(table):
    return table.style.hide().set_table_attributes('class="sentences"')


def _intervals(table, low, high, of):
    """'56 % to 60 %' for every row, '–' where there is none."""
    ends = (_numbers(table[name], table["unit"], table[of]) for name in (low, high))
    return [a if a == "–" else f"{a} to {b}" for a, b in zip(*ends, strict=True)]


def _numbers(values, units, of=None):
    """Values as their units have them: '56 %', '+5.1 points', '4 of 5'; '–' where there is none."""
    whole = [IN_PAPER] * len(values) if of is None else of
    texts = [_number(*row) for row in zip(values, units, whole, strict=True)]
    if of is None:  # the paper says it of every language, or of all tests
        return [
            "all" if (u, v) == ("count", 1) else text
            for u, v, text in zip(units, values, texts, strict=True)
        ]
    return texts


def _number(value, unit, of):
    if math.isnan(value):
        return "–"
    if unit == "points":
        return f"{100 * value:+.1f} points".replace("-", "\u2212")
    if unit == "count":
        return f"{value * of:.0f} of {of:.0f}"
    return f"{100 * value:.0f}\u00a0%" if unit == "share" else f"{value:.2f}"


def show_percents(table, **formats):
    """A table of `sharing` as a styled frame: languages by name, shares in percent, '–' where there is no interval.

    `formats`: of further columns.
    """
    shares = [
        name
        for name in ("share", "ci_low", "ci_high", "chance", "overlap", "in_top_k")
        if name in table
    ]
    style = name_languages(table.replace({"test_lang": {"all": "all languages"}})).style.hide()
    return style.format(dict.fromkeys(shares, "{:.1%}") | formats, na_rep="–")
