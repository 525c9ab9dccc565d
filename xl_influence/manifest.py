"""The manifest of a run: how accurate its model is, how it was made, and what it cost."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import runs
from .sections import Data

if TYPE_CHECKING:
    import torch

# A model is at chance if it is less than this far above the share of the most frequent class.
CHANCE = 0.05
AT_CHANCE = f"less than {100 * CHANCE:.0f} points above the most frequent class"
PACKAGES = (
    "torch",
    "transformers",
    "datasets",
    "accelerate",
    "numpy",
    "pandas",
    "xarray",
    "zarr",
    "xl-influence",
)


def read_manifest(run: str | Path) -> dict[str, Any]:
    """Return the run's manifest, or an empty dict if it has none.

    Raises
    ------
    RunError
        The file is damaged.
    """
    path = Path(run) / "manifest.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise runs.RunError(
            f"{path} is damaged ({error}). Put back a copy of it, or remove it: the run is then "
            "computed again"
        ) from error


def check_data(params: Data, run: Path) -> None:
    """Raise `RunError` if the folder of your own task holds results of another data set.

    Parameters
    ----------
    params
        The parameters of the run.
    run
        Its folder; the folders of other variants are beside it.
    """
    if params["task"] != "own" or not params["data_root"]:
        return
    for place in sorted(run.parent.glob("*/manifest.json")):
        found = read_manifest(place.parent).get("parameters", {})
        if found.get("data_root") and _describe_data(found) != _describe_data(params):
            old, new = (" ".join(_describe_data(values)).strip() for values in (found, params))
            raise runs.RunError(
                f"{place.parent} holds results of another data set, {old}. Give this one, {new}, "
                "another data_name, or remove that folder"
            )


def _describe_data(params: Data) -> tuple[str, str]:
    """Return what identifies the data of your own task: their folder, and which of its files."""
    return str(Path(params["data_root"]).expanduser().resolve()), params.get("files", "")


def development_accuracy(manifest: dict[str, Any], lang: str = "accuracy") -> float:
    """Return the development accuracy (0 to 1) at the chosen epoch.

    Parameters
    ----------
    manifest
        The run's manifest.
    lang
        A language; 'accuracy' is the mean over all languages that the model was trained on.
    """
    return _chosen_row(manifest)[lang]


def _chosen_row(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the development accuracies at the chosen epoch."""
    epoch = manifest["chosen_epoch"]
    return next(row for row in manifest["dev_accuracy"] if row["epoch"] == epoch)


def majority_share(manifest: dict[str, Any], lang: str | None = None) -> float:
    """Return the share of the most frequent class among the development samples.

    Parameters
    ----------
    manifest
        The run's manifest. Older ones do not count classes by language (`class_counts`); for
        these we return the share over all languages, which in a parallel task is the same.
    lang
        A language, or None for all together.

    Returns
    -------
    float
        From 0 to 1; NaN if the manifest has neither number.
    """
    counts = manifest.get("class_counts", {}).get("validation", {}).get(lang)
    if counts:
        return max(counts.values()) / sum(counts.values())
    return manifest.get("majority_share", {}).get("validation", float("nan"))


def is_at_chance(manifest: dict[str, Any], languages: str | Iterable[str] = ()) -> bool:
    """Whether the model is less than `CHANCE` above the share of the most frequent class.

    Parameters
    ----------
    manifest
        The run's manifest.
    languages
        The language of interest, or several, any of which suffices. If empty, we compare the
        accuracy over all languages that the model was trained on.
    """
    languages = [languages] if isinstance(languages, str) else list(languages)
    pairs = [
        (development_accuracy(manifest, lang), majority_share(manifest, lang)) for lang in languages
    ]
    pairs = pairs or [(development_accuracy(manifest), majority_share(manifest))]
    return any(round(accuracy - majority, 9) < CHANCE for accuracy, majority in pairs)


def languages_at_chance(manifest: dict[str, Any] | None) -> list[str]:
    """Return the languages in which the model is at chance.

    No claim and no average over languages includes them.
    """
    if not manifest:
        return []
    others = ("epoch", "train_loss", "accuracy")
    languages = [key for key in _chosen_row(manifest) if key not in others]
    return [lang for lang in languages if is_at_chance(manifest, lang)]


def write_manifest(run: str | Path, **entries: Any) -> None:
    """Add entries to the run's manifest.

    Parameters
    ----------
    run
        The run's folder.
    **entries
        Values that can be written as JSON; they replace entries of the same name.
    """
    changed = read_manifest(run) | entries
    with runs.write_atomically(Path(run) / "manifest.json") as path:
        path.write_text(json.dumps(changed, indent=2, default=str) + "\n", encoding="utf-8")


def describe_environment(device: torch.device) -> dict[str, Any]:
    """Return what a result was made with.

    Returns
    -------
    dict
        Versions of `packages` and of `python`, `machine` (architecture), `device` (the GPU's name,
        or 'cpu'), `threads` and `git_commit` (None outside a checkout).
    """
    import torch

    versions = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "packages": versions,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "git_commit": _git_commit(),
    }


def _git_commit() -> str | None:
    """Return the commit of the package's checkout, None if it is not in one."""
    command = ["git", "rev-parse", "--verify", "--quiet", "HEAD"]
    with contextlib.suppress(OSError):
        done = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False
        )
        return done.stdout.strip() or None
    return None


def read_processor_name() -> str:
    """Return the CPU's model name, from Linux where it is known there."""
    path = Path("/proc/cpuinfo")
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()


class Stopwatch:
    """Measures what a step costs, from its creation to `read`."""

    def __init__(self) -> None:
        self.start = time.time()

    def read(self) -> dict[str, Any]:
        """Return wall time, peak memory and the present time.

        Returns
        -------
        dict
            `wall_seconds` since this object was created, `peak_memory_gb` (GiB) since the process
            began, and `finished`, the time now in UTC.
        """
        return {
            "wall_seconds": round(time.time() - self.start, 1),
            "peak_memory_gb": round(measure_peak_memory() / 2**30, 2),
            "finished": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        }


def measure_peak_memory() -> int:
    """Return the most bytes of memory that this process has used at once since it began."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # bytes on macOS, else kilobytes
