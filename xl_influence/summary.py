"""The end of each notebook: what this run found, beside what the paper found.

`summary.yaml` has what the paper says, for each notebook: a text for all tasks and texts for
single tasks, so that no summary mentions a language that its task does not have.
"""

from __future__ import annotations

import functools
from importlib import resources

import pandas as pd
import xarray as xr
import yaml
from IPython.display import Markdown

from . import sharing, tasks
from .prose import join_phrases, percent, say_share
from .sections import FineTuning

N_SHOWN = 3  # training samples that notebook 02 shows
VERBS = {  # verdict → what one claim does, and several
    "holds": ("holds", "hold"),
    "does not hold": ("does not hold", "do not hold"),
    "inconclusive": ("is inconclusive", "are inconclusive"),
    "cannot be tested here": ("cannot be tested here",) * 2,
}


def show(merged: FineTuning, notebook: str, found: str) -> Markdown:
    """What this run found, and below it what the paper found.

    Parameters
    ----------
    merged
        The run's parameters.
    notebook
        The number of the notebook, '04' say.
    found
        What the run found, as sentences; see `leads`.
    """
    run = f"**This run** ({tasks.find_title(merged)}, study `{merged['study']}`). {found}"
    paper = quote_paper(notebook, merged["task"])
    return Markdown(f"{run}\n\n**The paper.** {paper}" if paper else run)


def quote_paper(notebook: str, task: str) -> str:
    """What the paper says about the question of a notebook; empty if it says nothing.

    Parameters
    ----------
    notebook
        The number of the notebook.
    task
        The task's name.
    """
    texts = _read().get(notebook, {})
    return " ".join(texts[key].strip() for key in ("all", task) if key in texts)


@functools.cache
def _read() -> dict[str, dict[str, str]]:
    path = resources.files(__package__).joinpath("summary.yaml")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def say_most_influential(
    cube: xr.Dataset,
    train: pd.DataFrame,
    test: pd.DataFrame,
    bootstrap: sharing.Bootstrap = sharing.BOOTSTRAP,
) -> str:
    """Say how many of the three most helpful and harmful samples have the test sample's label.

    Parameters
    ----------
    cube, train, test
        A score cube and its samples.
    bootstrap
        How the intervals are computed.
    """
    each = sharing.matching_by_sample(cube, train, test, {"label": ["label"]}, top_k=N_SHOWN)
    table = sharing.summary(each, ["sign"], bootstrap).set_index("sign")
    helpful, harmful = table.loc["positive"], table.loc["negative"]
    return (
        f"{say_share(helpful)} of the {N_SHOWN} most helpful training samples and "
        f"{say_share(harmful)} of the {N_SHOWN} most harmful ones have the test sample's "
        f"label; chance is {percent(helpful['chance'])} ({helpful['test_samples']} test samples)."
    )


def say_candidates(table: pd.DataFrame, count: int, n_train: int) -> str:
    """Say how many of the most influential training samples are among the candidates.

    Parameters
    ----------
    table
        From `ask.measure_recall`.
    count
        The number of candidates that was used.
    n_train
        The number of all training samples.
    """
    count = min(count, n_train)
    chosen = (table["score"] == "gradients of the head") & (table["candidates"] == count)
    rows = table[chosen].set_index("sign")
    helpful, harmful = rows.loc["positive"], rows.loc["negative"]
    return (
        f"{count} candidates of {n_train} training samples hold {say_share(helpful)} of the ten "
        f"most helpful training samples and {say_share(harmful)} of the ten most harmful ones; "
        f"candidates drawn at random would hold {percent(helpful['chance'])} "
        f"({helpful['test_samples']} test samples)."
    )


def say_verdicts(claims: pd.DataFrame) -> str:
    """Count the verdicts on the paper's claims.

    `claims` comes from `paper.compare_claims`.
    """
    counts = claims["holds"].value_counts() if len(claims) else {}
    words = [
        f"{counts[verdict]} {several if counts[verdict] > 1 else one}"
        for verdict, (one, several) in VERBS.items()
        if verdict in counts
    ]
    if not words:
        return "No claim gets a verdict: the corpus is synthetic, or the paper has no such data."
    return f"Of {len(claims)} claims, {join_phrases(words)}."
