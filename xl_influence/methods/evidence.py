"""Results on whether scores predict retraining, as small files that are committed.

The trainings behind them take hours, so the book computes nothing of this and reads
`results/predicting-retraining/<study>-<task>-<part>.json`. The modules `subsets`, `tail_patch` and
`brittleness` each make one part. A file holds tables and what they come from, and no text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from .. import fingerprints, params, runs, tasks
from ..manifest import (
    describe_environment,
    development_accuracy,
    is_at_chance,
    majority_share,
    read_manifest,
    read_processor_name,
)
from ..sections import FineTuning, Parameters
from . import commands, outcomes
from .outcomes import FOLDER, Outcomes

STUDY = "demo-subsets"  # of the demo corpora: its models train in seconds
# what page 16 shows: name in the page's keys → study and task
SHOWN = {task: (STUDY, task) for task in tasks.TASKS} | {"real_marc": ("real-subsets", "marc")}
# part → the command, a module of this package, and the tables of its file
PARTS = {
    "subsets": ("subsets", ["lds"]),
    "tail-patch": ("tail_patch", ["change"]),
    "brittleness": ("brittleness", ["flipped", "smallest"]),
}
DIGITS = 6  # of numbers in a file
# names in the tables: kinds of subsets; samples of a step; what stands for several languages
HALVES, BY_LANGUAGE = "random halves", "by language"
LABELS_OUT = {kind: f"{kind}, labels taken out" for kind in (HALVES, BY_LANGUAGE)}
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
    outcomes : Outcomes, optional
        What the trainings ended with, for a file of their own.
    """

    tables: dict[str, pd.DataFrame]
    settings: dict[str, Any]
    trainings: int
    seconds: Sequence[float]
    outcomes: Outcomes | None = None


class Evidence(NamedTuple):
    """A file, read.

    Attributes
    ----------
    about : dict
        `part`, `study`, `task`, `settings`, `samples`, `run` (fingerprints), `model` (`accuracy`,
        `majority`: the share of the most frequent class, `at_chance`), `trainings`, `trained` and
        `minutes` (of those done in the last call that trained anything; None if none did) and
        `environment`.
    tables : dict
        Name → table.
    """

    about: dict[str, Any]
    tables: dict[str, pd.DataFrame]


Compute = Callable[[Parameters, dict[str, Any]], Found]  # from parameters and options


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
    return Path(folder or params.find_root() / FOLDER) / f"{study}-{task}-{part}.json"


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
            f"{path} is damaged ({error!r}). Restore it with git, or run {find_command(part)} again"
        ) from error
    if named != [part, study, task]:
        raise runs.RunError(f"{path} holds {named}; allowed are {[part, study, task]}")
    return Evidence({key: value for key, value in about.items() if key != "tables"}, found)


def read_shown() -> dict[str, dict[str, Evidence | None]]:
    """Read what page 16 shows: key of `SHOWN` → part → results, None where there are none."""
    return {
        key: {part: read(part, task, study) for part in PARTS}
        for key, (study, task) in SHOWN.items()
    }


def find_titles() -> dict[str, str]:
    """Return what the data of each key of `SHOWN` are called, and whether they are synthetic."""
    titles = {}
    for key, (study, task) in SHOWN.items():
        config = params.merge({"study": study, "task": task})
        kind = "synthetic" if config["data"] == "demo" else "real data"
        titles[key] = f"{tasks.find_title(config)} ({kind})"
    return titles


def find_command(part: str) -> str:
    """Return how the command of a `part` begins.

    >>> find_command("tail-patch")
    'python -m xl_influence.methods.tail_patch'
    """
    return f"python -m xl_influence.methods.{PARTS[part][0]}"


def write(part: str, config: FineTuning, found: Found, folder: Path | str | None = None) -> Path:
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
    if found.outcomes:
        outcomes.write(outcomes.find_path(config["study"], config["task"], folder), found.outcomes)
    content = _describe(part, config, found)
    if not found.seconds and path.exists() and _has_same_results(path, content):
        return path
    with runs.write_atomically(path) as partial:
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
        partial.write_text(f"{text}\n", encoding="utf-8")
    return path


def _describe(part: str, config: FineTuning, found: Found) -> dict[str, Any]:
    """Return the content of a file."""
    names = ("train", "test")
    return {
        "part": part,
        "study": config["study"],
        "task": config["task"],
        "title": tasks.find_title(config),
        "settings": found.settings,
        "samples": {name: len(runs.read_samples(config, name)) for name in names},
        "run": {"finetuning": fingerprints.hash_finetuning(config)},
        "model": _describe_model(read_manifest(runs.find_folder(config))),
        "trainings": found.trainings,
        "trained": len(found.seconds),
        "minutes": round(sum(found.seconds) / 60, 1) if found.seconds else None,
        "environment": describe_machine(config),
        "tables": {name: make_rows(table) for name, table in found.tables.items()},
    }


def _describe_model(manifest: dict[str, Any]) -> dict[str, Any]:
    """Say how well the run's model has learned the task, on its development samples."""
    return {
        "accuracy": round(development_accuracy(manifest), DIGITS),
        "majority": round(majority_share(manifest), DIGITS),
        "at_chance": is_at_chance(manifest),
    }


def make_rows(table: pd.DataFrame, digits: int = DIGITS) -> list[dict[str, Any]]:
    """Return a table's rows as JSON has them: rounded, and null for a missing value.

    Parameters
    ----------
    table : pandas.DataFrame
        Any table.
    digits : int
        How many decimals numbers have.
    """
    rows: list[dict[str, Any]] = json.loads(
        table.round(digits).to_json(orient="records", double_precision=digits)
    )
    return rows


def _has_same_results(path: Path, content: dict[str, Any]) -> bool:
    """Whether a file holds the same tables, for the same settings and the same run."""
    try:
        old = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return all(old.get(key) == content[key] for key in ("settings", "run", "trainings", "tables"))


def describe_machine(config: FineTuning) -> dict[str, Any]:
    """Say what results were computed with: processor, device, versions and commit.

    Parameters
    ----------
    config : mapping
        The parameters of the run.
    """
    from ..finetune import pick_device  # imports torch, which takes seconds

    return {"processor": read_processor_name()} | describe_environment(
        pick_device(config["device"])
    )


def run(
    arguments: Sequence[str], part: str, options: Mapping[str, commands.Option], compute: Compute
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
        The exit status, see `commands.run`.
    """

    def work() -> str:
        config, chosen, folder = commands.read(arguments, options)
        found = compute(config, chosen)
        path = write(part, config, found, folder)
        texts = [table.round(3).to_string(index=False) for table in found.tables.values()]
        trained = f"{len(found.seconds)} of {found.trainings} trainings were done now."
        return "\n\n".join([*texts, f"{trained} Written: {path}"])

    return commands.run(work)
