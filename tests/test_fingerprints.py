"""Fingerprints: what they depend on, and that no parameter of fine-tuning is forgotten."""

import ast

import pytest
from conftest import ROOT

from xl_influence import data, fingerprints, params
from xl_influence.manifest import write_manifest

STEP = (
    "sources",
    "data",
    "corruption",
    "inputs",
    "encoders",
    "trainer",
    "finetune",
)  # the modules of fine-tuning

# parameters that these modules read, and why fine-tuning's fingerprint does without them
EXCEPTIONS = {
    "data_root": "the files' content counts (sources.hash_source), wherever they are",
    "prepared": "gives the same samples as the data sets",
    "device": "says where to compute, not what",
    "imbalance_percents": "says how much `make prepare` stores",
    "test_seed": "in `fingerprints.hash_finetuning` if translations are planted; as test_pool",
    "test_pool": "says which test samples are tokenized (fingerprints.is_finetuned)",
}


def keys_read(module):
    """Keys that a module reads: `params["key"]`, `runs.select_keys(params, ("key", ...))`."""
    tree = ast.parse((ROOT / "xl_influence" / f"{module}.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and is_params(node.value):
            if isinstance(node.slice, ast.Constant):
                yield node.slice.value
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "params.get":
            yield node.args[0].value
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "runs.select_keys":
            yield from ast.literal_eval(node.args[1])


def is_params(node):
    """Whether an expression is the parameters: `params`, or `self.params`."""
    return getattr(node, "id", getattr(node, "attr", None)) == "params"


@pytest.mark.parametrize("module", STEP)
def test_what_fine_tuning_reads_is_in_its_fingerprint(module):
    counted = {*fingerprints.FINETUNE, *data.CHANGES}
    unknown = set(keys_read(module)) - counted - set(EXCEPTIONS)
    assert not unknown, "add them to fingerprints.FINETUNE, or say above why they do not count"


def test_there_is_no_exception_too_many():
    read = {key for module in STEP for key in keys_read(module)}
    assert set(EXCEPTIONS) <= read
    assert not set(EXCEPTIONS) & {*fingerprints.FINETUNE, *data.CHANGES}
    assert read <= set(params.KEYS)


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"epochs": 3}, False),
        ({"left_out": "es"}, False),
        ({"test_seed": 1}, False),  # the demo study plants translations
        ({"device": "cuda"}, True),
        ({"top_k": 3}, True),
        ({"random_weights": True}, True),
        ({"test_size": 1}, True),
        ({"keep": "sum"}, True),
        ({"flip_share": 0.1}, False),
        ({"swap_share": 0.1}, False),
        ({"flip_share": 0.0, "swap_share": 0.0, "corruption_seed": 0}, True),
    ],
)
def test_a_fingerprint_changes_with_what_it_depends_on(changed, same):
    merged = params.merge({"study": "demo"})
    found = fingerprints.hash_finetuning(merged), fingerprints.hash_finetuning(merged | changed)
    assert (found[0] == found[1]) == same


def test_fingerprints_of_the_demo_study_are_those_of_earlier_runs():
    merged = params.merge({"study": "demo"})
    assert fingerprints.hash_finetuning(merged) == "cacba9bdfc2dc4ce"
    assert fingerprints.hash_scores(merged) == "b17d0e4886e9b809"


def test_only_a_cube_that_keeps_less_has_another_fingerprint():
    merged = params.merge({"study": "demo"})
    found = [
        fingerprints.hash_scores(merged | {"keep": keep})
        for keep in ("groups", "checkpoints", "sum")
    ]
    assert found[0] == fingerprints.hash_scores(merged) and len(set(found)) == 3


@pytest.mark.parametrize(
    ("tokenized", "test_pool", "test_seed", "reused"),
    [
        (None, 90, 0, True),  # an older run: all
        ([0, 0], 90, 1, True),  # all
        ([60, 0], 60, 0, True),
        ([60, 0], 20, 0, True),
        ([60, 0], 61, 0, False),
        ([60, 0], 0, 0, False),
        ([60, 0], 60, 1, False),  # other ones
    ],
)
def test_a_run_is_reused_if_it_has_the_test_samples(
    tmp_path, tokenized, test_pool, test_seed, reused
):
    entries = {} if tokenized is None else {"test_tokenized": tokenized}
    write_manifest(tmp_path, finetune_fingerprint="x", **entries)
    wanted = {"test_pool": test_pool, "test_seed": test_seed}
    assert fingerprints.is_finetuned(tmp_path, "x", wanted) == reused
    assert not fingerprints.is_finetuned(tmp_path, "y", wanted)
