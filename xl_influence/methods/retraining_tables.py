"""The results on retraining as tables in Markdown, for the notebook and for the book's page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from IPython.display import Markdown

from ..prose import percent
from ..tasks import name_language
from .catalogue import AVERAGED, kind_of
from .controls import DRAWS
from .evidence import BEYOND, OTHER, OWN, RANDOM, SAME_LABEL, TOP, Evidence
from .retraining_sentences import (
    MISSING,
    SUBSETS,
    change,
    chosen,
    count_digits,
    count_samples,
    lds_with_ends,
    of_ceiling,
    say,
    share,
    signed,
)
from .sentences import NONE, number

NAMES = {"subsets": "LDS", "tail-patch": "tail patch", "brittleness": "brittleness"}
TITLES = {
    TOP: "Most helpful samples",
    BEYOND: "Most helpful samples, minus random samples of the same label",
    RANDOM: "Control: random samples",
    SAME_LABEL: "Control: random samples of the same label",
}


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
        f"samples; {settings}."
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
    """Show the results of a part, corpus by corpus, each marked as synthetic.

    Parameters
    ----------
    part : str
        One of `evidence.PARTS`.
    found : mapping
        Task → part → results.
    titles : mapping
        Task → what its corpus is called.
    """
    texts = [
        f"**{titles[task]}** (synthetic): {say(part, parts[part])}\n\n"
        f"{write_table(part, parts[part]) if parts[part] else ''}"
        for task, parts in found.items()
    ]
    return Markdown("\n\n".join(texts))


def show_leads(
    found: Mapping[str, Mapping[str, Evidence | None]], titles: Mapping[str, str]
) -> Markdown:
    """Show what every part says, corpus by corpus; arguments `found`, `titles` as for `show`."""
    lines = []
    for task, parts in found.items():
        lines.append(f"**{titles[task]}** (synthetic)\n")
        lines += [f"- {NAMES[part]}: {say(part, results)}" for part, results in parts.items()]
        lines.append("")
    return Markdown("\n".join(lines))


def glue_values(found: Mapping[str, Mapping[str, Evidence | None]]) -> dict[str, str]:
    """Return all sentences and tables for the book's page, by keys such as `xnli_subsets_lead`.

    Parameters
    ----------
    found : mapping
        Task → part → results.
    """
    texts = {}
    for task, parts in found.items():
        for part, results in parts.items():
            start = f"{task}_{part.replace('-', '_')}"
            texts[f"{start}_lead"] = say(part, results)
            texts[f"{start}_table"] = write_table(part, results)
    return texts


def _write_lds(found: Evidence) -> str:
    table = found.tables["lds"]
    heads = ["method", *(f"{kind}: {what}" for kind in SUBSETS for what in ("LDS", "of ceiling"))]
    kinds = [table[table["kind"] == kind].set_index("method") for kind in SUBSETS]
    rows = []
    for name in kinds[0].index:
        drawn = name in AVERAGED
        cells = [cell for rows_of in kinds for cell in _lds_cells(rows_of.loc[name], drawn)]
        start = "control: " if kind_of(name) == "control" else ""
        rows.append([f"{start}{name}", *cells])
    ceilings = [number(rows_of["ceiling"].iloc[0]) for rows_of in kinds]
    rows.append(["**ceiling**", ceilings[0], "", ceilings[1], ""])
    rows.append(["**chance**", "0", "", "0", ""])
    draws = f"Of the random controls: the lowest and the highest of {DRAWS} draws."
    return f"{_write_rows(heads, rows)}\n\n{_say_brackets(table)} {draws}"


def _lds_cells(row: pd.Series, control: bool) -> list[str]:
    if control:
        draws = f"{number(row['draw_low'])} to {number(row['draw_high'])}"
        return [f"{number(row['lds'])} (draws {draws})", of_ceiling(row)]
    return [lds_with_ends(row), of_ceiling(row)]


def _write_changes(found: Evidence) -> str:
    table = found.tables["change"]
    order = list(dict.fromkeys([*table["test_lang"], *table["train_lang"]]))
    names = sorted(set(table["train_lang"]) - {OWN, OTHER}, key=order.index)
    columns = [*names, OWN, OTHER]
    digits, blocks = count_digits(table), []
    for kind in (TOP, BEYOND, RANDOM, SAME_LABEL):
        part = table[table["samples"] == kind].set_index(["test_lang", "train_lang"])
        rows = []
        for lang in dict.fromkeys(table["test_lang"]):
            found = [
                _change_cell(part.loc[lang, column], digits)
                if (lang, column) in part.index
                else NONE
                for column in columns
            ]
            rows.append(["**all**" if lang == "all" else name_language(lang), *found])
        heads = ["test language", *map(_name_source, columns)]
        blocks.append(f"*{TITLES[kind]}*\n\n{_write_rows(heads, rows)}")
    each = table.loc[table["test_lang"] != "all", ["test_samples", "items"]].drop_duplicates()
    counts = " or ".join(count_samples(row) for _, row in each.iterrows())
    note = f"{_say_brackets(table[table['test_lang'] == 'all'])} Each test language: {counts}."
    return "\n\n".join([*blocks, note])


def _change_cell(row: pd.Series, digits: int) -> str:
    """Return a cell of the matrix; a single test language has no brackets without an interval."""
    if row.name[0] != "all" and pd.isna(row["ci_low"]):
        return signed(row["change"], digits)
    return change(row, digits)


def _name_source(source: str) -> str:
    return source if source in (OWN, OTHER) else name_language(source)


def _write_flipped(found: Evidence) -> str:
    table, smallest = found.tables["flipped"], found.tables["smallest"]
    ks = list(dict.fromkeys(table["k"]))
    shares, by_k = table.set_index(["method", "k"]), smallest.set_index(["method", "k"])
    methods = list(dict.fromkeys(table["method"]))
    first = [[chosen(name), *(share(shares.loc[name, k]) for k in ks)] for name in methods]
    second = [
        [
            chosen(name),
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
