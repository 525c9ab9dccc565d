"""Command lines that compute results for the book and leave them in small files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .. import disk, experiments, params, runs, tables
from ..sections import Parameters


class Option(NamedTuple):
    """An option of a command: a whole number, or several in ascending order.

    Attributes
    ----------
    default : int or tuple of int
        Its value if it is not given.
    least : int
        The smallest number allowed.
    """

    default: int | tuple[int, ...]
    least: int


def read(
    arguments: Sequence[str], options: Mapping[str, Option]
) -> tuple[Parameters, dict[str, Any], Path | None]:
    """Read a command line: parameters of the run, the command's own options, and `to`.

    Parameters
    ----------
    arguments : sequence of str
        key=value pairs. `to` is the folder for the file.
    options : mapping of str to Option
        The command's own options.

    Returns
    -------
    config : dict
        The parameters of the run, complete.
    chosen : dict
        Option → value: an int, or a list of ints.
    folder : Path, optional
        The value of `to`.

    Raises
    ------
    ParameterError
        A parameter or an option is wrong, or the run is not the study's own and there is no `to`.
    """
    given = params.parse(arguments)
    folder = given.pop("to", None)
    chosen = {
        name: _check_option(name, given.pop(name, option.default), option)
        for name, option in options.items()
    }
    config = params.merge(given)
    changed = _find_changes(config)
    if changed and not folder:
        raise params.ParameterError(
            f"{', '.join(changed)}: the files of the book hold results of the study's own runs "
            "only; for others name a folder, as in to=elsewhere"
        )
    return config, chosen, Path(folder).expanduser() if folder else None


def _find_changes(config: Parameters) -> list[str]:
    """List what makes a run another than the study's own, as key=value."""
    if config["task"] == "own":  # which no study has
        return ["task=own"]
    own = params.read_study_defaults(config) | {"variant": "base"}
    own["languages"] = params.merge({key: config[key] for key in ("task", "study")})["languages"]
    changed = runs.select_changed(config, (*experiments.KEYS, *tables.ANALYSIS), own)
    return [f"{key}={value}" for key, value in changed.items()]


def _check_option(name: str, value: Any, option: Option) -> Any:
    """Return the value of an option, a list if it has several numbers."""
    several = isinstance(option.default, tuple)
    if several and isinstance(value, str):
        value = [int(part) if part.strip().isdecimal() else part for part in value.split(",")]
    values = list(value) if isinstance(value, list | tuple) else [value]
    allowed = f"a whole number from {option.least}"
    if several:
        allowed = f"whole numbers from {option.least} in ascending order, as in 20,60"
    whole = all(type(number) is int and number >= option.least for number in values)
    count = len(values) >= 1 if several else len(values) == 1
    if not whole or not count or values != sorted(set(values)):
        raise params.ParameterError(f"{name}={value} (command line): allowed: {allowed}")
    return values if several else values[0]


def run(work: Callable[[], str]) -> int:
    """Do the work of a command and print what it returns, or one line that says what is wrong.

    Parameters
    ----------
    work : callable
        Returns what to print.

    Returns
    -------
    int
        The exit status: 2 for input that is wrong, 1 if the disk fails.
    """
    try:
        print(work())
    except Exception as error:
        if message := disk.explain(error):
            print(f"error: {message}", file=sys.stderr)
            return 1
        if not isinstance(error, ValueError | runs.RunError):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
