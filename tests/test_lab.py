"""The notebooks in JupyterLab: plain words, captions, this run's findings, safe experiments."""

import itertools
import json
import re

import pandas as pd
import pytest
from conftest import ROOT

from xl_influence import experiments, notebook_cells, paper, params, runs, status, summary, tasks
from xl_influence.manifest import write_manifest

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def read_cells(path, kind):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == kind]


def text_of(cell):
    return "".join(cell["source"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_markup_that_only_the_book_understands(path):
    for cell in read_cells(path, "markdown"):
        assert not re.search(r"\{[\w:-]+\}`|:::|^```\{", text_of(cell), re.MULTILINE), text_of(cell)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_figure_has_its_caption_below_it_which_the_book_leaves_out(path):
    assert notebook_cells.rewrite(path) == path.read_text(encoding="utf-8"), "run make notebooks"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    for cell, below in itertools.pairwise(cells):
        figure = cell["metadata"].get("mystnb", {}).get("figure")
        if figure:
            assert "remove-cell" in below["metadata"]["tags"]
            assert " ".join(text_of(below).split()) == f"**Figure.** {figure['caption']}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_values_in_force_stand_below_the_parameters_cell(path):
    code = read_cells(path, "code")
    assert "parameters" in code[0]["metadata"]["tags"]
    assert code[1]["metadata"]["jupyter"]["source_hidden"]
    assert "experiments.read(globals())" in text_of(code[1])
    assert text_of(code[2]) == "status.list_parameters(config, source).style.hide()"


def test_a_parameters_cell_shows_the_defaults_of_base_yaml():
    values = {"top_k": None, "removal_ks": None, "data_root": None, "study": "demo"}
    lines = notebook_cells.make_cell(values).splitlines()[1:]
    top_k, removal_ks, data_root, study = lines
    assert top_k.startswith("top_k: int = None  # ") and top_k.endswith(" [100]")
    assert removal_ks.endswith("to remove [50, 100, 150, 200, 250]")
    assert "[" not in data_root, "it is empty"
    assert study.startswith('study: str = "demo"  # ') and "[" not in study
    assert params.read_cell("\n".join(lines)) == values


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_stored_for_the_book_is_folded_away(path):
    for cell in read_cells(path, "code")[2:]:
        if re.search(r"\bglue\(", text_of(cell)):
            assert cell["metadata"]["jupyter"]["source_hidden"]
            assert text_of(cell).startswith("# For the pages of the book")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_ends_with_what_this_run_found_and_an_exercise(path):
    assert "## Exercise" in text_of(read_cells(path, "markdown")[-1])
    number = path.stem[:2]
    if number not in ("11", "12", "16", "17"):  # they are not about a run's results
        assert f'"{number}"' in "".join(map(text_of, read_cells(path, "code")[-4:]))
        code = "".join(map(text_of, read_cells(path, "code")))
        assert "status.describe_run" in code


@pytest.mark.parametrize("number", [f"{number:02d}" for number in range(17)])
@pytest.mark.parametrize("task", tasks.TASKS)
def test_the_paper_is_quoted_for_the_languages_of_the_task_only(number, task):
    has = params.merge({"task": task})["languages"]
    absent = [name for lang, name in tasks.LANGUAGES.items() if lang not in has]
    assert not [name for name in absent if name in summary.quote_paper(number, task)]


def test_the_summary_puts_the_run_first():
    merged = params.merge({"study": "demo", "task": "pawsx"})
    shown = summary.show(merged, "04", "It is 5 %.").data
    assert shown.startswith("**This run** (demo-paraphrase, study `demo`). It is 5 %.")
    assert "**The paper.** Languages rely most on their own data" in shown and "Korean" in shown
    assert "paper" not in summary.show(merged, "13", "It is 5 %.").data


def test_verdicts_are_counted():
    claims = pd.DataFrame({"holds": ["holds", "holds", "inconclusive", ""]})
    assert summary.say_verdicts(claims) == "Of 4 claims, 2 hold and 1 is inconclusive."
    each = summary.say_verdicts(pd.DataFrame({"holds": [*paper.HOLDS, paper.HOLDS[-1]]}))
    assert each == (
        "Of 5 claims, 1 holds, 1 does not hold, 1 is inconclusive and 2 cannot be tested here."
    )
    assert "synthetic" in summary.say_verdicts(pd.DataFrame({"holds": ["", ""]}))


# ------------------------------------------------------------------------- experiments


def run_cell(*lines):
    return experiments.read({"In": ["\n".join(["# Parameters", *lines])]})


@pytest.fixture(autouse=True)
def by_hand(monkeypatch):
    monkeypatch.delenv("XL_INFLUENCE_BOOK", raising=False)


@pytest.mark.parametrize("line", ["epochs = 1", "train_size = 12", "test_seed = 7", 'keep = "sum"'])
def test_a_run_with_other_values_has_a_folder_of_its_own(line):
    own, _ = run_cell('study = "smoke"')
    other, source = run_cell('study = "smoke"', line)
    assert runs.find_folder(own) == ROOT / "runs" / "smoke" / "xnli" / "base"
    assert runs.find_folder(other).relative_to(ROOT).parts[:2] == ("runs", "other")
    assert source["runs_root"] == "an experiment" and experiments.is_experiment(other)
    assert runs.find_folder(run_cell('study = "smoke"', line)[0]) == runs.find_folder(other)


def test_other_languages_are_an_experiment_too():
    assert experiments.is_experiment(run_cell('study = "smoke"', 'languages = ["en", "de"]')[0])


@pytest.mark.parametrize(
    "lines", [(), ("top_k = 5",), ('variant = "without-es"',), ('variant = "seed-4"',)]
)
def test_the_study_its_variants_and_its_analyses_stay_where_they_are(lines):
    merged, _ = run_cell('study = "smoke"', *lines)
    assert merged["runs_root"] == "runs" and not experiments.is_experiment(merged)


def test_a_folder_that_you_name_is_the_one_that_is_used(tmp_path):
    merged, _ = run_cell('study = "smoke"', "epochs = 1", f'runs_root = "{tmp_path}"')
    assert merged["runs_root"] == str(tmp_path)


def test_the_book_computes_what_it_is_asked_to(monkeypatch):
    monkeypatch.setenv("XL_INFLUENCE_BOOK", "1")
    assert run_cell('study = "smoke"', "epochs = 1")[0]["runs_root"] == "runs"


# ------------------------------------------------------------- the line about the run


def test_a_line_says_which_run_it_is_and_whether_it_was_computed_now(tmp_path, monkeypatch):
    merged = params.merge(
        {"study": "smoke", "task": "xnli", "runs_root": str(tmp_path / "other/x")}
    )
    run = runs.find_folder(merged)
    (run / "scores.zarr").mkdir(parents=True)
    samples = pd.DataFrame({"uid": ["en1", "de1"]})
    samples.to_parquet(run / "test.parquet")
    write_manifest(
        run, rows={"train": 1200}, chosen_epoch=2, scores_cost={"finished": "2026-01-02 03:04"}
    )
    said = status.describe_run(merged).data
    assert "Computed the run smoke / xnli / base (demo-NLI), finished 2026-01-02 03:04" in said
    assert "1,200 training samples, 2 test samples, 2 checkpoints" in said
    assert "It is an experiment" in said
    monkeypatch.setattr(status, "STARTED", status.STARTED + 10_000)
    assert "Loaded the run" in status.describe_run(merged).data
