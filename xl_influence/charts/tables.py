"""Tables for readers: matrices, and samples with their texts."""

from __future__ import annotations

import difflib
import html
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from IPython.display import HTML, Markdown

from ..manifest import AT_CHANCE
from ..sharing import influential_samples
from ..tasks import name_language
from .base import name_languages

if TYPE_CHECKING:
    import xarray as xr
    from pandas.io.formats.style import Styler

SHARES = (  # columns that are shown in percent
    *("share", "ci_low", "ci_high", "chance", "overlap", "in_top_k"),
    *("lowest", "highest", "without", "other_seed", "difference"),
)
NONE = "–"  # shown in place of a missing number
START = ' style="text-align: start"'  # JupyterLab aligns the text of every cell to the right


def show_matrix(table: pd.DataFrame, value: str = "mean") -> Styler:
    """A test language × training language matrix, with the largest value of each row in bold.

    Parameters
    ----------
    table
        One row for each pair of `test_lang` and `train_lang`; both keep their order.
    value
        The column that fills the matrix.
    """
    wide = _pivot_in_order(name_languages(table), "test_lang", "train_lang", value)
    wide = wide.rename_axis(index="test language", columns="training language")
    return wide.style.format("{:.3f}").highlight_max(axis=1, props="font-weight: bold")


def _pivot_in_order(table: pd.DataFrame, row: str, column: str, value: str) -> pd.DataFrame:
    """`DataFrame.pivot` with rows and columns in the order of the table, not of the alphabet."""
    rows, columns = (list(dict.fromkeys(table[name])) for name in (row, column))
    return table.pivot(index=row, columns=column, values=value).loc[rows, columns]


def show_samples(
    table: pd.DataFrame, class_names: Sequence[str], *, scores: bool = True, marked: bool = False
) -> HTML:
    """Samples as an HTML table, with their texts or, where the table has none, their languages.

    Texts are escaped, so markup in a review shows as text.

    Parameters
    ----------
    table
        One row per sample: `uid`, `lang`, `label`, `sign` ('test', 'positive', 'negative', or
        'train'), `influence` and, if known, `text_a`, `text_b` and `phenomenon`.
    class_names
        The names of the labels 0, 1, …
    scores
        Whether the table has a column of influence.
    marked
        Whether to mark, in the two texts of a sample, the words in which they differ, as
        `mark_differences` does.
    """
    heads = ["<th>uid</th>"]
    if scores:
        heads.append("<th>influence</th>")
    heads.append(f"<th{START}>{'text' if 'text_a' in table else 'language'}</th>")
    heads.append(f"<th{START}>label</th>")
    rows = [_show_sample(row, class_names, scores, marked) for row in table.itertuples()]
    return HTML(
        f'<table class="samples"><thead><tr>{"".join(heads)}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def show_influential(
    scores: xr.Dataset,
    train: pd.DataFrame,
    test: pd.DataFrame,
    uids: Sequence[str],
    class_names: Sequence[str],
    *,
    marked: bool = False,
) -> HTML | Markdown:
    """Test samples, each with its most influential training samples; a note if there are none.

    Parameters
    ----------
    scores, train, test
        A score cube and its samples.
    uids
        The test samples to show.
    class_names, marked
        As in `show_samples`.
    """
    found = [influential_samples(scores, train, test, uid) for uid in uids]
    if not found:
        return show_note("There is no other language.")
    return show_samples(pd.concat(found), class_names, marked=marked)


def _show_sample(row: Any, class_names: Sequence[str], scores: bool, marked: bool) -> str:
    """One row of `show_samples`; `row` is a named tuple of the table."""
    cells = [f"<td>{html.escape(str(row.uid))}</td>"]
    if scores:
        score = "test sample" if row.sign == "test" else f"{row.influence:+.2f}"
        cells.append(f"<td>{score}</td>")
    cells.append(f"<td{START}>{_show_texts(row, marked)}</td>")
    label = html.escape(class_names[row.label])
    if hasattr(row, "phenomenon"):
        label += f"<br><small>{html.escape(row.phenomenon)}</small>"
    cells.append(f"<td{START}>{label}</td>")
    return f'<tr class="{row.sign}">{"".join(cells)}</tr>'


