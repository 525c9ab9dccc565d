"""A published run has no text, gives the same tables as its source, and is never computed."""

import hashlib
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import ROOT, run_python

from xl_influence import data, pages, params, prepare, publish, runs, scores, sharing, tables, texts
from xl_influence.manifest import read_manifest

pytestmark = pytest.mark.slow

CHOICE = {"top_k": 10, "bootstrap": sharing.Bootstrap(200)}


@pytest.fixture(scope="module")
def computed(smoke, tmp_path_factory):
    """The smoke study with random scores.

    Its own cosines are nearly 1 or −1; these have all sizes, as those of a trained model.
    """
    folder = tmp_path_factory.mktemp("computed")
    shutil.copytree(smoke / "smoke", folder / "smoke")
    rng = np.random.default_rng(0)
    for path in folder.glob("smoke/*/*/scores.zarr"):
        cube = xr.open_zarr(path).load()
        sizes = cube["dot"].shape
        cube["dot"] = (
            cube["dot"].dims,
            rng.normal(scale=0.2 / np.sqrt(sizes[1]), size=sizes).astype(np.float32),
        )
        for name in ("test_sqnorm", "train_sqnorm"):
            cube[name] = xr.full_like(cube[name], 1 / sizes[1])
        shutil.rmtree(path)
        cube.drop_encoding().to_zarr(path)
    return folder


@pytest.fixture(scope="module")
def published(computed, tmp_path_factory):
    """The folder with the published study: base of XNLI and MARC, and XNLI without Spanish."""
    target = tmp_path_factory.mktemp("results")
    for task, variant in (("xnli", "base"), ("marc", "base"), ("xnli", "without-es")):
        publish.publish(given(computed, task, variant), target)
    return target


def given(root, task="xnli", variant="base"):
    return params.merge(
        {"study": "smoke", "task": task, "variant": variant, "runs_root": str(root)}
    )


def contents(folder):
    """Hash every published file; executed notebooks and the explorer's data are not published."""
    paths = [path for path in folder.rglob("*") if path.is_file() and "notebooks" not in path.parts]
    paths = [path for path in paths if path.name != "explorer.json"]
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths
    }


@pytest.mark.parametrize("task", ["xnli", "marc"])
def test_the_same_tables_at_the_printed_digits(computed, published, task):
    whole, read = (scores.read(given(root, task))[:3] for root in (computed, published))
    assert (read[1]["item"] == read[1]["uid"]).all() == (task == "marc")  # reviews: no translations
    for name in ("cross_language", "composition", "reinforcement", "scripts"):
        if name == "reinforcement" and task == "marc":
            continue
        frames = [getattr(sharing, name)(*run, **CHOICE) for run in (whole, read)]
        numbers = [frame.select_dtypes("number").round(2) for frame in frames]
        pd.testing.assert_frame_equal(*numbers)
    bootstrap = CHOICE["bootstrap"]
    means = [sharing.mean_influence(*run, bootstrap=bootstrap)["mean"] for run in (whole, read)]
    assert np.allclose(*means, atol=1e-3)


def test_no_text_in_any_file(smoke, published):
    for task in ("xnli", "marc"):
        run, source = runs.find_folder(given(published, task)), runs.find_folder(given(smoke, task))
        known = [pd.read_parquet(source / f"{name}.parquet") for name in ("train", "test")]
        known = pd.concat(known)
        words = {text for column in ("text_a", "text_b") for text in known[column].dropna()}
        expected = {"train.parquet", "test.parquet", "influence.zarr", "manifest.json", "tables"}
        assert expected <= {path.name for path in run.iterdir()}
        for path in run.rglob("*.parquet"):
            frame = pd.read_parquet(path)
            assert not {"text_a", "text_b"} & set(frame)
            strings = frame.select_dtypes(["object", "str"])
            values = {value for column in strings for value in strings[column].dropna()}
            assert not values & words, path
        stored = xr.open_zarr(run / "influence.zarr", consolidated=False)
        assert not {str(value) for name in stored.coords for value in stored[name].values} & words
        manifest = (run / "manifest.json").read_text(encoding="utf-8")
        assert not any(text in manifest for text in words)


