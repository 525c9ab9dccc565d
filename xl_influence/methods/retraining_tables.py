"""The results on retraining as tables in Markdown, for the notebook and for the book's page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from IPython.display import Markdown

from ..prose import percent
from ..tasks import name_language
from .catalogue import find_kind
from .equal_sizes import MIDDLE
from .evidence import BEYOND, OTHER, OWN, RANDOM, SAME_LABEL, TOP, Evidence
from .retraining_sentences import (
    MISSING,
    SUBSETS,
    count_digits,
    count_samples,
    format_change,
    format_lds,
    format_luck_range,
    format_of_ceiling,
    say,
    say_accuracy,
    say_p,
    say_removed,
    share,
    signed,
)
from .sentences import NONE, number

NAMES = {"subsets": "LDS", "tail-patch": "tail patch", "brittleness": "brittleness"}
TITLES = {
    TOP: "the most helpful samples",
    BEYOND: "the same, minus random samples of the same label",
    SAME_LABEL: "control: random samples of the same label",
    RANDOM: "control: random samples",
}
IN_MATRIX = (TOP, BEYOND)


def write_table(part: str, found: Evidence | None) -> str:
    """Write the results of a part as a table in Markdown, with a line on what they rest on.

    Parameters
    ----------
    part : str
        One of `evidence.PARTS`.
    found : Evidence, optional
        From `evidence.read`; None if there are no results.
    """
    if found is None:
        return f"*{MISSING.capitalize()}*"
    makers = {"subsets": _write_lds, "tail-patch": _write_changes, "brittleness": _write_flipped}
    return f"{makers[part](found)}\n\n{say_source(found.about)}"


def say_source(about: Mapping[str, Any]) -> str:
    """Say what results rest on, and on what and how long they were computed.

    Parameters
    ----------
    about : mapping
        `Evidence.about`.
    """
    settings = "; ".join(
        f"{_plain(key)}: {_listed(value)}" for key, value in about["settings"].items()
    )
    samples, used = about["samples"], about["environment"]
    text = (
        f"Study `{about['study']}`: {samples['train']:,} training and {samples['test']} test "
        f"samples; {say_accuracy(about['model'])}; {settings}."
    )
    if about["trainings"]:
        text += f" {about['trainings']} trainings"
        if about["minutes"] is not None:
            text += f", of which the last call did {about['trained']} in {about['minutes']} minutes"
        text += "."
    device = used["processor"] if used["device"] == "cpu" else used["device"]
    return f"{text} {device}, torch {used['packages']['torch']}."


def show(
    part: str, found: Mapping[str, Mapping[str, Evidence | None]], titles: Mapping[str, str]
) -> Markdown:
    """Show the results of a part, one data set after another.

    Parameters
    ----------
    part : str
        One of `evidence.PARTS`.
    found : mapping
        Key of `evidence.SHOWN` → part → results.
    titles : mapping
        From `evidence.find_titles`.
    """
    texts = [
        f"**{titles[task]}**: {say(part, parts[part])}\n\n"
        f"{write_table(part, parts[part]) if parts[part] else ''}"
        for task, parts in found.items()
    ]
    return Markdown("\n\n".join(texts))


def show_leads(
    found: Mapping[str, Mapping[str, Evidence | None]], titles: Mapping[str, str]
) -> Markdown:
    """Show what every part says, one data set after another; arguments as for `show`."""
    lines = []
    for task, parts in found.items():
        lines.append(f"**{titles[task]}**\n")
        lines += [f"- {NAMES[part]}: {say(part, results)}" for part, results in parts.items()]
        lines.append("")
    return Markdown("\n".join(lines))


def glue_values(found: Mapping[str, Mapping[str, Evidence | None]]) -> dict[str, str]:
    """Return all sentences and tables for the book's page, by keys such as `xnli_subsets_lead`.

    Parameters
    ----------
    found : mapping
        Key of `evidence.SHOWN` → part → results.
    """
    texts = {}
    for task, parts in found.items():
        for part, results in parts.items():
            start = f"{task}_{part.replace('-', '_')}"
            texts[f"{start}_lead"] = say(part, results)
            texts[f"{start}_table"] = write_table(part, results)
    return texts


def _write_lds(found: Evidence) -> str:
    """Write a table for each kind of subsets."""
    table = found.tables["lds"]
    parts = [
        f"*{kind.capitalize()}, {int(rows['subsets'].iloc[0])} subsets*\n\n{_write_kind(rows)}"
        for kind, rows in ((kind, table[table["kind"] == kind]) for kind in SUBSETS)
    ]
    return "\n\n".join([*parts, f"{_say_brackets(table)} {_say_luck(table)}"])


def _say_luck(table: pd.DataFrame) -> str:
    return (
        f"By luck: the middle {MIDDLE} % of {int(table['shuffles'].iloc[0]):,} shuffles of the "
        "outcomes among subsets of equal size; *p*: the share of them that give as much or more."
    )


def _write_kind(rows: pd.DataFrame) -> str:
    """Write the methods, what luck gives the best of them, and the ceiling."""
    cells = [
        [
            f"{'control: ' if find_kind(row['method']) == 'control' else ''}{row['method']}",
            *(format_lds(row), format_luck_range(row), say_p(row["p"]), format_of_ceiling(row)),
        ]
        for _, row in rows.iterrows()
    ]
    tested = rows[[find_kind(name) != "control" for name in rows["method"]]]
    best = tested.loc[tested["lds"].idxmax()]
    title = f"**best of {len(tested)}**"
    cells.append(
        [
            title,
            number(best["lds"]),
            format_luck_range(best, "best"),
            say_p(best["p_best"]),
            "",
        ]
    )
    cells.append(["**ceiling**", number(best["ceiling"]), "", "", ""])
    return _write_rows(["method", "LDS", "by luck", "*p*", "of ceiling"], cells)


def _write_changes(found: Evidence) -> str:
    """Write a table of all test samples with the controls, then a matrix of languages for two."""
    table, overall = found.tables["change"], found.tables["change"].query("test_lang == 'all'")
    digits, rows = count_digits(table), []
    cells = overall.set_index(["samples", "train_lang"])
    sources = [source for source in (OWN, OTHER) if source in set(overall["train_lang"])]
    for kind, title in TITLES.items():
        each = [
            format_change(cells.loc[kind, source], digits)
            if (kind, source) in cells.index
            else NONE
            for source in sources
        ]
        rows.append([title, *each])
    return "\n\n".join(
        [
            _write_rows(["one step on", *(f"in {source}" for source in sources)], rows),
            _say_brackets(overall),
            *(
                f"*{TITLES[kind].capitalize()}*\n\n{_write_matrix(table, kind, digits)}"
                for kind in IN_MATRIX
            ),
            _say_cells(table),
        ]
    )


def _write_matrix(table: pd.DataFrame, kind: str, digits: int) -> str:
    """Write a matrix test × training language, with brackets only where there is an interval."""
    part = table[table["samples"] == kind].set_index(["test_lang", "train_lang"])
    order = list(dict.fromkeys([*table["test_lang"], *table["train_lang"]]))
    names = sorted(set(table["train_lang"]) - {OWN, OTHER}, key=order.index)
    rows = []
    for lang in dict.fromkeys(table["test_lang"]):
        cells = [part.loc[lang, name] if (lang, name) in part.index else None for name in names]
        title = "**all**" if lang == "all" else name_language(lang)
        rows.append([title, *(_write_cell(cell, digits) for cell in cells)])
    return _write_rows(["test language", *(f"on {name_language(name)}" for name in names)], rows)


def _write_cell(row: pd.Series | None, digits: int) -> str:
    if row is None:
        return NONE
    return signed(row["change"], digits) if pd.isna(row["ci_low"]) else format_change(row, digits)


def _say_cells(table: pd.DataFrame) -> str:
    """Say on how many test samples a cell of the matrix rests."""
    each = table[table["test_lang"] != "all"]
    counts = each[["test_samples", "items"]].drop_duplicates()
    text = " or ".join(count_samples(row) for _, row in counts.iterrows())
    few = ", too few for an interval" if each["ci_low"].isna().all() else ""
    return f"One test language: {text}{few}." if text else ""


def _write_flipped(found: Evidence) -> str:
    table, smallest = found.tables["flipped"], found.tables["smallest"]
    ks = list(dict.fromkeys(table["k"]))
    shares, by_k = table.set_index(["method", "k"]), smallest.set_index(["method", "k"])
    methods = list(dict.fromkeys(table["method"]))
    first = [[say_removed(name), *(share(shares.loc[name, k]) for k in ks)] for name in methods]
    second = [
        [
            say_removed(name),
            *(percent(by_k.loc[(name, k), "by_k"]) for k in ks),
            str(int(by_k.loc[(name, 0), "samples"])),
        ]
        for name in methods
    ]
    removed = [f"without {k}" for k in ks]
    return "\n\n".join(
        [
            "*Predictions that flip*",
            _write_rows(["samples removed", *removed], first),
            _say_brackets(table),
            "*Predictions that this many or fewer flip*",
            _write_rows(["samples removed", *(f"{k} or fewer" for k in ks), "never"], second),
        ]
    )


def _say_brackets(table: pd.DataFrame) -> str:
    """Say what is in brackets, and on how many test samples a value rests."""
    what = "the interval over items"
    if table["ci_low"].isna().all():
        what = "the lowest and the highest item, since they are too few for an interval"
    return f"{count_samples(table.iloc[0])}. In brackets: {what}."


def _write_rows(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(heads)]
    lines.append(["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [*lines, *map(list, rows)])


def _plain(key: str) -> str:
    return key.replace("_", " ")


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
