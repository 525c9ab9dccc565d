"""Every notebook under the smoke study, for every task: complete artefacts, tables by name, papermill by hand."""

import json
import shutil

import nbformat
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import run_python
from transformers import AutoModelForSequenceClassification

from xl_influence import notebook, pages, params, prose, runs, tables, workflow
from xl_influence.manifest import read_manifest

pytestmark = pytest.mark.slow

TASKS = ["xnli", "pawsx", "marc"]
INTERVAL = ["ci_low", "ci_high"]  # none where few test samples are behind a value, as in this study
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
}


def given(smoke, task="xnli"):
    return params.merge({"study": "smoke", "task": task, "runs_root": str(smoke)})


@pytest.mark.parametrize("task", TASKS)
def test_artefacts_are_complete(smoke, task):
    run = smoke / "smoke" / task / "base"
    manifest, merged = read_manifest(run), params.merge({"study": "smoke", "task": task})
    assert manifest["parameters"] | {"runs_root": "runs"} == merged
    for key in (
        "finetune_fingerprint",
        "scores_fingerprint",
        "data_fingerprint",
        "chosen_epoch",
        "encoder",
        "finetune_cost",
    ):
        assert manifest[key], key
    assert set(merged["languages"]) < set(manifest["dev_accuracy"][0])
    assert sorted(p.name for p in (run / "checkpoints").glob("epoch-*")) == [
        f"epoch-{e}" for e in range(1, manifest["chosen_epoch"] + 1)
    ]
    AutoModelForSequenceClassification.from_pretrained(run / "checkpoints" / "epoch-1")
    train, test = (pd.read_parquet(run / f"{name}.parquet") for name in ("train", "test"))
    assert {"uid", "lang", "item", "label", "text_a", "text_b"} <= set(
        train
    ) and "confidence" in test
    assert (test["confidence"] > 0.5).all() and (
        test.groupby("lang").size() == merged["test_size"]
    ).all()
    cube = xr.open_zarr(run / "scores.zarr").load()
    assert (
        cube["dot"].dims == ("checkpoint", "group", "test", "train")
        and cube["dot"].dtype == np.float32
    )
    assert list(cube["group"].values) == ["embeddings", "layer-00", "layer-01", "head"]
    assert list(cube["train"].values) == list(train["uid"]) and list(
        cube["test_lang"].values
    ) == list(test["lang"])
    assert not any(bool(cube[name].isnull().any()) for name in cube)
    assert sorted(path.name for path in run.iterdir() if path.name.startswith(".")) == []


@pytest.mark.parametrize("task", TASKS)
def test_tables(smoke, task):
    run = smoke / "smoke" / task / "base"
    assert (run / "tables" / "reinforcement.parquet").exists() == (task != "marc"), (
        "translations: parallel tasks only"
    )
    for name, columns in COLUMNS.items():
        if name == "reinforcement" and task == "marc":
            continue
        if name == "epoch_tests" and read_manifest(run)["chosen_epoch"] == 1:  # nothing to compare
            assert tables.read(given(smoke, task), name).empty
            continue
        table = tables.read(given(smoke, task), name)
        may_be_missing = [column for column in INTERVAL if column in columns]
        may_be_missing += ["paper_value", "value", "of", "chance"] if name == "claims" else []
        assert list(table.columns) == columns and len(table), name
        assert not table.drop(columns=may_be_missing).isna().any().any(), name
    composition = tables.read(given(smoke, task), "composition")
    assert np.allclose(composition.groupby(["test_lang", "sign", "checkpoint"])["share"].sum(), 1)
    sure = composition.dropna()
    assert (sure["ci_low"] <= sure["share"]).all() and (sure["share"] <= sure["ci_high"]).all()
    with pytest.raises(tables.TableError, match="no_such_table.*make study"):
        tables.read(given(smoke, task), "no_such_table")


@pytest.mark.parametrize("task", TASKS)
def test_variants_are_runs_of_their_own_on_the_same_test_samples(smoke, task):
    base, without, plus = (
        smoke / "smoke" / task / variant for variant in ("base", "without-es", "plus-100-es")
    )
    uids = [list(pd.read_parquet(run / "test.parquet")["uid"]) for run in (base, without, plus)]
    assert uids[0] == uids[1] == uids[2]
    sizes = {
        run.name: pd.read_parquet(run / "train.parquet")["lang"].value_counts()
        for run in (base, without, plus)
    }
    assert "es" not in sizes["without-es"] and sizes["plus-100-es"]["es"] == 2 * sizes["base"]["es"]
    assert {"es"} < set(
        read_manifest(without)["dev_accuracy"][0]
    )  # accuracy in the language left out
    drawn = {
        run.name: list(pd.read_parquet(run / "train.parquet").query("lang == 'es'")["uid"])
        for run in (base, plus)
    }
    assert drawn["plus-100-es"][: len(drawn["base"])] == drawn["base"]
    table = tables.read(given(smoke, task), "zero_shot")
    assert set(table["what"]) == {"same_samples"} | ({"translations"} if task != "marc" else set())
    assert sorted(path.name for path in (plus / "notebooks").glob("*.ipynb")) == [
        "01-data-and-fine-tuning.ipynb",
        "02-influence.ipynb",
    ]


