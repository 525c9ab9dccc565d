"""Run folders: `<runs_root>/<study>/<task>/<variant>/`, their manifest, and files that are complete or absent.

Every step of a run has a fingerprint: a hash of all that its result depends on. A complete artefact with the same
fingerprint is used; any other is made anew in its place, never mixed with the old one.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import resource
import shutil
import subprocess
import time
from pathlib import Path

import filelock

from .params import root

CHANCE = 0.05  # points above the most frequent class, below which a model is said to be at chance
PACKAGES = ("torch", "transformers", "datasets", "accelerate", "numpy", "pandas", "xarray", "zarr", "xl-influence")


class RunError(RuntimeError):
    """An artefact of a run is missing, damaged or of another run."""


def folder(params):
    """The run's folder (pathlib.Path); a relative `runs_root` is taken from the project's root."""
    base = Path(params["runs_root"]).expanduser()
    return (base if base.is_absolute() else root() / base) / params["study"] / params["task"] / params["variant"]


def fingerprint(*parts):
    """Short hash of JSON-able parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def pick(params, keys):
    """The part of `params` with these keys."""
    return {key: params[key] for key in keys}


def read_manifest(run):
    """The run's manifest as a dict, empty where there is none."""
    path = Path(run) / "manifest.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def accuracy(manifest, lang="accuracy"):
    """Development accuracy at the chosen epoch, of one language or of all that were trained on."""
    return next(row[lang] for row in manifest["dev_accuracy"] if row["epoch"] == manifest["chosen_epoch"])


def majority(manifest, lang=None):
    """Share of the most frequent class among the development samples, of one language or of all.

    Manifests that do not count classes by language (`class_counts`) give that of all: in a parallel task it is the same.
    NaN where the manifest has neither.
    """
    counts = manifest.get("class_counts", {}).get("validation", {}).get(lang)
    if counts:
        return max(counts.values()) / sum(counts.values())
    return manifest.get("majority_share", {}).get("validation", float("nan"))


def at_chance(manifest, languages=()):
    """Whether the development accuracy is less than `CHANCE` above the share of the most frequent class.

    `languages`: the one that a page is about, or several, of which any counts; none: all that were trained on, together.
    """
    languages = [languages] if isinstance(languages, str) else list(languages)
    pairs = [(accuracy(manifest, lang), majority(manifest, lang)) for lang in languages]
    pairs = pairs or [(accuracy(manifest), majority(manifest))]
    return any(round(reached - most, 9) < CHANCE for reached, most in pairs)


def weak_languages(manifest):
    """The languages in which the model is at chance: they enter no claim, and no average over languages."""
    if not manifest:
        return []
    row = next(row for row in manifest["dev_accuracy"] if row["epoch"] == manifest["chosen_epoch"])
    languages = [key for key in row if key not in ("epoch", "train_loss", "accuracy")]
    return [lang for lang in languages if at_chance(manifest, lang)]


def write_manifest(run, **entries):
    """Add `entries` to the run's manifest."""
    with complete(Path(run) / "manifest.json") as path:
        path.write_text(json.dumps(read_manifest(run) | entries, indent=2, default=str) + "\n", encoding="utf-8")


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


def environment(device):
    """What a result was made with: package versions, Python, processor, git commit (None outside a checkout)."""
    commit = ""
    with contextlib.suppress(OSError):
        command = ["git", "rev-parse", "--verify", "--quiet", "HEAD"]
        commit = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True).stdout.strip()
    versions = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    import torch

    return {
        "packages": versions,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "git_commit": commit or None,
    }


class Stopwatch:
    """Wall time in seconds, peak memory in GB since the process began, and the end in UTC: `Stopwatch().read()`."""

    def __init__(self):
        self.start = time.time()

    def read(self):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # kB on Linux
        finished = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
        return {"wall_seconds": round(time.time() - self.start, 1), "peak_memory_gb": round(peak, 2), "finished": finished}


def read_samples(params, split):
    """Training ('train') or chosen test samples ('test') of a run: DataFrame, without texts where the run is published."""
    import pandas as pd

    return pd.read_parquet(folder(params) / f"{split}.parquet")


def read_inputs(run, split):
    """Inputs of one split for the influence engine: DataFrame `uid, lang, item, label, input_ids`, as drawn."""
    import pandas as pd

    inputs = pd.read_parquet(Path(run) / "inputs.parquet")
    return inputs[inputs["split"] == split].drop(columns="split").reset_index(drop=True)
