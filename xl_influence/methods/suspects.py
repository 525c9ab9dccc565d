"""The training samples of a finished run that may be wrong, for you to look at.

    python -m xl_influence.methods.suspects study=cpu task=own data_root=~/my-task out=suspects.csv

Writes one row per training sample, with the training loss, the confidence in the given label, the
squared gradient norm, the influence on the test samples of every language, and the rank by each;
and prints the samples and languages that hurt most. By default the table goes to `suspects.csv` in
the run's folder. It has no texts: `uid` and `item` lead to them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .. import params, runs, tasks
from ..prose import interval, percent
from ..sections import Analysis
from ..sharing import BOOTSTRAP, Bootstrap, summary
from ..sharing.languages import composition_by_sample
from ..tasks import name_language
from . import commands
from .base import MethodInput, NotAvailableError
from .detection import sum_squared_lengths
from .study import read_given
from .suspicion import confidences, losses, train_probabilities

NORM, LOSS, CONFIDENCE, INFLUENCE = (
    "squared_gradient_norm",
    "training_loss",
    "confidence",
    "influence",
)
SHOWN = 10  # samples in the summary
LOW = (CONFIDENCE, INFLUENCE)  # where the lowest value is the most suspect


def find_suspects(
    given: MethodInput, probabilities: np.ndarray, class_names: Sequence[str]
) -> pd.DataFrame:
    """Make the table of all training samples.

    Parameters
    ----------
    given : MethodInput
        The run; its cube must hold the lengths of gradients.
    probabilities : numpy.ndarray
        As `suspicion.train_probabilities` returns them.
    class_names : sequence of str
        The names of the labels 0, 1, …

    Returns
    -------
    pandas.DataFrame
        The most harmful sample first: `uid`, `lang`, `item`, `label` (its name), `training_loss`
        and `confidence` (both of the last checkpoint), `squared_gradient_norm` (over all
        checkpoints), `influence` (the cosine, summed over all test samples), `influence_on_<lang>`
        (over those of a language), and `rank_<column>` for each: 1 is the most suspect, equal
        values share the first of their ranks.

    Raises
    ------
    NotAvailableError
        The cube holds cosines only, as that of a published run does.
    """
    given.need_lengths()
    train, languages = given.train, given.test["lang"].to_numpy()
    confidence = confidences(probabilities, train["label"])[-1]
    table = train[["uid", "lang", "item"]].assign(
        label=[class_names[label] for label in train["label"]],
        **{LOSS: losses(confidence), CONFIDENCE: confidence},
        **{NORM: sum_squared_lengths(given.cube), INFLUENCE: given.cosine.sum(0)},
        **{
            f"{INFLUENCE}_on_{lang}": given.cosine[languages == lang].sum(0)
            for lang in dict.fromkeys(languages)
        },
    )
    for column in [name for name in table if name not in ("uid", "lang", "item", "label")]:
        ranks = table[column].rank(method="min", ascending=column.startswith(LOW))
        table[f"rank_{column}"] = ranks.astype(int)
    return table.sort_values(f"rank_{INFLUENCE}", kind="stable", ignore_index=True)


def find_harmful_languages(
    given: MethodInput, top_k: int, bootstrap: Bootstrap = BOOTSTRAP
) -> pd.DataFrame:
    """Say what share of the most harmful training samples each language has, over all test samples.

    Parameters
    ----------
    given : MethodInput
        The run.
    top_k : int
        How many training samples count as the most harmful, for every test sample.
    bootstrap : Bootstrap
        How the intervals are computed.

    Returns
    -------
    pandas.DataFrame
        `train_lang`, `share`, `ci_low`, `ci_high`, `chance` (the language's share of the training
        samples), `test_samples`, `items`; the largest share first.
    """
    each = composition_by_sample(given.cube, given.train, given.test, top_k=top_k)
    each = each[each["sign"] == "negative"]
    found = summary(each, ["train_lang"], bootstrap)
    return found.sort_values("share", ascending=False, kind="stable", ignore_index=True)


def describe(table: pd.DataFrame, by_language: pd.DataFrame, top_k: int) -> str:
    """Say which samples and which languages hurt most, as text for a terminal.

    Parameters
    ----------
    table : pandas.DataFrame
        From `find_suspects`.
    by_language : pandas.DataFrame
        From `find_harmful_languages`.
    top_k : int
        The k of `by_language`.
    """
    columns = ["uid", "label", INFLUENCE, LOSS, f"rank_{LOSS}", f"rank_{NORM}"]
    first = table.head(SHOWN)[columns].round(2).to_string(index=False)
    lines = [f"The {min(SHOWN, len(table))} training samples that hurt the test samples most:"]
    lines += [first, "", f"Share of the {top_k} most harmful training samples, by language:"]
    for row in by_language.itertuples():
        lines.append(f"  {name_language(row.train_lang)}: {_describe_share(row)}")
    row = by_language.iloc[0]
    lines.append("")
    if np.isnan(row["ci_low"]):
        lines.append(
            "The test items are too few to tell whether a language hurts more than others."
        )
    elif row["ci_low"] > row["chance"]:
        lines.append(f"{name_language(row['train_lang'])} hurts most, more than by chance.")
    else:
        lines.append("No language clearly hurts more than by chance.")
    lines.append("A suspect sample need not be wrong: look at it before you remove it.")
    return "\n".join(lines)


def _describe_share(row: Any) -> str:
    """Write a share with its interval, chance and the number of test samples."""
    ends = "too few items for an interval"
    if not np.isnan(row.ci_low):
        ends = f"interval {interval(row.ci_low, row.ci_high)}"
    return (
        f"{percent(row.share)} ({ends}; chance is {percent(row.chance)}; "
        f"{row.test_samples} test samples)"
    )


def report(config: Analysis, out: str | Path = "") -> tuple[Path, str]:
    """Write the table of a finished run, and say what hurts most; trains nothing.

    Parameters
    ----------
    config : dict
        The parameters of the run.
    out : str or Path
        The file to write; empty: `suspects.csv` in the run's folder.

    Returns
    -------
    path : Path
        The file.
    text : str
        From `describe`.

    Raises
    ------
    ScoreError
        The run is missing or incomplete.
    NotAvailableError
        The run is a published one, or keeps only sums of scores.
    """
    given = read_given(config)
    try:
        given.need_lengths()
        probabilities = train_probabilities(given, config["max_tokens"])
    except NotAvailableError as error:
        raise NotAvailableError(f"{given.folder}: {error}") from None
    table = find_suspects(given, probabilities, tasks.find(config).class_names)
    by_language = find_harmful_languages(given, config["top_k"], Bootstrap.of(config))
    path = Path(out).expanduser() if out else runs.find_folder(config) / "suspects.csv"
    with runs.write_atomically(path) as partial:
        table.to_csv(partial, index=False)
    return path, describe(table, by_language, config["top_k"])


def main(arguments: Sequence[str]) -> int:
    """Run the command line: key=value, and `out` (a file)."""

    def work() -> str:
        given = params.parse(arguments)
        out = given.pop("out", "")
        path, text = report(params.merge(given), str(out))
        return f"{text}\n\n{path}"

    return commands.run(work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
