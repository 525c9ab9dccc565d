"""Every notebook under the smoke study, for every task.

Artefacts are complete, tables have their columns, and papermill by hand does the same.
"""

import ast
import shutil

import nbformat
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from conftest import ROOT, run_python
from transformers import AutoModelForSequenceClassification

from xl_influence import notebook, pages, params, prose, runs, tables, workflow
from xl_influence.manifest import read_manifest
from xl_influence.sharing import FEWEST
from xl_influence.tasks import TASKS

pytestmark = pytest.mark.slow

INTERVAL = ["ci_low", "ci_high"]  # NaN where few test samples are behind a value, as in this study
BEHIND = ["test_samples", "items"]
SHARE = ["share", *INTERVAL, "chance", *BEHIND]
COLUMNS = {
    "composition": ["test_lang", "train_lang", "sign", "checkpoint", *SHARE],
    "composition_by_sample": ["test", "item", "test_lang", "train_lang", "sign", "share", "chance"],
    "mean_influence": ["test_lang", "train_lang", "mean", *INTERVAL, *BEHIND],
    "cross_language": ["test_lang", "sign", *SHARE],
    "distribution": ["test_lang", "train_lang", "low", "high", "share", *BEHIND],
    "planted": ["what", "sign", *SHARE],
    "reinforcement": ["test_lang", "sign", *SHARE],
    "epoch_tests": [
        "test_lang",
        "checkpoint_a",
        "checkpoint_b",
        "statistic",
        "p",
        "p_adjusted",
        "effect",
        *INTERVAL,
        *BEHIND,
    ],
    "scripts": ["train_lang", "script", "sign", "share", *INTERVAL, "chance", "in_top_k", *BEHIND],
    "removal": [
        "test_uid",
        "item",
        "test_lang",
        "k",
        "sign",
        "strategy",
        "seed",
        "confidence_before",
        "confidence_after",
    ],
    "removal_change": ["sign", "strategy", "k", "change", *INTERVAL, *BEHIND],
    "removal_controls": ["sign", "strategy", "k", "difference", *INTERVAL, *BEHIND, "beyond"],
    "zero_shot": ["language", "what", "sign", *SHARE, "accuracy", "accuracy_seen"],
    "imbalance": ["language", "percent", "sign", *SHARE],
    "claims": [
        "claim",
        "section",
        "statement",
        "paper_value",
        "value",
        *INTERVAL,
        "holds",
        "unit",
        "of",
        "chance",
        "left_out",
    ],
    "groups": ["group", "sign", "share", *INTERVAL, "chance", "overlap", *BEHIND],
    "contributions": ["group", "source", "sign", "share", *INTERVAL, *BEHIND],
    "shared_tokens": ["kind", "sign", "shared", *INTERVAL, "chance", *BEHIND],
    "examples": ["test_uid", "sign", "uid", "influence"],
    "methods": ["method", "measure", "k", "value", *INTERVAL, "chance", *BEHIND],
    "long_gradients": ["method", "k", *SHARE],
    "answers": [
        *("question", "method", "kind", "value", *INTERVAL, "chance"),
        *(*BEHIND, "verdict", "same"),
    ],
    "without_language": ["method", "measure", "k", "value", *INTERVAL, "chance", *BEHIND],
    "label_share": ["test_lang", "sign", *SHARE],
    "same_label": ["pool", "what", "test_lang", "sign", *SHARE],
    "matrices": ["matrix", "correlation", "p", "cells", "permutations"],
    "nearest_first": ["similarity", "fraction", "sign", "what", *SHARE],
}
RECALL = ["score", "candidates", "sign", *SHARE]  # of notebook 13, which XNLI alone has


def given(smoke, task="xnli"):
    return params.merge({"study": "smoke", "task": task, "runs_root": str(smoke)})


def find_run(smoke, task, variant="base"):
    return smoke / "smoke" / task / variant


@pytest.mark.parametrize("task", TASKS)
def test_the_manifest_is_complete(smoke, task):
    manifest = read_manifest(find_run(smoke, task))
    merged = params.merge({"study": "smoke", "task": task})
    assert manifest["parameters"] | {"runs_root": "runs"} == merged
    fingerprints = {"finetune_fingerprint", "scores_fingerprint", "data_fingerprint"}
    for key in (*fingerprints, "chosen_epoch", "encoder", "finetune_cost"):
        assert manifest[key], key
    assert set(merged["languages"]) < set(manifest["dev_accuracy"][0])


