"""From executed notebooks to pages of the book: `python -m xl_influence.pages --study real` fills `book/runs/`.

The book shows one study on its main pages and the demo in a part of its own. Labels are global in a book, and one source
notebook runs once per task and study: each label gets both as a suffix here. Every page says which data its numbers are from.
"""

import argparse
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat

from . import params, runs, tables, tasks
from .manifest import development_accuracy, read_manifest
from .prose import percent
from .tasks import TASKS
from .workflow import ONCE, PER_TASK, notebooks


@dataclass(frozen=True)
class Source:
    """A file that the book takes from a run."""

    place: str  # in book/runs: '<task>/<name>.ipynb', '<name>.ipynb' or 'explorer/<task>.js', in the demo's part under 'demo/'
    path: Path | None  # None: the study has no such runs, and a page says so
    merged: dict  # parameters of the run


def gather(study, runs_root=None, target=None, demo="demo", demo_root=None):
    """Copy the executed notebooks of a study and of the demo, and the explorer's data, to `target` (default `book/runs`).

    Beside them stands `bands.json`: folder → what its pages are called and say of their data. Returns how many notebooks.

    Raises
    ------
    RunError
        A notebook is missing: a book with holes is no book.
    """
    target = Path(target or params.root() / "book" / "runs")
    found = [*_of_study(study, runs_root, ONCE), *_of_study(demo, demo_root, (), "demo/")]
    missing = [str(source.path) for source in found if source.path and not source.path.exists()]
    if missing:
        raise runs.RunError(
            f"the study {study} or {demo} is not complete: run `make book`; missing: {', '.join(missing[:5])}"
        )
    shutil.rmtree(target, ignore_errors=True)
    for source in found:
        (target / source.place).parent.mkdir(parents=True, exist_ok=True)
        _copy(source, target)
    paged = [source for source in found if "/" in source.place and source.place.endswith(".ipynb")]
    bands = {str(Path(source.place).parent): _band_entry(source.merged) for source in paged}
    (target / "bands.json").write_text(
        json.dumps(bands, ensure_ascii=False, indent=1), encoding="utf-8"
    )
    return sum(source.place.endswith(".ipynb") for source in found)


def _of_study(study, runs_root, once, prefix=""):
    """What the book has of a study: list of `Source`."""
    found = []
    for task in TASKS:
        merged, origin = params.merge_with_source(
            {"study": study, "task": task, "runs_root": runs_root}
        )
        folder = tables.place(merged)
        names = [f"{task}/{name}" for name in notebooks(merged, origin)] + (
            list(once) if task == "xnli" else []
        )
        found += [
            Source(
                f"{prefix}{name}.ipynb", folder / "notebooks" / f"{Path(name).name}.ipynb", merged
            )
            for name in names
        ]
        found += [
            Source(f"{prefix}{task}/{name}.ipynb", None, merged)
            for name in PER_TASK
            if f"{task}/{name}" not in names
        ]
        if f"{task}/02-influence" in names:
            found.append(
                Source(
                    f"explorer/{prefix.replace('/', '-')}{task}.js",
                    folder / "explorer.json",
                    merged,
                )
            )
    return found


def _copy(source, target):
    path = target / source.place
    if path.suffix == ".js":
        write_explorer(source.path, path)
    elif path.parent == target:
        shutil.copy(source.path, path)
    else:
        suffix = str(Path(source.place).parent).replace("/", "-")
        notebook = nbformat.read(source.path, 4) if source.path else _empty(Path(source.place).stem)
        nbformat.write(
            page(notebook, suffix, tasks.title(source.merged), band(source.merged)), path
        )


def _empty(name):
    """A notebook without results, under the title of its source."""
    title = (
        nbformat.read(params.root() / "notebooks" / f"{name}.ipynb", 4)
        .cells[0]
        .source.partition("\n")[0]
    )
    text = f"{title}\n\nThis study has no such runs yet: the models that this notebook compares have not been trained."
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])


def _band_entry(merged):
    computed, synthetic = runs.can_load(merged), merged["data"] == "demo"
    return {
        "title": tasks.title(merged),
        "synthetic": synthetic,
        "computed": computed,
        "text": band(merged),
    }


def band(merged):
    """What a page says of the data behind its numbers, from the run's manifest and samples."""
    what = (
        "Real data: " if merged["data"] != "demo" else "Synthetic: texts written for this project, "
    )
    if not runs.can_load(merged):
        return f"**{what}{tasks.title(merged)}.** This study has not been computed on it yet."
    manifest, test = read_manifest(runs.folder(merged)), runs.read_samples(merged, "test")
    items = f" of {test['item'].nunique()} items" if tasks.find(merged).parallel else ""
    accuracy, majority = (
        percent(development_accuracy(manifest)),
        percent(manifest["majority_share"]["validation"]),
    )
    return (
        f"**{what}{tasks.title(merged)}.** {manifest['rows']['train']:,} training samples, {len(test)} test samples{items}. "
        f"The model is right on {accuracy} of the development samples; the most frequent class is {majority}."
    )


def write_explorer(source, target):
    """The explorer's data of one task as a script, which a page may load from a disk too."""
    target.parent.mkdir(parents=True, exist_ok=True)
    script = f"window.explorer[{json.dumps(target.stem)}] = {source.read_text(encoding='utf-8')};\n"
    target.write_text(script, encoding="utf-8")


def page(notebook, suffix, title, band):
    """The notebook as a page: what its data are called in the title, the band below, `suffix` at its labels."""
    labels = {}
    for cell in notebook.cells:
        figure = cell.metadata.get("mystnb", {}).get("figure", {})
        if "name" in figure:
            labels[figure["name"]] = f"{figure['name']}-{suffix}"
            figure["name"] = labels[figure["name"]]
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.metadata["tags"] = [*cell.metadata["tags"], "remove-cell"]
    first, _, rest = notebook.cells[0].source.partition("\n")
    kind = "synthetic" if "Synthetic" in band else "real"
    notebook.cells[
        0
    ].source = f"{first}: {title}\n\n```{{div}} data-band {kind}\n{band}\n```\n{rest}"
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for label, unique in labels.items():
                cell.source = cell.source.replace(f"`{label}`", f"`{unique}`")
    return notebook


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", default="real", choices=params.names("studies"))
    parser.add_argument("--runs-root", default=None)
    given = parser.parse_args()
    try:
        print(f"{gather(given.study, given.runs_root)} notebooks in book/runs")
    except runs.RunError as error:
        sys.exit(f"error: {error}")
