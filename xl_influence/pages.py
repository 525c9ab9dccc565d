"""From executed notebooks to the pages of the book.

`python -m xl_influence.pages --study real` fills `book/runs/`. The book shows one study on its main
pages and the demo in a part of its own. Labels must be unique in a book, but one source notebook
runs once per task and study: here each label gets both as a suffix. Every page says which data
its numbers come from, and which chapter it belongs to.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import explorer, page_numbers, params, runs, tables, tasks
from .imports import without_iri_grammar
from .manifest import development_accuracy, read_manifest
from .prose import percent
from .sections import Data, FineTuning, Parameters
from .tasks import TASKS
from .workflow import ASK, ONCE, PER_TASK, is_asked, list_notebooks

with without_iri_grammar():  # nbformat imports jsonschema
    import nbformat

ANSWER = "answer.svg"  # the landing page's chart as an image
# Notebook → the chapter that sums it up, where their names differ
CHAPTERS = {
    "00-the-answer": "index",
    "02-influence": "influential-samples",
    "13-ask": "explorer",
}


@dataclass(frozen=True)
class Source:
    """A file that the book takes from a run."""

    # in book/runs: '<task>/<name>.ipynb', '<name>.ipynb', ANSWER or 'explorer/<task>.js'; the
    # demo's part has 'demo/<task>/<name>.ipynb' and 'explorer/demo-<task>.js'
    place: str
    path: Path | None  # None: the study has no such runs, and the page says so
    merged: Parameters  # of the run


def gather(
    study: str,
    runs_root: str | None = None,
    target: Path | str | None = None,
    demo: str = "demo",
    demo_root: str | None = None,
) -> int:
    """Copy the executed notebooks and the explorer's data of a study and of the demo into the book.

    Beside them we write `bands.json`: folder → what its pages are called and say about their data,
    `share-by-k.json`, which the landing page's slider reads, and `taken-out.json`, for the first
    sentence of "Language and label taken out". The landing page's chart goes there as `answer.svg`.

    Parameters
    ----------
    study
        The study on the book's main pages.
    runs_root
        The folder with its runs; None: the study's own.
    target
        The folder to fill, which is emptied first; None: `book/runs`.
    demo
        The study in the part for the demo.
    demo_root
        The folder with the demo's runs; None: the study's own.

    Returns
    -------
    int
        How many notebooks were copied.

    Raises
    ------
    RunError
        A notebook is missing; we never build an incomplete book.
    """
    target = Path(target or params.find_root() / "book" / "runs")
    found = [*find_sources(study, runs_root, ONCE), *find_sources(demo, demo_root, (), "demo/")]
    missing = [str(source.path) for source in found if source.path and not source.path.exists()]
    if missing:
        raise runs.RunError(
            f"the study {study} or {demo} is not complete: run `make book`; "
            f"missing: {', '.join(missing[:5])}"
        )
    shutil.rmtree(target, ignore_errors=True)
    paged = [source for source in found if "/" in source.place and source.place.endswith(".ipynb")]
    merged = {str(Path(source.place).parent): source.merged for source in paged}
    bands = {folder: _make_band(each) for folder, each in merged.items()}
    for source in found:
        _copy(source, target, bands)
    by_k = [page_numbers.share_by_k(source.merged) for source in _find_main(found, "04")]
    taken_out = [page_numbers.read_taken_out(source.merged) for source in _find_main(found, "15")]
    contents = {"bands": bands, "share-by-k": by_k, "taken-out": list(filter(None, taken_out))}
    for name, content in contents.items():
        text = json.dumps(content, ensure_ascii=False, indent=1)
        (target / f"{name}.json").write_text(text, encoding="utf-8")
    return sum(source.place.endswith(".ipynb") for source in found)


def find_sources(
    study: str, runs_root: str | None, once: Sequence[str], prefix: str = ""
) -> list[Source]:
    """The files that the book takes from a study.

    Parameters
    ----------
    study
        The study.
    runs_root
        The folder with its runs; None: the study's own.
    once
        Names of the notebooks that run once for all tasks; they are in the folder of XNLI's run.
    prefix
        The folder of these pages in `book/runs`, with a slash at its end.
    """
    found = []
    for task in TASKS:
        given = {"study": study, "task": task, "runs_root": runs_root}
        merged, origin = params.merge_with_source(given)
        folder = tables.find_output_dir(merged)
        names = list_notebooks(merged, origin)
        for name in PER_TASK:
            path = folder / "notebooks" / f"{name}.ipynb" if name in names else None
            found.append(Source(f"{prefix}{task}/{name}.ipynb", path, merged))
        if prefix and is_asked(merged):
            path = folder / "notebooks" / f"{ASK}.ipynb"
            found.append(Source(f"{prefix}{task}/{ASK}.ipynb", path, merged))
        for name in once if task == "xnli" else ():
            path = folder / "notebooks" / f"{name}.ipynb"
            found.append(Source(f"{prefix}{name}.ipynb", path, merged))
        if task == "xnli" and "00-the-answer" in once:  # which saves its chart there
            found.append(Source(ANSWER, folder / ANSWER, merged))
        if "02-influence" in names:
            place = f"explorer/{prefix.replace('/', '-')}{task}.js"
            found.append(Source(place, folder / "explorer.json", merged))
    return found


def find_chapter(notebook: str) -> str:
    """The chapter of the book, a file in `book`, that sums up a notebook.

    Parameters
    ----------
    notebook
        The notebook's name, such as '04-cross-language-influence'.
    """
    return CHAPTERS.get(notebook, notebook.partition("-")[2])


def _find_main(found: Sequence[Source], number: str) -> list[Source]:
    """A notebook's files for each task of the main study that has it, by the notebook's number."""
    return [source for source in found if source.path and re.match(rf"\w+/{number}-", source.place)]


def _copy(source: Source, target: Path, bands: Mapping[str, dict[str, Any]]) -> None:
    """Write one file of the book to its place under `target`, a page with its folder's band."""
    path = target / source.place
    path.parent.mkdir(parents=True, exist_ok=True)
    if source.path is None:
        notebook = _make_empty_notebook(path.stem)
    elif path.suffix == ".js":
        write_explorer(source.path, path)
        return
    elif path.parent == target:
        shutil.copy(source.path, path)
        return
    else:
        notebook = nbformat.read(source.path, 4)
    band = bands[str(Path(source.place).parent)]
    page = make_page(notebook, source.place, band["title"], band["text"], band["synthetic"])
    nbformat.write(page, path)


