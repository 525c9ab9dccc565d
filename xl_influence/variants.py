"""Variants of a run by name: what each changes, and the samples that are wrong on purpose."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .languages import TAG
from .schema import SEED, ParameterError

FORMS = (
    "without-<language>, plus-<percent>-<language>, seed-<number>, flipped-<percent>-<seed> and "
    "swapped-<percent>-<seed>"
)
CORRUPTED = r"(flipped|swapped)-(\d+)-(\d+)"
SHARES = {"flipped": "flip_share", "swapped": "swap_share"}
CORRUPTION = (*SHARES.values(), "corruption_seed")  # the parameters that `corruption` reads


def parse_variant(name: str) -> dict[str, Any] | None:
    """Return what a variant changes by its name; None if its name is of no known form.

    A variant is `without-<language>` (section 8.3), `plus-<percent>-<language>` (section 8.4),
    `seed-<number>` (base with another random seed in training), or `flipped-<percent>-<seed>` or
    `swapped-<percent>-<seed>` (samples that are wrong on purpose, see `corruption`). The first
    three are tested on the test samples of `base`.

    >>> parse_variant("flipped-10-3")
    {'flip_share': 0.1, 'corruption_seed': 3}
    """
    if without := re.fullmatch(rf"without-({TAG})", name):
        return {"left_out": without[1], "test_from": "base"}
    if plus := re.fullmatch(rf"plus-(\d+)-({TAG})", name):
        extra = {"extra_language": plus[2], "extra_percent": int(plus[1])}
        return extra | {"test_from": "base"}
    if seed := re.fullmatch(SEED, name):
        return {"seed": int(seed[1]), "test_from": "base"}
    if corrupted := re.fullmatch(CORRUPTED, name):
        kind, percent, draw = corrupted.groups()
        return {SHARES[kind]: int(percent) / 100, "corruption_seed": int(draw)}
    return None


def is_corrupted(name: str) -> bool:
    """Whether a variant is one of `flipped-…` and `swapped-…`."""
    return bool(re.fullmatch(CORRUPTED, name))


def check_corruption(values: Mapping[str, Any], source: Mapping[str, str]) -> None:
    """Check that samples are changed in one way only, and that the seed has something to draw.

    Parameters
    ----------
    values, source
        As in `schema.check`.

    Raises
    ------
    ParameterError
        `swap_share` beside `flip_share`, or `corruption_seed` without either.
    """
    flip, swap, seed = (values[key] for key in CORRUPTION)
    if flip and swap:
        raise ParameterError(
            f"swap_share={swap} ({source['swap_share']}): with flip_share={flip} "
            f"({source['flip_share']}), allowed is 0"
        )
    if seed and not flip and not swap:
        raise ParameterError(
            f"corruption_seed={seed} ({source['corruption_seed']}): without flip_share or "
            "swap_share, allowed is 0"
        )
