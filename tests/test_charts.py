"""Charts say what their captions say."""

import itertools

import pandas as pd
import pytest

from xl_influence import charts


@pytest.mark.parametrize("draw", [charts.own_share, charts.dynamics])
def test_chance_lies_across_and_epochs_are_whole(draw):
    rows = itertools.product(("en", "de"), ("en", "de"), ("positive", "negative"), (1, 2))
    table = pd.DataFrame(rows, columns=["test_lang", "train_lang", "sign", "checkpoint"])
    layers = draw(table.assign(share=0.4, ci_low=0.3, ci_high=0.5, chance=0.5)).to_dict()["spec"]["layer"]
    marks = {layer["mark"]["type"]: layer["encoding"] for layer in layers}
    assert "x" not in marks["rule"] and marks["rule"]["y"]["field"] == "chance"  # with an x it would stand upright
    assert marks["line"]["x"]["type"] == "ordinal"
