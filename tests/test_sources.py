"""The repository itself: notebooks stored clean, dependencies named once and pinned once, no text of any data set."""

import ast
import json
import re
import subprocess
import tomllib

import pytest
import yaml
from conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stored_clean(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)
    assert sum("parameters" in cell["metadata"].get("tags", []) for cell in code) == 1
    shown = [cell for cell in code if "parameters" not in cell["metadata"].get("tags", [])]
    assert max("".join(cell["source"]).count("\n") + 1 for cell in shown) <= 25
    first = "".join(notebook["cells"][0]["source"])
    assert first.startswith("# ") and "**Overview.**" in first


def pinned():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    return {normal(name): version for name, version in pins.items()}


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_dependency_is_pinned_once():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [*project["dependencies"], *sum(project["optional-dependencies"].values(), [])]
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


def test_one_version():
    import xl_influence

    version = xl_influence.__version__
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == version
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_modules_stay_small_and_import_one_way():
    import xl_influence

    order = modules_of(xl_influence)
    package = ROOT / "xl_influence"
    files = [path for path in package.rglob("*.py") if path.name != "__init__.py"]
    names = {path: path.relative_to(package).with_suffix("").parts for path in files}
    inner = {parts[0] for parts in names.values() if parts[0] != "demo"}
    assert set(order) == inner, "the package's docstring lists its modules"
    for path, (name, *rest) in names.items():
        text = path.read_text()
        assert text.count("\n") <= 370, path
        for other in imported(text, 2 if rest else 1):
            assert other == "demo" or order.index(other) < order.index(name), (
                f"{path} imports {other}"
            )


def test_the_engine_knows_nothing_of_the_study():
    from xl_influence import engine

    order = modules_of(engine)
    for path in (ROOT / "xl_influence" / "engine").glob("*.py"):
        text = path.read_text()
        assert not imported(text, 2), path
        if path.stem != "__init__":
            assert all(
                order.index(other) < order.index(path.stem) for other in imported(text, 1)
            ), path


def modules_of(package):
    """The modules that a package's docstring lists, in their order."""
    return re.findall(r"^(\w+) +\w", package.__doc__.split("above it:")[1], re.M)


def imported(text, dots):
    """Modules that a source file imports from the folder that `dots` dots name."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.level == dots:
            names = [alias.name for alias in node.names]
            found += [node.module.split(".")[0]] if node.module else names
    return found


def test_nothing_generated_is_tracked():
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True
    ).stdout.split()
    if not tracked:
        pytest.skip("not a git checkout")
    generated = re.compile(
        r"^(runs|book/runs|_build)/|^results/.*(notebooks/|explorer.json)|\.(safetensors|bin|pt)$"
    )
    assert not [name for name in tracked if generated.search(name)]
    assert not [
        name for name in tracked if name.endswith(".parquet") and not name.startswith("results/")
    ]
