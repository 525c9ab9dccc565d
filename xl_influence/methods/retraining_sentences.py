"""What the results on retraining say: a sentence, a table in Markdown, and where they come from.

Where nothing has been computed, all of them say that.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from ..prose import interval, percent
from ..tasks import name_language
from .catalogue import PAPER, kind_of
from .evidence import Evidence
from .sentences import NONE, number
from .subsets import BY_LANGUAGE, HALVES
from .tail_patch import BEYOND, OTHER, OWN, RANDOM, SAME_LABEL, TOP

MISSING = "not computed yet."
CONTROL = "random scores"
SUBSETS = {HALVES: "For random halves", BY_LANGUAGE: "For subsets that lack a part of one language"}


def say(part: str, found: Evidence | None) -> str:
    """Say what the results of a part show, in sentences that follow a name and a colon.

    Parameters
    ----------
    part : str
        One of `evidence.PARTS`.
    found : Evidence, optional
        From `evidence.read`; None if there are no results.
    """
    if found is None:
        return MISSING
    if part == "subsets":
        return " ".join(lds_lead(found.tables["lds"], kind) for kind in SUBSETS)
    if part == "tail-patch":
        return tail_lead(found.tables["change"], found.about["settings"]["k"])
    return flipped_lead(found.tables["flipped"], found.about["samples"]["train"])


def lds_lead(table: pd.DataFrame, kind: str) -> str:
    """Say how well the best method and the paper's predict retraining on subsets.

    Parameters
    ----------
    table : pandas.DataFrame
        From `subsets.measure`.
    kind : str
        The kind of subsets.
    """
    rows = table[table["kind"] == kind].set_index("method")
    compared = rows[[kind_of(name) != "control" for name in rows.index]]
    best, start = compared["lds"].idxmax(), SUBSETS[kind]
    highest, cosine, control = rows.loc[best], rows.loc[PAPER], rows.loc[CONTROL]
    ceiling = f"{_of_ceiling(highest)} of the ceiling of {number(highest['ceiling'])}"
    if not highest["ceiling"]:
        ceiling = "and the ceiling is 0, since the seeds do not agree at all"
    named = f"{best} with an LDS of {_with_ends(highest)}, {ceiling}"
    others = "" if best == PAPER else f" The paper's cosine has {_with_ends(cosine)}."
    if pd.isna(highest["ci_low"]):
        return (
            f"{start}, the highest of {len(compared)} methods is {named}.{others} Random scores "
            f"have {number(control['lds'])}. {highest['items']} items are too few for an interval."
        )
    threshold = max(0, control["ci_high"])
    above = int((compared["ci_low"] > threshold).sum())
    if not above:
        return (
            f"{start}, none of {len(compared)} methods predicts retraining better than random "
            f"scores. The highest is {named}.{others}"
        )
    are = "predicts" if above == 1 else "predict"
    return (
        f"{start}, {above} of {len(compared)} methods {are} retraining better than random scores. "
        f"The best is {named}.{others}"
    )


def tail_lead(table: pd.DataFrame, k: int) -> str:
    """Say what one step on the most helpful samples changes, beside random ones with that label.

    Parameters
    ----------
    table : pandas.DataFrame
        From `tail_patch.average`.
    k : int
        How many samples a step is made of.
    """
    rows = table[table["test_lang"] == "all"].set_index(["train_lang", "samples"])
    text = f"One step on the {k} most helpful samples"
    parts = [
        f"{_change(rows.loc[source, TOP])} with samples in {name}"
        for source, name in ((OWN, OWN), (OTHER, "another language"))
        if (source, TOP) in rows.index
    ]
    text += f" changes the log-odds of the right class by {' and '.join(parts)}."
    source = OTHER if (OTHER, BEYOND) in rows.index else OWN
    beyond, where = rows.loc[source, BEYOND], "another" if source == OTHER else "the test"
    text += f" In {where} language, this is {_change(beyond)} more than k random samples of the "
    text += (
        f"same label give, over {beyond['test_samples']} test samples of {beyond['items']} items"
    )
    if pd.isna(beyond["ci_low"]):
        return f"{text}, too few for an interval."
    if beyond["ci_low"] <= 0 <= beyond["ci_high"]:
        return f"{text}. The interval of this difference includes 0."
    return f"{text}."


def flipped_lead(table: pd.DataFrame, n_train: int) -> str:
    """Say how many predictions flip without the most helpful samples, at the largest k.

    Parameters
    ----------
    table : pandas.DataFrame
        From `brittleness.count_flipped`.
    n_train : int
        The number of training samples.
    """
    k = table["k"].max()
    rows = table[table["k"] == k].set_index("method")
    *first, last = [f"{_share(row)} if {_chosen(name)}" for name, row in rows.iterrows()]
    counts = f"{rows['test_samples'].iloc[0]} test samples of {rows['items'].iloc[0]} items"
    return (
        f"Without {k} of {n_train:,} training samples, the prediction flips for "
        f"{', '.join(first)}{' and ' * bool(first)}{last} ({counts})."
    )


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
    settings = ", ".join(
        f"{_plain(key)} {_listed(value)}" for key, value in about["settings"].items()
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
        control = "control: " if kind_of(name) == "control" else ""
        cells = [cell for rows_of in kinds for cell in _lds_cells(rows_of.loc[name])]
        rows.append([f"{control}{name}", *cells])
    ceilings = [number(rows_of["ceiling"].iloc[0]) for rows_of in kinds]
    rows.append(["**ceiling**", ceilings[0], "", ceilings[1], ""])
    rows.append(["**chance**", "0", "", "0", ""])
    return f"{_write_rows(heads, rows)}\n\n{_say_brackets(table)}"


def _lds_cells(row: pd.Series) -> list[str]:
    return [_with_ends(row), _of_ceiling(row)]


def _write_changes(found: Evidence) -> str:
    table = found.tables["change"]
    names = [lang for lang in dict.fromkeys(table["train_lang"]) if lang not in (OWN, OTHER)]
    columns = [*names, OWN, OTHER]
    blocks = []
    for kind in (TOP, BEYOND, RANDOM, SAME_LABEL):
        part = table[table["samples"] == kind].set_index(["test_lang", "train_lang"])
        rows = []
        for lang in dict.fromkeys(table["test_lang"]):
            cells = [
                _change(part.loc[lang, column]) if (lang, column) in part.index else NONE
                for column in columns
            ]
            rows.append(["**all**" if lang == "all" else name_language(lang), *cells])
        heads = ["test language", *map(_name_source, columns)]
        blocks.append(f"*{_TITLES[kind]}*\n\n{_write_rows(heads, rows)}")
    return "\n\n".join([*blocks, _say_brackets(table[table["test_lang"] == "all"])])


_TITLES = {
    TOP: "Most helpful samples",
    BEYOND: "Most helpful samples, minus random samples of the same label",
    RANDOM: "Control: random samples",
    SAME_LABEL: "Control: random samples of the same label",
}


def _name_source(source: str) -> str:
    return source if source in (OWN, OTHER) else name_language(source)


def _write_flipped(found: Evidence) -> str:
    table, smallest = found.tables["flipped"], found.tables["smallest"]
    ks = list(dict.fromkeys(table["k"]))
    shares, by_k = table.set_index(["method", "k"]), smallest.set_index(["method", "k"])
    methods = list(dict.fromkeys(table["method"]))
    first = [[_chosen(name), *(_share(shares.loc[name, k]) for k in ks)] for name in methods]
    second = [
        [
            _chosen(name),
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
    row = table.iloc[0]
    what = "the interval over items"
    if table["ci_low"].isna().all():
        what = "the lowest and the highest item, which are too few for an interval"
    return f"In brackets: {what}. {row['test_samples']} test samples of {row['items']} items."


def _write_rows(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(heads)]
    lines.append(["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [*lines, *map(list, rows)])


def _ends(row: pd.Series) -> tuple[float, float]:
    """Return the interval or, where there is none, the lowest and the highest item."""
    names = ("least", "most") if pd.isna(row["ci_low"]) else ("ci_low", "ci_high")
    return float(row[names[0]]), float(row[names[1]])


def _with_ends(row: pd.Series) -> str:
    low, high = _ends(row)
    return f"{number(row['lds'])} ({number(low)} to {number(high)})"


def _of_ceiling(row: pd.Series) -> str:
    share = row["of_ceiling"]
    return NONE if share is None or math.isnan(share) else percent(share).replace("-", "\u2212")


def _change(row: pd.Series) -> str:
    low, high = _ends(row)
    if row["items"] == 1:
        return _signed(row["change"])
    return f"{_signed(row['change'])} ({_signed(low)} to {_signed(high)})"


def _signed(value: float) -> str:
    return f"{value + 0.0:+.2g}".replace("-", "\u2212")


def _share(row: pd.Series) -> str:
    return f"{percent(row['flipped'])} ({interval(*_ends(row))})"


def _chosen(method: str) -> str:
    return "chosen at random" if method == "random" else f"most helpful by the {method}"


def _plain(key: str) -> str:
    return key.replace("_", " ")


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
