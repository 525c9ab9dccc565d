"""The paper's five questions (section 1), put to every method, to see which answers hold.

Each question becomes one number with an interval, judged as the paper's claims are
(`paper.judge`): what random scores would show as well is no evidence.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from ..claim_estimates import Estimate
from ..influence import from_values
from ..manifest import AT_CHANCE
from ..paper import HOLDS, judge
from ..sharing import BOOTSTRAP, Bootstrap, parallel, summary
from ..sharing.languages import cross_language_by_sample
from ..sharing.translations import reinforcement_by_sample
from ..sharing.variants import zero_shot_by_sample
from .base import MethodInput, NotAvailableError
from .catalogue import PAPER, compute, count_draws, find_kind, list_methods

FEWEST_EPOCHS = 3  # of question 4: the second is neither the first nor the last
COLUMNS = ["question", "method", "kind", "value", "ci_low", "ci_high", "chance"]
COLUMNS += ["test_samples", "items", "verdict", "same", "why_not"]


@dataclass(frozen=True)
class Runs:
    """The runs that the questions are about.

    Parameters
    ----------
    base : MethodInput
        The run of the study.
    seen : MethodInput, optional
        The run on all languages that `more` and `without` are compared with.
    more : dict of str to MethodInput
        Language → the run with more training samples in it.
    without : dict of str to MethodInput
        Language → the run without it.
    """

    base: MethodInput
    seen: MethodInput | None = None
    more: Mapping[str, MethodInput] = field(default_factory=dict)
    without: Mapping[str, MethodInput] = field(default_factory=dict)


class Scores:
    """One method's values for any of the runs, as cubes that the analyses take.

    Each is computed once, whatever the number of questions.

    Parameters
    ----------
    name : str
        The method.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.of = functools.cache(self._compute)

    def _compute(self, given: MethodInput, draw: int) -> xr.Dataset:
        if self.name not in list_methods(given):
            raise NotAvailableError("the models compared have no such layer")
        return from_values(compute(self.name, given, draw=draw), given.train, given.test)


class Question(NamedTuple):
    """A question of the paper, and the statement by which we test it.

    Attributes
    ----------
    text : str
        The question, shortened.
    statement : str
        The paper's answer, as it is tested.
    expect : str
        What the statement says of the value, as in `paper.judge`.
    measure : callable
        From `Scores`, `Runs` and the number of a draw (see `catalogue.compute`) to a table by
        sample: `test`, `item`, `share`, `chance`.
    """

    text: str
    statement: str
    expect: str
    measure: Callable[[Scores, Runs, int], pd.DataFrame]


def list_questions(is_parallel: bool, mostly_repeats: bool) -> dict[int, Question]:
    """Return the paper's questions by number, with its answers for a task.

    Parameters
    ----------
    is_parallel : bool
        Whether the task is parallel.
    mostly_repeats : bool
        Whether the paper finds more than half of the samples reinforcing, as on XNLI, or fewer, as
        on PAWS-X.
    """
    half = "More" if mostly_repeats else "Fewer"
    back = "translate helpful samples in that language" if is_parallel else "also helped before"
    return {
        1: Question(
            "Do predictions also depend on other languages' data?",
            "More than half of the most helpful samples are in other languages.",
            "> 0.5",
            _from_others,
        ),
        2: Question(
            "Only if data in the test language are scarce?",
            "With more data in the test language, more than half are still in other languages.",
            "> 0.5",
            _from_others_with_more,
        ),
        3: Question(
            "Do other languages repeat what the test language's own samples say?",
            f"{half} than half of the helpful samples in other languages translate helpful "
            "samples in the test language.",
            "> 0.5" if mostly_repeats else "< 0.5",
            _repeating,
        ),
        4: Question(
            "Does sharing change during fine-tuning?",
            "The test language's own share falls from the second epoch to the last.",
            "< 0",
            _change_of_own,
        ),
        5: Question(
            "Is it different for a language without training data?",
            f"Without a language, fewer than half of the helpful samples {back}.",
            "< 0.5",
            _coming_back,
        ),
    }


