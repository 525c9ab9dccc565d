"""Which files of the package a notebook or a module uses, found from its imports.

Snakemake runs a notebook again when one of these has changed, and no other. Imports inside
functions count; those that only name types do not.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def find_files(*starts: str | Path) -> list[Path]:
    """Return the package's files that some notebooks or modules use, and they themselves if inside.

    Parameters
    ----------
    *starts
        Paths of notebooks or of Python files.

    Returns
    -------
    list of Path
        Python files, and the YAML files beside them that have the same name or lie in the same
        subpackage, in alphabetical order.
    """
    found: set[Path] = set()
    waiting = [Path(start).resolve() for start in starts]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        waiting += _find_imports(path)
    modules = {path for path in found if path.is_relative_to(PACKAGE)}
    return sorted(modules | {data for path in modules for data in _find_data(path)})


def _find_data(path: Path) -> list[Path]:
    """The YAML files that belong to a module."""
    if path.name == "__init__.py" and path.parent != PACKAGE:
        return list(path.parent.glob("*.yaml"))
    return [data] if (data := path.with_suffix(".yaml")).exists() else []


@cache
def _find_imports(path: Path) -> tuple[Path, ...]:
    """The files of the package that a file imports."""
    package = path.parent if path.is_relative_to(PACKAGE) else None
    names = list(_find_names(ast.parse(_read_code(path)), package))
    return tuple(dict.fromkeys(file for name in names for file in _find_modules(name)))


def _read_code(path: Path) -> str:
    """The Python code of a module or of a notebook's cells."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def _find_names(tree: ast.AST, package: Path | None) -> Iterator[tuple[str, ...]]:
    """The parts, from `PACKAGE` on, of every name of the package that is imported."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                first, *rest = alias.name.split(".")
                if first == PACKAGE.name:
                    yield tuple(rest)
        elif isinstance(node, ast.ImportFrom):
            base = _find_base(node, package)
            if base is not None:
                yield from ((*base, alias.name) for alias in node.names)
        else:
            yield from _find_names(node, package)


def _find_base(node: ast.ImportFrom, package: Path | None) -> tuple[str, ...] | None:
    """The parts of the module after `from`; None if it is not of the package."""
    parts = tuple(node.module.split(".")) if node.module else ()
    if not node.level:
        return parts[1:] if parts[:1] == (PACKAGE.name,) else None
    if package is None:
        return None
    above = [package, *package.parents][node.level - 1]
    return (*above.relative_to(PACKAGE).parts, *parts)


def _find_modules(parts: tuple[str, ...]) -> Iterator[Path]:
    """The file of each package and module on the way to a name, which may be a function."""
    place = PACKAGE
    yield place / "__init__.py"
    for part in parts:
        place = place / part
        if place.is_dir():
            yield place / "__init__.py"
        elif place.with_suffix(".py").is_file():
            yield place.with_suffix(".py")
            return
