"""Rules of the repository that neither the linter nor the type checker knows."""

import ast
import json
import re
import subprocess
import tomllib

import pytest
import yaml
from conftest import ROOT

PACKAGE = ROOT / "xl_influence"
LIMIT = 100  # characters in a line, as ruff has it for Python

# --------------------------------------------------------------------- notebooks

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stored_clean(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)
    assert sum("parameters" in cell["metadata"].get("tags", []) for cell in code) == 1
    assert max("".join(cell["source"]).count("\n") + 1 for cell in code) <= 25
    first = "".join(notebook["cells"][0]["source"])
    assert first.startswith("# ") and "**Overview.**" in first


# --------------------------------------------------------------- versions and pins

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def pinned():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    return {normal(name): version for name, version in pins.items()}


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_dependency_is_pinned_once():
    project = PROJECT["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    named = [line for group in groups for line in group]
    names = [normal(re.match(r"[\w.-]+", line)[0]) for line in named]
    assert len(names) == len(set(names))
    assert set(names) <= set(pinned())
    assert pinned()["torch"] == "2.13.0" and "torchvision" not in pinned()


def test_conda_users_get_the_same():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (pip,) = (entry["pip"] for entry in environment if isinstance(entry, dict))
    assert pip == ["-r requirements.lock", "-e .[book,test]"]
    assert [entry for entry in environment if isinstance(entry, str)] == [
        "python=3.11",
        "pip",
        "make",
    ]


def test_the_commit_hooks_have_the_linter_of_the_tests():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    (ruff,) = (entry["rev"] for entry in hooks if entry["repo"].endswith("/ruff-pre-commit"))
    assert ruff == f"v{pinned()['ruff']}"


def test_one_version():
    import xl_influence

    version = xl_influence.__version__
    assert PROJECT["project"]["version"] == version
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()


# ------------------------------------------------------------------------ modules


def test_modules_stay_small_and_import_one_way():
    import xl_influence

    order = modules_of(xl_influence)
    files = [path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"]
    names = {path: path.relative_to(PACKAGE).with_suffix("").parts for path in files}
    inner = {parts[0] for parts in names.values() if parts[0] != "demo"}
    assert set(order) == inner, "the package's docstring lists its modules"
    for path, (name, *rest) in names.items():
        text = path.read_text()
        assert text.count("\n") <= 350, path
        for other in imported(text, 2 if rest else 1):
            below = other == "demo" or order.index(other) < order.index(name)
            assert below, f"{path} imports {other}"


def test_the_engine_knows_nothing_of_the_study():
    from xl_influence import engine

    order = modules_of(engine)
    for path in (PACKAGE / "engine").glob("*.py"):
        text = path.read_text()
        assert not imported(text, 2), path
        if path.stem != "__init__":
            for other in imported(text, 1):
                assert order.index(other) < order.index(path.stem), f"{path} imports {other}"


def modules_of(package):
    """The modules that a package's docstring lists, in their order."""
    return re.findall(r"^(\w+) +\w", package.__doc__.split("above it:")[1], re.MULTILINE)


def imported(text, dots):
    """Modules that a source file imports from the folder that `dots` dots name."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.level == dots:
            names = [alias.name for alias in node.names]
            found += [node.module.split(".")[0]] if node.module else names
    return found


# -------------------------------------------------------------------- style of code

UNFORMATTED = {}  # file → how many exemptions it may have


def test_code_is_formatted():
    """An exemption hides lines from the formatter; only a table of data is worth one."""
    mark = re.compile(r"#\s*fmt:\s*(skip|off)\b")
    found = {}
    for path in tracked("*.py"):
        count = len(mark.findall((ROOT / path).read_text(encoding="utf-8")))
        if count:
            found[path] = count
    assert found == UNFORMATTED


SCRIPTS = [  # the Vega bundle is generated
    path for path in sorted((ROOT / "book" / "_static").glob("*.js")) if path.stem[:4] != "vega"
]


STYLES = sorted((ROOT / "book" / "_static").glob("*.css"))


@pytest.mark.parametrize("path", STYLES, ids=lambda path: path.name)
def test_style_sheets_of_the_book_are_readable(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [number for number, line in enumerate(lines, 1) if len(line) > LIMIT] == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_of_the_book_are_readable_and_quiet(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [number for number, line in enumerate(lines, 1) if len(line) > LIMIT] == []
    assert [number for number, line in enumerate(lines, 1) if "console.log" in line] == []


# ------------------------------------------------------------------------- markers

MARKERS = {line.partition(":")[0] for line in PROJECT["tool"]["pytest"]["ini_options"]["markers"]}
STUDY = {"smoke", "hostile", "site"}  # fixtures that take minutes: they run a study


def test_fast_tests_need_no_study(request):
    """`make quick` runs the tests without a marker. Those that need a study must have one."""
    for test in request.session.items:
        marked = MARKERS & {mark.name for mark in test.iter_markers()}
        assert marked or not STUDY & set(test.fixturenames), f"{test.nodeid}: mark it as slow"


# --------------------------------------------------------------------- tracked files


def tracked(*patterns):
    """Names of the files under version control."""
    command = ["git", "ls-files", "--", *patterns]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.split()
    if not names:
        pytest.skip("not a git checkout")
    return names


def test_nothing_generated_is_tracked():
    names = tracked()
    generated = re.compile(
        r"^(runs|book/runs|_build)/|^results/.*(notebooks/|explorer.json)|\.(safetensors|bin|pt)$"
    )
    assert not [name for name in names if generated.search(name)]
    tables = [name for name in names if name.endswith(".parquet")]
    assert not [name for name in tables if not name.startswith("results/")]
