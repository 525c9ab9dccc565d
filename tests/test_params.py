"""Parameters: order of merging, every kind of wrong value, and the cells of the notebooks."""

import json
import re

import pytest
import yaml
from conftest import ROOT, run_python

from xl_influence import (
    data,
    fingerprints,
    notebook_cells,
    own_task,
    params,
    prepared,
    sections,
    settings,
    steps,
    tables,
)

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_later_layers_win():
    merged, source = params.merge_with_source({"task": "pawsx", "study": "cpu", "epochs": 7})
    assert merged["languages"] == ["en", "de", "es", "fr", "ko"]
    assert (merged["learning_rate"], source["learning_rate"]) == (
        5e-5,
        "studies/cpu.yaml",
    )  # the task says 9e-6
    assert (merged["epochs"], source["epochs"]) == (7, "given")
    assert source["weight_decay"] == "base.yaml"


def test_paper_study_is_the_papers():
    rates = {
        task: params.merge({"study": "paper", "task": task})["learning_rate"]
        for task in ("xnli", "pawsx", "marc")
    }
    assert rates == {"xnli": 2e-5, "pawsx": 9e-6, "marc": 2e-5}
    merged = params.merge({"study": "paper"})
    wanted = {
        "train_size": 2000,
        "epochs": 10,
        "patience": 3,
        "test_size": 25,
        "top_k": 100,
        "encoder": "FacebookAI/xlm-roberta-base",
    }
    assert {key: merged[key] for key in wanted} == wanted


def test_variants_change_what_they_say_and_go_back():
    merged = params.merge({"task": "pawsx", "variant": "without-ko"})
    assert (merged["left_out"], merged["test_from"]) == ("ko", "base")
    assert params.with_variant(merged, "base") == params.merge({"task": "pawsx"})
    more = params.with_variant(merged, "plus-50-de")
    assert (more["left_out"], more["extra_language"], more["extra_percent"]) == ("", "de", 50)


def test_a_corrupted_variant_says_how_many_and_which_and_goes_back():
    merged = params.merge({"task": "pawsx", "variant": "flipped-10-3"})
    assert (merged["flip_share"], merged["swap_share"], merged["corruption_seed"]) == (0.1, 0, 3)
    assert params.with_variant(merged, "base") == params.merge({"task": "pawsx"})
    other = params.with_variant(merged, "swapped-20-0")
    assert (other["flip_share"], other["swap_share"], other["corruption_seed"]) == (0, 0.2, 0)
    given = params.merge({"task": "pawsx", "flip_share": 0.3})
    assert params.with_variant(given, "without-ko")["flip_share"] == 0.3, "what is given stays"


