"""Counts of style and structure, at any git revision or in the working tree.

`make house` prints two columns, the code before the refactoring and the code now. By hand:

    python tools/house.py                  the working tree
    python tools/house.py a075fc6 HEAD .   one column for each revision; `.` is the working tree

Only the standard library is needed. Where ruff is installed, its findings are counted too, under
the rules of this checkout.
"""

from __future__ import annotations

import ast
import io
import json
import re
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "xl_influence"
LIMIT = 100  # characters in a line
WORKING_TREE = "."
# types of parameters, of some sections only
SECTIONS = ("Run", "Data", "FineTuning", "Influence", "InfluenceOrLater", "Analysis")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Source:
    """One Python file: where it is, its text, and its syntax tree."""

    path: str  # relative to the root of the repository
    text: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        """Number of lines."""
        return self.text.count("\n")


@dataclass
class Place:
    """The largest of something, and where it is."""

    size: int
    where: str

    def __str__(self) -> str:
        """Number and place, as in `11 (finetune.py:94)`."""
        return f"{self.size} ({self.where})" if self.where else str(self.size)


def main(revisions: list[str]) -> None:
    """Print one column of counts for each revision."""
    columns = [measure(revision) for revision in revisions]
    names = {WORKING_TREE: "working tree"}
    rows = [["", *(names.get(revision, revision) for revision in revisions)]]
    rows += [[name, *(str(column[name]) for column in columns)] for name in columns[0]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        )


def measure(revision: str) -> dict[str, object]:
    """What is counted → the count, for one git revision, or for the working tree if it is '.'."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        copy(revision, root)
        package = sources(root, PACKAGE)
        everything = sources(root)
        return (
            sizes(package)
            | lines(root, package, everything)
            | typing_and_docstrings(package)
            | calls(package)
            | {"imports against the order": len(upward_imports(root, package))}
            | {"`{glue:text}` in the book": glue_paths(root)}
            | {"lint findings (ruff, today's rules)": lint_findings(root)}
        )


def copy(revision: str, root: Path) -> None:
    """Put the tracked files of a revision, or those of the working tree, into the folder `root`."""
    if revision != WORKING_TREE:
        archive = git("archive", revision)
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(root, filter="data")
        return
    listed = git("ls-files", "--cached", "--others", "--exclude-standard", "-z").decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and not (ROOT / name).is_symlink():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)


def git(*arguments: str) -> bytes:
    """What git prints; an error that names the command where it fails."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True)
    if done.returncode:
        raise SystemExit(f"git {' '.join(arguments)}: {done.stderr.decode().strip()}")
    return done.stdout


