"""What each step of a run depends on, as a fingerprint: decides which artefacts can be reused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import data, runs, sources
from .manifest import read_manifest
from .sections import Data, FineTuning, Influence

FINETUNE = (
    *data.KEYS,
    "encoder",
    "encoder_layers",
    "max_length",
    "variant",
    "learning_rate",
    "weight_decay",
    "warmup",
    "batch_size",
    "epochs",
    "patience",
    "seed",
    "bf16",
)
SCORES = (
    "test_size",
    "test_pool",
    "test_seed",
    "max_tokens",
    "test_memory",
    "precision",
    "storage",
    "shard_size",
)
PUBLISHED = (
    *FINETUNE,
    *data.CHANGES,
    "test_size",
    "test_pool",
    "test_seed",
    "precision",
    "storage",
)
SCORED = (*SCORES, "keep")  # all that a score cube depends on, beside the model and the data
KEEP = "groups"  # what score cubes keep by default; once the only way, so not in fingerprints
SHOWN = 3  # how many differing parameters an error names
FORMATS = {"finetune": 1, "scores": 3}  # versions of the artefacts' formats


def hash_finetuning(params: FineTuning) -> str:
    """Hash everything that fine-tuning depends on: parameters and the source of the data."""
    changes = {key: value for key, value in runs.select_keys(params, data.CHANGES).items() if value}
    if params["planted"]:
        changes["test_seed"] = params["test_seed"]
    keys = runs.select_keys(params, FINETUNE) | changes
    return runs.hash_parts("finetune", FORMATS["finetune"], keys, sources.hash_source(params))


def hash_scores(params: Influence, borrowed: Sequence[str] | None = None) -> str:
    """Hash everything that the score cube depends on.

    Parameters
    ----------
    params
        The parameters of the run.
    borrowed
        The uids of the test samples if another run chose them, otherwise None.
    """
    parts: list[Any] = [hash_finetuning(params), runs.select_keys(params, SCORES)]
    if params["keep"] != KEEP:
        parts.append({"keep": params["keep"]})
    if borrowed:
        parts.append(borrowed)
    return runs.hash_parts("scores", FORMATS["scores"], *parts)


def is_finetuned(run: Path, fingerprint: str, params: Data) -> bool:
    """Whether fine-tuning finished in this folder, with the test samples that `test_pool` wants.

    Only these were tokenized, and the model has embeddings for no others. Runs that do not say
    which they were tokenized all.

    Parameters
    ----------
    run
        The run's folder.
    fingerprint
        What `hash_finetuning` gives for the parameters wanted.
    params
        The parameters wanted.
    """
    manifest = read_manifest(run)
    size, seed = manifest.get("test_tokenized", (0, None))
    covered = not size or (params["test_seed"] == seed and 0 < params["test_pool"] <= size)
    return manifest.get("finetune_fingerprint") == fingerprint and covered


def is_scored(run: Path, fingerprint: str) -> bool:
    """Whether this folder holds the finished score cube.

    Parameters
    ----------
    run
        The run's folder.
    fingerprint
        What `hash_scores` gives for the parameters wanted.
    """
    found = read_manifest(run).get("scores_fingerprint")
    return found == fingerprint and (run / "scores.zarr").is_dir()


def check_published(run: Path, params: Influence) -> None:
    """Raise `RunError` if this is a published run with other parameters; we cannot compute it.

    Parameters
    ----------
    run
        The run's folder.
    params
        The parameters wanted.
    """
    if not runs.is_published(run):
        return
    differing = describe_differences(
        read_manifest(run)["parameters"], runs.select_keys(params, PUBLISHED)
    )
    if differing:
        raise runs.RunError(
            f"{run} is a published run with other parameters: {differing}. "
            "Set runs_root to compute your own"
        )


def describe_differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Say in words which values differ; empty if none does.

    Parameters
    ----------
    found
        The parameters that an artefact was made with.
    wanted
        The parameters to compare with; keys that are only in one of the two do not count.
    """
    differing = [key for key, value in found.items() if key in wanted and wanted[key] != value]
    words = [f"{key} was {found[key]!r}, is {wanted[key]!r} here" for key in differing[:SHOWN]]
    more = f" and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
    return "; ".join(words) + more
