"""Experiments in a notebook: runs with other parameter values never replace a run of the study.

An analysis with other values, such as another `top_k`, already has its own folder for tables
(`tables.find_output_dir`). But another value of something that a model or a score cube depends on,
such as `epochs`, would replace the model itself. So a notebook that you run by hand computes such a
run in `<runs_root>/other/<hash>/`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import data, fingerprints, params, runs
from .params import Source
from .sections import Parameters, Run

FOLDER = "other"
KEYS = (*fingerprints.FINETUNE, *data.CHANGES, *fingerprints.SCORED)


def read(namespace: Mapping[str, Any]) -> tuple[Parameters, Source]:
    """Read and check a notebook's parameters, and send an experiment to a folder of its own.

    Parameters
    ----------
    namespace
        The notebook's `globals()`, as for `params.from_notebook`.

    Returns
    -------
    tuple
        As from `params.from_notebook`. Where values differ from the study's own, `runs_root` is a
        folder of their own.
    """
    merged, source = params.from_notebook(namespace)
    changed = find_changes(merged, source)
    if changed:
        folder = Path(merged["runs_root"]) / FOLDER / runs.hash_parts(changed)
        merged, source["runs_root"] = merged | {"runs_root": str(folder)}, "an experiment"
    return merged, source


def find_changes(merged: Parameters, source: Mapping[str, str]) -> dict[str, Any]:
    """Find the values that make a run differ from the study's own.

    Parameters
    ----------
    merged, source
        As `params.from_notebook` returns them.

    Returns
    -------
    dict
        Parameter → value. Empty if there are none, and where nothing has to be protected: you gave
        `runs_root` yourself; the task is your own, which has no study; the run is a published one,
        which is never replaced; or `xl_influence.notebook` runs the notebook, for the book.
    """
    if (
        source["runs_root"] == "given"
        or merged["task"] == "own"
        or runs.is_published(runs.find_folder(merged))
        or os.environ.get("XL_INFLUENCE_BOOK")
    ):
        return {}
    own = params.read_study_defaults(merged)
    own |= runs.select_keys(
        params.merge({key: merged[key] for key in ("task", "study")}), ("languages",)
    )
    names = [key for key in KEYS if key != "variant"]  # each variant has its own folder anyway
    return runs.select_changed(merged, names, own)


def is_experiment(merged: Run) -> bool:
    """Whether `read` has sent a run with these parameters to a folder of its own."""
    return Path(merged["runs_root"]).parent.name == FOLDER
