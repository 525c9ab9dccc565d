"""What ran when, on which machine and for how long, from the manifests of runs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import Markdown

from . import experiments, own_task, params, runs, tasks
from .manifest import read_manifest
from .own_task import count_left_out
from .sections import FineTuning, Parameters

__all__ = [
    "count_classes",
    "count_left_out",
    "count_samples",
    "describe_run",
    "describe_samples",
    "find_majority",
    "list_left_out",
    "list_parameters",
    "list_steps",
    "list_versions",
]

LEAST_UNKNOWN = 0.005  # share of unknown tokens that is shown
STARTED = time.time()  # newer results were computed by this process or one beside it
STEPS = {"finetune": "fine-tuning", "scores": "influence"}


def list_steps(folders: Sequence[Path]) -> pd.DataFrame:
    """List the finished steps of runs.

    Parameters
    ----------
    folders
        The runs' folders.

    Returns
    -------
    pandas.DataFrame
        One row per step: `study, task, variant, step` ('fine-tuning', 'influence'), `finished`
        (UTC), `minutes` (of the process that finished the step), `peak_gb`, `device`, `threads`,
        `commit` (of this repository, empty if unknown).
    """
    rows = []
    for folder in folders:
        manifest = read_manifest(folder)
        study, task, variant = folder.parts[-3:]
        for key, step in STEPS.items():
            if f"{key}_cost" not in manifest:
                continue
            cost, environment = manifest[f"{key}_cost"], manifest[f"{key}_environment"]
            rows.append(
                {
                    "study": study,
                    "task": task,
                    "variant": variant,
                    "step": step,
                    "finished": cost.get("finished", "not recorded"),
                    "minutes": cost["wall_seconds"] / 60,
                    "peak_gb": cost["peak_memory_gb"],
                    "device": environment["device"],
                    "threads": environment["threads"],
                    "commit": (environment["git_commit"] or "")[:7],
                }
            )
    return pd.DataFrame(rows)


def list_versions(folders: Sequence[Path]) -> pd.Series:
    """Software of the runs in these folders: name → version, or versions where runs differ."""
    found: dict[str, set[str]] = {}
    for folder in folders:
        manifest = read_manifest(folder)
        for key in STEPS:
            environment = manifest.get(f"{key}_environment")
            if not environment:
                continue
            software = {"Python": environment["python"]} | environment["packages"]
            for name, version in software.items():
                found.setdefault(name, set()).add(version)
    return pd.Series(
        {name: ", ".join(sorted(several)) for name, several in found.items()},
        name="version",
        dtype=object,
    )


def list_parameters(merged: Parameters, source: params.Source) -> pd.DataFrame:
    """The parameters that a notebook's cells set.

    Parameters
    ----------
    merged, source
        As `params.from_notebook` returns them.

    Returns
    -------
    pandas.DataFrame
        One row each, in their order: `parameter`, `value` (as text), `from` (a file's name, or
        'given').
    """
    values = runs.select_keys(merged, source.names)
    rows = [(key, str(value), source[key]) for key, value in values.items()]
    return pd.DataFrame(rows, columns=["parameter", "value", "from"])


def count_samples(manifest: Mapping[str, Any], class_names: Sequence[str]) -> pd.DataFrame:
    """Count the samples per language and split.

    Parameters
    ----------
    manifest
        Of a run.
    class_names
        Names of the task's classes, in their order.

    Returns
    -------
    pandas.DataFrame
        Indexed by language: for each split the number of samples, then the share of each class but
        the first, as text. Where there are any: for each split the items that were never
        translated, and the share of unknown tokens, as text.
    """
    titles = {"train": "training samples", "validation": "development samples"}
    columns = {}
    for split, title in titles.items():
        counts = _read_counts(manifest, split, class_names)
        columns[title] = counts.sum(axis=1)
        for name in list(class_names)[1:]:
            columns[f"{title}: {name}"] = (counts[name] / columns[title]).map("{:.0%}".format)
    for split, counts in manifest.get("untranslated", {}).items():
        if counts["items"]:
            columns[f"untranslated: {split}"] = pd.Series(counts["rows"])
    unknown = manifest.get("unknown_tokens", {})
    if any(share >= LEAST_UNKNOWN for share in unknown.values()):
        columns["unknown tokens"] = pd.Series(unknown).map("{:.1%}".format)
    table = pd.DataFrame(columns)
    return table.reindex(list(manifest["class_counts"]["validation"]))


def describe_samples(manifest: Mapping[str, Any]) -> str:
    """Say what was left out and cut before the model saw the samples.

    Parameters
    ----------
    manifest
        Of a run.
    """
    counts = manifest.get("untranslated", {})
    left = [f"{part['items']} of {split}" for split, part in counts.items() if part["items"]]
    cut = manifest["inputs_cut_to_max_length"]
    length = manifest["parameters"]["max_length"]
    n_cut = cut["train"] + cut["validation"]
    n = manifest["rows"]["train"] + manifest["rows"]["validation"]
    sentences = [
        f"{n_cut} of the {n} training and development samples are longer than {length} tokens and "
        "are cut."
    ]
    if left:
        sentences.insert(
            0,
            f"Items that are missing, untranslated, blank or unlabelled in some language are left "
            f"out in all languages: {', '.join(left)}.",
        )
    return " ".join(sentences)


def count_classes(manifest: Mapping[str, Any], class_names: Sequence[str]) -> pd.DataFrame:
    """Count the samples of every class in every language.

    Parameters
    ----------
    manifest
        Of a run.
    class_names
        Names of the task's classes, in their order.

    Returns
    -------
    pandas.DataFrame
        One row for each split and class: `samples` (the split), `class`, and for each language, in
        a column named by its code, the number and its share as text: '12 (50 %)'.
    """
    parts = []
    for split, title in {"train": "training", "validation": "development", "test": "test"}.items():
        counts = _read_counts(manifest, split, class_names)
        shares = counts.div(counts.sum(axis=1), axis=0)
        text = counts.astype(str) + shares.map(" ({:.0%})".format).replace("%", " %", regex=True)
        part = text.T.rename_axis("class").rename_axis(columns=None).reset_index()
        part.insert(0, "samples", title)
        parts.append(part)
    return pd.concat(parts, ignore_index=True).fillna("0")


def _read_counts(
    manifest: Mapping[str, Any], split: str, class_names: Sequence[str]
) -> pd.DataFrame:
    """The counts of a manifest, (language, class), with 0 where a language lacks a class."""
    counts = pd.DataFrame(manifest["class_counts"][split]).T
    numbers = [str(number) for number in range(len(class_names))]
    counts = counts.reindex(columns=numbers).fillna(0).astype(int)
    return counts.set_axis(list(class_names), axis="columns")


def list_left_out(merged: FineTuning) -> pd.DataFrame | None:
    """List the rows of your own files that the study cannot draw, as `own_task.list_left_out` does.

    None for other tasks, and where the samples come from a prepared folder or a published run.
    """
    published = runs.is_published(runs.find_folder(merged))
    if merged["task"] != "own" or merged["prepared"] or published:
        return None
    return own_task.list_left_out(merged, tasks.find(merged).parallel)


def find_majority(manifest: Mapping[str, Any], split: str = "validation") -> dict[str, float]:
    """The share of the most frequent class in each language.

    Parameters
    ----------
    manifest
        Of a run.
    split
        'train', 'validation' or 'test'.
    """
    return {
        lang: max(counts.values()) / sum(counts.values())
        for lang, counts in manifest["class_counts"][split].items()
    }


def describe_run(merged: FineTuning, step: str = "scores") -> Markdown:
    """Say in one line which run a notebook uses, and whether it was loaded or computed now.

    Parameters
    ----------
    merged
        The run's parameters.
    step
        The step that the notebook needs: 'scores' or 'finetune'.
    """
    run, manifest = runs.find_folder(merged), read_manifest(runs.find_folder(merged))
    if "rows" not in manifest:
        return Markdown("*This notebook needed no run, and none has been computed.*")
    if runs.is_published(run):
        done = "Loaded the published run"
    else:
        artefact = run / ("scores.zarr" if step == "scores" else "checkpoints")
        now = artefact.exists() and artefact.stat().st_mtime > STARTED
        done = "Computed the run" if now else "Loaded the run"
    place = Path(merged["runs_root"], *run.parts[-3:])
    finished = manifest.get(f"{step}_cost", {}).get("finished", "at a time that is not recorded")
    counts = [f"{manifest['rows']['train']:,} training samples"]
    if step == "scores":
        counts.append(f"{len(runs.read_samples(merged, 'test'))} test samples")
    epochs = manifest["chosen_epoch"]
    counts.append(f"{epochs} checkpoint{'s' if epochs > 1 else ''}")
    own = " It is an experiment: the book does not read this folder."
    return Markdown(
        f"*{done} {merged['study']} / {merged['task']} / {merged['variant']} "
        f"({tasks.find_title(merged)}), finished {finished} (UTC): {', '.join(counts)}. "
        f"Folder: `{place}`.*{own if experiments.is_experiment(merged) else ''}"
    )
