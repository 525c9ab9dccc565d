"""What every training on a subset ended with, so that a new method needs no training.

The file lies beside the other results: `<study>-<task>-outcomes.parquet`, one row per kind of
subset, seed and subset, one column per test sample: log-odds of the right class, float32. Its
metadata say which fine-tuning it repeats. The subsets themselves are drawn again, see
`subsets.draw_all`.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from .. import params, runs
from ..workflow import MEASURED

FOLDER = MEASURED["16-predicting-retraining"]
KEYS = ["kind", "seed", "subset"]


class Outcomes(NamedTuple):
    """What every training on a subset ended with.

    Attributes
    ----------
    values : dict
        Kind of subset → log-odds of the right class, (seed, subset, test).
    tests : list of str
        The uid of each test sample.
    about : dict
        What the outcomes belong to.
    """

    values: dict[str, np.ndarray]
    tests: list[str]
    about: dict[str, Any]


def find_path(study: str, task: str, folder: Path | str | None = None) -> Path:
    """Return where outcomes are.

    Parameters
    ----------
    study, task : str
        Whose outcomes.
    folder : Path or str, optional
        The folder; default: that of the book.
    """
    return Path(folder or params.find_root() / FOLDER) / f"{study}-{task}-outcomes.parquet"


def write(path: Path, found: Outcomes) -> None:
    """Write outcomes, completely or not at all; a file that has the same is left as it is.

    Parameters
    ----------
    path : Path
        The file.
    found : Outcomes
        What to write.
    """
    parts, tests, about = [], found.tests, found.about
    for kind, values in found.values.items():
        places = itertools.product(range(values.shape[0]), range(values.shape[1]))
        keys = pd.DataFrame([(kind, *place) for place in places], columns=KEYS)
        flat = values.reshape(-1, len(tests)).astype(np.float32)
        parts.append(pd.concat([keys, pd.DataFrame(flat, columns=tests)], axis=1))
    table = pd.concat(parts, ignore_index=True)
    table.attrs = about
    old = _read_table(path)
    if old is not None and old.attrs == about and old.equals(table):
        return
    with runs.write_atomically(path) as partial:
        table.to_parquet(partial, index=False)


def read(path: Path, tests: list[str], about: dict[str, Any]) -> dict[str, np.ndarray]:
    """Read outcomes; nothing if there are none for this fine-tuning, its test samples and subsets.

    Parameters
    ----------
    path : Path
        The file.
    tests, about
        As in `Outcomes`.

    Returns
    -------
    dict
        Kind of subset → (seed, subset, test), float32; empty if there are none.
    """
    table = _read_table(path)
    if table is None or table.attrs != about or list(table.columns) != [*KEYS, *tests]:
        return {}
    return {
        str(kind): part[tests].to_numpy().reshape(part["seed"].nunique(), -1, len(tests))
        for kind, part in table.groupby("kind", sort=False)
    }


def _read_table(path: Path) -> pd.DataFrame | None:
    """Read the file, if it is there.

    Raises
    ------
    RunError
        It is damaged.
    """
    if not path.exists():
        return None
    try:
        return pd.read_parquet(path)
    except (ValueError, OSError) as error:
        raise runs.RunError(
            f"{path} is damaged ({error}). Restore it with git, or remove it and train again"
        ) from error