def answer_questions(
    runs: Runs, *, mostly_repeats: bool = True, bootstrap: Bootstrap = BOOTSTRAP
) -> pd.DataFrame:
    """Put the paper's questions to every method.

    Parameters
    ----------
    runs : Runs
        The runs.
    mostly_repeats : bool
        See `list_questions`.
    bootstrap : Bootstrap
        How the intervals are computed.

    Returns
    -------
    pandas.DataFrame
        One row per question and method: `question` (its number), `method`, `kind`, `value`,
        `ci_low`, `ci_high`, `chance`, `test_samples`, `items`, `verdict` (as `paper.judge`),
        `same` (whether the verdict is that of the paper's method), `why_not` (why a question cannot
        be put to a method; empty if it can). The results of a random control are averaged over its
        draws for each test sample, as in `compare`.
    """
    rows, asked = [], list_questions(parallel(runs.base.train), mostly_repeats)
    for scores in map(Scores, list_methods(runs.base)):
        for number, question in asked.items():
            about = {"question": number, "method": scores.name, "kind": find_kind(scores.name)}
            rows.append(about | _answer(scores, question, runs, bootstrap))
    table = pd.DataFrame(rows).sort_values("question", kind="stable", ignore_index=True)
    by_cosine = table[table["method"] == PAPER].set_index("question")["verdict"]
    return table.assign(same=table["verdict"] == table["question"].map(by_cosine))[COLUMNS]


def count_answers(table: pd.DataFrame, asked: Mapping[int, Question]) -> pd.DataFrame:
    """Count under how many methods each of the paper's answers holds.

    Parameters
    ----------
    table : pandas.DataFrame
        From `answer_questions`.
    asked : mapping of int to Question
        From `list_questions`.

    Returns
    -------
    pandas.DataFrame
        `question`, `statement`, `by_cosine` (the verdict by the paper's method), then the number of
        methods with each verdict (`holds`, `does_not_hold`, `inconclusive`, `cannot_be_asked`),
        `same` and `of` (methods with the same verdict as the cosine, of the others that can be
        asked), `same_layers` and `of_layers` (the same for single layers). Controls do not count.
    """
    rows = []
    for number, question in asked.items():
        part = table[(table["question"] == number) & (table["kind"] != "control")]
        cosine = part.loc[part["method"] == PAPER, "verdict"].iloc[0]
        is_layer = part["method"].str.startswith("layer-")
        whole = part[~is_layer]
        counts = [int((whole["verdict"] == each).sum()) for each in HOLDS]
        row = [question.text, question.statement, cosine, *counts]
        for each in (whole[whole["method"] != PAPER], part[is_layer]):
            asked_of = each[each["verdict"] != HOLDS[-1]]
            row += [int(asked_of["same"].sum()), len(asked_of)]
        rows.append(row)
    counts_of = ["holds", "does_not_hold", "inconclusive", "cannot_be_asked"]
    columns = ["question", "statement", "by_cosine", *counts_of, "same", "of"]
    return pd.DataFrame(rows, columns=[*columns, "same_layers", "of_layers"])


def _answer(scores: Scores, question: Question, runs: Runs, bootstrap: Bootstrap) -> dict[str, Any]:
    """Return value, interval, chance, counts, verdict and, if there is none, the reason."""
    nothing: dict[str, Any] = dict.fromkeys(["value", "ci_low", "ci_high", "chance"], np.nan)
    nothing |= {"test_samples": 0, "items": 0, "verdict": HOLDS[-1]}
    try:
        draws = [question.measure(scores, runs, draw) for draw in range(count_draws(scores.name))]
    except NotAvailableError as error:
        return nothing | {"why_not": str(error)}
    keys = ["test", "item"]  # a test sample counts once, whatever the number of draws
    each = pd.concat(draws).groupby(keys, sort=False)[["share", "chance"]].mean().reset_index()
    means = summary(each.assign(all=""), ["all"], bootstrap).rename(columns={"share": "value"})
    (row,) = means.drop(columns="all").to_dict("records")
    estimate = Estimate(*(row[key] for key in ("value", "ci_low", "ci_high", "chance")))
    judged = judge(estimate, question.expect, np.nan)
    return {**row, "verdict": judged, "why_not": ""}


