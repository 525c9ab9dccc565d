"""The tidy tables behind every figure, each stored with the parameters that it was made with.

A table's parameters are in its Parquet metadata. To read a table, you give your own parameters; if
they differ from the table's, reading fails. The results of an analysis (tables, executed notebooks,
the explorer's data) go to the run's folder. With values other than the study's own, of `top_k` say,
they go to `other/<hash>/` instead, so an experiment never changes the book.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd

from . import fingerprints, params, runs
from .sections import Analysis, Influence, Parameters, find_own_keys

ANALYSIS = find_own_keys(Analysis, Influence)
ASKED = find_own_keys(Parameters, Analysis)  # no table depends on them, but a notebook does


class TableError(runs.RunError):
    """A table is missing, or was made with other parameters."""


def find_output_dir(merged: Parameters) -> Path:
    """The folder for the results of an analysis: the run's, or `other/<hash>/` in it."""
    own = params.read_study_defaults(merged)
    changed = runs.select_changed(merged, (*ANALYSIS, *ASKED), own)
    run = runs.find_folder(merged)
    return run / "other" / runs.hash_parts(changed) if changed else run


def select_parameters(merged: Analysis) -> dict[str, Any]:
    """The parameters that a table depends on."""
    return runs.select_keys(merged, (*fingerprints.PUBLISHED, *ANALYSIS))


def write(merged: Parameters, **frames: pd.DataFrame) -> None:
    """Write tidy tables to `tables/<name>.parquet`, each completely or not at all.

    A table that exists with the same content is not written again; one that cannot be read is.

    Parameters
    ----------
    merged
        The parameters that the tables were made with.
    **frames
        The tables, by name.
    """
    for name, frame in frames.items():
        path = find_output_dir(merged) / "tables" / f"{name}.parquet"
        frame = frame.reset_index(drop=True)
        frame.attrs = {"parameters": select_parameters(merged)}
        existing = find(merged, name)
        if existing is not None and _same(existing, frame):
            os.utime(path)  # it is up to date
            continue
        with runs.write_atomically(path) as partial:
            frame.to_parquet(partial, index=False)


def read(merged: Parameters, name: str) -> pd.DataFrame:
    """Read a table that a notebook of the run wrote.

    Parameters
    ----------
    merged
        The parameters that the table should have been made with.
    name
        The table's name.

    Raises
    ------
    TableError
        There is no such table, or it was made with other parameters, which the message names.
    """
    path = find_output_dir(merged) / "tables" / f"{name}.parquet"
    if not path.exists():
        raise TableError(f"{path} does not exist: run the notebook that writes it, or `make study`")
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are among these
        raise TableError(
            f"{path} cannot be read ({error}): run the notebook that writes it again"
        ) from None
    _check(table, select_parameters(merged), path)
    return table


def find(merged: Parameters, name: str) -> pd.DataFrame | None:
    """Read a table as `read` does, or return None where that raises an error.

    Parameters
    ----------
    merged, name
        As in `read`.
    """
    try:
        return read(merged, name)
    except TableError:
        return None


def read_all(merged: Parameters) -> dict[str, pd.DataFrame]:
    """Read all tables of a run, as `read` does: name → table."""
    return {
        path.stem: read(merged, path.stem)
        for path in sorted((find_output_dir(merged) / "tables").glob("*.parquet"))
    }


def _check(table: pd.DataFrame, wanted: dict[str, Any], path: Path) -> None:
    found = table.attrs.get("parameters")
    differing = (
        fingerprints.describe_differences(found, wanted) if found else "it does not say which"
    )
    if differing:
        raise TableError(
            f"{path} was made with other parameters: {differing}. "
            "Run its notebook again with yours, or read it with those"
        )


def _same(a: pd.DataFrame, b: pd.DataFrame) -> bool:
    """Whether two tables agree, except for rounding, which depends on the libraries' versions."""
    try:
        pd.testing.assert_frame_equal(a, b, rtol=1e-9, atol=1e-12)
    except AssertionError:
        return False
    return a.attrs == b.attrs
