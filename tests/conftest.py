"""What tests share: tiny models, random samples, a smoke study, and the book built from it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import fake_hub
import filelock
import nbformat
import numpy as np
import pandas as pd
import pytest
import small_cube
import torch
import transformers

from xl_influence import demo, pages, params

ROOT = Path(__file__).resolve().parent.parent
VOCABULARY = 200
# Text that must appear on pages as it is, and never run, load or render.
HOSTILE = (
    "<script>alert(1)</script> ![x](http://example.org/x.png) <img src=x onerror=alert(2)> "
    "$x$ {{ x }} `y`"
)


@pytest.fixture(autouse=True)
def from_root(monkeypatch):
    monkeypatch.chdir(ROOT)


# Sizes of the tiny models, under the names that each architecture has for them.
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
ROBERTA_SIZES = SIZES | {"pad_token_id": 1, "type_vocab_size": 1}
DISTILBERT_SIZES = {
    "vocab_size": VOCABULARY,
    "dim": 32,
    "n_layers": 3,
    "n_heads": 4,
    "hidden_dim": 64,
    "max_position_embeddings": 64,
}
GPT2_SIZES = {
    "vocab_size": VOCABULARY,
    "n_embd": 32,
    "n_layer": 3,
    "n_head": 4,
    "n_positions": 64,
    "pad_token_id": 1,
}
# As in DeBERTa-v3: relative positions in a table that all layers and samples share.
DEBERTA_SIZES = SIZES | {
    "relative_attention": True,
    "position_buckets": 8,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "type_vocab_size": 0,
}
ARCHITECTURES = {
    "bert": SIZES,
    "roberta": ROBERTA_SIZES,
    "xlm-roberta": ROBERTA_SIZES,
    "distilbert": DISTILBERT_SIZES,
    "deberta-v2": DEBERTA_SIZES,
    "gpt2": GPT2_SIZES,
}


def tiny(kind, **changes):
    """A small classifier with random weights; `kind` is one of `ARCHITECTURES`."""
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(kind, **(ARCHITECTURES[kind] | changes))
    return transformers.AutoModelForSequenceClassification.from_config(config).eval()


def random_samples(n, seed, longest=20):
    """`n` samples of different lengths, special tokens included."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, longest - 1, n)
    return [
        {
            "input_ids": [0, *rng.integers(4, VOCABULARY, length).tolist(), 2],
            "label": int(rng.integers(2)),
        }
        for length in lengths
    ]


@pytest.fixture(scope="session")
def samples():
    """(train, test); among the training samples a test sample, duplicates and a single token."""
    test = random_samples(7, seed=1)
    train = random_samples(40, seed=2)
    return [*train, test[0], train[3], train[3], {"input_ids": [5], "label": 1}], test


@pytest.fixture
def small():
    """(cube, train, test), small enough to check by hand."""
    train, test = small_cube.TRAIN, small_cube.TEST
    return small_cube.cube(small_cube.VALUES, train, test), train, test


def run_python(*arguments, check=True, **environment):
    """Run this environment's Python in the project's root, and return the finished process."""
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"} | environment
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=env, capture_output=True, text=True
    )
    assert not check or done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done


def make_once(tmp_path_factory, name, make):
    """A folder that `make` fills, once for all processes of `pytest -n`; returns its path."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder, done = shared / name, shared / f"{name}.done"
    with filelock.FileLock(shared / f"{name}.lock"):
        if not done.exists():
            folder.mkdir(exist_ok=True)
            make(folder)
            done.touch()
    return folder


def run_smoke(folder):
    """Run the smoke study of all tasks by Snakemake, as `make study` does."""
    run_python(
        "-m",
        "snakemake",
        "--profile",
        "profiles/local",
        "--cores",
        "2",
        "--resources",
        "gpu=2",
        "--nolock",
        "--config",
        "study=smoke",
        f"runs_root={folder}",
        "threads=1",
    )


@pytest.fixture(scope="session")
def smoke(tmp_path_factory):
    """The runs folder of the smoke study of all tasks.

    The environment variable SMOKE_RUNS names a folder to keep it in, so that finished steps are
    not repeated.
    """
    kept = os.environ.get("SMOKE_RUNS")
    made = make_once(tmp_path_factory, "smoke", lambda folder: run_smoke(kept or folder))
    return Path(kept or made)


def write_own_task(folder, **changes):
    """Write XNLI's demo corpus as CSV files, and return the parameters of a study of them.

    It has three classes and two languages, one of which is not the paper's. `changes`: split →
    columns to replace.
    """
    rows = pd.DataFrame(demo.load("xnli"))
    rows = rows[rows["lang"].isin(["en", "de"])].replace({"lang": {"de": "pt"}})
    rows["label"] = rows["label"].map({0: "entailment", 1: "neutral", 2: "contradiction"})
    folder.mkdir()
    for split, part in rows.groupby("split"):
        columns = ["text_a", "text_b", "label", "lang", "item"]
        part[columns].assign(**changes.get(split, {})).to_csv(folder / f"{split}.csv", index=False)
    given = {
        "study": "smoke",
        "task": "own",
        "data_root": str(folder),
        "runs_root": str(folder / "runs"),
        "languages": ["en", "pt"],
        "zero_shot_languages": ["pt"],
        "imbalance_languages": ["pt"],
    }
    return params.merge(given)


def run_hostile(folder):
    """Run MARC up to notebook 02, on reviews that begin with `HOSTILE`."""
    fake_hub.write_datasets(folder / "hub", begin=HOSTILE + " ")
    run_python(
        "-m",
        "xl_influence.notebook",
        "02",
        "study=smoke",
        "task=marc",
        "data=hub",
        "max_length=96",
        f"data_root={folder / 'hub' / 'datasets'}",
        f"runs_root={folder / 'runs'}",
    )


@pytest.fixture(scope="session")
def hostile(tmp_path_factory):
    """The folder of a run of MARC on reviews that begin with `HOSTILE`."""
    folder = make_once(tmp_path_factory, "hostile", run_hostile)
    return folder / "runs" / "smoke" / "marc" / "base"


def build_site(source, smoke, hostile):
    """Build the book in the folder `source`, from the smoke study and the hostile reviews."""
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "book", source / "book", ignore=shutil.ignore_patterns("runs"))
    (source / "benchmarks").mkdir()
    shutil.copy(ROOT / "benchmarks" / "architectures.json", source / "benchmarks")
    target = source / "book" / "runs"
    pages.gather("smoke", runs_root=str(smoke), target=target, demo="smoke", demo_root=str(smoke))
    notebook = nbformat.read(hostile / "notebooks" / "02-influence.ipynb", 4)
    place = "marc/02-influence.ipynb"
    nbformat.write(pages.make_page(notebook, place, "MARC", "Hostile"), target / place)
    pages.write_explorer(hostile / "explorer.json", target / "explorer" / "marc.js")
    script = str(Path(sys.executable).parent / "jupyter-book")
    run_python(script, "build", str(source), "-n", "-W", "--keep-going")


@pytest.fixture(scope="session")
def site(smoke, hostile, tmp_path_factory):
    """The book's HTML with the notebooks of the smoke study; the reviews it shows are hostile."""
    source = make_once(tmp_path_factory, "site", lambda folder: build_site(folder, smoke, hostile))
    return source / "_build" / "html"