def test_no_text_in_its_pages_or_in_the_explorer(computed, published):
    merged = given(published, "marc")
    for name in ("01", "02", "03"):
        given_here = ["study=smoke", "task=marc", f"runs_root={published}"]
        run_python("-m", "xl_influence.notebook", name, *given_here)
    samples = [runs.read_samples(given(computed, "marc"), split) for split in ("train", "test")]
    known = {text for frame in samples for text in frame["text_a"]}
    folder = runs.find_folder(merged)
    written = [*folder.glob("notebooks/*.ipynb"), folder / "explorer.json"]
    assert len(written) == 4
    for path in written:
        page = path.read_text(encoding="utf-8")
        forms = {form for text in known for form in (text, json.dumps(text)[1:-1])}
        assert not [form for form in forms if form in page], path


def test_the_influence_has_six_digits_and_is_by_checkpoint(computed, published):
    stored = xr.open_zarr(
        runs.find_folder(given(published)) / "influence.zarr", consolidated=False
    )["influence"]
    cube = scores.read_cube(runs.find_folder(given(computed)))
    assert stored.dims == ("checkpoint", "test", "train") and stored.encoding["dtype"] == np.int32
    assert stored.sizes["checkpoint"] == cube.sizes["checkpoint"]
    exact = cube["dot"].sum("group") / np.sqrt(
        cube["test_sqnorm"].sum("group") * cube["train_sqnorm"].sum("group")
    )
    assert float(abs(exact - stored.astype(float)).max()) < 2e-6
    assert list(stored["train"].values) == list(
        pd.read_parquet(runs.find_folder(given(computed)) / "train.parquet")["uid"]
    )


def test_a_variant_keeps_the_test_samples_of_its_language(published):
    run = runs.find_folder(given(published, variant="without-es"))
    assert set(pd.read_parquet(run / "test.parquet")["lang"]) == {"es"}
    stored = xr.open_zarr(run / "influence.zarr", consolidated=False)["influence"]
    assert stored.dims == ("test", "train")
    seen, unseen = (
        scores.read(given(published, variant=name))[:3] for name in ("base", "without-es")
    )
    assert len(sharing.zero_shot(seen, unseen, "es", **CHOICE))


def test_a_published_run_is_never_computed(published):
    assert runs.can_load(given(published)) and runs.can_load(given(published, variant="without-es"))
    assert not runs.can_load(given(published, variant="without-de"))
    assert not runs.can_load(given(published, task="pawsx"))
    with pytest.raises(runs.RunError, match=r"train_size was 24, is 30 here.*runs_root"):
        scores.read(given(published) | {"train_size": 30})


def test_reading_changes_nothing_that_is_published(published):
    def analyse(name, *more):
        given_here = ["study=smoke", "task=xnli", f"runs_root={published}"]
        run_python("-m", "xl_influence.notebook", name, *given_here, *more)

    analyse("04")  # its tables come from the published influence from now on
    before = contents(published)
    for name in ("04", "10"):
        analyse(name)
    assert contents(published) == before
    analyse("04", "top_k=3")
    after = {
        path: value for path, value in contents(published).items() if "other" not in path.parts
    }
    assert after == before, "an analysis with other parameters writes elsewhere"
    assert tables.read(given(published) | {"top_k": 3}, "cross_language") is not None


def test_texts_come_back_with_the_data_and_only_with_the_same(smoke, published):
    merged = given(published)
    manifest, bare = read_manifest(runs.find_folder(merged)), runs.read_samples(merged, "train")
    found = texts.insert(bare, texts.redraw(merged, manifest)["train"])
    assert list(found["text_a"]) == list(runs.read_samples(given(smoke), "train")["text_a"])
    with pytest.raises(runs.RunError, match="fingerprint"):
        texts.redraw(merged, manifest | {"data_fingerprint": "another"})


