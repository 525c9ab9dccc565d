"""The settings of fine-tuning that we tried for a task, with their development accuracies.

`python -m xl_influence.settings study=real task=xnli runs_root=… epochs=10` adds a finished
fine-tuning to `results/<study>/<task>/settings.csv`. Page 01 of the book shows the list.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from . import runs
from .manifest import development_accuracy, read_manifest
from .params import find_root, merge, parse
from .sections import FineTuning, Run

SETTINGS = ["learning_rate", "batch_size", "epochs", "seed"]
FOUND = ["chosen_epoch", "accuracy", "lowest_language", "by_epoch"]


def find_list(params: Run, target: str | Path = "results") -> Path:
    """Find the path of a task's list, for the `params` of its run.

    A relative `target` is taken from the project's root.
    """
    base = Path(target) if Path(target).is_absolute() else find_root() / target
    return base / params["study"] / params["task"] / "settings.csv"


def read(params: FineTuning, target: str | Path = "results") -> pd.DataFrame | None:
    """Read the settings that were tried for a task.

    Parameters
    ----------
    params
        The parameters of a run.
    target
        The folder of published runs.

    Returns
    -------
    pandas.DataFrame or None
        One row per setting: `learning_rate`, `batch_size`, `epochs` (at most), `seed`,
        `chosen_epoch`, `accuracy` (development, at that epoch), `lowest_language` (its lowest
        accuracy of a language), `by_epoch` (accuracies, separated by spaces), `used` (whether
        `params` are these). None if there is no list.
    """
    path = find_list(params, target)
    if not path.is_file():
        return None
    table = pd.read_csv(path)
    own = runs.select_keys(params, SETTINGS)
    return table.assign(used=[_agree(row, own) for row in table.to_dict("records")])


def add(params: FineTuning, target: str | Path = "results") -> Path:
    """Add a finished fine-tuning to its task's list, or replace its row.

    Parameters
    ----------
    params
        The parameters of the run.
    target
        The folder of published runs.

    Raises
    ------
    RunError
        The run is not finished, or was made with other settings.
    """
    run = runs.find_folder(params)
    manifest = read_manifest(run)
    if "dev_accuracy" not in manifest:
        raise runs.RunError(f"{run}: no finished fine-tuning is there")
    own = runs.select_keys(params, SETTINGS)
    wrong = [key for key in SETTINGS if manifest["parameters"][key] != own[key]]
    if wrong:
        values = ", ".join(f"{key}={manifest['parameters'][key]}" for key in wrong)
        raise runs.RunError(f"{run} was fine-tuned with {values}: give these")
    path = find_list(params, target)
    rows = [_make_row(params, manifest)]
    if path.is_file():
        known = pd.read_csv(path).to_dict("records")
        rows = [row for row in known if not _agree(row, own)] + rows
    table = pd.DataFrame(rows, columns=[*SETTINGS, *FOUND]).sort_values(SETTINGS)
    with runs.write_atomically(path) as partial:
        table.to_csv(partial, index=False)
    return path


def _agree(row: Mapping[Any, Any], own: Mapping[str, Any]) -> bool:
    """Whether a row of the list is about the settings `own`."""
    return all(row[key] == value for key, value in own.items())


def _make_row(params: FineTuning, manifest: dict[str, Any]) -> dict[str, Any]:
    """What a finished fine-tuning reached."""
    languages = [development_accuracy(manifest, lang) for lang in params["languages"]]
    by_epoch = " ".join(f"{row['accuracy']:.3f}" for row in manifest["dev_accuracy"])
    found = {
        "chosen_epoch": manifest["chosen_epoch"],
        "accuracy": round(development_accuracy(manifest), 4),
        "lowest_language": round(min(languages), 4),
        "by_epoch": by_epoch,
    }
    return runs.select_keys(params, SETTINGS) | found


if __name__ == "__main__":
    try:
        print(add(merge(parse(sys.argv[1:]))))
    except (ValueError, runs.RunError) as error:
        sys.exit(f"error: {error}")
