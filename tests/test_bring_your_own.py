"""What the page 'Bring your own' promises: your own languages, task, encoder or method."""

import re

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, run_python, write_own_task
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from xl_influence import data, encoders, influence, params, runs, scores, tables, tasks
from xl_influence.manifest import read_manifest

pytestmark = pytest.mark.slow

PAGE = (ROOT / "book" / "bring-your-own.md").read_text()


def test_a_task_from_the_page_and_from_files(tmp_path):
    given = write_own_task(tmp_path / "mine")
    found = tasks.find(given)
    assert found.class_names == ("contradiction", "entailment", "neutral") and found.parallel
    samples = data.load(given)
    assert set(samples["train"]["lang"]) == {"en", "pt"} and set(samples["train"]["label"]) == {
        0,
        1,
        2,
    }
    (tmp_path / "page").mkdir()
    for split in tasks.SPLITS:
        (tmp_path / "page" / f"{split}.csv").write_text(
            re.search(r"```text\n(.+?)```", PAGE, re.S)[1]
        )
    on_page = tasks.read_own(given | {"data_root": str(tmp_path / "page")}, "train")
    assert list(on_page["lang"]) == ["en", "pt"] and on_page["item"].nunique() == 1


def test_a_study_of_it_by_notebook(tmp_path):
    given = write_own_task(tmp_path / "mine")
    run_python(
        "-m",
        "xl_influence.notebook",
        "04",
        "study=smoke",
        "task=own",
        "languages=[en,pt]",
        "zero_shot_languages=[pt]",
        "imbalance_languages=[pt]",
        f"data_root={given['data_root']}",
        f"runs_root={given['runs_root']}",
    )
    table = tables.read(
        given | {"zero_shot_languages": ["pt"], "imbalance_languages": ["pt"]}, "composition"
    )
    assert set(table["train_lang"]) == {"en", "pt"}
    manifest = read_manifest(runs.find_folder(given))
    assert set(manifest["dev_accuracy"][0]) >= {"en", "pt"}


def test_the_smoke_study_takes_a_task_of_many_classes(tmp_path):
    """Its random encoder labels one row in 60 correctly, which is fewer than it needs."""
    rows = [
        {"text_a": f"{lang} text {n}", "label": f"class {n}", "lang": lang, "item": n}
        for lang in ("en", "pt")
        for n in range(60)
    ]
    for split in tasks.SPLITS:
        pd.DataFrame(rows).to_json(tmp_path / f"{split}.jsonl", orient="records", lines=True)
    given = {"study": "smoke", "task": "own", "data_root": str(tmp_path), "train_size": 8}
    run = scores.make(params.merge(given | {"runs_root": str(tmp_path / "runs")}), progress=False)
    chosen = pd.read_parquet(run / "test.parquet")
    assert list(chosen["lang"]) == ["en", "en", "pt", "pt"] and chosen["uid"].is_unique


def test_what_is_wrong_with_a_task_is_said(tmp_path):
    with pytest.raises(tasks.TaskError, match="data_root must name the folder"):
        tasks.find(params.merge({"study": "cpu", "task": "own", "languages": ["en"]}))
    with pytest.raises(params.ParameterError, match="data_root must name the folder"):
        params.merge({"study": "smoke", "task": "own"})
    given = write_own_task(tmp_path / "mine")
    with pytest.raises(data.DataError, match="no rows in fr; there are en, pt"):
        data.load(given | {"languages": ["en", "fr"]})
    path = tmp_path / "mine" / "validation.csv"
    path.write_text(path.read_text().replace("neutral", "unknown"))
    with pytest.raises(
        tasks.TaskError,
        match="unknown label 'unknown'; allowed are contradiction, entailment, neutral",
    ):
        data.load(given)
    path.write_text("text_a,lang\nx,en\n")
    with pytest.raises(tasks.TaskError, match="no column 'label'"):
        data.load(given)
    path.unlink()
    with pytest.raises(tasks.TaskError, match=r"no validation\.csv"):
        data.load(given)


def test_other_versions_must_have_the_same_label(tmp_path):
    given = write_own_task(tmp_path / "mine")
    path = tmp_path / "mine" / "train.csv"
    rows = pd.read_csv(path)
    rows.loc[rows["lang"] == "pt", "label"] = "neutral"
    rows.to_csv(path, index=False)
    with pytest.raises(tasks.TaskError, match=r"train\.csv, line \d+: misaligned translations"):
        data.load(given)


def test_other_languages():
    assert params.merge({"task": "xnli", "languages": ["en", "sw", "th"]})["languages"] == [
        "en",
        "sw",
        "th",
    ]
    with pytest.raises(params.ParameterError, match="ko not in the task xnli"):
        params.merge({"task": "xnli", "languages": ["en", "ko"]})


def test_an_encoder_in_a_local_folder(smoke, tmp_path):
    folder = tmp_path / "encoder"
    encoders.export(smoke / "smoke" / "xnli" / "base", 1, tmp_path / "classifier")
    AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "classifier"
    ).base_model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tmp_path / "classifier").save_pretrained(folder)
    given = {
        "study": "smoke",
        "task": "marc",
        "encoder": str(folder),
        "encoder_layers": 1,
        "runs_root": str(tmp_path),
    }
    run_python("-m", "xl_influence.scores", *(f"{key}={value}" for key, value in given.items()))
    run = runs.find_folder(params.merge(given))
    assert read_manifest(run)["encoder"] == {"source": str(folder), "revision": None}
    assert encoders.load_checkpoint(run / "checkpoints" / "epoch-1").config.num_hidden_layers == 1
    run_python(
        "-m", "xl_influence.notebook", "04", *(f"{key}={value}" for key, value in given.items())
    )
    assert len(tables.read(params.merge(given), "composition"))


def test_another_method_as_on_the_page(smoke):
    code = re.search(r"```python\n(import numpy.+?)```", PAGE, re.S)[1]
    code = code.replace(
        '{"study": "demo",', f'{{"study": "smoke", "runs_root": {str(smoke)!r},'
    ).replace("top_k=20", "top_k=10")
    assert code.count("\n") < 20
    *before, last = code.strip().split("\n")
    space = {}
    exec("\n".join([*before, f"result = {last}"]), space)
    assert set(space["result"]["test_lang"]) >= {"all", "en", "ru"} and space["values"].shape == (
        10,
        120,
    )


def test_values_come_back_as_influence():
    samples = pd.DataFrame({"uid": ["en1", "de1"], "lang": ["en", "de"], "item": 1, "label": 0})
    values = np.array([[[0.5, -2.0], [0.0, 3.0]], [[1.0, 1.0], [0.0, 0.0]]])
    assert np.allclose(
        influence.influence(influence.from_values(values, samples, samples)), values.sum(0)
    )
    assert np.allclose(
        influence.influence(influence.from_values(values[0], samples, samples)), values[0]
    )
    with pytest.raises(ValueError, match=r"allowed is .test, train. = .2, 2."):
        influence.from_values(values[:, :, :1], samples, samples)
