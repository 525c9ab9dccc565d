"""The study `paper` from its downloads to its scores, against the fake hub.

It needs no internet, no GPU and no data. `datasets` and `transformers` read the address of the hub
when they are imported, so the study runs in its own process, with this file as a script. A second
process runs at the same time and finds no hub.
"""

import os
import re
import socket
import subprocess
import sys
from types import SimpleNamespace

import fake_hub
import numpy as np
import pytest
import xarray as xr
from conftest import ROOT
from transformers import AutoModelForSequenceClassification

from xl_influence import data, params
from xl_influence import hub as hub_module
from xl_influence.manifest import read_manifest
from xl_influence.tasks import SPLITS, TASKS

pytestmark = pytest.mark.slow

ENCODER = "FacebookAI/xlm-roberta-base"
EXPORTED = "xnli"  # the run whose export is tried
WHOLE_VOCABULARY = 250002  # XLM-R's
LANGUAGES, EPOCHS = 5, 2
SMALL = {
    "study": "paper",
    "train_size": 24,
    "dev_size": 8,
    "epochs": EPOCHS,
    "test_size": 2,
    "test_pool": 20,
    "top_k": 10,
    "learning_rate": 1e-3,
    "max_length": 48,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    root = tmp_path_factory.mktemp("hub")
    fake_hub.write_datasets(root, faults=("untranslated",))
    fake_hub.write_encoder(root)
    with fake_hub.serve(root) as hub:
        yield hub


@pytest.fixture(scope="module")
def processes(hub, tmp_path_factory):
    """The study with the hub (`served`) and with a closed port instead (`alone`), both started."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody listens, and nobody else gets the port
        unserved = f"http://127.0.0.1:{closed.getsockname()[1]}"
        served = start(hub.url, tmp_path_factory.mktemp("served"), list(TASKS))
        alone = start(unserved, tmp_path_factory.mktemp("alone"), ["xnli"])
        yield SimpleNamespace(served=served, alone=alone)
        for one in (served, alone):
            one.process.kill()
            one.process.wait()


@pytest.fixture(scope="module")
def served(processes):
    """The folder of the finished runs."""
    assert processes.served.process.wait(timeout=300) == 0, processes.served.log.read_text()
    return processes.served.runs_root


READ = """
import time
from xl_influence import data, params
start = time.time()
try:
    given = params.merge({"study": "smoke", "task": "TASK", "data": "hub"})
    print(data.hash_samples(data.load(given)))
except data.DataError as error:
    print("DataError:", error)
print(time.time() - start)
"""


def read(url, cache, task="xnli"):
    """Read a task's data in a process of its own: (fingerprint or message, seconds)."""
    environment = find_environment(url, cache)
    done = subprocess.run(
        [sys.executable, "-c", READ.replace("TASK", task)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    *_, found, seconds = done.stdout.strip().splitlines()
    return found, float(seconds)


@pytest.fixture
def small(tmp_path):
    """A hub of its own, which a test may break."""
    fake_hub.write_datasets(tmp_path)
    with fake_hub.serve(tmp_path) as hub:
        yield hub


def test_a_hub_that_fails_or_hangs_is_replaced_by_the_cache(small, tmp_path):
    cache = tmp_path / "cache"
    expected, _ = read(small.url, cache)
    assert "Error" not in expected
    for broken in (500, 503, "hang"):
        small.broken = broken
        found, seconds = read(small.url, cache)
        assert found == expected and seconds < 30, broken
    small.broken = 504
    message, seconds = read(small.url, tmp_path / "none")
    assert message.startswith("DataError: XNLI, en, train (facebook/xnli): cannot be read")
    assert message.endswith("set data_root to a folder with clones of the data sets")
    assert seconds < 30


@pytest.mark.parametrize("status", [401, 404])
def test_data_that_were_withdrawn_are_said_to_be(small, tmp_path, status):
    small.gone = {("datasets", TASKS["marc"].hub.format(lang="en")): status}
    message, _ = read(small.url, tmp_path / "cache", "marc")
    assert message.startswith(
        "DataError: MARC, en, train (SetFit/amazon_reviews_multi_en): the hub"
    )
    for part in ("MARC was withdrawn", "academic research only, no republication", "data_root"):
        assert part in message
    small.gone = {("datasets", "facebook/xnli"): status}
    message, _ = read(small.url, tmp_path / "cache")
    assert "XNLI, en, train (facebook/xnli): the hub does not provide it" in message
    assert "withdrawn" not in message and "removed, renamed" in message


@pytest.mark.parametrize(
    ("broken", "offline"),
    [(None, False), (404, False), (429, False)]
    + [(status, True) for status in range(500, 505)]
    + [("hang", True)],
)
def test_when_the_hub_counts_as_unreachable(small, monkeypatch, broken, offline):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", small.url)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub_module, "TIMEOUT", 0.5)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    small.broken = broken
    hub_module.go_offline_if_unreachable.__wrapped__("datasets", "facebook/xnli")
    assert hub_module.is_offline() == offline


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("swap", "XNLI, train: .*es beside en: rows .* have changed places"),
        ("shift", "XNLI, train: .*de beside en"),
    ],
)
def test_rows_of_xnli_in_the_wrong_place_are_named(tmp_path, fault, words):
    fake_hub.write_datasets(tmp_path, faults=(fault,))
    given = params.merge({"study": "smoke", "data": "hub", "data_root": str(tmp_path / "datasets")})
    with pytest.raises(data.DataError, match=words):
        data.load(given)


def find_environment(url, cache):
    """The environment of a process with `url` as the hub and a cache of its own."""
    foreign = ("HF_", "TRANSFORMERS_", "HUGGINGFACE_")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    return environment | {
        "HF_ENDPOINT": url,
        "HF_HOME": str(cache),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
        "OMP_NUM_THREADS": "1",
    }


def start(url, folder, tasks):
    """Run this file as a script, with `url` as the hub and an empty cache."""
    environment = find_environment(url, folder / "cache")
    runs_root, log = folder / "runs", folder / "log.txt"
    with log.open("w") as output:
        command = [sys.executable, __file__, str(runs_root), *tasks]
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    return SimpleNamespace(process=process, runs_root=runs_root, log=log)


def test_without_the_hub_one_clear_message_and_nothing_left(processes):
    assert processes.alone.process.wait(timeout=60) != 0
    log = processes.alone.log.read_text()
    message = log.splitlines()[-1]
    assert message.startswith(
        "xl_influence.sources.DataError: XNLI, en, train (facebook/xnli): cannot be read"
    )
    assert "set data_root to a folder with clones" in message
    assert log.count("DataError:") == 1
    assert not list(processes.alone.runs_root.rglob("*"))


@pytest.mark.parametrize("task", TASKS)
def test_manifest_tells_data_encoder_and_accuracy(served, hub, task):
    manifest = read_manifest(served / "paper" / task / "base")
    assert manifest["data_fingerprint"]
    assert manifest["encoder"] == {
        "source": ENCODER,
        "revision": hub.repos["models", ENCODER].commit,
    }
    languages = manifest["parameters"]["languages"]
    assert manifest["rows"]["train"] == len(languages) * SMALL["train_size"]
    assert [row["epoch"] for row in manifest["dev_accuracy"]] == list(range(1, EPOCHS + 1))
    assert all(0 <= row[lang] <= 1 for row in manifest["dev_accuracy"] for lang in languages)
    lacking = {lang: len(rows) for lang, rows in fake_hub.UNTRANSLATED.items()}
    if task == "marc":
        lacking = {}
    else:
        lacking = dict.fromkeys(languages, 0) | (lacking if task == "pawsx" else {})
    left = {"items": sum(lacking.values()), "rows": lacking}
    assert manifest["untranslated"] == (dict.fromkeys(SPLITS, left) if lacking else {})
    assert manifest["test_tokenized"] == [SMALL["test_pool"], 0]
    assert set(manifest["unknown_tokens"]) == set(languages)


@pytest.mark.parametrize("task", TASKS)
def test_checkpoint_loads_with_plain_transformers(served, task):
    run = served / "paper" / task / "base"
    model = AutoModelForSequenceClassification.from_pretrained(run / "checkpoints" / "epoch-1")
    assert model.config.model_type == "xlm-roberta"
    assert tuple(model.config.id2label.values()) == TASKS[task].class_names
    in_use = read_manifest(run)["vocabulary_size"]
    assert model.config.vocab_size == in_use < WHOLE_VOCABULARY


@pytest.mark.parametrize("task", TASKS)
def test_scores_are_whole(served, task):
    cube = xr.open_zarr(served / "paper" / task / "base" / "scores.zarr").load()
    assert cube["group"].values.tolist() == ["embeddings", "layer-00", "layer-01", "head"]
    assert (cube.sizes["test"], cube.sizes["train"]) == (
        5 * SMALL["test_size"],
        5 * SMALL["train_size"],
    )
    assert all(bool(cube[name].notnull().all()) for name in ("dot", "test_sqnorm", "train_sqnorm"))
    assert bool((cube["train_sqnorm"] > 0).all())


@pytest.mark.parametrize("task", TASKS)
def test_everything_was_downloaded(served, hub, task):
    sent = {path for method, path, status in hub.requests if (method, status) == ("GET", 200)}
    sent = {re.sub("/resolve/[^/]+/", " ", path) for path in sent}
    wanted = {
        f"/{ENCODER} {name}" for name in ("config.json", "tokenizer.json", "model.safetensors")
    }
    for lang in params.merge({"task": task})["languages"]:
        name = TASKS[task].hub.format(lang=lang)
        files = [
            file
            for file in hub.repos["datasets", name].files
            if file.startswith(f"{lang}/") or file.endswith(".jsonl")
        ]
        assert len(files) == 3
        wanted |= {f"/datasets/{name} {file}" for file in files}
    assert wanted <= sent


def test_export_has_the_whole_vocabulary_and_the_same_logits(served):
    logits = np.load(served / "paper" / EXPORTED / "base" / "logits.npz")
    assert logits["vocabulary"] == WHOLE_VOCABULARY
    assert logits["cut"].shape == (LANGUAGES * SMALL["train_size"], 2)
    assert (logits["cut"].std(axis=0) > 0.01).all(), "different texts have different logits"
    np.testing.assert_allclose(logits["whole"], logits["cut"], rtol=0, atol=1e-5)


def study(runs_root, tasks):
    """What the processes do: the study of some tasks, and one run's export."""
    import torch

    from xl_influence import scores

    torch.set_num_threads(1)
    for task in tasks:
        run = scores.make(
            params.merge(SMALL | {"task": task, "runs_root": runs_root}), progress=False
        )
        if task == EXPORTED:
            save_logits(run)


def save_logits(run):
    """Save the logits on the training texts: of the cut checkpoint and of its export."""
    import pandas as pd
    import torch
    from transformers import AutoTokenizer

    from xl_influence import encoders, runs

    encoders.export(run, 1, run / "exported")
    tokenizer = AutoTokenizer.from_pretrained(run / "exported")
    whole = AutoModelForSequenceClassification.from_pretrained(run / "exported").eval()
    cut = encoders.load_checkpoint(run / "checkpoints" / "epoch-1")
    train = pd.read_parquet(run / "train.parquet")
    train["input_ids"] = runs.read_inputs(run, "train")["input_ids"]
    cutting = {"truncation": True, "max_length": SMALL["max_length"]}
    logits = {"whole": [], "cut": []}
    with torch.no_grad():
        for row in train.itertuples():
            inputs = tokenizer(row.text_a, row.text_b, **cutting, return_tensors="pt")
            logits["whole"].append(whole(**inputs).logits[0].numpy())
            logits["cut"].append(cut(torch.from_numpy(row.input_ids)[None]).logits[0].numpy())
    np.savez(run / "logits.npz", vocabulary=whole.config.vocab_size, **logits)


if __name__ == "__main__":
    study(sys.argv[1], sys.argv[2:])
