"""Values of parameters as people write them: on command lines, in YAML files, through other tools.

In YAML 1.1 `no` is false, so the code of Norwegian would not be a text, and 010 is 8. Here only
`true` and `false` are truth values, 010 is no number, and texts are taken as they are.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml

from .schema import ParameterError
from .sections import FIELDS

FOLDERS = ("data_root", "prepared")  # relative to the working directory
NUMBER = r"0|[1-9][0-9]*"
HINT = "as in {}=[{}], without spaces or in quotes"


OWN = ("bool", "int")  # kinds that are read by our own rules


class _Loader(yaml.SafeLoader):
    """YAML with `true` and `false` as the only truth values, and whole numbers in base ten."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # PyYAML's own attribute
        first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] not in OWN]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789")
)


def load_yaml(text: str) -> Any:
    """Read YAML in which `no`, `on` and the like are texts."""
    return yaml.load(text, Loader=_Loader)  # a safe loader


def as_written(config: Mapping[str, Any], words: Iterable[str]) -> dict[str, Any]:
    """Return Snakemake's `config` with the values of its option `--config` as they were written.

    It has read `data_name=007` as the number 7, and `1e3` as 1000.0.

    Parameters
    ----------
    config
        Key → value, as Snakemake has read it.
    words
        The `key=value` of the command line.
    """
    return dict(config) | dict(word.split("=", 1) for word in words)


def read_given(values: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """Read values from a command line, as texts or as another tool has parsed them.

    Parameters
    ----------
    values
        Key → value; unknown keys are read as YAML.
    root
        The project's root, where relative paths are looked up later.

    Returns
    -------
    dict
        Texts, numbers and lists as the parameters have them; folders as absolute paths.

    Raises
    ------
    ParameterError
        A value cannot be read.
    """
    return {key: _read_one(key, value, root) for key, value in values.items()}


def _read_one(key: str, value: Any, root: Path) -> Any:
    kind = _kind(key)
    if kind is list:
        return read_lists({key: value})[key]
    if kind is str:
        return _find_folder(key, _read_text(key, value), root)
    if not isinstance(value, str):
        return value
    try:
        return load_yaml(value) if value.strip() else ""
    except yaml.YAMLError:
        raise ParameterError(f"{key}={value} (command line): cannot be read") from None


def read_lists(values: Mapping[str, Any]) -> dict[str, Any]:
    """Read lists that are given as text: '[en, de]' or 'en,de', as papermill's `-p` passes them.

    Parameters
    ----------
    values
        Key → value; all but the lists are left as they are.
    """
    return {
        key: _read_list(key, value) if _kind(key) is list else value
        for key, value in values.items()
    }


def _read_list(key: str, value: Any) -> Any:
    of_numbers = get_args(FIELDS[key].annotation)[0] is not str
    if isinstance(value, str):
        text = value.strip()
        try:
            found = yaml.load(text, Loader=yaml.BaseLoader) if text.startswith("[") else None
        except yaml.YAMLError:
            example = "50,100" if of_numbers else "en,de"
            raise ParameterError(
                f"{key}={value} (given): not a list; write it {HINT.format(key, example)}"
            ) from None
        value = re.split(r"[,\s]+", text) if found is None and text else found or []
    if of_numbers:
        value = [value] if type(value) is int else value
        if not isinstance(value, list):
            return value
        return [int(entry) if re.fullmatch(NUMBER, str(entry)) else entry for entry in value]
    entries = value if isinstance(value, list) else [value]
    return [_read_code(key, value, entry) for entry in entries]


def _read_code(key: str, value: Any, entry: Any) -> str:
    """An entry of a list of texts, from what another tool has made of it."""
    if entry is False:
        return "no"  # which YAML 1.1 takes for false
    if isinstance(entry, float) and math.isnan(entry):
        return "nan"  # Min Nan Chinese
    if not isinstance(entry, str):
        hint = "; the code may need quotes" if entry is True or entry is None else ""
        raise ParameterError(
            f"{key}={value!r} (given): {entry!r} is no text{hint}; write it "
            f"{HINT.format(key, 'en,de')}"
        )
    return entry


def _read_text(key: str, value: Any) -> Any:
    """Return a text, without the quotes around it that a JSON value has."""
    if not isinstance(value, str | None):  # from a configuration file of Snakemake
        raise ParameterError(
            f"{key}={value!r} (given): is no text, and may have been written otherwise (2024.10, "
            f'007, on); in a YAML file, write it in quotes, as in {key}: "2024.10"'
        )
    text = (value or "").strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        try:
            return json.loads(text)
        except ValueError:
            return text[1:-1]
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == "'" else text


def _find_folder(key: str, text: Any, root: Path) -> Any:
    """Return the absolute path of a folder given relative to the working or home directory."""
    if not text or key not in (*FOLDERS, "encoder"):
        return text
    path = Path(text).expanduser()
    if key == "encoder":  # which may be a hub id
        elsewhere = text.startswith("~") or Path.cwd().resolve() != root.resolve()
        return str(path.absolute()) if elsewhere and path.is_dir() else text
    return str(path.absolute())


def _kind(key: str) -> Any:
    """The type of a parameter: str, list or another; None if there is no such parameter."""
    field = FIELDS.get(key)
    if field is None:
        return None
    kind = get_origin(field.annotation) or field.annotation
    return kind if kind in (list, int, float, bool) else str