def sources(root: Path, folder: str = "") -> list[Source]:
    """The Python files below a folder, in alphabetical order."""
    found = []
    for path in sorted((root / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        found.append(Source(str(path.relative_to(root)), text, ast.parse(text)))
    return found


def sizes(package: list[Source]) -> dict[str, object]:
    """How many modules and functions there are, and the largest of each."""
    modules = [Place(source.lines, short(source.path)) for source in package]
    functions = [
        Place(line_count(node), place(source, node))
        for source in package
        for node in functions_of(source.tree)
    ]
    return {
        "modules": len(modules),
        "median module, lines": int(statistics.median(module.size for module in modules)),
        "longest module, lines": largest(modules),
        "functions": len(functions),
        "median function, lines": int(statistics.median(each.size for each in functions)),
        "longest function, lines": largest(functions),
    }


def lines(root: Path, package: list[Source], everything: list[Source]) -> dict[str, object]:
    """Lines over the limit, by kind of file, and lines exempt from formatting."""
    static = root / "book" / "_static"
    scripts, styles = (
        [path.read_text(encoding="utf-8") for path in static.glob(pattern)]
        for pattern in ("*.js", "*.css")
    )
    return {
        f"lines over {LIMIT}: package": sum(too_long(source.text) for source in package),
        f"lines over {LIMIT}: all Python": sum(too_long(source.text) for source in everything),
        f"lines over {LIMIT}: notebook cells": sum(map(too_long, code_cells(root))),
        f"lines over {LIMIT}: JavaScript": sum(map(too_long, scripts)),
        f"lines over {LIMIT}: style sheets": sum(map(too_long, styles)),
        "`fmt: skip`": sum(len(fmt_skips(source.text)) for source in everything),
    }


def too_long(text: str) -> int:
    """Number of lines over the limit."""
    return sum(len(line) > LIMIT for line in text.splitlines())


def fmt_skips(text: str) -> list[int]:
    """Numbers of the lines that a comment exempts from formatting."""
    mark = re.compile(r"#\s*fmt:\s*(skip|off)\b")
    return [number for number, line in enumerate(text.splitlines(), 1) if mark.search(line)]


def code_cells(root: Path) -> list[str]:
    """The source of every code cell of the notebooks."""
    cells = []
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        cells += [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return ["".join(cell["source"]) for cell in cells]


def typing_and_docstrings(package: list[Source]) -> dict[str, object]:
    """How many functions are typed and documented, out of how many."""
    functions = [node for source in package for node in functions_of(source.tree)]
    public = [node for source in package for node in public_functions(source.tree)]
    documented = [node for node in public if ast.get_docstring(node)]
    several = [node for node in public if len(parameters(node)) > 1]
    named = [node for node in several if names_its_parameters(node)]
    kinds = [kind for node in functions if (kind := kind_of_parameters(node))]
    return {
        "typed functions": share(filter(is_typed, functions), functions),
        "typed public functions": share(filter(is_typed, public), public),
        "public functions with docstring": share(documented, public),
        "… that name 2 or more parameters": share(named, several),
        "docstrings with an example": sum(">>>" in (ast.get_docstring(n) or "") for n in public),
        "functions that take all parameters": f"{kinds.count('all')} of {len(functions)}",
        "… that take those of some sections": kinds.count("some"),
    }


def share(part: Iterable[Function], whole: list[Function]) -> str:
    """As in `12 of 34`."""
    return f"{len(list(part))} of {len(whole)}"


def functions_of(tree: ast.AST) -> Iterator[Function]:
    """All functions and methods in a syntax tree, nested ones included."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def public_functions(tree: ast.Module) -> Iterator[Function]:
    """Functions of a module, and methods of its public classes, without a leading underscore."""
    for node in tree.body:
        members = node.body if isinstance(node, ast.ClassDef) else [node]
        if isinstance(node, ast.ClassDef) and node.name.startswith("_"):
            continue
        for member in members:
            if isinstance(member, Function) and not member.name.startswith("_"):
                yield member


def parameters(function: Function) -> list[ast.arg]:
    """All parameters of a function but `self` and `cls`."""
    args = function.args
    starred = [each for each in (args.vararg, args.kwarg) if each]
    every = [*args.posonlyargs, *args.args, *args.kwonlyargs, *starred]
    return [each for each in every if each.arg not in ("self", "cls")]


def is_typed(function: Function) -> bool:
    """Whether every parameter and the returned value have a type."""
    typed = all(each.annotation for each in parameters(function))
    return typed and function.returns is not None


def names_its_parameters(function: Function) -> bool:
    """Whether the docstring mentions every parameter by name."""
    text = ast.get_docstring(function) or ""
    return all(re.search(rf"\b{each.arg}\b", text) for each in parameters(function))


def kind_of_parameters(function: Function) -> str:
    """Whether a function takes the parameters of a run: 'all', 'some' (by their type), or ''."""
    for argument in parameters(function):
        if argument.arg in ("params", "config", "merged", "P"):
            kind = ast.unparse(argument.annotation) if argument.annotation else ""
            if kind in SECTIONS:
                return "some"
            return "" if kind.startswith("str") else "all"
    return ""


def calls(package: list[Source]) -> dict[str, object]:
    """The calls with the most positional arguments, and the longest signature."""
    passed = [
        Place(len(node.args), place(source, node))
        for source in package
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and has_positions(node)
    ]
    signatures = [
        Place(len(parameters(node)), place(source, node))
        for source in package
        for node in functions_of(source.tree)
    ]
    return {
        "most positional arguments": largest(passed),
        "calls with 7 or more of them": sum(each.size >= 7 for each in passed),
        "longest signature": largest(signatures),
    }


def has_positions(call: ast.Call) -> bool:
    """Whether the position of an argument gives its meaning; in `print` or `zip` it does not."""
    alike = ("print", "zip", "chain", "max", "min")
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    return name not in alike and not any(isinstance(each, ast.Starred) for each in call.args)


def upward_imports(root: Path, package: list[Source]) -> list[str]:
    """Imports against the order that the docstrings of the package and of its engine give."""
    found = []
    for folder in (PACKAGE, f"{PACKAGE}/engine"):
        if not (root / folder / "__init__.py").is_file():
            continue
        order = listed_modules((root / folder / "__init__.py").read_text())
        for source in package:
            inner = Path(source.path).relative_to(folder).parts if within(source, folder) else ()
            if not inner or inner[-1] == "__init__.py" or inner[0] == "demo":
                continue
            name = inner[0].removesuffix(".py")
            for other in imported(source.tree, dots=len(inner)):
                if other in order and name in order and order.index(other) >= order.index(name):
                    found.append(f"{source.path} imports {other}")
    return found


def within(source: Source, folder: str) -> bool:
    """Whether a file is in a folder or below it."""
    return Path(source.path).is_relative_to(folder)


def listed_modules(text: str) -> list[str]:
    """The modules that the docstring of a package lists, in their order."""
    docstring = ast.get_docstring(ast.parse(text)) or ""
    return re.findall(r"^(\w+) +\w", docstring.partition("above it:")[2], re.MULTILINE)


def imported(tree: ast.Module, dots: int) -> list[str]:
    """Modules imported relatively, from the package that `dots` dots name."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == dots:
            names = [alias.name for alias in node.names]
            found += [node.module.split(".")[0]] if node.module else names
    return found


def glue_paths(root: Path) -> int:
    """How often the pages of the book paste a number by its full path."""
    pages = (path.read_text(encoding="utf-8") for path in (root / "book").glob("*.md"))
    return sum(text.count("{glue:text}") for text in pages)


def lint_findings(root: Path) -> object:
    """What ruff finds with the rules of this checkout, '–' where there is no ruff."""
    beside = Path(sys.executable).with_name("ruff")
    ruff = str(beside) if beside.is_file() else shutil.which("ruff")
    if not ruff:
        return "–"
    shutil.copy(ROOT / "pyproject.toml", root)
    command = [ruff, "check", "--no-cache", "--output-format=json", "."]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    return len(json.loads(done.stdout))


def line_count(function: Function) -> int:
    """Number of lines from `def` to the last one."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def place(source: Source, node: ast.Call | Function) -> str:
    """File and line, as in `finetune.py:94`."""
    return f"{short(source.path)}:{node.lineno}"


def short(path: str) -> str:
    """A path within the package."""
    return path.removeprefix(f"{PACKAGE}/")


def largest(places: list[Place]) -> Place:
    """The largest of some places; 0 where there are none."""
    return max(places, key=lambda each: each.size, default=Place(0, ""))


if __name__ == "__main__":
    main(sys.argv[1:] or [WORKING_TREE])
