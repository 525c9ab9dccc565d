"""The steps of a study as jobs, on one machine or for a scheduler that Snakemake supports.

    python -m xl_influence.steps influence study=smoke task=marc
    python -m xl_influence.steps influence part=0 parts=3 study=smoke task=marc

A step that has ended leaves a done file, a small one in the run's folder, for Snakemake to see. Its
name holds a hash of the parameters that the step depends on. What the step itself made decides
whether it is finished: `find_finished` compares the fingerprints and corrects the done files.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import data, disk, fingerprints, runs, scores
from .manifest import read_manifest
from .params import ParameterError, merge, parse, with_variant
from .sections import Analysis

FINETUNING = (
    *fingerprints.FINETUNE,
    *data.CHANGES,
    "data_root",
    "prepared",
    "test_pool",
    "test_seed",
)
RETRAINING = ("removal_ks", "removal_samples", "removal_seeds")
STEPS = ("finetuning", "influence", "retraining")  # in this order


def find_hash(params: Analysis, step: str) -> str:
    """Return a hash of the parameters that a step depends on, without a look at the data.

    Parameters
    ----------
    params
        The parameters of the run.
    step
        One of `STEPS`.
    """
    if step not in STEPS:
        raise ParameterError(f"step {step!r}: allowed are {', '.join(STEPS)}")
    parts: list[Any] = [step, runs.select_keys(params, FINETUNING)]
    if step != "finetuning":
        parts.append(runs.select_keys(params, (*fingerprints.SCORED, "test_from")))
        if params["test_from"]:
            parts.append(find_hash(with_variant(params, params["test_from"]), "influence"))
    if step == "retraining":
        parts.append(runs.select_keys(params, RETRAINING))
    return runs.hash_parts(*parts)


def find_done_file(params: Analysis, step: str, part: int = 0, parts: int = 1) -> Path:
    """Return the path of the done file that a finished step leaves, or a part of it.

    Parameters
    ----------
    params, step
        As in `find_hash`.
    part, parts
        Which of how many parts, counted from 0.
    """
    suffix = f".{part}-of-{parts}" if parts > 1 else ""
    return runs.find_folder(params) / "steps" / f"{step}-{find_hash(params, step)}{suffix}"


def is_finished(params: Analysis, step: str) -> bool:
    """Whether a step need not run: its result has the fingerprint of these parameters.

    Parameters
    ----------
    params, step
        As in `find_hash`.
    """
    if step == "retraining":  # which models are trained again is known from the cube only
        path = find_done_file(params, step)
        return path.exists() and scores.is_done(params) and path.read_text() == _describe(path)
    if step == "influence":
        return scores.is_done(params)
    return fingerprints.is_finetuned(
        runs.find_folder(params), fingerprints.hash_finetuning(params), params
    )


def find_finished(params: Analysis, steps: Sequence[str] = STEPS) -> list[Path]:
    """Return the done files of a run's finished steps, after correcting them.

    A finished step without one gets one, as old as its result. The done file of a step that is not
    finished is removed: its result was replaced or deleted.

    Parameters
    ----------
    params
        The parameters of the run.
    steps
        The steps to look at.
    """
    found = []
    for step in steps:
        path, finished = find_done_file(params, step), is_finished(params, step)
        with contextlib.suppress(OSError):  # in a folder that is read-only, jobs will say so
            if not finished and path.exists():  # its result was replaced or deleted, ...
                for old in path.parent.glob(f"{path.name}*"):  # ... and its parts with it
                    runs.remove(old)
            if finished and not path.exists():
                write_done_file(path)
                made = (runs.find_folder(params) / "manifest.json").stat().st_mtime
                os.utime(path, (made, made))
        if finished and path.exists():
            found.append(path)
    return found


def write_done_file(path: Path) -> None:
    """Write the done file of a step that has ended: the fingerprints of what the run then holds.

    Parameters
    ----------
    path
        As `find_done_file` returns it.
    """
    with runs.write_atomically(path) as partial:
        partial.write_text(_describe(path), encoding="utf-8")


def _describe(path: Path) -> str:
    """The content of a done file: the fingerprints of what its run holds now."""
    manifest = read_manifest(path.parent.parent)
    found = [manifest.get(f"{name}_fingerprint") for name in ("finetune", "scores")]
    return f"{json.dumps(found)}\n"


def count_parts(params: Analysis, step: str, size: int) -> int:
    """Return the number of jobs that a step is split into; 1: it is not split.

    Parameters
    ----------
    params, step
        As in `find_hash`.
    size
        The most that one job does: for 'influence', training samples, each counted once per epoch;
        for 'retraining', trainings. 0: all.

    Raises
    ------
    ParameterError
        The size is not a whole number from 0.
    """
    if type(size) is not int or size < 0:
        raise ParameterError(f"{size!r} in a job of {step}: allowed is a whole number from 0")
    if not size:
        return 1
    if step == "influence":
        whole = params["epochs"] * sum(data.train_sizes(params).values())
    else:
        whole = count_retrainings(params)
    return max(1, -(-whole // size))


def count_retrainings(params: Analysis) -> int:
    """Return how many models `retraining.retrain` trains, at most.

    For each sample, sign, k and seed: without the top k, and two controls. For each k and seed:
    one control that all samples share. For each seed but the run's own: nothing removed.

    Parameters
    ----------
    params
        The parameters of the run.
    """
    seeds, sizes = params["removal_seeds"], len(params["removal_ks"])
    return 2 * 3 * params["removal_samples"] * sizes * seeds + sizes * seeds + seeds - 1


def compute(params: Analysis, step: str, part: int = 0, parts: int = 1) -> None:
    """Compute a step of a run, or a part of it, and leave its done file.

    Existing results are reused, so a step that was killed continues.

    Parameters
    ----------
    params, step
        As in `find_hash`.
    part, parts
        Which of how many parts, counted from 0.

    Raises
    ------
    ParameterError
        There is no such part, or fine-tuning is to be done in parts.
    """
    whole = type(part) is int and type(parts) is int
    if not whole or not 0 <= part < parts or (step == "finetuning" and parts > 1):
        raise ParameterError(
            f"part={part} parts={parts}: allowed are part=0 to parts - 1; fine-tuning has one part"
        )
    path = find_done_file(params, step, part, parts)
    if step == "finetuning":
        from .finetune import finetune  # imports torch, which takes seconds

        finetune(params)
    elif step == "influence" and parts > 1:
        scores.fill(params, part, parts)
    elif step == "influence":
        scores.make(params)
    else:
        from . import retraining

        if parts > 1:
            retraining.retrain_part(params, part, parts)
        else:
            retraining.retrain(params)
    write_done_file(path)


def main(arguments: Sequence[str]) -> int:
    """Command line: a step, then key=value pairs. Returns the exit status."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if arguments else 2
    try:
        given = parse(arguments[1:])
        part, parts = given.pop("part", 0), given.pop("parts", 1)
        compute(merge(given), arguments[0], part, parts)
    except Exception as error:
        if message := disk.explain(error):
            print(f"error: {message}", file=sys.stderr)
            return 1
        if not isinstance(error, ValueError | runs.RunError | NotImplementedError):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
