"""Bad inputs of every kind: each gives the message in `bad_inputs.yaml`, and leaves nothing behind.

Then what no message can tell: nothing pickled is loaded, no code of an encoder is run, a Parquet
file that unpacks to gigabytes is refused, and markup in data stays text.
"""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from conftest import HOSTILE, tiny

from xl_influence import (
    charts,
    data,
    encoders,
    influence,
    measurements,
    notebook,
    own_files,
    pages,
    params,
    publish,
    retraining,
    runs,
    scale,
    scores,
    settings,
    sharing,
    sizes,
    status,
    tables,
)
from xl_influence.manifest import write_manifest

TABLE = yaml.safe_load(Path(__file__).with_name("bad_inputs.yaml").read_text(encoding="utf-8"))
HEAD = "text_a,text_b,label,lang,item\n"
ROWS = "one,first,a,{0},1\ntwo,second,b,{0},2\nthree,third,a,{0},3\n"
FILES = dict.fromkeys(
    ("train.csv", "validation.csv", "test.csv"), HEAD + ROWS.format("en") + ROWS.format("de")
)
TRAIN = pd.DataFrame(
    {"uid": ["en0", "en1", "de0", "de1"], "lang": ["en", "en", "de", "de"], "item": [0, 1, 0, 1]}
).assign(label=0)
TEST = pd.DataFrame({"uid": ["en7", "de7"], "lang": ["en", "de"], "item": 7, "label": 0})
VALUES = np.arange(16.0).reshape(2, 2, 4)  # (checkpoint, test, train)


def find_files(folder):
    """Every file of a folder, with its content."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def expect(message, folder, call, *arguments, **named):
    """The call must fail with this message and change no file of the folder."""
    before = find_files(folder)
    with pytest.raises((ValueError, RuntimeError)) as error:
        call(*arguments, **named)
    assert message in str(error.value)
    assert find_files(folder) == before


def test_there_are_a_hundred():
    assert sum(map(len, TABLE.values())) >= 100


@pytest.mark.parametrize(("given", "message"), TABLE["parameters"], ids=str)
def test_parameters(given, message, tmp_path):
    expect(message, tmp_path, params.merge, given | {"runs_root": str(tmp_path)})


@pytest.mark.parametrize(("word", "message"), TABLE["command"], ids=str)
def test_command(word, message, tmp_path):
    expect(message, tmp_path, lambda: params.merge(params.parse([word])))


@pytest.mark.parametrize("case", TABLE["data"], ids=lambda case: case["message"])
def test_data(case, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    files = FILES | case.get("files", {})
    if "replace" in case:
        name, old, new = case["replace"]
        assert old in files[name]
        files[name] = files[name].replace(old, new)
    for name, text in files.items():
        if text is not None:
            (folder / name).write_text(text, encoding="utf-8")
    for name, code in case.get("hex", {}).items():
        (folder / name).write_bytes(bytes.fromhex(code))
    given = {"study": "smoke", "task": "own", "data_root": str(folder), "train_size": 2}
    given |= {"dev_size": 1, "top_k": 2, "removal_ks": [1], "runs_root": str(tmp_path / "runs")}

    def load():
        merged = params.merge(given | case.get("given", {}))
        sizes.check(merged)
        data.load(merged)

    expect(case["message"], tmp_path, load)


@pytest.mark.parametrize("kind", ["checkpoint", "cube", "result"])
def test_every_case_of_the_table_has_its_function(kind):
    assert all(callable(globals()[case["what"]]) for case in TABLE[kind])


@pytest.mark.parametrize("case", TABLE["checkpoint"], ids=lambda case: case["what"])
def test_checkpoint(case, tmp_path):
    folder = tmp_path / "epoch-1"
    tiny("bert").save_pretrained(folder)
    expect(case["message"], tmp_path, globals()[case["what"]](folder))


def load(folder):
    return lambda: encoders.load_checkpoint(folder)


def change_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


class Trap:
    """Leaves a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def no_folder(folder):
    shutil.rmtree(folder)
    return load(folder)


def no_config(folder):
    (folder / "config.json").unlink()
    return load(folder)


def config_cut_short(folder):
    (folder / "config.json").write_text('{"model_type": "be')
    return load(folder)


def unknown_architecture(folder):
    change_config(folder, model_type="oracle")
    return load(folder)


def weights_cut_short(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    return load(folder)


def weights_of_another_shape(folder):
    change_config(folder, hidden_size=64)
    return load(folder)


def pickled_weights(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(folder / "trapped")))
    return load(folder)


