"""A score cube small enough to check by hand."""

import numpy as np
import pandas as pd
import xarray as xr

TRAIN = pd.DataFrame(
    {
        "uid": ["en0", "en1", "de0", "de1"],
        "lang": ["en", "en", "de", "de"],
        "item": [0, 1, 0, 1],
        "label": [0, 1, 0, 1],
        "text_a": list("abcd"),
        "text_b": None,
    }
)
TEST = pd.DataFrame(
    {
        "uid": ["en7", "de7"],
        "lang": ["en", "de"],
        "item": 7,
        "label": 0,
        "text_a": list("xy"),
        "text_b": None,
    }
)
VALUES = np.array(
    [[[0.9, 0.2, 0.5, -0.4], [0.1, -0.2, 0.8, 0.7]], [[0.1, 0.3, 0.1, -0.5], [0.3, 0.1, 0.2, -0.1]]]
)


def cube(values, train, test):
    """A cube of unit norms in two groups, with influence `values` (checkpoint, test, train)."""
    half = np.stack([values / 2, values / 2], 1)
    ones = {
        dim: np.full((len(values), 2, n), 0.5)
        for dim, n in (("test", len(test)), ("train", len(train)))
    }
    return xr.Dataset(
        {
            "dot": (("checkpoint", "group", "test", "train"), half),
            "test_sqnorm": (("checkpoint", "group", "test"), ones["test"]),
            "train_sqnorm": (("checkpoint", "group", "train"), ones["train"]),
        },
        coords={
            "checkpoint": range(1, len(values) + 1),
            "group": ["embeddings", "head"],
            "test": list(test["uid"]),
            "train": list(train["uid"]),
        },
    )


def lookup(table, **where):
    """The only row of a table with these values."""
    for key, value in where.items():
        table = table[table[key] == value]
    assert len(table) == 1
    return table.iloc[0]
