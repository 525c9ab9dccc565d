"""Run folders: `<runs_root>/<study>/<task>/<variant>/`, with files that are complete or absent.

For a task of your own, `<task>` is `own-<data set>`.

Every step of a run has a fingerprint, a hash of everything that its result depends on. A complete
artefact with the right fingerprint is reused. Any other is computed again and replaced as a whole;
old and new parts are never mixed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock

from . import locks
from .own_files import name_folder
from .params import find_root
from .sections import Run

if TYPE_CHECKING:
    import pandas as pd


class RunError(RuntimeError):
    """An artefact of a run is missing, damaged or belongs to another run."""


def find_folder(params: Run) -> Path:
    """Return the run's folder; a relative `runs_root` is taken from the project's root."""
    base = Path(params["runs_root"]).expanduser()
    if not base.is_absolute():
        base = find_root() / base
    return base / params["study"] / name_folder(params) / params["variant"]


def hash_parts(*parts: Any) -> str:
    """Return a short hash of parts that can be written as JSON."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_fingerprint(work: Path, value: str) -> None:
    """Note in the folder of an unfinished step, `work`, the step's fingerprint, `value`."""
    (work / "fingerprint").write_text(value)


def has_fingerprint(work: Path, value: str) -> bool:
    """Whether `work` is the folder of an unfinished step with the fingerprint `value`."""
    path = work / "fingerprint"
    return path.exists() and path.read_text() == value


def select_keys(values: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """Return the part of a mapping that has these keys.

    Parameters
    ----------
    values
        For example the parameters of a run.
    keys
        The keys to keep, in the order of the result; each must be in `values`.
    """
    return {key: values[key] for key in keys}


def select_changed(
    values: Mapping[str, Any], keys: Iterable[str], own: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the part of a mapping that has these keys and other values than `own`.

    Parameters
    ----------
    values, keys
        As for `select_keys`.
    own
        What to compare with.
    """
    return {key: value for key, value in select_keys(values, keys).items() if value != own[key]}


def is_published(run: str | Path) -> bool:
    """Whether the folder holds a published run: influence and tables, but no score cube."""
    return (Path(run) / "influence.zarr").is_dir() and not (Path(run) / "scores.zarr").is_dir()


def can_load(params: Run) -> bool:
    """Whether a run exists or may be computed: in a folder of published runs we compute nothing."""
    run = find_folder(params)
    return is_published(run) or not any(is_published(other) for other in run.parents[1].glob("*/*"))


@contextlib.contextmanager
def write_atomically(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` for a file or folder, and move it there at the end.

    If the block fails, the temporary file is removed and whatever was at `path` stays.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    remove(temporary)  # left by a process that was killed
    try:
        yield temporary
        move_into_place(temporary, path)
    finally:
        remove(temporary)


def move_into_place(source: Path, target: Path) -> None:
    """Move a finished file or folder, replacing what is at the target.

    Parameters
    ----------
    source
        The finished file or folder.
    target
        Where it belongs, on the same file system.
    """
    if source.is_dir() and target.exists():
        old = target.with_name(f".{target.name}.old")
        remove(old)
        os.rename(target, old)
        os.rename(source, target)
        remove(old)
    else:
        os.replace(source, target)


def remove(path: Path) -> None:
    """Delete a file or folder if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def lock(run: Path, step: str, name: str = ".lock") -> Iterator[bool]:
    """Lock a run during a step that only one process at a time may do.

    A process that is killed releases its lock. A step that fails before it leaves any file leaves
    no folder either.

    Parameters
    ----------
    run
        The run's folder; created if it does not exist.
    step
        What the step does, for the message printed while we wait.
    name
        The name of the lock's file in that folder.

    Yields
    ------
    bool
        Whether we had to wait for another process.
    """
    run.mkdir(parents=True, exist_ok=True)
    guard, waited = locks.make(run / name), False
    try:
        guard.acquire(timeout=0)
    except filelock.Timeout:
        waited, holder = True, locks.describe_holder(run / name)
        print(f"{run}: waiting for another process ({step}){holder}", flush=True)
        guard.acquire()
    try:
        yield waited
    except BaseException:
        _remove_if_empty(run)
        raise
    finally:
        guard.release()


def _remove_if_empty(run: Path) -> None:
    """Remove a run's folder that holds only its lock, and the folders above if they are empty."""
    if [path.name for path in run.iterdir()] != [".lock"]:
        return
    (run / ".lock").unlink()
    with contextlib.suppress(OSError):  # other runs are in it
        for level in (run, run.parent, run.parent.parent):
            level.rmdir()


def read_samples(params: Run, split: str) -> pd.DataFrame:
    """Read the training samples or the chosen test samples of a run.

    Parameters
    ----------
    params
        The parameters of the run.
    split
        'train' or 'test'.

    Returns
    -------
    pandas.DataFrame
        One row per sample, in the score cube's order: `uid, lang, item, label`, and `text_a` and
        `text_b` unless the run is published.
    """
    import pandas as pd

    return pd.read_parquet(find_folder(params) / f"{split}.parquet")


def read_inputs(run: str | Path, split: str, uids: Iterable[str] | None = None) -> pd.DataFrame:
    """Read the inputs of one split for the influence engine.

    Parameters
    ----------
    run
        The run's folder.
    split
        'train' or 'test'; 'test' has all test samples that `test_pool` lets the study choose from.
    uids
        Only these samples, in this order.

    Returns
    -------
    pandas.DataFrame
        `uid, lang, item, label, input_ids`; without `uids` in the order in which the samples were
        drawn.

    Raises
    ------
    KeyError
        The split has no sample of that uid.
    """
    import pandas as pd

    inputs = pd.read_parquet(Path(run) / "inputs.parquet")
    inputs = inputs[inputs["split"] == split].drop(columns="split").reset_index(drop=True)
    return inputs if uids is None else inputs.set_index("uid").loc[list(uids)].reset_index()
