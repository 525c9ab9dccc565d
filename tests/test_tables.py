"""Tables carry their parameters, and an experiment does not change what the book reads."""

import pandas as pd
import pytest

from xl_influence import params, runs, tables

FRAME = pd.DataFrame({"lang": ["en", "de"], "share": [0.5, float("nan")]})


@pytest.fixture
def merged(tmp_path):
    return params.merge({"study": "smoke", "task": "marc", "runs_root": str(tmp_path)})


def test_a_table_comes_back_as_it_was_written(merged):
    tables.write(merged, shares=FRAME)
    pd.testing.assert_frame_equal(tables.read(merged, "shares"), FRAME)
    assert tables.read(merged, "shares").attrs["parameters"]["top_k"] == merged["top_k"]
    assert list(tables.read_all(merged)) == ["shares"]


def test_another_top_k_goes_elsewhere_and_the_first_table_stays(merged):
    tables.write(merged, shares=FRAME)
    other = merged | {"top_k": 3}
    tables.write(other, shares=FRAME.assign(share=0.0))
    assert tables.read(merged, "shares")["share"].iloc[0] == 0.5
    assert tables.read(other, "shares")["share"].iloc[0] == 0.0
    assert tables.find_output_dir(other).parent == runs.find_folder(merged) / "other"


def test_a_table_of_other_training_is_refused_with_both_values(merged):
    tables.write(merged, shares=FRAME)
    with pytest.raises(tables.TableError, match="train_size was 24, is 30 here"):
        tables.read(merged | {"train_size": 30}, "shares")
    with pytest.raises(tables.TableError, match="train_size was 24"):
        tables.read_all(merged | {"train_size": 30})


def test_a_table_that_says_nothing_of_its_parameters_is_refused(merged):
    folder = tables.find_output_dir(merged) / "tables"
    folder.mkdir(parents=True)
    FRAME.to_parquet(folder / "shares.parquet")
    with pytest.raises(tables.TableError, match="does not say which"):
        tables.read(merged, "shares")


def test_an_equal_table_is_not_written_again(merged):
    tables.write(merged, shares=FRAME)
    path = tables.find_output_dir(merged) / "tables" / "shares.parquet"
    before = path.stat().st_ino
    tables.write(merged, shares=FRAME)
    assert path.stat().st_ino == before
    tables.write(merged, shares=FRAME.assign(share=1.0))
    assert path.stat().st_ino != before


def test_a_damaged_table_is_written_again(merged):
    tables.write(merged, shares=FRAME)
    path = tables.find_output_dir(merged) / "tables" / "shares.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(tables.TableError, match="run the notebook that writes it again"):
        tables.read(merged, "shares")
    tables.write(merged, shares=FRAME)
    assert tables.read(merged, "shares").equals(FRAME)