def test_what_is_trained_again_has_its_own_scale_and_takes_what_is_given():
    given = params.merge_with_source({"task": "marc", "removal_ks": [3], "train_size": 50})
    small = params.switch_study(*given, "removal_study")
    assert (small["study"], small["task"], small["removal_ks"], small["train_size"]) == (
        "demo-small",
        "marc",
        [3],
        100,
    )
    whole = params.merge_with_source({"variants_study": ""})
    assert params.switch_study(*whole, "variants_study") == whole[0]


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ({"trian_size": 5}, ["'trian_size'", "did you mean 'train_size'", "top_k"]),
        ({"task": "squad"}, ["task='squad'", "marc, own, pawsx, xnli"]),
        (
            {"study": "huge"},
            [
                "study='huge'",
                "cpu, cpu-small, demo, demo-small, demo-subsets, paper, real, real-subsets, smoke",
            ],
        ),
        ({"top_k": 501}, ["top_k=501", "1 to 500", "train_size 100"]),
        ({"top_k": 0}, ["top_k=0", "from 1"]),
        ({"train_size": "many"}, ["train_size='many'", "whole number"]),
        ({"train_size": True}, ["train_size=True"]),
        ({"train_size": 5.0}, ["train_size=5.0 (given): allowed is a whole number from 1"]),
        ({"bf16": 1}, ["bf16=1 (given): allowed is true or false"]),
        ({"random_weights": "no"}, ["random_weights='no' (given): allowed is true or false"]),
        ({"learning_rate": True}, ["learning_rate=True"]),
        ({"learning_rate": "fast"}, ["learning_rate='fast'", "less than 1"]),
        ({"precision": "float16"}, ["precision='float16'", "float32, tf32 or bf16"]),
        ({"languages": ["en", "en"]}, ["languages=['en', 'en']", "different language codes"]),
        ({"epochs": 0, "seed": -1}, ["epochs=0 (given)", "\nseed=-1 (given)"]),
        ({"variant": 3}, ["variant=3", "seed-<number>"]),
        ({"data_root": "/no/such/folder"}, ["/no/such/folder", "existing folder"]),
        ({"languages": ["en", "xx"]}, ["xx", "ar, bg, de, el, en"]),
        ({"device": "tpu"}, ["device='tpu'", "auto, cpu, cuda"]),
        ({"learning_rate": 3}, ["learning_rate=3 ", "less than 1"]),
        (
            {"variant": "without"},
            [
                "variant='without'",
                "base, without-<language>, plus-<percent>-<language>, seed-<number>, flipped-",
            ],
        ),
        (
            {"variant": "without-ko"},
            ["left_out='ko'", "the variant without-ko", "en, de, es, fr, ru"],
        ),
        ({"variant": "plus-50-ko"}, ["extra_language='ko'", "en, de, es, fr, ru"]),
        ({"variant": "without-en", "languages": ["en"]}, ["nothing is left to train on"]),
        ({"extra_percent": 50}, ["extra_language and extra_percent go together"]),
        ({"zero_shot_languages": ["xx"]}, ["zero_shot_languages=['xx']", "xx is not in the study"]),
        ({"other_seeds": [1, 1]}, ["other_seeds=[1, 1] (given)", "different whole numbers from 0"]),
        ({"other_seeds": [-1]}, ["other_seeds=[-1]", "whole numbers from 0"]),
        ({"other_seeds": [3, 0]}, ["other_seeds=[3, 0] (given)", "0 is the seed of base"]),
        ({"flip_share": 1}, ["flip_share=1 (given)", "from 0, less than 1"]),
        ({"swap_share": "some"}, ["swap_share='some'", "from 0, less than 1"]),
        ({"variant": "flipped-100-0"}, ["flip_share=1.0 (the variant flipped-100-0)"]),
        ({"variant": "flipped-10"}, ["variant='flipped-10'", "flipped-<percent>-<seed>"]),
        ({"flip_share": 0.1, "swap_share": 0.2}, ["swap_share=0.2", "flip_share=0.1", "is 0"]),
        ({"corruption_seed": 2}, ["corruption_seed=2 (given)", "without flip_share"]),
        ({"corruption_seed": -1}, ["corruption_seed=-1 (given)", "from 0"]),
        ({"removal_ks": [0]}, ["removal_ks=[0]", "whole numbers from 1"]),
        ({"removal_study": "huge"}, ["removal_study='huge'", "demo-small"]),
    ],
)
def test_wrong_values_say_what_is_allowed(given, parts):
    with pytest.raises(params.ParameterError) as error:
        params.merge(given)
    for part in parts:
        assert part in str(error.value)


