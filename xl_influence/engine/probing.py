"""The samples that a model is probed with, and the plan that holds for all of them.

`coverage` compares gradients, of the longest and the shortest of the caller's samples. That takes
too long for many samples, but most of what a model does with other lengths only (it adds noise, it
reads the padding) shows in its answers. So some lengths in between are run alone and beside the
next longer one of them, and where the answers differ, `coverage` compares the gradients too.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

from .batches import Sample, find_lengths, pad_batch
from .coverage import REPEATED, Plan, explaining, probe
from .gradients import evaluating
from .losses import UncoveredError, read_logits
from .samples import count_tokens, find_inputs

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PROBE_TOKENS = 5  # of the made-up samples
ENOUGH_TOKENS = 3  # of a sample that shows how a model works
# Lengths whose answers are compared. On a GPU, a pass of one sample takes as long as one of many.
LENGTHS = {"cpu": 16, "cuda": 8}


def find_plan(model: PreTrainedModel, pad_token_id: int, samples: Sequence[Sample]) -> Plan:
    """Probe a model with the caller's samples, or with made-up ones where these show too little.

    Parameters
    ----------
    model : transformers sequence classifier
        The model, left as it was.
    pad_token_id : int
        Pads batches.
    samples : sequence of dict
        All samples, as `samples.read_samples` returns them; may be empty.

    Returns
    -------
    Plan
        How the model uses its parameters.

    Raises
    ------
    UncoveredError
        As `coverage.probe` raises it.
    ValueError
        The model ignores the samples' `token_type_ids`.
    """
    _check_types(model, pad_token_id, samples)
    groups = choose_probes(samples)
    if max((len(group[0]["input_ids"]) for group in groups), default=0) < ENOUGH_TOKENS:
        groups = [make_probes(model, pad_token_id), *groups]
    plan = probe(model, pad_token_id, groups)
    count = LENGTHS.get(next(model.parameters()).device.type, LENGTHS["cuda"])
    for some in choose_lengths(samples, count):
        alone = [_answer(model, pad_token_id, sample) for sample in some]
        for (short, long), answers in zip(pairwise(some), pairwise(alone), strict=True):
            again = _answer_again(model, pad_token_id, (short, long), plan)
            if again is None or _differ(torch.cat(answers), again):
                plan = probe(model, pad_token_id, [[long, short, _turn(long)]], plan)
    return plan


def _check_types(model: PreTrainedModel, pad_token_id: int, samples: Sequence[Sample]) -> None:
    """Raise `ValueError` if the samples have `token_type_ids` that the model takes but ignores."""
    typed = next((each for each in samples if any(each.get("token_type_ids", ()))), None)
    if typed is None or "token_type_ids" in find_inputs(model)[0]:
        return
    zeros = {**typed, "token_type_ids": [0] * len(typed["token_type_ids"])}
    given, neutral = (_answer(model, pad_token_id, sample) for sample in (typed, zeros))
    if torch.equal(given, neutral):
        raise ValueError(
            f"{type(model).__name__} ignores token_type_ids: with zeros in their place, its answer "
            "is the same; allowed are samples without them, or a model that uses them"
        )


def _answer(model: PreTrainedModel, pad_token_id: int, *samples: Sample) -> torch.Tensor:
    """The model's logits for a batch of these samples, (batch, classes)."""
    device = next(model.parameters()).device
    with explaining(model, samples[-1]), evaluating(model), torch.no_grad():
        return read_logits(model, pad_batch(samples, pad_token_id, device))


def _answer_again(
    model: PreTrainedModel, pad_token_id: int, pair: tuple[Sample, Sample], plan: Plan
) -> torch.Tensor | None:
    """The logits as the plan's batches give them, (2, classes); None if there are none."""
    if plan.single_sample or plan.equal_length:
        return torch.cat([_answer(model, pad_token_id, sample) for sample in pair])
    try:
        return _answer(model, pad_token_id, *pair)
    except UncoveredError:  # which `coverage` looks into
        return None


def _differ(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Whether logits, (batch, classes), differ by more than rounding, or are no numbers."""
    largest = first.abs().amax(1)  # (batch,)
    difference = (first - second).abs().amax(1)  # (batch,)
    return not bool((difference <= REPEATED[first.dtype] * largest).all())


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
    for kind in _by_kind(samples):
        order = np.argsort(find_lengths(kind), kind="stable").tolist()
        long, short = kind[order[-1]], kind[order[0]]
        next_long = kind[order[-2]] if len(order) > 1 else short
        is_alone = next_long is long or len(next_long["input_ids"]) < len(long["input_ids"])
        chosen.append([long, short, _turn(long) if is_alone else next_long])
    return chosen


def choose_lengths(samples: Sequence[Sample], count: int) -> list[list[Sample]]:
    """Choose samples of different lengths, spread evenly over the lengths that there are.

    Parameters
    ----------
    samples : sequence of dict
        All samples.
    count : int
        How many to choose, at most.

    Returns
    -------
    list of list of dict
        The first sample of each length, from the shortest to the longest; twice if some samples
        have `token_type_ids` and others have none.
    """
    chosen = []
    for kind in _by_kind(samples):
        first = {len(sample["input_ids"]): sample for sample in reversed(kind)}
        places = np.linspace(0, len(first) - 1, min(count, len(first))).round().astype(int)
        chosen.append([first[length] for length in np.array(sorted(first))[places].tolist()])
    return chosen


def _by_kind(samples: Sequence[Sample]) -> list[list[Sample]]:
    """The samples with `token_type_ids` and those without, each if there are any."""
    kinds: dict[bool, list[Sample]] = {True: [], False: []}
    for sample in samples:
        kinds["token_type_ids" in sample].append(sample)
    return [kind for kind in kinds.values() if kind]


def _turn(sample: Sample) -> Sample:
    """The same sample with its first token at the end."""
    keys = set(sample) & {"input_ids", "token_type_ids"}
    return {**sample, **{key: [*sample[key][1:], *sample[key][:1]] for key in keys}}