def test_the_manifest_names_no_folder_of_the_machine(published, smoke):
    manifest = read_manifest(runs.find_folder(given(published)))
    assert manifest["parameters"]["runs_root"] == "runs"
    assert manifest["parameters"]["data_root"] == ""
    assert str(smoke) not in json.dumps(manifest)
    assert manifest["class_counts"] == data.count_classes(data.load(given(smoke)))


def test_a_task_that_was_not_published_gets_pages_that_say_so(published):
    found = pages.find_sources("smoke", str(published), ("00-the-answer",))
    paths = {source.place: source.path for source in found}
    assert (
        paths["xnli/04-cross-language-influence.ipynb"]
        and paths["xnli/07-zero-shot.ipynb"]
        and paths["00-the-answer.ipynb"]
    )
    assert (
        paths["pawsx/04-cross-language-influence.ipynb"] is None
        and paths["marc/08-imbalance.ipynb"] is None
    )
    assert "explorer/marc.js" in paths and "explorer/pawsx.js" not in paths
    assert pages.describe_data(given(published, task="pawsx")).endswith(
        "This study has not been computed on it yet."
    )


def test_a_run_from_a_prepared_folder_is_described_where_the_data_are(
    computed, published, tmp_path
):
    run = runs.find_folder(given(computed))
    shutil.copytree(
        computed / "smoke" / "xnli" / "base", tmp_path / "runs" / "smoke" / "xnli" / "base"
    )
    for name in ("train", "test"):
        path = tmp_path / "runs" / "smoke" / "xnli" / "base" / f"{name}.parquet"
        pd.read_parquet(run / f"{name}.parquet").drop(columns=["text_a", "text_b"]).to_parquet(
            path, index=False
        )
    prepare.prepare(given(computed), tmp_path)
    merged = given(tmp_path / "runs") | {"prepared": str(tmp_path)}
    folder = publish.publish(merged, tmp_path / "results")
    assert "official" not in pd.read_parquet(folder / "train.parquet")
    publish.describe(given(computed), tmp_path / "results")
    for name in ("train", "test"):
        whole = pd.read_parquet(runs.find_folder(given(published)) / f"{name}.parquet")
        pd.testing.assert_frame_equal(
            pd.read_parquet(folder / f"{name}.parquet")[list(whole)], whole
        )


def test_a_run_of_other_parameters_is_named_and_not_made_again(computed, tmp_path):
    other = given(computed) | {"shard_size": 7}
    with pytest.raises(scores.ScoreError, match=r"shard_size was .* is 7 here"):
        publish.publish(other, tmp_path / "results")
    assert not (tmp_path / "results").exists() and scores.is_done(given(computed))


def test_a_variant_keeps_both_ends_of_each_row_exactly_and_their_order():
    rng = np.random.default_rng(0)
    values = xr.DataArray(rng.normal(size=(3, 400)).astype(np.float32), dims=("test", "train"))
    found = publish.coarsen_middle(values, tail=50).to_numpy()
    order, coarse = np.argsort(values, axis=1).to_numpy(), np.argsort(found, axis=1)
    for ends in (slice(50), slice(-50, None)):
        np.testing.assert_array_equal(order[:, ends], coarse[:, ends])
        rows = np.arange(3)[:, None]
        np.testing.assert_array_equal(
            found[rows, order[:, ends]], values.to_numpy()[rows, order[:, ends]]
        )
    assert np.abs(found - values).max() <= publish.COARSE
    assert len(np.unique(found)) < 3 * (100 + 20)  # of 1,200
    short = values[:, :100]
    assert publish.coarsen_middle(short, tail=50) is short  # all values are in an end


def test_a_study_without_the_variants_that_are_needed_says_so():
    base = params.merge({"study": "real", "task": "marc", "runs_root": str(ROOT / "results")})
    variants = [params.with_variant(base, name) for name in ("plus-7-en", "plus-9-de")]
    assert scores.make_all(variants) == {}, "nothing is computed in a folder of published runs"
    with pytest.raises(scores.ScoreError, match="marc: none of plus-7-en, plus-9-de is published"):
        scores.make_all(variants, needed=True)