def glued(path):
    """Glue keys stored in an executed notebook, with their text."""
    outputs = [
        output for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", [])
    ]
    return {
        o.metadata["scrapbook"]["name"]: o.data
        for o in outputs
        if "scrapbook" in o.get("metadata", {})
    }


@pytest.mark.parametrize("task", TASKS)
def test_headline_numbers_come_from_the_tables(smoke, task):
    run = smoke / "smoke" / task / "base"
    stored = glued(run / "notebooks" / "04-cross-language-influence.ipynb")
    table = tables.read(given(smoke, task), "cross_language").set_index(["test_lang", "sign"])
    text = stored[f"{task}_cross_positive"]["application/papermill.record/text/plain"]
    assert text.strip("'").replace("\\xa0", "\u00a0") == prose.percent(
        table.loc[("all", "positive"), "share"]
    )
    assert 0.75 < table.loc[("all", "positive"), "chance"] <= 0.8


def test_executed_notebooks_lie_beside_their_parameters(smoke):
    import yaml

    folder = smoke / "smoke" / "marc" / "base" / "notebooks"
    assert sorted(path.name for path in folder.glob("*.ipynb")) == [
        f"{name}.ipynb" for name in workflow.PER_TASK
    ]
    for name in workflow.PER_TASK:
        beside = yaml.safe_load((folder / f"{name}.yaml").read_text())
        assert beside == params.merge({"study": "smoke", "task": "marc", "runs_root": str(smoke)})


def test_again_is_no_work(smoke):
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
        f"runs_root={smoke}",
        "threads=1",
    )
    assert "Nothing to be done" in done.stdout + done.stderr


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
    )
    assert {"xnli_smoke_plus_50_es_02", "xnli_smoke_plus_75_es_02"} <= set(
        (done.stdout + done.stderr).split()
    )


def test_papermill_by_hand_does_everything_from_one_notebook(tmp_path):
    run_python(
        "-m",
        "papermill",
        "notebooks/04-cross-language-influence.ipynb",
        f"{tmp_path}/out.ipynb",
        "-p",
        "study",
        "smoke",
        "-p",
        "task",
        "marc",
        "-p",
        "runs_root",
        f"{tmp_path}/runs",
        "-p",
        "train_size",
        "30",
    )
    run = tmp_path / "runs" / "smoke" / "marc" / "base"
    assert read_manifest(run)["rows"]["train"] == 150
    assert (run / "tables" / "composition.parquet").exists()


def test_pages_get_unique_labels_and_titles(smoke, tmp_path):
    demo = {"demo": "smoke", "demo_root": str(smoke)}
    assert pages.gather("smoke", runs_root=str(smoke), target=tmp_path / "runs", **demo) == 63
    texts = {path: json.loads(path.read_text()) for path in (tmp_path / "runs").rglob("*.ipynb")}
    labels = [
        c["metadata"]["mystnb"]["figure"]["name"]
        for nb in texts.values()
        for c in nb["cells"]
        if "mystnb" in c["metadata"]
    ]
    assert len(labels) == len(set(labels)) > 39
    page = nbformat.read(tmp_path / "runs" / "pawsx" / "04-cross-language-influence.ipynb", 4)
    assert page.cells[0].source.startswith("# Cross-language influence: demo-paraphrase\n")
    assert "**Synthetic: texts written for this project, demo-paraphrase.**" in page.cells[0].source
    assert any("{numref}`fig-composition-pawsx`" in cell.source for cell in page.cells)
    other = nbformat.read(
        tmp_path / "runs" / "demo" / "pawsx" / "04-cross-language-influence.ipynb", 4
    )
    assert any("{numref}`fig-composition-demo-pawsx`" in cell.source for cell in other.cells)
    with pytest.raises(runs.RunError, match="cpu or smoke is not complete"):
        pages.gather("cpu", runs_root=str(smoke), target=tmp_path / "none", **demo)


def test_a_kernel_that_does_not_start_is_started_again(monkeypatch, tmp_path):
    import papermill

    starts = []

    def execute(source, target, **options):
        starts.append(source.stem)
        if len(starts) < 3:
            raise RuntimeError("Kernel didn't respond in 60 seconds")
        shutil.copy(source, target)

    monkeypatch.setattr(papermill, "execute_notebook", execute)
    given = {"study": "smoke", "task": "marc", "runs_root": str(tmp_path)}
    assert notebook.run("04", given).is_file() and len(starts) == 3
    starts.clear()
    monkeypatch.setattr(notebook, "STARTS", 2)
    with pytest.raises(RuntimeError, match="didn't respond"):
        notebook.run("04", given)
