"""The files of a run's folder."""

import pandas as pd
import pytest

from xl_influence import runs


def test_inputs_of_named_samples_come_in_the_order_asked_for(tmp_path):
    inputs = pd.DataFrame(
        {
            "uid": ["en1", "en2", "de1", "en1"],  # uids repeat across splits
            "lang": ["en", "en", "de", "en"],
            "split": ["test", "test", "test", "train"],
            "input_ids": [[1], [2, 3], [4], [5]],
        }
    )
    inputs.to_parquet(tmp_path / "inputs.parquet")
    found = runs.read_inputs(tmp_path, "test", ["de1", "en1"])
    assert list(found.columns) == ["uid", "lang", "input_ids"]
    assert [list(ids) for ids in found["input_ids"]] == [[4], [1]]
    every = runs.read_inputs(tmp_path, "test")
    pd.testing.assert_frame_equal(runs.read_inputs(tmp_path, "test", every["uid"]), every)
    with pytest.raises(KeyError, match="ko1"):
        runs.read_inputs(tmp_path, "train", ["en1", "ko1"])