def _positive(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows of helpful samples."""
    return table[table["sign"] == "positive"]


def _from_others(scores: Scores, runs: Runs, draw: int) -> pd.DataFrame:
    """Question 1: the share of other languages (section 7)."""
    given = runs.base
    found = scores.of(given, draw)
    return _positive(cross_language_by_sample(found, given.train, given.test, top_k=given.top_k))


def _from_others_with_more(scores: Scores, runs: Runs, draw: int) -> pd.DataFrame:
    """Question 2: the same for a language with more training samples (section 8.4)."""
    if not runs.more:
        raise NotAvailableError(f"no run with more data in a language, or all are {AT_CHANCE}")
    tables = []
    for lang, given in runs.more.items():
        table = _from_others(scores, Runs(given), draw)
        tables.append(table[table["test_lang"] == lang])
    return pd.concat(tables, ignore_index=True)


def _repeating(scores: Scores, runs: Runs, draw: int) -> pd.DataFrame:
    """Question 3: the share of reinforcing samples (section 8.1)."""
    given = runs.base
    if not parallel(given.train):
        raise NotAvailableError("the task is not parallel: no sample translates another")
    values = scores.of(given, draw)
    found = reinforcement_by_sample(values, given.train, given.test, top_k=given.top_k)
    if _positive(found).empty:
        raise NotAvailableError("no sample in another language is among the top k")
    return _positive(found)


def _change_of_own(scores: Scores, runs: Runs, draw: int) -> pd.DataFrame:
    """Question 4: change of the own share from the second epoch to the last (section 8.2)."""
    given = runs.base
    epochs = given.epochs
    if not epochs:
        raise NotAvailableError("the run holds the sum over checkpoints only")
    if len(epochs) < FEWEST_EPOCHS:
        checkpoints = "one checkpoint" if len(epochs) == 1 else f"{len(epochs)} checkpoints"
        raise NotAvailableError(
            f"the run has {checkpoints}; comparing the second with the last takes three or more"
        )
    if find_kind(scores.name) in ("words", "control") or scores.name == "last checkpoint":
        raise NotAvailableError("does not depend on the epoch")
    early, late = (
        _from_others(scores, Runs(given.at(epoch)), draw).set_index("test")
        for epoch in (epochs[1], epochs[-1])
    )
    change = (1 - late["share"]) - (1 - early["share"])
    return late.assign(share=change, chance=0.0).reset_index()


def _coming_back(scores: Scores, runs: Runs, draw: int) -> pd.DataFrame:
    """Question 5: what comes back without a language (section 8.3)."""
    if runs.seen is None or not runs.without:
        raise NotAvailableError(f"no run without a language, or all are {AT_CHANCE} in it")
    seen, tables = runs.seen, []
    before = (scores.of(seen, draw), seen.train, seen.test)
    for lang, given in runs.without.items():
        after = (scores.of(given, draw), given.train, given.test)
        table = zero_shot_by_sample(before, after, lang, top_k=given.top_k)
        what = "translations" if "translations" in set(table["what"]) else "same_samples"
        tables.append(table[table["what"] == what])
    found = _positive(pd.concat(tables, ignore_index=True))
    if found.empty:
        raise NotAvailableError("no sample in another language was among the top k before")
    return found


def say_same_as_paper(counts: pd.DataFrame) -> Sequence[str]:
    """Say for each question what was tested, and how many methods give the cosine's verdict.

    Parameters
    ----------
    counts : pandas.DataFrame
        From `count_answers`.
    """
    sentences = []
    for row in counts.itertuples():
        if row.by_cosine == HOLDS[-1]:
            sentences.append(f"{row.statement} This run cannot test it.")
            continue
        layers = f" and {row.same_layers} of {row.of_layers} single layers" * bool(row.of_layers)
        verb = "is inconclusive" if row.by_cosine == HOLDS[2] else row.by_cosine
        others = "no other method can test it"
        if row.of:
            others = f"{row.same} of {row.of} other methods{layers} give the same verdict"
        sentences.append(f"{row.statement} With the cosine, this {verb} in this run; {others}.")
    return sentences
