"""Run folders: `<runs_root>/<study>/<task>/<variant>/`, their manifest, and files that are complete or absent.

Every step of a run has a fingerprint: a hash of all that its result depends on. A complete artefact with the same
fingerprint is used; any other is made anew in its place, never mixed with the old one.
"""

import contextlib
import hashlib
import json
import os
import shutil
from pathlib import Path

import filelock

from .params import root


class RunError(RuntimeError):
    """An artefact of a run is missing, damaged or of another run."""


def folder(params):
    """The run's folder (pathlib.Path); a relative `runs_root` is taken from the project's root."""
    base = Path(params["runs_root"]).expanduser()
    return (
        (base if base.is_absolute() else root() / base)
        / params["study"]
        / params["task"]
        / params["variant"]
    )


def fingerprint(*parts):
    """Short hash of JSON-able parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def pick(params, keys):
    """The part of `params` with these keys."""
    return {key: params[key] for key in keys}


def is_published(run):
    """Whether the folder holds a published run: influence and tables, without checkpoints, score cube and texts."""
    return (Path(run) / "influence.zarr").is_dir() and not (Path(run) / "scores.zarr").is_dir()


def can_load(params):
    """Whether a run is there or may be computed: in a folder of published runs nothing is computed."""
    run = folder(params)
    return is_published(run) or not any(is_published(other) for other in run.parents[1].glob("*/*"))


@contextlib.contextmanager
def complete(path):
    """A temporary path beside `path` that takes its place when the block ends well, and vanishes when it does not."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    remove(temporary)  # of a process that was killed
    try:
        yield temporary
        put(temporary, path)
    finally:
        remove(temporary)


def put(source, target):
    """Move a finished file or folder to `target`, replacing what is there."""
    if source.is_dir() and target.exists():
        old = target.with_name(f".{target.name}.old")
        remove(old)
        os.rename(target, old)
        os.rename(source, target)
        remove(old)
    else:
        os.replace(source, target)


def remove(path):
    """Delete a file or folder if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def lock(run, step):
    """Wait until no other process is at a step of this run that only one may do; a killed process holds no lock.

    A step that fails before it leaves anything leaves no folder either.
    """
    run.mkdir(parents=True, exist_ok=True)
    guard = filelock.FileLock(run / ".lock")
    try:
        guard.acquire(timeout=0)
    except filelock.Timeout:
        print(f"{run}: waiting for another process ({step})", flush=True)
        guard.acquire()
    try:
        yield
    except BaseException:
        if [path.name for path in run.iterdir()] == [".lock"]:
            (run / ".lock").unlink()
            with contextlib.suppress(OSError):  # folders of other runs are not empty
                for folder in (run, run.parent, run.parent.parent):
                    folder.rmdir()
        raise
    finally:
        guard.release()


def read_samples(params, split):
    """Training ('train') or chosen test samples ('test') of a run: DataFrame, without texts where the run is published."""
    import pandas as pd

    return pd.read_parquet(folder(params) / f"{split}.parquet")


def read_inputs(run, split):
    """Inputs of one split for the influence engine: DataFrame `uid, lang, item, label, input_ids`, as drawn."""
    import pandas as pd

    inputs = pd.read_parquet(Path(run) / "inputs.parquet")
    return inputs[inputs["split"] == split].drop(columns="split").reset_index(drop=True)
