"""The tidy tables behind every figure, each with the parameters that it was made with.

A table's parameters are in its Parquet metadata. Whoever reads a table gives their own, and is refused where they differ.
What an analysis leaves (tables, executed notebooks, the explorer's data) goes to the run's folder. With other values than
the study's own, of `top_k` say, it goes to `other/<hash>/` instead, so an experiment never changes the book.
"""

import os

import pandas as pd

from . import fingerprints, params, runs

ANALYSIS = (
    "top_k",
    "removal_study",
    "variants_study",
    "removal_ks",
    "removal_samples",
    "removal_seeds",
    "zero_shot_languages",
    "imbalance_languages",
    "imbalance_percents",
    "resamples",
    "confidence_level",
)


class TableError(runs.RunError):
    """A table is missing, or was made with other parameters."""


def place(merged):
    """The folder for what an analysis with these parameters leaves: the run's, or `other/<hash>/` in it."""
    own = params.of_study(merged)
    changed = {key: merged[key] for key in ANALYSIS if merged[key] != own[key]}
    run = runs.folder(merged)
    return run / "other" / runs.fingerprint(changed) if changed else run


def made_with(merged):
    """The parameters that a table depends on: dict."""
    return runs.select_keys(merged, (*fingerprints.PUBLISHED, *ANALYSIS))


def write(merged, **frames):
    """Write tidy tables to `tables/<name>.parquet`, each complete or not at all; an equal one that is there stays."""
    for name, frame in frames.items():
        path = place(merged) / "tables" / f"{name}.parquet"
        frame = frame.reset_index(drop=True)
        frame.attrs = {"parameters": made_with(merged)}
        if path.exists() and _same(pd.read_parquet(path), frame):
            os.utime(path)  # it was made just now
            continue
        with runs.write_atomically(path) as partial:
            frame.to_parquet(partial, index=False)


def read(merged, name):
    """A table that a notebook of the run wrote.

    Raises
    ------
    TableError
        It is not there, or was made with other parameters; the message names them.
    """
    path = place(merged) / "tables" / f"{name}.parquet"
    if not path.exists():
        raise TableError(f"{path} is not there: run the notebook that writes it, or `make study`")
    table = pd.read_parquet(path)
    _check(table, made_with(merged), path)
    return table


def find(merged, name):
    """As `read`; None where the table is missing or was made with other parameters."""
    try:
        return read(merged, name)
    except TableError:
        return None


def read_all(merged):
    """All tables of a run, as `read` gives them: dict from name to DataFrame."""
    return {
        path.stem: read(merged, path.stem)
        for path in sorted((place(merged) / "tables").glob("*.parquet"))
    }


def _check(table, wanted, path):
    found = table.attrs.get("parameters")
    differing = fingerprints.differences(found, wanted) if found else "it does not say which"
    if differing:
        raise TableError(
            f"{path} was made with other parameters: {differing}. Run its notebook again with these, or read it with those"
        )


def _same(a, b):
    """Whether two tables say the same; other versions of the libraries round the last digits in another way."""
    try:
        pd.testing.assert_frame_equal(a, b, rtol=1e-9, atol=1e-12)
    except AssertionError:
        return False
    return a.attrs == b.attrs