def _make_empty_notebook(name: str) -> nbformat.NotebookNode:
    """A notebook without results, under the title of its source."""
    source = nbformat.read(params.find_root() / "notebooks" / f"{name}.ipynb", 4)
    title = source.cells[0].source.partition("\n")[0]
    text = (
        f"{title}\n\nThis study has no results here yet: the models that this notebook compares "
        "have not been trained."
    )
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])


def _make_band(merged: FineTuning) -> dict[str, Any]:
    """The entry of a run in `bands.json`."""
    return {
        "title": tasks.find_title(merged),
        "synthetic": _is_synthetic(merged),
        "computed": runs.can_load(merged),
        "text": describe_data(merged),
    }


def _is_synthetic(merged: Data) -> bool:
    """Whether the run's data are the texts written for this project."""
    return merged["data"] == "demo"


def describe_data(merged: FineTuning) -> str:
    """What a page says about the data behind its numbers, from the run's manifest and samples."""
    title = tasks.find_title(merged)
    if _is_synthetic(merged):
        data = f"**Synthetic: texts written for this project, {title}.**"
    else:
        data = f"**Real data: {title}.**"
    if not runs.can_load(merged):
        return f"{data} This study has not been computed on it yet."
    manifest, test = read_manifest(runs.find_folder(merged)), runs.read_samples(merged, "test")
    items = f" of {test['item'].nunique()} items" if tasks.find(merged).parallel else ""
    accuracy = percent(development_accuracy(manifest))
    majority = percent(manifest["majority_share"]["validation"])
    return (
        f"{data} {manifest['rows']['train']:,} training samples, {len(test)} test samples{items}. "
        f"The model is right on {accuracy} of the development samples; the most frequent class "
        f"makes up {majority} of them."
    )


def write_explorer(source: Path, target: Path) -> None:
    """Write the explorer's data as scripts: an index, and its parts in a folder of its name.

    Parameters
    ----------
    source
        The run's `explorer.json`.
    target
        The script with the index; its stem, a task's name, becomes the key of the data.
    """
    shutil.rmtree(target.with_suffix(""), ignore_errors=True)
    for name, script in explorer.split(source, target.stem):
        path = target.parent / f"{name}.js"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script, encoding="utf-8")


def make_page(
    notebook: nbformat.NotebookNode, place: str, title: str, band: str, synthetic: bool = False
) -> nbformat.NotebookNode:
    """Turn an executed notebook into a page; the notebook is changed in place.

    Parameters
    ----------
    notebook
        The executed notebook; its first cell starts with its title.
    place
        Its path under `book/runs`. The folders are added to the labels of its figures, which must
        be unique in the book.
    title
        What its data are called; added to its title.
    band
        What it says about its data, below the title.
    synthetic
        Whether these data are synthetic, which decides the colour of the band.
    """
    *folders, file = place.split("/")
    labels = _rename_labels(notebook, "-".join(folders))
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "injected-parameters" in tags:
            cell.metadata["tags"] = [*tags, "remove-cell"]
    first, _, rest = notebook.cells[0].source.partition("\n")
    kind = "synthetic" if synthetic else "real"
    up, chapter = "../" * (len(folders) + 1), find_chapter(file.removesuffix(".ipynb"))
    back = f"A notebook computed this page. The chapter [](<{up}{chapter}.md>) sums it up."
    if folders[0] == "demo":
        back += f" What the demo is: [](<{up}run-it-yourself.md>)."
    notebook.cells[0].source = "\n".join(
        [
            f"{first}: {title}\n",
            f"```{{div}} way-back\n{back}\n```\n",
            f"```{{div}} data-band {kind}\n{band}\n```",
            rest,
        ]
    )
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for label, unique in labels.items():
                cell.source = cell.source.replace(f"`{label}`", f"`{unique}`")
    return notebook


def _rename_labels(notebook: nbformat.NotebookNode, suffix: str) -> dict[str, str]:
    """Add the suffix to the labels of the figures; returns label → new label."""
    labels = {}
    for cell in notebook.cells:
        figure = cell.metadata.get("mystnb", {}).get("figure", {})
        if "name" in figure:
            label = figure["name"]
            labels[label] = figure["name"] = f"{label}-{suffix}"
    return labels


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", default="real", choices=params.list_names("studies"))
    parser.add_argument("--runs-root", default=None)
    arguments = parser.parse_args()
    try:
        print(f"{gather(arguments.study, arguments.runs_root)} notebooks in book/runs")
    except runs.RunError as error:
        sys.exit(f"error: {error}")
