"""Numbers that pages of the book read from a run's tables, besides those that notebooks store."""

from __future__ import annotations

import json
from typing import Any

from . import tables, tasks
from .methods.catalogue import PAPER
from .sections import Parameters


def share_by_k(merged: Parameters) -> dict[str, Any]:
    """The share of other languages among the k most helpful samples, for each k of one task.

    Parameters
    ----------
    merged
        The parameters of the run.

    Returns
    -------
    dict
        `task`, `title`, `top_k`, `languages` (how many test languages), and `rows`: for each k its
        share, interval (None if there is none), chance, and number of test samples and items.
    """
    table = tables.read(merged, "share_by_k")
    rows = table[(table["test_lang"] == "all") & (table["sign"] == "positive")]
    columns = ["k", "share", "ci_low", "ci_high", "chance", "test_samples", "items"]
    return {
        "task": merged["task"],
        "title": tasks.find_title(merged),
        "top_k": merged["top_k"],
        "languages": len(set(table["test_lang"]) - {"all"}),
        "rows": json.loads(rows[columns].to_json(orient="records")),  # NaN becomes null
    }


def read_taken_out(merged: Parameters) -> dict[str, Any] | None:
    """The share of other languages before and after label and language are taken out.

    Parameters
    ----------
    merged
        The parameters of the run.

    Returns
    -------
    dict or None
        `title`, `k`, `chance`, and `label` and `language`, each with two shares of the k most
        helpful samples: as influence is, and without it. None if the run has no such shares.
    """
    label = tables.find(merged, "same_label")
    language = tables.find(merged, "without_language")
    if label is None or language is None:
        return None
    rows = label[(label["test_lang"] == "all") & (label["sign"] == "positive")]
    pools = rows[rows["what"] == "other languages"].set_index("pool")["share"]
    rows = language[language["measure"] == "other languages"]
    ways = rows[rows["k"] == rows["k"].max()].set_index("method")
    names = (f"{PAPER}, language out, both", f"{PAPER}, language out")
    without = [name for name in names if name in ways.index]
    if not without:  # a language has a single test sample
        return None
    return {
        "title": tasks.find_title(merged),
        "k": int(ways.loc[PAPER, "k"]),
        "chance": ways.loc[PAPER, "chance"],
        "label": [pools["all samples"], pools["same label"]],
        "language": [ways.loc[PAPER, "value"], ways.loc[without[0], "value"]],
    }