def pickled_vocabulary(folder):
    run = folder.parent / "run"
    shutil.copytree(folder, run / "checkpoints" / "epoch-1")
    trap = np.array([Trap(folder / "trapped")], dtype=object)
    np.save(run / "checkpoints" / "vocabulary.npy", trap, allow_pickle=True)
    write_manifest(run, parameters=params.merge({"study": "smoke"}), chosen_epoch=1)
    return lambda: encoders.export(run, 1, folder.parent / "target")


def load_encoder(folder, **changes):
    given = params.merge({"study": "smoke", "encoder": str(folder)} | changes)
    return lambda: encoders.load_model(given, ("a", "b"), seed=0)


def encoder_with_pickled_weights(folder):
    pickled_weights(folder)
    return load_encoder(folder)


def encoder_with_code(folder):
    change_config(folder, model_type="own", auto_map={"AutoConfig": "code.Config"})
    (folder / "code.py").write_text(f"open({str(folder / 'trapped')!r}, 'w')\n")
    return load_encoder(folder)


def encoder_with_few_layers(folder):
    return load_encoder(folder, encoder_layers=9)


def encoder_without_words(folder):
    return lambda: encoders.load_tokenizer(str(folder))


@pytest.mark.parametrize("case", TABLE["cube"], ids=lambda case: case["what"])
def test_cube(case, tmp_path):
    expect(case["message"], tmp_path, globals()[case["what"]](tmp_path))


def cube(values=VALUES):
    return influence.from_values(values, TRAIN, TEST)


def read(run, scored=None):
    """Write a cube to a run's folder; the function that reads it."""
    (scored if scored is not None else cube()).to_zarr(run / "scores.zarr")
    return lambda: scores.read_cube(run)


def no_cube(run):
    return lambda: scores.read_cube(run)


def not_a_number(run):
    values = VALUES.copy()
    values[1, 0, 2] = np.nan
    return read(run, cube(values))


def no_array(run):
    return read(run, cube().drop_vars("train_sqnorm"))


def no_zarr(run):
    (run / "scores.zarr").mkdir()
    (run / "scores.zarr" / "notes.txt").write_text("not a cube")
    return lambda: scores.read_cube(run)


def cube_metadata_cut_short(run):
    call = read(run)
    path = run / "scores.zarr" / "zarr.json"
    path.write_text(path.read_text()[:40])
    return call


def chunk_cut_short(run):
    call = read(run)
    path = next(path for path in (run / "scores.zarr" / "dot" / "c").rglob("*") if path.is_file())
    path.write_bytes(path.read_bytes()[:10])
    return call


def other_samples(run):
    return lambda: sharing.cross_language(cube(), TRAIN[::-1], TEST, top_k=1)


def too_many(run):
    return lambda: sharing.cross_language(cube(), TRAIN, TEST, top_k=99)


def infinite(run):
    values = VALUES.copy()
    values[0, 0, 0] = np.inf
    return lambda: sharing.cross_language(cube(values), TRAIN, TEST, top_k=1)


def no_checkpoints(run):
    return lambda: sharing.epoch_tests(cube(VALUES[0]), TRAIN, TEST)


def no_groups(run):
    return lambda: sharing.by_group(cube(), TRAIN, TEST, top_k=1)


def unknown_group(run):
    return lambda: influence.influence(cube(), groups=["tail"])


def other_shape(run):
    return lambda: cube(VALUES[0, :, :3])


def unknown_test_sample(run):
    return lambda: sharing.influential_samples(cube(), TRAIN, TEST, "en8")


def nothing_left_to_train(run):
    return lambda: retraining.plan_removals(cube(), TRAIN, TEST, ks=[4], samples=1, seeds=[0])


@pytest.mark.parametrize("case", TABLE["result"], ids=lambda case: case["what"])
def test_result(case, tmp_path, monkeypatch):
    expect(case["message"], tmp_path, globals()[case["what"]](tmp_path, monkeypatch))


def merged(folder, **changes):
    return params.merge({"study": "smoke", "runs_root": str(folder)} | changes)


def write_table(folder, **attributes):
    """Write a table of the smoke study; returns its path."""
    frame = pd.DataFrame({"share": [0.5]})
    tables.write(merged(folder), shares=frame)
    return tables.find_output_dir(merged(folder)) / "tables" / "shares.parquet"


def no_table(folder, monkeypatch):
    return lambda: tables.read(merged(folder), "shares")


def table_of_other_parameters(folder, monkeypatch):
    path, other = write_table(folder), merged(folder, top_k=9)
    place = tables.find_output_dir(other) / "tables"
    place.mkdir(parents=True)
    shutil.copy(path, place)
    return lambda: tables.read(other, "shares")


def table_without_parameters(folder, monkeypatch):
    pd.DataFrame({"share": [0.5]}).to_parquet(write_table(folder))
    return lambda: tables.read(merged(folder), "shares")


