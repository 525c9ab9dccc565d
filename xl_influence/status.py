"""What ran when, on what, and how long: from the manifests of runs."""

import pandas as pd

from . import params
from .manifest import read_manifest

STEPS = {"finetune": "fine-tuning", "scores": "influence"}


def steps(folders):
    """One row for each finished step of the runs in these folders.

    Returns
    -------
    pandas.DataFrame
        `study, task, variant, step` ('fine-tuning', 'influence'), `finished` (UTC), `minutes` (of the process that ended
        the step), `peak_gb`, `device`, `threads`, `commit` (of this repository, empty where there is none).
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


def versions(folders):
    """Software of these runs: Series from name to version; more than one where the runs differ."""
    found = {}
    for folder in folders:
        manifest = read_manifest(folder)
        for key in STEPS:
            environment = manifest.get(f"{key}_environment")
            if environment:
                for name, version in (
                    {"Python": environment["python"]} | environment["packages"]
                ).items():
                    found.setdefault(name, set()).add(version)
    return pd.Series(
        {name: ", ".join(sorted(several)) for name, several in found.items()},
        name="version",
        dtype=object,
    )


def parameters(merged, source, notebook):
    """The parameters that a notebook takes, their values here, and where these come from: DataFrame."""
    path = params.root() / "notebooks" / f"{notebook}.ipynb"
    rows = [(key, str(merged[key]), source[key]) for key in params.notebook_keys(path)]
    return pd.DataFrame(rows, columns=["parameter", "value", "from"])


def sample_counts(manifest, class_names):
    """Samples per language and split, and how many of them are in each class but the first: DataFrame indexed by language."""
    titles = {"train": "training samples", "validation": "development samples"}
    columns = {}
    for split, title in titles.items():
        counts = pd.DataFrame(manifest["class_counts"][split]).T  # (language, class)
        columns[title] = counts.sum(axis=1)
        for number, name in list(enumerate(class_names))[1:]:
            columns[f"{title}: {name}"] = (counts[str(number)] / columns[title]).map(
                "{:.0%}".format
            )
    return pd.DataFrame(columns)


def majority(manifest, split="validation"):
    """Share of the most frequent class, per language: dict."""
    return {
        lang: max(counts.values()) / sum(counts.values())
        for lang, counts in manifest["class_counts"][split].items()
    }
