"""What a change makes run again: only what uses the changed file, and no finished training."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

from xl_influence import uses, workflow

PACKAGE = ROOT / "xl_influence"


def used_by(path):
    return {str(found.relative_to(PACKAGE)) for found in uses.find_files(path)}


def test_the_files_of_a_module_are_those_that_it_imports_and_that_these_import():
    assert used_by(PACKAGE / "locks.py") == {"locks.py"}
    assert used_by(PACKAGE / "manifest.py") >= {"manifest.py", "runs.py", "locks.py", "schema.py"}
    assert {"engine/engine.py", "finetune.py", "retraining.py"} <= used_by(PACKAGE / "steps.py")
    assert "charts/base.py" not in used_by(PACKAGE / "steps.py")


def test_data_belong_to_the_module_that_reads_them():
    assert "languages.yaml" in used_by(PACKAGE / "languages.py")
    assert "demo/marc.yaml" in used_by(PACKAGE / "data.py")
    assert "paper.yaml" in used_by(ROOT / "notebooks" / "09-the-paper-and-this-run.ipynb")
    assert "paper.yaml" not in used_by(ROOT / "notebooks" / "04-cross-language-influence.ipynb")


def test_imports_that_only_name_types_do_not_count(tmp_path):
    notebook = tmp_path / "a.py"
    notebook.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n"
        "    from xl_influence import charts\n"
        "def later():\n"
        "    from xl_influence import locks\n"
    )
    assert used_by(notebook) == {"__init__.py", "locks.py"}


@pytest.mark.parametrize(
    "notebook", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem
)
def test_every_notebook_uses_the_package(notebook):
    assert len(used_by(notebook)) > 5


# ----------------------------------------------------------------------------- what runs again


@pytest.fixture(scope="module")
def copy(smoke, tmp_path_factory):
    """A copy of the repository with a finished study of one task, so that files can change."""
    folder = tmp_path_factory.mktemp("again") / "copy"
    folder.mkdir()
    for name in ("profiles", "notebooks", "params", "xl_influence"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy2(ROOT / "Snakefile", folder)
    for path in folder.rglob("*"):
        os.utime(path, (1e9, 1e9))  # older than what they made
    shutil.copytree(smoke / "smoke" / "marc", folder / "runs" / "smoke" / "marc")
    return folder


def plan(folder, *changed):
    """The rules and the notebooks that Snakemake would run after a change in some files."""
    texts = {folder / name: (folder / name).read_text() for name in changed}
    for path, text in texts.items():
        more = "" if path.suffix == ".ipynb" else "\n# changed"
        path.write_text(text.replace("Overview", "OVERVIEW") + more)
    command = [
        *(sys.executable, "-m", "snakemake", "--profile", "profiles/local", "--cores", "1"),
        *("--dry-run", "--quiet", "host", "--config", "study=smoke", "tasks=marc"),
        *("threads=1", "once="),
    ]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    for path, text in texts.items():
        path.write_text(text)
        os.utime(path, (1e9, 1e9))
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-3000:]
    rules = set(re.findall(r"^(?:local)?rule (\w+):", output, re.MULTILINE)) - {"all"}
    return rules, set(re.findall(r"output: \S+/notebooks/(\S+)\.ipynb", output))


@pytest.mark.slow
def test_a_finished_study_is_not_run_again(copy):
    assert plan(copy) == (set(), set())


@pytest.mark.slow
def test_a_change_of_a_chart_draws_again_and_trains_nothing(copy):
    rules, notebooks = plan(copy, "xl_influence/charts/base.py")
    assert rules == {"notebook"}
    assert notebooks == set(workflow.PER_TASK)


@pytest.mark.slow
def test_a_change_of_the_engine_or_the_trainer_leaves_finished_cubes(copy):
    """Whether they are still right is what their fingerprints say."""
    rules, _ = plan(copy, "xl_influence/engine/engine.py", "xl_influence/trainer.py")
    assert rules == {"notebook"}


@pytest.mark.slow
def test_a_change_of_the_claims_concerns_the_pages_that_judge_claims(copy):
    rules, notebooks = plan(copy, "xl_influence/paper.py", "xl_influence/paper.yaml")
    assert rules == {"notebook"}
    judging = {
        "05-reinforcing-or-complementary",
        "06-sharing-dynamics",
        "08-imbalance",
        "09-the-paper-and-this-run",
        "14-methods",
    }
    assert notebooks == judging | {"15-language-and-label"}


@pytest.mark.slow
def test_a_change_of_what_no_notebook_uses_runs_nothing(copy):
    assert plan(copy, "xl_influence/batch.py", "xl_influence/prepare.py") == (set(), set())


@pytest.mark.slow
def test_a_change_of_one_notebook_runs_it_and_those_that_read_its_tables(copy):
    rules, notebooks = plan(copy, "notebooks/08-imbalance.ipynb")
    assert rules == {"notebook"}
    assert notebooks == {"08-imbalance", "09-the-paper-and-this-run"}