@pytest.mark.parametrize("task", TASKS)
def test_every_epoch_up_to_the_chosen_one_is_kept(smoke, task):
    run = find_run(smoke, task)
    kept = {path.name for path in (run / "checkpoints").glob("epoch-*")}
    assert kept == {f"epoch-{epoch + 1}" for epoch in range(read_manifest(run)["chosen_epoch"])}
    AutoModelForSequenceClassification.from_pretrained(run / "checkpoints" / "epoch-1")


@pytest.mark.parametrize("task", TASKS)
def test_test_samples_are_predicted_with_confidence(smoke, task):
    train, test = (runs.read_samples(given(smoke, task), name) for name in ("train", "test"))
    assert {"uid", "lang", "item", "label", "text_a", "text_b"} <= set(train)
    assert (test["confidence"] > 0.5).all()
    assert (test.groupby("lang").size() == given(smoke, task)["test_size"]).all()


@pytest.mark.parametrize("task", TASKS)
def test_the_score_cube_is_complete(smoke, task):
    run = find_run(smoke, task)
    train, test = (runs.read_samples(given(smoke, task), name) for name in ("train", "test"))
    cube = xr.open_zarr(run / "scores.zarr").load()
    assert cube["dot"].dims == ("checkpoint", "group", "test", "train")
    assert cube["dot"].dtype == np.float32
    assert list(cube["group"].values) == ["embeddings", "layer-00", "layer-01", "head"]
    assert list(cube["train"].values) == list(train["uid"])
    assert list(cube["test_lang"].values) == list(test["lang"])
    assert not any(bool(cube[name].isnull().any()) for name in cube)
    assert not list(run.glob(".*")), "temporary files are left"


@pytest.mark.parametrize("task", TASKS)
def test_tables_have_their_columns(smoke, task):
    tables_of = find_run(smoke, task) / "tables"
    is_parallel = TASKS[task].parallel
    one_epoch = read_manifest(find_run(smoke, task))["chosen_epoch"] == 1
    assert (tables_of / "reinforcement.parquet").exists() == is_parallel
    for name in COLUMNS if is_parallel else COLUMNS.keys() - {"reinforcement"}:
        table = tables.read(given(smoke, task), name)
        if name == "epoch_tests" and one_epoch:
            assert table.empty, "there is nothing to compare"
            continue
        assert list(table.columns) == COLUMNS[name] and len(table), name
        may_be_missing = {*INTERVAL}
        if name == "claims":
            may_be_missing |= {"paper_value", "value", "of", "chance"}
        if name == "answers":  # a question that cannot be put to a method has no number
            may_be_missing |= {"value", "chance"}
        complete = table.columns.difference(list(may_be_missing))
        assert not table[complete].isna().any().any(), name


@pytest.mark.parametrize("task", TASKS)
def test_shares_add_up_and_few_items_have_no_interval(smoke, task):
    composition = tables.read(given(smoke, task), "composition")
    keys = ["test_lang", "sign", "checkpoint"]
    assert np.allclose(composition.groupby(keys)["share"].sum(), 1)
    assert (composition["ci_low"].isna() == (composition["items"] < FEWEST)).all()


def test_a_run_of_the_demo_has_been_asked(smoke):
    table = tables.read(given(smoke), "recall")
    assert list(table.columns) == RECALL and len(table)
    path = find_run(smoke, "xnli") / "notebooks" / "13-ask.ipynb"
    outputs = [o for cell in nbformat.read(path, 4).cells for o in cell.get("outputs", [])]
    said = " ".join(o.data.get("text/markdown", "") for o in outputs if "data" in o)
    assert "The model answers **" in said and "You named no class" in said


def test_a_missing_table_is_an_error_that_says_what_to_do(smoke):
    with pytest.raises(tables.TableError, match=r"no_such_table.*make study"):
        tables.read(given(smoke), "no_such_table")


@pytest.mark.parametrize("task", TASKS)
def test_variants_are_runs_of_their_own_on_the_same_test_samples(smoke, task):
    names = ("base", "without-es", "plus-100-es")
    test_uids, train = {}, {}
    for name in names:
        run = find_run(smoke, task, name)
        test_uids[name] = list(pd.read_parquet(run / "test.parquet")["uid"])
        train[name] = pd.read_parquet(run / "train.parquet").groupby("lang")["uid"].agg(list)
    assert test_uids["base"] == test_uids["without-es"] == test_uids["plus-100-es"]
    assert "es" not in train["without-es"]
    spanish, more_spanish = train["base"]["es"], train["plus-100-es"]["es"]
    assert len(more_spanish) == 2 * len(spanish)
    assert more_spanish[: len(spanish)] == spanish


