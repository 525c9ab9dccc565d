"""Ask a run about a text of your own: the model's answer, and the training samples behind it.

Exact influence of all training samples takes minutes to hours. For a single text we take the
training samples whose gradients over the head are most alike or most opposed to the text's (module
`head`), and compute the exact influence of these candidates alone. `measure_recall` measures how
many of the most influential training samples are among the candidates.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from tqdm import tqdm

from . import head, prose, runs, scores, selection, sharing, tasks
from .finetune import pick_device
from .influence import influence
from .question import AskError, Input, Question, read_input
from .sections import Analysis, FineTuning, Influence, Parameters
from .sharing import top
from .sharing.base import samples_of
from .tracin import gradient_products

if TYPE_CHECKING:
    from transformers import PreTrainedModel

RECALL_K = 10  # training samples of each sign that `measure_recall` looks for
UID = "your text"


@dataclass(frozen=True)
class Answer:
    """The model's prediction for a question, and the influence of the candidates.

    Attributes
    ----------
    question : Question
        The question.
    input : Input
        How the models read it.
    predicted : int
        The class that the model predicts.
    probability : numpy.ndarray
        (classes,): the probability of each class.
    label : int
        The class whose influence was computed.
    samples : pandas.DataFrame
        The candidates in the order of the training samples, with their exact `influence`.
    n_train : int
        The number of training samples in the run.
    """

    question: Question
    input: Input
    predicted: int
    probability: np.ndarray
    label: int
    samples: pd.DataFrame
    n_train: int


def check_run(config: Influence) -> Path:
    """Return the folder of a finished run that has its checkpoints.

    Parameters
    ----------
    config
        The run's parameters.

    Raises
    ------
    AskError
        The run is published or unfinished; the message says what to do.
    HeadError
        Its checkpoints are gone.
    """
    run = runs.find_folder(config)
    command = f"`make study STUDY={config['study']} TASK={config['task']}`"
    if runs.is_published(run):
        raise AskError(
            f"{run} holds published results, which have no checkpoints, so there is no model to "
            f'ask. Ask the demo (study="demo"), or compute this study yourself with {command} and '
            'ask it with runs_root="runs"'
        )
    if not scores.is_done(config):
        raise AskError(
            f"{run} has no finished run with these parameters: compute it with notebook 02 or "
            f"{command}"
        )
    head.find_checkpoints(run)
    return run


def answer(config: Parameters, question: Question, progress: bool = True) -> Answer:
    """Answer a question: predict, choose candidates, compute their exact influence.

    Parameters
    ----------
    config
        The run's parameters; `ask_candidates` is the number of candidates.
    question
        From `read_question`.
    progress
        Whether to show progress bars.

    Raises
    ------
    AskError
        The run cannot be asked, see `check_run`; or there are fewer candidates than 2 × `top_k`.
    """
    run, device = check_run(config), pick_device(config["device"])
    n_train = len(runs.read_samples(config, "train"))
    least = min(2 * config["top_k"], n_train)  # top_k for the helpful and for the harmful samples
    if config["ask_candidates"] < least:
        raise AskError(
            f"ask_candidates={config['ask_candidates']}: allowed are {least} or more, top_k each "
            "for helpful and harmful samples"
        )
    asked = read_input(config, run, question)
    folders = head.find_checkpoints(run)
    last = asked.load_model(folders[-1], device)
    probability = selection.predict(last, [asked.ids], config["max_tokens"])[0]
    predicted = int(probability.argmax())
    label = predicted if question.label is None else question.label
    sample = {"input_ids": asked.ids, "label": label}
    of_question = [head.compute(asked.load_model(each, device), [sample]) for each in folders]
    cheap = head.compare(of_question, head.read(config, device, progress))[0]
    rows = np.flatnonzero(_is_candidate(_rank(cheap[None]), config["ask_candidates"])[0])
    models = (asked.load_model(folder, device) for folder in folders)
    values = _compute_influence(config, models, sample, rows, progress)
    train = runs.read_samples(config, "train").iloc[rows]
    samples = train.assign(influence=values).reset_index(drop=True)
    return Answer(
        question=question,
        input=asked,
        predicted=predicted,
        probability=probability,
        label=label,
        samples=samples,
        n_train=n_train,
    )


def _is_candidate(rank: np.ndarray, count: int) -> np.ndarray:
    """Which training samples are candidates, (test, train): the two ends of the ranking."""
    low = count // 2
    return (rank < count - low) | (rank >= rank.shape[1] - low)


def _rank(values: np.ndarray) -> np.ndarray:
    """The rank of each training sample, from 0 for the highest value, (test, train)."""
    return np.argsort(np.argsort(-values, axis=1, kind="stable"), axis=1)


def _compute_influence(
    config: Influence,
    models: Iterator[PreTrainedModel],
    sample: dict[str, Any],
    rows: np.ndarray,
    progress: bool,
) -> np.ndarray:
    """Exact influence of some training samples, (rows,): equation 2, over all checkpoints."""
    inputs = runs.read_inputs(runs.find_folder(config), "train")
    candidates = inputs.iloc[rows].to_dict("records")
    given = runs.select_keys(config, ("max_tokens", "precision", "storage"))
    with tqdm(desc="exact influence", unit="sample", disable=not progress) as bar:
        products = [
            gradient_products(model, candidates, [sample], progress=bar.update, **given)
            for model in models
        ]
    return influence(xr.concat(products, "checkpoint")).to_numpy()[0]


def find_most_influential(found: Answer, n: int) -> pd.DataFrame:
    """Return the question and its most influential training samples, for `charts.show_samples`.

    Parameters
    ----------
    found
        From `answer`.
    n
        How many training samples of each sign, if there are as many.
    """
    question = found.question
    first = {"uid": UID, "lang": question.lang or "und", "label": found.label, "sign": "test"}
    first |= {"text_a": question.text_a, "text_b": question.text_b or None}
    parts = [pd.DataFrame([first]).assign(influence=np.nan)]
    columns = [name for name in [*first, "influence"] if name in found.samples]
    for sign, direction in sharing.SIGNS.items():
        order = (-direction * found.samples["influence"]).argsort(kind="stable")[:n]
        parts.append(found.samples.iloc[order][columns].assign(sign=sign))
    return pd.concat(parts, ignore_index=True)


def count_languages(found: Answer, config: Analysis) -> pd.DataFrame:
    """Count the languages of the `top_k` most influential training samples.

    Parameters
    ----------
    found
        From `answer`.
    config
        The run's parameters.

    Returns
    -------
    pandas.DataFrame
        `train_lang`, `sign`, `samples` (how many of the top k), `share`, `chance` (the language's
        share of the training samples), and what charts of shares expect: `ci_low` and `ci_high`,
        NaN because one text has no interval, `test_samples` and `items`, both 1.
    """
    train = runs.read_samples(config, "train")["lang"].value_counts(normalize=True)
    rows = find_most_influential(found, config["top_k"])
    counted = {sign: part["lang"].value_counts() for sign, part in rows.groupby("sign")}
    table = pd.DataFrame(
        [
            {"train_lang": lang, "sign": sign, "samples": int(counted[sign].get(lang, 0))}
            for lang in config["languages"]
            if lang in train
            for sign in sharing.SIGNS
        ]
    )
    return table.assign(
        share=table["samples"] / config["top_k"],
        chance=table["train_lang"].map(train),
        ci_low=np.nan,
        ci_high=np.nan,
        test_samples=1,
        items=1,
    )


def describe(found: Answer, config: FineTuning) -> str:
    """Describe in Markdown the model's prediction and the class whose influence was computed.

    Parameters
    ----------
    found
        From `answer`.
    config
        The run's parameters.
    """
    names = tasks.find(config).class_names
    sure = prose.percent(found.probability[found.predicted])
    text = f"The model answers **{names[found.predicted]}** with probability {sure}."
    if found.question.label is None:
        text += " You named no class, so the samples below are those behind this answer."
    else:
        text += f" You asked for **{names[found.label]}**: the samples below are those behind it."
    asked = found.input
    if asked.is_cut:
        text += f" The input was cut to max_length={config['max_length']} tokens."
    if asked.unknown:
        text += f" The tokenizer does not know {asked.unknown} of its {asked.tokens} tokens."
    return text


def measure_recall(config: Analysis, counts: Sequence[int], progress: bool = True) -> pd.DataFrame:
    """Measure how many of the most influential training samples are among the candidates.

    For each test sample of the run, the score cube has the exact influence of all training samples.

    Parameters
    ----------
    config
        The run's parameters.
    counts
        Numbers of candidates; those above the number of training samples are left out.
    progress
        Whether to show a progress bar.

    Returns
    -------
    pandas.DataFrame
        `score` ('gradients of the head'; 'hidden states', to compare with), `candidates`, `sign`,
        `share` (of the `RECALL_K` training samples of that sign that are candidates), `ci_low`,
        `ci_high`, `chance` (candidates drawn at random), `test_samples`, `items`.
    """
    run, device = check_run(config), pick_device(config["device"])
    scored = scores.read(config)
    inputs = runs.read_inputs(run, "test", scored.test["uid"]).to_dict("records")
    models = (head.load_model(folder, device) for folder in head.find_checkpoints(run))
    of_test = [head.compute(model, inputs) for model in models]
    of_train = head.read(config, device, progress)
    cheap = _rank(head.compare(of_test, of_train))  # (test, train)
    states = _rank(head.compare_states(of_test, of_train))  # (test, train)
    n, parts = cheap.shape[1], []
    tops = top.most_influential(scored.cube, min(RECALL_K, n))
    for count in [count for count in counts if count <= n]:
        chosen = {
            "gradients of the head": _is_candidate(cheap, count),
            "hidden states": states < count,
        }
        for (score, inside), sign in itertools.product(chosen.items(), sharing.SIGNS):
            share = np.take_along_axis(inside, tops[sign].rows, 1).mean(1)  # (test,)
            keys = {"score": score, "candidates": count, "sign": sign}
            samples = samples_of(scored.test)
            parts.append(samples.assign(**keys, share=share, chance=count / n))
    return sharing.summary(
        pd.concat(parts), ["score", "candidates", "sign"], sharing.Bootstrap.of(config)
    )
