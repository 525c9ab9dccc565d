"""The check of all parameters: names, types and ranges, and which combinations make sense.

`sections` has the types and ranges.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from .languages import TAGS, is_tag
from .own_task import COLUMNS
from .sections import FIELDS, Parameters
from .tasks import TASKS

SEED = r"seed-(\d+)"  # variants that train base with another seed


class ParameterError(ValueError):
    """A parameter is misspelt, has the wrong type or is out of range."""


KEYS = tuple(FIELDS)
PARAMETERS = TypeAdapter(Parameters)


def check_names(keys: Iterable[str], where: str | Path) -> None:
    """Refuse unknown parameters; the message suggests the nearest name.

    Parameters
    ----------
    keys
        Names that should be parameters.
    where
        Where they come from, for the message: a file, say.

    Raises
    ------
    ParameterError
        One of them is not a parameter.
    """
    for key in keys:
        if key not in KEYS:
            close = difflib.get_close_matches(str(key), KEYS, 1)
            hint = f"; did you mean {close[0]!r}?" if close else "."
            raise ParameterError(
                f"unknown parameter {key!r} ({where}){hint} Allowed: {', '.join(KEYS)}"
            )


def check(values: Mapping[str, Any], source: Mapping[str, str]) -> Parameters:
    """Check all parameters, each by itself and together.

    Parameters
    ----------
    values
        Every parameter.
    source
        For each, where its value comes from, for the message: a file's name, or 'given'.

    Returns
    -------
    dict
        The same values; whole numbers and text where a parameter is a float have become floats.

    Raises
    ------
    ParameterError
        A value has the wrong type or is out of range (one line for each such parameter), or two
        values contradict each other.
    """
    try:
        checked = PARAMETERS.validate_python(dict(values))
    except ValidationError as error:
        wrong = dict.fromkeys(str(problem["loc"][0]) for problem in error.errors())
        raise ParameterError("\n".join(_describe(key, values, source) for key in wrong)) from None
    check_together(checked, source)
    return checked


def _describe(key: str, values: Mapping[str, Any], source: Mapping[str, str]) -> str:
    if key not in values:
        return f"{key}: missing from params/base.yaml"
    allowed = FIELDS[key].description
    return f"{key}={values[key]!r} ({source[key]}): allowed is {allowed}"


def check_together(values: Mapping[str, Any], source: Mapping[str, str]) -> None:
    """Check that `values` fit each other; they and their `source` are as in `check`."""
    _check_own(values, source)
    _check_languages(values, source)
    _check_training_languages(values, source)
    _check_seed(values, source)
    _check_top_k(values, source)


def _check_own(values: Mapping[str, Any], source: Mapping[str, str]) -> None:
    """Check that only your own task names columns, and that its languages are tags."""
    if values["task"] != "own":
        for key in ("data_name", "files", *COLUMNS):
            if values[key]:
                raise ParameterError(
                    f"{key}={values[key]!r} ({source[key]}): only the task own allows it"
                )
        return
    for lang in values["languages"]:
        if not is_tag(lang):
            raise ParameterError(
                f"languages={values['languages']} ({source['languages']}): {lang!r} is not a "
                f"language tag; allowed are {TAGS}"
            )


def _check_languages(values: Mapping[str, Any], source: Mapping[str, str]) -> None:
    """Check that the task has the languages, and that other parameters name no others."""
    task, languages = values["task"], values["languages"]
    allowed = TASKS[task].languages if task in TASKS else languages
    wrong = [lang for lang in languages if lang not in allowed]
    if wrong:
        raise ParameterError(
            f"languages={languages} ({source['languages']}): {', '.join(wrong)} not in the task "
            f"{task}; allowed are {', '.join(allowed)}"
        )
    for key in ("left_out", "extra_language", "zero_shot_languages", "imbalance_languages"):
        named = values.get(key, "")  # a step may have no parameters of later steps
        chosen = named if isinstance(named, list) else [named]
        wrong = [lang for lang in chosen if lang and lang not in languages]
        if wrong:
            raise ParameterError(
                f"{key}={values[key]!r} ({source[key]}): {wrong[0]} is not in the study; "
                f"allowed are {', '.join(languages)}"
            )


def _check_training_languages(values: Mapping[str, Any], source: Mapping[str, str]) -> None:
    """Check that a language is left to train on, and that `extra_language` is not left out."""
    left_out, extra = values["left_out"], values["extra_language"]
    if left_out and (left_out == extra or values["languages"] == [left_out]):
        raise ParameterError(
            f"left_out={left_out!r} ({source['left_out']}): nothing is left to train on"
        )
    if bool(extra) != bool(values["extra_percent"]):
        raise ParameterError("extra_language and extra_percent go together: set both or neither")


def _check_seed(values: Mapping[str, Any], source: Mapping[str, str]) -> None:
    """Check that the seed is the one that `seed-<number>` sets, and that other seeds are others."""
    named = re.fullmatch(SEED, values["variant"])
    if named and values["seed"] != int(named[1]):
        raise ParameterError(
            f"seed={values['seed']} ({source['seed']}): the variant {named[0]} allows "
            f"{int(named[1])} only"
        )
    if values["variant"] == "base" and values["seed"] in values.get("other_seeds", ()):
        raise ParameterError(
            f"other_seeds={values['other_seeds']} ({source['other_seeds']}): {values['seed']} is "
            f"the seed of base ({source['seed']}); allowed are others"
        )


def _check_top_k(values: Mapping[str, Any], source: Mapping[str, str]) -> None:
    """Check that `top_k` does not exceed the number of training samples."""
    trained = [lang for lang in values["languages"] if lang != values["left_out"]]
    samples = values["train_size"] * len(trained)
    if values.get("top_k", 0) > samples:
        raise ParameterError(
            f"top_k={values['top_k']} ({source['top_k']}): allowed are 1 to {samples}, the number "
            f"of training samples (train_size {values['train_size']} × {len(trained)} languages)"
        )