@pytest.mark.parametrize("task", TASKS)
def test_a_model_is_evaluated_in_the_language_left_out(smoke, task):
    manifest = read_manifest(find_run(smoke, task, "without-es"))
    assert "es" in manifest["dev_accuracy"][0]
    table = tables.read(given(smoke, task), "zero_shot")
    kinds = {"same_samples", "translations"} if TASKS[task].parallel else {"same_samples"}
    assert set(table["what"]) == kinds


@pytest.mark.parametrize("task", TASKS)
def test_a_notebook_says_which_run_it_shows_and_what_that_run_found(smoke, task):
    folder = find_run(smoke, task) / "notebooks"
    for number in ("03", "04", "05", "06", "07", "08", "10", "14", "15"):
        (path,) = folder.glob(f"{number}-*.ipynb")
        outputs = [o for cell in nbformat.read(path, 4).cells for o in cell.get("outputs", [])]
        said = [o.data.get("text/markdown", "") for o in outputs if "data" in o]
        assert any("Loaded the run smoke /" in text for text in said), path
        (found,) = (text for text in said if text.startswith("**This run**"))
        assert TASKS[task].demo_title in found


@pytest.mark.parametrize("task", TASKS)
def test_a_variant_is_not_analysed_on_its_own(smoke, task):
    assert not (find_run(smoke, task, "plus-100-es") / "notebooks").exists()


def read_glued(path):
    """What an executed notebook has stored with glue: key → data by MIME type."""
    outputs = [o for cell in nbformat.read(path, 4).cells for o in cell.get("outputs", [])]
    stored = [o for o in outputs if "scrapbook" in o.get("metadata", {})]
    return {o.metadata["scrapbook"]["name"]: o.data for o in stored}


@pytest.mark.parametrize("task", TASKS)
def test_headline_numbers_come_from_the_tables(smoke, task):
    path = find_run(smoke, task) / "notebooks" / "04-cross-language-influence.ipynb"
    stored = read_glued(path)[f"{task}_cross_positive"]
    table = tables.read(given(smoke, task), "cross_language").set_index(["test_lang", "sign"])
    row = table.loc[("all", "positive")]
    text = ast.literal_eval(stored["application/papermill.record/text/plain"])
    assert text == prose.percent(row["share"])
    assert 0.75 < row["chance"] <= 0.8, "four of five languages are other languages"


def test_executed_notebooks_lie_beside_their_parameters(smoke):
    folder = find_run(smoke, "marc") / "notebooks"
    assert {path.stem for path in folder.glob("*.ipynb")} == set(workflow.PER_TASK)
    for name in workflow.PER_TASK:
        beside = yaml.safe_load((folder / f"{name}.yaml").read_text())
        assert beside == given(smoke, "marc")


def plan_with_snakemake(*config):
    """What Snakemake would do with these parameters, as text."""
    options = ("--profile", "profiles/local", "--cores", "1", "--nolock", "--dry-run", "--config")
    done = run_python("-m", "snakemake", *options, "study=smoke", *config)
    return done.stdout + done.stderr


def test_again_is_no_work(smoke):
    assert "Nothing to be done" in plan_with_snakemake(f"runs_root={smoke}", "threads=1")


def test_lists_of_numbers_on_the_command_line(tmp_path):
    done = run_python(
        "-m",
        "snakemake",
        "--profile",
        "profiles/local",
        "--cores",
        "1",
        "--nolock",
        "--dry-run",
        "--config",
        "study=smoke",
        "tasks=xnli",
        f"runs_root={tmp_path}",
        "imbalance_percents=[50,75]",
        "--quiet",
        "host",  # where the profile says not to list the jobs
    )
    for variant in ("plus-50-es", "plus-75-es"):
        assert f"/xnli/{variant}/" in done.stdout + done.stderr


def test_papermill_by_hand_does_everything_from_one_notebook(tmp_path):
    chosen = {"study": "smoke", "task": "marc", "runs_root": tmp_path / "runs", "train_size": 30}
    options = [part for key, value in chosen.items() for part in ("-p", key, str(value))]
    source = "notebooks/04-cross-language-influence.ipynb"
    run_python("-m", "papermill", source, str(tmp_path / "out.ipynb"), *options)
    run = find_run(tmp_path / "runs", "marc")
    assert read_manifest(run)["rows"]["train"] == 5 * 30  # five languages
    assert (run / "tables" / "composition.parquet").exists()