def table_cut_short(folder, monkeypatch):
    path = write_table(folder)
    path.write_bytes(path.read_bytes()[:50])
    return lambda: tables.read(merged(folder), "shares")


def published_with_other_parameters(folder, monkeypatch):
    run = runs.find_folder(merged(folder))
    (run / "influence.zarr").mkdir(parents=True)
    write_manifest(run, parameters=merged(folder))
    return lambda: scores.read(merged(folder, epochs=3))


def table_with_texts(folder, monkeypatch):
    tables.write(merged(folder), shares=pd.DataFrame({"note": ["x" * 41]}))
    source = tables.find_output_dir(merged(folder)) / "tables"

    def copy():
        with runs.write_atomically(folder / "target") as partial:
            publish.copy_tables(merged(folder), source, partial)

    return copy


def book_with_holes(folder, monkeypatch):
    return lambda: pages.gather("smoke", str(folder), folder / "pages", "smoke", str(folder))


def no_benchmark_of_scale(folder, monkeypatch):
    return lambda: scale.read(folder / "scale.json")


def no_benchmark(folder, monkeypatch):
    return lambda: measurements.read_results(folder / "results.json")


def settings_of_no_run(folder, monkeypatch):
    return lambda: settings.add(merged(folder), folder / "results")


def no_such_notebook(folder, monkeypatch):
    return lambda: notebook.find("99")


def no_such_keep(folder, monkeypatch):
    return lambda: scale.plan_study(scale.Large(keep="all"), ({}, pd.DataFrame()), pd.DataFrame())


# What no message can tell


def test_nothing_pickled_was_loaded_and_no_code_was_run(tmp_path):
    for what in ("pickled_weights", "encoder_with_pickled_weights", "encoder_with_code"):
        folder = tmp_path / what
        tiny("bert").save_pretrained(folder)
        call = globals()[what](folder)
        with pytest.raises(encoders.EncoderError):
            call()
        assert not (folder / "trapped").exists()
    pickle.loads(pickle.dumps(Trap(tmp_path / "trapped")))  # the trap itself works
    assert (tmp_path / "trapped").exists()


def test_weights_of_another_kind_are_never_read_even_if_they_are_sound(tmp_path):
    model = tiny("bert")
    model.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(encoders.EncoderError, match=r"model\.safetensors"):
        encoders.load_checkpoint(tmp_path)


def write_bomb(path, text, times):
    """A Parquet file of one text, many times: kilobytes on disk."""
    column = pa.DictionaryArray.from_arrays(np.zeros(times, np.int32), [text])
    pq.write_table(pa.table({"text_a": column}), path)


@pytest.mark.parametrize(("text", "times"), [("x" * 2**20, 10_000), ("", 10**6)])
def test_a_parquet_file_that_unpacks_to_gigabytes_is_refused(text, times, tmp_path, monkeypatch):
    path = tmp_path / "train.parquet"
    write_bomb(path, text, times)
    if not text:  # rows alone, with a limit that a test can reach
        monkeypatch.setattr(own_files, "UNPACKED", 4 * 10**6)
    assert path.stat().st_size < 2**21
    with pytest.raises(own_files.TaskError, match=r"take more than \d+ GB when unpacked"):
        own_files.read(path)


def test_an_ordinary_parquet_file_is_read(tmp_path):
    path = tmp_path / "train.parquet"
    pd.DataFrame({"text_a": ["one", None, "three"], "label": [1, 2, 3]}).to_parquet(path)
    assert own_files.read(path)["text_a"].tolist()[::2] == ["one", "three"]


def test_markup_in_every_field_of_a_sample_stays_text():
    sample = dict.fromkeys(("uid", "text_a", "text_b", "phenomenon"), HOSTILE)
    rows = pd.DataFrame([sample | {"lang": "en", "label": 0, "sign": "test", "influence": 0.5}])
    for marked in (False, True):
        found = charts.show_samples(rows, [HOSTILE], marked=marked).data
        assert "<script" not in found and "<img" not in found and found.count("&lt;script") >= 4


def test_markup_in_tables_stays_text(monkeypatch):
    monkeypatch.setenv("XL_INFLUENCE_BOOK", "1")
    charts.set_up()
    source = params.Source({"text_a": "given"})
    source.names = ("text_a",)
    counts = {split: {"en": {"0": 3, "1": 2}} for split in ("train", "validation", "test")}
    shown = (
        status.list_parameters({"text_a": HOSTILE}, source),
        status.count_classes({"class_counts": counts}, [HOSTILE, "b"]),
        pd.DataFrame({"lang": ["en"], "reason": [HOSTILE]}),
    )
    for table in shown:
        found = table.style.hide().to_html()
        assert "<script" not in found and "&lt;script" in found
