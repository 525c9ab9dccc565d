"""The manifest of a run: how well its model does, what it was made with, and what it cost."""

import contextlib
import importlib.metadata
import json
import platform
import resource
import subprocess
import time
from pathlib import Path

from . import runs

CHANCE = 0.05  # points above the most frequent class, below which a model is said to be at chance
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


def read_manifest(run):
    """The run's manifest as a dict, empty where there is none."""
    path = Path(run) / "manifest.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def development_accuracy(manifest, lang="accuracy"):
    """Development accuracy at the chosen epoch, of one language or of all that were trained on."""
    return next(
        row[lang] for row in manifest["dev_accuracy"] if row["epoch"] == manifest["chosen_epoch"]
    )


def majority_share(manifest, lang=None):
    """Share of the most frequent class among the development samples, of one language or of all.

    Manifests that do not count classes by language (`class_counts`) give that of all: in a parallel task it is the same.
    NaN where the manifest has neither.
    """
    counts = manifest.get("class_counts", {}).get("validation", {}).get(lang)
    if counts:
        return max(counts.values()) / sum(counts.values())
    return manifest.get("majority_share", {}).get("validation", float("nan"))


def is_at_chance(manifest, languages=()):
    """Whether the development accuracy is less than `CHANCE` above the share of the most frequent class.

    `languages`: the one that a page is about, or several, of which any counts; none: all that were trained on, together.
    """
    languages = [languages] if isinstance(languages, str) else list(languages)
    pairs = [
        (development_accuracy(manifest, lang), majority_share(manifest, lang)) for lang in languages
    ]
    pairs = pairs or [(development_accuracy(manifest), majority_share(manifest))]
    return any(round(reached - most, 9) < CHANCE for reached, most in pairs)


def weak_languages(manifest):
    """The languages in which the model is at chance: they enter no claim, and no average over languages."""
    if not manifest:
        return []
    row = next(row for row in manifest["dev_accuracy"] if row["epoch"] == manifest["chosen_epoch"])
    languages = [key for key in row if key not in ("epoch", "train_loss", "accuracy")]
    return [lang for lang in languages if is_at_chance(manifest, lang)]


def write_manifest(run, **entries):
    """Add `entries` to the run's manifest."""
    with runs.complete(Path(run) / "manifest.json") as path:
        path.write_text(
            json.dumps(read_manifest(run) | entries, indent=2, default=str) + "\n", encoding="utf-8"
        )


def environment(device):
    """What a result was made with: package versions, Python, processor, git commit (None outside a checkout)."""
    commit = ""
    with contextlib.suppress(OSError):
        command = ["git", "rev-parse", "--verify", "--quiet", "HEAD"]
        commit = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True
        ).stdout.strip()
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
        return {
            "wall_seconds": round(time.time() - self.start, 1),
            "peak_memory_gb": round(peak, 2),
            "finished": finished,
        }