def _show_texts(row: Any, marked: bool) -> str:
    """The sample's one or two texts as HTML, or the name of its language where it has none."""
    columns = (getattr(row, name, None) for name in ("text_a", "text_b"))
    texts = [text for text in columns if isinstance(text, str)]
    if not texts:
        return name_language(row.lang)
    if marked and len(texts) == 2:
        parts = mark_differences(*texts)
    else:
        parts = [html.escape(text) for text in texts]
    return "<br>".join(f'<span lang="{row.lang}">{part}</span>' for part in parts)


def mark_differences(a: str, b: str) -> list[str]:
    """Two texts as escaped HTML in which the words that differ are marked.

    `<u>` marks a word that is at another place in the other text, `<b>` one that is not in it.

    Parameters
    ----------
    a, b
        The texts, which are not escaped yet.
    """
    words = [_split_words(text) for text in (a, b)]
    keys = [[word.casefold() for word in part] for part in words]
    matcher = difflib.SequenceMatcher(a=keys[0], b=keys[1], autojunk=False)
    blocks = matcher.get_matching_blocks()
    marked = []
    for side, part in enumerate(words):
        in_place = {block[side] + i for block in blocks for i in range(block.size)}
        other = set(keys[1 - side])
        tokens = enumerate(zip(part, keys[side], strict=True))
        marked.append(
            "".join(_mark(word, i in in_place, key in other) for i, (word, key) in tokens)
        )
    return marked


def _split_words(text: str) -> list[str]:
    """The words and what is between them; single letters where no spaces part the words."""
    without_spaces = len(text) > 12 and text.count(" ") < len(text) / 12  # as in Chinese
    return re.findall(r"\w|\W" if without_spaces else r"\w+|\W", text)


def _mark(word: str, in_place: bool, in_other: bool) -> str:
    """A word as escaped HTML, tagged if it differs; punctuation and spaces are never tagged."""
    text = html.escape(word)
    if in_place or not any(letter.isalnum() for letter in word):
        return text
    tag = "u" if in_other else "b"
    return f"<{tag}>{text}</{tag}>"


def show_note(text: str) -> Markdown:
    """A sentence in place of a table or chart."""
    return Markdown(f"*{text}*")


def show_at_chance(names: Sequence[str], kind: str = "model") -> Markdown:
    """Which models or languages are at chance by `AT_CHANCE`, or that none is.

    Parameters
    ----------
    names
        Those at chance.
    kind
        What they are, in the singular.
    """
    if not names:
        return Markdown(f"Every {kind} is {AT_CHANCE.replace('less than', 'at least')}.")
    return Markdown(
        f"**At chance**: {', '.join(names)}; {AT_CHANCE}. "
        f"Do not trust the results below for these {kind}s."
    )


def show_pairs(values: Mapping[str, Any] | pd.Series, name: str, value: str) -> Styler:
    """A dict or Series as a table of two columns.

    Parameters
    ----------
    values
        The rows.
    name, value
        The titles of the columns.
    """
    return pd.DataFrame(list(values.items()), columns=[name, value]).style.hide()


def show_side_by_side(table: pd.DataFrame, row: str, column: str) -> Styler:
    """The numbers of this run, each with the paper's in brackets.

    Parameters
    ----------
    table
        The table of `paper.compare_table`.
    row, column
        The columns of `table` that name the rows and the columns.
    """
    pairs = zip(table["this_run"], table["paper"], strict=True)
    text = [f"{run:.3f} ({paper:.3f})" for run, paper in pairs]
    wide = _pivot_in_order(name_languages(table.assign(text=text)), row, column, "text")
    return wide.rename_axis(index="this run (paper)", columns=None).style


def show_percents(table: pd.DataFrame, **formats: str) -> Styler:
    """A table of `sharing`: languages by name, shares in percent, '–' where there is no interval.

    Parameters
    ----------
    table
        The table.
    **formats
        The formats of further columns.
    """
    shares = [name for name in SHARES if name in table]
    every = {"all": "all languages"}
    named = name_languages(table.replace({"test_lang": every, "language": every}))
    return named.style.hide().format(dict.fromkeys(shares, "{:.1%}") | formats, na_rep=NONE)