def run_pages_about_methods(*given):
    """Run notebooks 14 and 15; returns the parameters and what they show."""
    for number in ("14", "15"):
        run_python("-m", "xl_influence.notebook", number, "study=smoke", "task=pawsx", *given)
    merged = params.merge(params.parse(["study=smoke", "task=pawsx", *given]))
    paths = (tables.find_output_dir(merged) / "notebooks").glob("*.ipynb")
    cells = [cell for path in paths for cell in nbformat.read(path, 4).cells]
    return merged, str([cell.outputs for cell in cells if cell.cell_type == "code"])


def test_pages_about_methods_say_what_one_language_cannot_tell(tmp_path):
    _, shown = run_pages_about_methods("languages=[en]", "top_k=20", f"runs_root={tmp_path}")
    assert "This run has one language, so nothing can come from other languages." in shown
    assert "fewer than three languages make too few pairs" in shown
    assert "Not applicable: top_k=20, but one label has only" in shown


def test_pages_about_methods_pair_the_languages_that_are_trained_on(tmp_path):
    merged, _ = run_pages_about_methods("variant=without-es", f"runs_root={tmp_path}")
    assert (tables.read(merged, "matrices")["cells"] == 4 * 3).all()


def find_labels(path):
    """The labels of a notebook's figures, in their order."""
    found = [
        cell.metadata.get("mystnb", {}).get("figure", {}) for cell in nbformat.read(path, 4).cells
    ]
    return [figure["name"] for figure in found if "name" in figure]


@pytest.fixture(scope="module")
def gathered(smoke, tmp_path_factory):
    """The pages of a book with the smoke study in both of its parts."""
    target = tmp_path_factory.mktemp("gathered") / "runs"
    found = pages.gather("smoke", str(smoke), target, demo="smoke", demo_root=str(smoke))
    both_parts = 2 * len(TASKS) * len(workflow.PER_TASK)
    asked = 1  # notebook 13, for the demo's first task
    assert found == both_parts + len(workflow.ONCE) + asked == len(list(target.rglob("*.ipynb")))
    return target


def test_labels_of_pages_are_those_of_their_sources_and_unique(gathered):
    labels = []
    for path in gathered.rglob("*.ipynb"):
        folder = path.parent.relative_to(gathered)
        suffix = "".join(f"-{part}" for part in folder.parts)
        expected = [f"{label}{suffix}" for label in find_labels(ROOT / "notebooks" / path.name)]
        assert find_labels(path) == expected
        labels += expected
    assert labels
    assert len(labels) == len(set(labels))


def test_pages_say_which_data_they_are_about(gathered):
    name = "04-cross-language-influence.ipynb"
    first = nbformat.read(gathered / "pawsx" / name, 4).cells[0].source
    assert first.startswith("# Cross-language influence: demo-paraphrase\n")
    assert "**Synthetic: texts written for this project, demo-paraphrase.**" in first
    for folder, suffix in (("pawsx", "pawsx"), ("demo/pawsx", "demo-pawsx")):
        assert f"fig-composition-{suffix}" in find_labels(gathered / folder / name)


def test_a_kernel_that_does_not_start_is_started_again(monkeypatch, tmp_path):
    import papermill

    starts = []

    def execute(source, target, **options):
        starts.append(source.stem)
        if len(starts) < 3:
            raise RuntimeError("Kernel didn't respond in 60 seconds")
        shutil.copy(source, target)

    monkeypatch.setattr(papermill, "execute_notebook", execute)
    chosen = {"study": "smoke", "task": "marc", "runs_root": str(tmp_path)}
    assert notebook.run("04", chosen).is_file()
    assert len(starts) == 3
    starts.clear()
    monkeypatch.setattr(notebook, "STARTS", 2)
    with pytest.raises(RuntimeError, match="didn't respond"):
        notebook.run("04", chosen)


def test_pages_say_what_a_summed_cube_does_not_keep(tmp_path):
    """Notebook 06 says so before anything is computed; notebook 10 counts tokens all the same."""
    given = ["study=smoke", "task=pawsx", "keep=sum", f"runs_root={tmp_path}"]
    run = runs.find_folder(params.merge(params.parse(given)))
    run_python("-m", "xl_influence.notebook", "06", *given)
    assert not (run / "checkpoints").exists() and not (run / "tables").exists()
    run_python("-m", "xl_influence.notebook", "10", *given)
    assert dict(xr.open_zarr(run / "scores.zarr").sizes) == {"group": 1, "test": 10, "train": 120}
    assert [path.stem for path in (run / "tables").iterdir()] == ["shared_tokens"]
    for name in ("06-sharing-dynamics", "10-where-in-the-network"):
        executed = (run / "notebooks" / f"{name}.ipynb").read_text()
        assert "*Not kept: this cube" in executed