def test_a_misspelt_key_in_a_file_names_the_file(tmp_path, monkeypatch):
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "base.yaml").write_text("task: xnli\nepoch: 3\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(params.ParameterError, match=r"'epoch' .*base.yaml.*did you mean 'epochs'"):
        params.merge()


def test_every_file_has_known_keys_only():
    for path in (ROOT / "params").rglob("*.yaml"):
        assert set(yaml.safe_load(path.read_text())) <= set(params.KEYS), path
    assert list(yaml.safe_load((ROOT / "params" / "base.yaml").read_text())) == list(params.KEYS)


def test_numbers_keep_their_types():
    merged = params.merge({"learning_rate": "1e-4", "test_memory": 2})
    assert (merged["learning_rate"], merged["test_memory"]) == (1e-4, 2.0)
    assert type(merged["test_memory"]) is float and type(merged["train_size"]) is int


def read_parameters_cell(path):
    """The values in a notebook's parameters cell, by their keys."""
    cell = params.find_cell(json.loads(path.read_text(encoding="utf-8")))
    return params.read_cell("".join(cell["source"]))


def test_notebooks_take_exactly_the_keys_there_are():
    keys = {path.name: read_parameters_cell(path) for path in NOTEBOOKS}
    assert set().union(*keys.values()) == set(params.KEYS)
    for name, defaults in keys.items():  # nothing in a notebook shadows the files
        assert {k: v for k, v in defaults.items() if v is not None}.items() <= {
            "task": "xnli",
            "study": "demo",
            "variant": "base",
        }.items(), name


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_parameters_cells_are_those_of_base_yaml(path):
    assert path.read_text() == notebook_cells.rewrite(path), "run `make notebooks`"


def test_papermill_lists_type_and_comment_of_every_parameter():
    from papermill.inspection import inspect_notebook

    found = inspect_notebook(str(ROOT / "notebooks" / "02-influence.ipynb"))
    assert list(found) == list(read_parameters_cell(ROOT / "notebooks" / "02-influence.ipynb"))
    assert found["test_memory"]["inferred_type_name"] == "float"
    assert found["precision"]["inferred_type_name"] == "str"
    comments = notebook_cells.read_comments()
    for key, about in found.items():
        said = re.escape(comments[key]) + r"( \[.+\])?"  # with the default
        assert re.fullmatch(said, about["help"]), key


def cells_run(*more):
    """The namespace of a notebook whose parameters cell has run, and then `more` cells."""
    return {"In": ["", notebook_cells.make_cell({"task": "marc", "top_k": None}), *more]}


def test_a_notebooks_parameters_are_what_its_parameters_cells_assign():
    merged, source = params.from_notebook(
        cells_run("# Parameters\nstudy = 'smoke'\ntrain_size = 30", "languages = ['en']\nseed = 7")
    )
    given = {"task": "marc", "study": "smoke", "train_size": 30}
    assert merged == params.merge(given)
    assert source.names == ("task", "top_k", "study", "train_size")
    assert params.select_given(merged, source) == {"study": "smoke", "train_size": 30}


def test_a_corrected_parameters_cell_counts_when_it_runs_again():
    wrong, right = (f"# Parameters. As edited\n{key}: int = 7" for key in ("trian_size", "seed"))
    with pytest.raises(params.ParameterError, match="did you mean 'train_size'"):
        params.from_notebook({"In": ["", wrong]})
    assert params.from_notebook({"In": ["", wrong, right]})[0]["seed"] == 7


@pytest.mark.parametrize(
    ("cells", "part"),
    [
        ([], "run the cell that begins with '# Parameters'"),
        (["# Parameters\nseed = int('3')"], "seed = int.*plain values"),
    ],
)
def test_a_notebook_without_plain_parameters_is_told(cells, part):
    with pytest.raises(params.ParameterError, match=part):
        params.from_notebook({"In": cells})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["trian_size=5"], "did you mean 'train_size'"),
        (["task=squad"], "marc, own, pawsx, xnli"),
        (["top_k=100000"], "top_k=100000"),
        (["data=hub", "data_root=/no/such"], "/no/such"),
    ],
)
def test_the_command_line_stops_with_one_line_and_leaves_nothing(arguments, part, tmp_path):
    for command in (
        ["-m", "xl_influence.notebook", "02", "study=smoke"],
        ["-m", "snakemake", "-c1", "--config", "study=smoke"],
    ):
        done = run_python(*command, f"runs_root={tmp_path}/runs", *arguments, check=False)
        assert done.returncode != 0
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1 and part in errors[0], done.stderr
        assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_papermill_alone_stops_at_a_misspelt_parameter(tmp_path):
    done = run_python(
        "-m",
        "papermill",
        "notebooks/01-data-and-fine-tuning.ipynb",
        f"{tmp_path}/out.ipynb",
        "-p",
        "study",
        "smoke",
        "-p",
        "runs_root",
        f"{tmp_path}/runs",
        "-p",
        "trian_size",
        "5",
        check=False,
    )
    assert done.returncode != 0 and "did you mean 'train_size'" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_selected_parameters_belong_to_the_sections_of_the_functions_that_select_them():
    """The type checker sees keys that are written out, but not those in these lists."""
    selected = {
        sections.Data: own_task.COLUMNS,
        sections.FineTuning: (
            *fingerprints.FINETUNE,
            *data.CHANGES,
            *prepared.KEYS,
            *settings.SETTINGS,
        ),
        sections.Influence: (*fingerprints.SCORED, *fingerprints.PUBLISHED, *steps.FINETUNING),
        sections.Analysis: (*tables.ANALYSIS, *steps.RETRAINING),
    }
    for section, keys in selected.items():
        assert set(keys) <= set(section.__annotations__), section
