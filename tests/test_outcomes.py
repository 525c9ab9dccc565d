"""The file of what trainings on subsets ended with, from which any method's LDS can be computed."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from xl_influence import runs
from xl_influence.methods import outcomes, subsets

ABOUT = {"finetuning": "abc", "epochs": 2, "subsets": 3, "seeds": [0, 1]}
TESTS = ["en1", "de1"]


@pytest.fixture
def found():
    rng = np.random.default_rng(0)
    values = {
        kind: rng.normal(size=(2, number, 2)).astype(np.float32)
        for kind, number in (("random halves", 3), ("by language", 2))
    }
    return outcomes.Outcomes(values, TESTS, ABOUT)


def test_outcomes_come_back_as_they_were(tmp_path, found):
    path = tmp_path / "outcomes.parquet"
    outcomes.write(path, found)
    again = outcomes.read(path, TESTS, ABOUT)
    assert list(again) == ["random halves", "by language"]
    for kind, values in found.values.items():
        assert np.array_equal(again[kind], values) and again[kind].dtype == np.float32
    written = path.stat().st_mtime_ns
    outcomes.write(path, found)
    assert path.stat().st_mtime_ns == written, "the same content was written again"


def test_outcomes_of_another_training_or_of_other_test_samples_are_not_used(tmp_path, found):
    path = tmp_path / "outcomes.parquet"
    assert outcomes.read(path, TESTS, ABOUT) == {}
    outcomes.write(path, found)
    assert outcomes.read(path, TESTS, ABOUT | {"finetuning": "other"}) == {}
    assert outcomes.read(path, TESTS, ABOUT | {"seeds": [0]}) == {}
    assert outcomes.read(path, TESTS[::-1], ABOUT) == {}


def test_a_damaged_file_is_named(tmp_path, found):
    path = tmp_path / "outcomes.parquet"
    outcomes.write(path, found)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(runs.RunError, match=r"outcomes\.parquet is damaged .* train again"):
        outcomes.read(path, TESTS, ABOUT)


def test_nothing_is_trained_for_which_the_book_has_outcomes(tmp_path, found, monkeypatch):
    train = pd.DataFrame({"lang": ["en", "en", "de", "de"]})
    trainer = SimpleNamespace(
        fingerprint="abc", epochs=2, train=train, test=pd.DataFrame({"uid": TESTS})
    )
    monkeypatch.setattr(outcomes.params, "find_root", lambda: tmp_path)
    config = {"study": "demo-subsets", "task": "marc"}
    path = outcomes.find_path(**config)
    path.parent.mkdir(parents=True)
    outcomes.write(path, found)
    known = subsets.read_or_train(config, trainer, n=3, seeds=[0, 1])
    assert np.array_equal(known["random halves"], found.values["random halves"])
    monkeypatch.setattr(subsets, "train_subsets", lambda *_, **__: "trained")
    other = subsets.read_or_train(config, trainer, n=3, seeds=[0, 2])
    assert set(other.values()) == {"trained"}
