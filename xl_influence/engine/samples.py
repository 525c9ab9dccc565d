"""Samples as tokenizers and `datasets` give them, read into the form that the engine takes.

Whatever a sample holds is used or refused: padding marked by an attention mask is taken off, and an
input of the model that the engine does not pass on is an error.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from .batches import Sample, find_lengths

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LABELS = ("label", "labels")
USUAL = {"position_ids", "inputs_embeds", "head_mask", "decoder_input_ids"}  # inputs of models
PROBE_TOKENS = 5  # of the made-up samples that a model is probed with
READ = ("input_ids", "attention_mask", "token_type_ids", *LABELS)


def read_samples(samples: Sequence[Sample], model: PreTrainedModel, side: str) -> list[Sample]:
    """Read samples into dicts with `input_ids`, `label` and, if given, `token_type_ids`.

    Parameters
    ----------
    samples : sequence of dict
        `input_ids` and `label` or `labels`; optionally `attention_mask` and `token_type_ids`. Each
        is a list, an array or a tensor, also of shape (1, tokens). A `datasets.Dataset` will do.
        Keys that the model's `forward` does not know are ignored.
    model : transformers sequence classifier
        The model that they are for.
    side : {'train', 'test'}
        How error messages refer to the samples.

    Raises
    ------
    ValueError
        A sample is not a dict, lacks a key, or holds an input that the engine does not use, or only
        some have `token_type_ids`; the message names the first such sample.
    """
    refused = _find_inputs(model) - {*READ}
    read = [_read(sample, f"{side} sample {row}", refused) for row, sample in enumerate(samples)]
    typed = [row for row, sample in enumerate(read) if "token_type_ids" in sample]
    if typed and len(typed) < len(read):
        without = next(row for row, sample in enumerate(read) if "token_type_ids" not in sample)
        raise ValueError(
            f"{side} sample {typed[0]} has token_type_ids and {side} sample {without} has none; "
            "allowed are all or none"
        )
    return read


def _find_inputs(model: PreTrainedModel) -> set[str]:
    """The names of the model's inputs; of PEFT's models, those of the model that they wrap."""
    wrapper: Any = model
    base = wrapper.get_base_model() if hasattr(wrapper, "get_base_model") else wrapper
    parameters = inspect.signature(base.forward).parameters.values()
    open_ended = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters)
    return {each.name for each in parameters} | (USUAL if open_ended else set())


def _read(sample: Sample, name: str, refused: set[str]) -> Sample:
    if not isinstance(sample, Mapping):
        raise ValueError(f"{name} is a {type(sample).__name__}; allowed is a dict")
    unused = sorted(refused & set(sample))
    if unused:
        raise ValueError(
            f"{name} has {', '.join(unused)}, which the engine does not pass to the model; allowed "
            f"are {', '.join(READ)}"
        )
    if "input_ids" not in sample:
        raise ValueError(f"{name} has no input_ids; it has {', '.join(sample)}")
    rows = {
        key: _read_row(sample[key], f"{name}: {key}")
        for key in ("input_ids", "attention_mask", "token_type_ids")
        if sample.get(key) is not None
    }
    lengths = {key: len(row) for key, row in rows.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{name}: lengths differ: {lengths}")
    mask = rows.pop("attention_mask", None)
    if mask is not None:
        start, stop = _find_tokens(mask, name)
        rows = {key: row[start:stop] for key, row in rows.items()}
    return {**rows, "label": _read_label(sample, name)}


def _read_row(values: Any, name: str) -> list[int]:
    array = np.asarray(values)  # (tokens,) or (1, tokens)
    if array.ndim == 2 and len(array) == 1:
        array = array[0]
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iub"):
        raise ValueError(
            f"{name} has shape {array.shape} and type {array.dtype}; allowed are whole numbers, "
            f"one per token"
        )
    return array.astype(int).tolist()


def _find_tokens(mask: list[int], name: str) -> tuple[int, int]:
    """Return where the tokens that the attention mask does not hide begin and end."""
    shown = np.flatnonzero(mask)
    start, stop = (int(shown[0]), int(shown[-1]) + 1) if len(shown) else (0, 0)
    if set(mask) - {0, 1} or stop - start != len(shown):
        raise ValueError(
            f"{name}: the attention mask hides tokens in the middle; allowed are zeros at the "
            f"beginning and the end, for padding"
        )
    return start, stop


def _read_label(sample: Sample, name: str) -> int:
    given = [np.asarray(sample[key]) for key in LABELS if sample.get(key) is not None]
    if not given:
        raise ValueError(f"{name} has no label (or labels); it has {', '.join(sample)}")
    values = {each.item() if each.size == 1 else None for each in given}
    label = values.pop()
    if values or not isinstance(label, int | bool):
        raise ValueError(
            f"{name}: label {', '.join(map(str, given))}; allowed is one whole number, the class"
        )
    return int(label)


def check_model(model: nn.Module) -> None:
    """Raise `ValueError` unless this is one model that chooses one of several classes.

    Parameters
    ----------
    model : torch.nn.Module
        What was given as the model.
    """
    kind, config = type(model).__name__, getattr(model, "config", None)
    if config is None or not hasattr(config, "num_labels"):
        inner = " (its .module, perhaps)" if hasattr(model, "module") else ""
        raise ValueError(
            f"{kind} is no sequence classifier of transformers: it has no config with num_labels; "
            f"pass the classifier itself{inner}"
        )
    compiled = [path for path, part in model.named_modules() if hasattr(part, "_orig_mod")]
    if compiled:
        raise ValueError(
            f"{kind}: {compiled[0]} is compiled by torch.compile, which leaves no room for hooks; "
            "compile the whole model or nothing"
        )
    problem, n_labels = getattr(config, "problem_type", None), config.num_labels
    if n_labels < 2 or problem not in (None, "single_label_classification"):
        raise ValueError(
            f"{kind} has num_labels={n_labels} and problem_type={problem!r}; allowed are "
            "classifiers that choose one of two or more classes"
        )


def count_tokens(model: PreTrainedModel) -> float:
    """Return how many different tokens a model takes; infinite if nothing says so (CANINE)."""
    try:
        table: Any = model.get_input_embeddings()
    except NotImplementedError:  # it reads characters
        table = None
    rows = getattr(getattr(table, "weight", None), "shape", None)
    return rows[0] if rows else getattr(model.config, "vocab_size", math.inf)


def make_probes(model: PreTrainedModel, pad_token_id: int) -> list[Sample]:
    """Two made-up samples of different lengths, and one that is as long as the first."""
    most = min(count_tokens(model), 2 * PROBE_TOKENS)
    ids = [i for i in range(int(most)) if i != pad_token_id][:PROBE_TOKENS]
    turned = [*ids[1:], *ids[:1]]
    groups = (ids, turned[: max(1, len(ids) - 2)], turned)
    return [{"input_ids": group, "label": 0} for group in groups]


def choose_probes(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Choose the longest and the shortest sample, and one that is as long as the longest.

    Parameters
    ----------
    samples : sequence of dict
        All samples, as `read_samples` returns them.

    Returns
    -------
    list of list of dict
        The three; twice three if some samples have `token_type_ids` and others have none.
    """
    chosen = []
    for typed in (True, False):
        kind = [sample for sample in samples if ("token_type_ids" in sample) == typed]
        if kind:
            order = np.argsort(find_lengths(kind), kind="stable").tolist()
            long, short = kind[order[-1]], kind[order[0]]
            next_long = kind[order[-2]] if len(order) > 1 else short
            is_alone = next_long is long or len(next_long["input_ids"]) < len(long["input_ids"])
            chosen.append([long, short, _turn(long) if is_alone else next_long])
    return chosen


def _turn(sample: Sample) -> Sample:
    """The same sample with its first token at the end."""
    keys = set(sample) & {"input_ids", "token_type_ids"}
    return {**sample, **{key: [*sample[key][1:], *sample[key][:1]] for key in keys}}


def find_longest_input(model: PreTrainedModel) -> float:
    """Return the most tokens that a model takes; infinite if nothing limits them.

    Tables of positions that begin after the padding token's (RoBERTa, XLM-R) have fewer places than
    rows, and the virtual tokens of PEFT's prompts take some of the places.
    """
    config: Any = model.config
    limit = getattr(config, "max_position_embeddings", None)
    limits = [limit] if isinstance(limit, int) and limit > 0 else []
    for path, module in model.named_modules():
        is_table = isinstance(module, nn.Embedding) and "position" in path.rpartition(".")[2]
        if is_table and module.padding_idx is not None:
            limits.append(module.num_embeddings - module.padding_idx - 1)
    prompt: Any = getattr(model, "active_peft_config", None)
    virtual = prompt.num_virtual_tokens if getattr(prompt, "is_prompt_learning", False) else 0
    return min(limits, default=math.inf) - virtual
