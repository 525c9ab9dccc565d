"""Write the parameters cells and the captions of the notebooks: `make notebooks`.

The cell determines which parameters its notebook takes; types come from `sections`, comments from
`params/base.yaml`, with the value there in brackets. So to add a parameter to a notebook, write
`key: int = None` in its cell and run `make notebooks`.

The caption of a figure is in the metadata of its cell, where the book reads it and gives it a
number. JupyterLab does not show metadata, so we repeat the caption in a cell below the figure,
which the book leaves out.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Any, Literal, cast, get_origin

import yaml

from . import params
from .schema import check_names
from .sections import FIELDS

FIRST = (
    f"{params.CELL}. None: the study's value, listed below, or the [default]. "
    "Add any key of base.yaml."
)
CAPTION = "caption"  # tag of a cell that repeats a caption
WIDTH = 100  # of a line


def read_comments() -> dict[str, str]:
    """The comment of every parameter in `params/base.yaml`."""
    text = (params.find_root() / "params" / "base.yaml").read_text(encoding="utf-8")
    return dict(re.findall(r"^(\w+):.*?\s# (.+)$", text, re.M))


def read_defaults() -> dict[str, Any]:
    """The value of every parameter in `params/base.yaml`."""
    text = (params.find_root() / "params" / "base.yaml").read_text(encoding="utf-8")
    return cast(dict[str, Any], yaml.safe_load(text))


def make_cell(values: dict[str, Any]) -> str:
    """The text of a parameters cell.

    Parameters
    ----------
    values
        The notebook's parameters, in their order, with the values they have in the cell.
    """
    comments, defaults = read_comments(), read_defaults()
    lines = [FIRST]
    for key, value in values.items():
        shown = f'"{value}"' if isinstance(value, str) else repr(value)
        default = _show_default(defaults[key]) if value is None else ""
        lines.append(f"{key}: {_type_name(key)} = {shown}  # {comments[key]}{default}")
        if len(lines[-1]) > WIDTH:
            raise params.ParameterError(f"params/base.yaml, comment too long: {lines[-1]}")
    return "\n".join(lines)


def _show_default(value: Any) -> str:
    """A value of `params/base.yaml` in brackets; nothing if it is empty, as the comment says."""
    if value in ("", []):
        return ""
    return f" {value}" if isinstance(value, list) else f" [{value}]"


def _type_name(key: str) -> str:
    kind = FIELDS[key].annotation
    origin = get_origin(kind) or kind  # list[str] → list
    return "str" if origin is Literal else origin.__name__  # type: ignore[union-attr] # a class


def write_captions(notebook: dict[str, Any]) -> None:
    """Put each figure's caption into a cell below it, in place of earlier caption cells.

    Parameters
    ----------
    notebook
        The notebook's JSON.
    """
    cells = []
    for cell in notebook["cells"]:
        if CAPTION in cell["metadata"].get("tags", []):
            continue
        cells.append(cell)
        caption = cell["metadata"].get("mystnb", {}).get("figure", {}).get("caption")
        if caption:
            cells.append(_make_caption(caption, f"{cell['id']}-caption"))
    notebook["cells"] = cells


def _make_caption(text: str, name: str) -> dict[str, Any]:
    """A Markdown cell with the id `name`, which the book leaves out."""
    lines = textwrap.wrap(f"**Figure.** {text}", WIDTH, break_long_words=False)
    return {
        "cell_type": "markdown",
        "id": name,
        "metadata": {"tags": [CAPTION, "remove-cell"]},
        "source": "\n".join(lines).splitlines(keepends=True),
    }


def rewrite(path: Path) -> str:
    """The text of a notebook file with its parameters cell and captions written again."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cell = params.find_cell(notebook)
    values = params.read_cell("".join(cell["source"]))
    check_names(values, path.name)
    cell["source"] = make_cell(values).splitlines(keepends=True)
    write_captions(notebook)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    """Rewrite all notebooks; name those that changed."""
    for path in sorted((params.find_root() / "notebooks").glob("*.ipynb")):
        text = rewrite(path)
        if text != path.read_text(encoding="utf-8"):
            path.write_text(text, encoding="utf-8")
            print(path.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
