"""Results on whether scores predict retraining, as small files that are committed.

The trainings behind them take hours, so the book computes nothing of this and reads
`results/predicting-retraining/<study>-<task>-<part>.json`. The modules `subsets`, `tail_patch` and
`brittleness` each make one part. A file holds tables and what they come from, and no text.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from .. import disk, experiments, fingerprints, params, runs, tables, tasks
from ..manifest import environment

STUDY = "demo-small"  # the study that the book shows: its models train in seconds
FOLDER = "results/predicting-retraining"  # from the project's root
# part → the command, a module of this package, and the tables of its file
PARTS = {
    "subsets": ("subsets", ["lds"]),
    "tail-patch": ("tail_patch", ["change"]),
    "brittleness": ("brittleness", ["flipped", "smallest"]),
}
DIGITS = 6  # of numbers in a file
# names in the tables: kinds of subsets; samples of a step; what stands for several languages
HALVES, BY_LANGUAGE = "random halves", "by language"
TOP, RANDOM, SAME_LABEL, BEYOND = "most helpful", "random", "random, same label", "difference"
OWN, OTHER = "the test language", "other languages"


class Found(NamedTuple):
    """What a command computed.

    Attributes
    ----------
    tables : dict
        Name → table; the names are in `PARTS`.
    settings : dict
        What the command was asked for, such as the number of subsets and the seeds.
    trainings : int
        How many different trainings the tables rest on.
    seconds : sequence of float
        How long each training took that was done in this call.
    """

    tables: dict[str, pd.DataFrame]
    settings: dict[str, Any]
    trainings: int
    seconds: Sequence[float]


class Evidence(NamedTuple):
    """A file, read.

    Attributes
    ----------
    about : dict
        `part`, `study`, `task`, `settings`, `samples`, `run` (fingerprints), `trainings`, `trained`
        and `minutes` (of those done in the last call that trained anything; None if none did) and
        `environment`.
    tables : dict
        Name → table.
    """

    about: dict[str, Any]
    tables: dict[str, pd.DataFrame]


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


Compute = Callable[[dict[str, Any], dict[str, Any]], Found]  # from parameters and options


def find_path(part: str, study: str, task: str, folder: Path | str | None = None) -> Path:
    """Return where the results of a part are.

    Parameters
    ----------
    part : str
        One of `PARTS`.
    study, task : str
        Whose results.
    folder : Path or str, optional
        The folder; default: `FOLDER` of the project.
    """
    return Path(folder or params.root() / FOLDER) / f"{study}-{task}-{part}.json"


def read(
    part: str, task: str, study: str = STUDY, folder: Path | str | None = None
) -> Evidence | None:
    """Read the results of a part; None if they have not been computed yet.

    Parameters
    ----------
    part, task, study, folder
        As for `find_path`.

    Raises
    ------
    RunError
        The file is damaged, or holds other results than its name says.
    """
    path = find_path(part, study, task, folder)
    if not path.exists():
        return None
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        found = {name: pd.DataFrame(about["tables"][name]) for name in PARTS[part][1]}
        named = [about[key] for key in ("part", "study", "task")]
    except (ValueError, KeyError, TypeError) as error:
        raise runs.RunError(
            f"{path} is damaged ({error!r}). Restore it with git, or run {command_of(part)} again"
        ) from error
    if named != [part, study, task]:
        raise runs.RunError(f"{path} holds {named}; allowed are {[part, study, task]}")
    return Evidence({key: value for key, value in about.items() if key != "tables"}, found)


def command_of(part: str) -> str:
    """Return how the command of a `part` begins.

    >>> command_of("tail-patch")
    'python -m xl_influence.methods.tail_patch'
    """
    return f"python -m xl_influence.methods.{PARTS[part][0]}"


def write(
    part: str, config: dict[str, Any], found: Found, folder: Path | str | None = None
) -> Path:
    """Write the results of a part, completely or not at all.

    If nothing was trained and the file has the same results, it is left as it is.

    Parameters
    ----------
    part : str
        One of `PARTS`.
    config : dict
        The parameters of the run.
    found : Found
        What was computed.
    folder : Path or str, optional
        As for `find_path`.
    """
    path = find_path(part, config["study"], config["task"], folder)
    content = _describe(part, config, found)
    if not found.seconds and path.exists() and _has_same_results(path, content):
        return path
    with runs.write_atomically(path) as partial:
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
        partial.write_text(f"{text}\n", encoding="utf-8")
    return path


def _describe(part: str, config: dict[str, Any], found: Found) -> dict[str, Any]:
    """Return the content of a file."""
    from ..finetune import pick_device  # imports torch, which takes seconds

    names = ("train", "test")
    return {
        "part": part,
        "study": config["study"],
        "task": config["task"],
        "title": tasks.title(config),
        "settings": found.settings,
        "samples": {name: len(runs.read_samples(config, name)) for name in names},
        "run": {"finetuning": fingerprints.finetuned(config)},
        "trainings": found.trainings,
        "trained": len(found.seconds),
        "minutes": round(sum(found.seconds) / 60, 1) if found.seconds else None,
        "environment": {"processor": _find_processor()}
        | environment(pick_device(config["device"])),
        "tables": {name: _to_rows(table) for name, table in found.tables.items()},
    }


def _to_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table's rows as JSON has them: rounded, and null for a missing value."""
    rows: list[dict[str, Any]] = json.loads(
        table.round(DIGITS).to_json(orient="records", double_precision=DIGITS)
    )
    return rows


def _has_same_results(path: Path, content: dict[str, Any]) -> bool:
    """Whether a file holds the same tables, for the same settings and the same run."""
    try:
        old = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return all(old.get(key) == content[key] for key in ("settings", "run", "trainings", "tables"))


def _find_processor() -> str:
    """Return the processor's name, as far as the system tells it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def read_command(
    arguments: Sequence[str], options: Mapping[str, Option]
) -> tuple[dict[str, Any], dict[str, Any], Path | None]:
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


def _find_changes(config: dict[str, Any]) -> list[str]:
    """List what makes a run another than the study's own, as key=value."""
    if config["task"] == "own":  # which no study has
        return ["task=own"]
    own = params.study_defaults(config) | {"variant": "base"}
    own["languages"] = params.merge({key: config[key] for key in ("task", "study")})["languages"]
    keys = (*experiments.KEYS, *tables.ANALYSIS)
    return [f"{key}={config[key]}" for key in keys if config[key] != own[key]]


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


def run(
    arguments: Sequence[str], part: str, options: Mapping[str, Option], compute: Compute
) -> int:
    """Run a command: compute a part, write its file and print its tables.

    Parameters
    ----------
    arguments : sequence of str
        The command line.
    part : str
        One of `PARTS`.
    options : mapping of str to Option
        The command's own options.
    compute : callable
        Takes the run's parameters and the options.

    Returns
    -------
    int
        The exit status: 2 for input that is wrong, 1 if the disk fails.
    """
    try:
        config, chosen, folder = read_command(arguments, options)
        found = compute(config, chosen)
        path = write(part, config, found, folder)
    except Exception as error:
        if message := disk.explain(error):
            print(f"error: {message}", file=sys.stderr)
            return 1
        if not isinstance(error, ValueError | runs.RunError):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    for table in found.tables.values():
        print(table.round(3).to_string(index=False), end="\n\n")
    print(f"{len(found.seconds)} of {found.trainings} trainings were done now. Written: {path}")
    return 0
