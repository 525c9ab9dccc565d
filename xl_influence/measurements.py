"""What `make bench` measured: the cases, the methods compared, and the results.

`benchmarks/cases.json` lists the cases and, under `ways`, the methods that compute the same
influence: this library, other libraries ("peers") and plain references. `results*.json` and
`finetuning.json` beside it hold the measurements.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pandas as pd

from . import params, runs

THIS_LIBRARY = "xl-influence"  # its key in `ways`; float32
TRAINERS = {"plain": "Trainer by itself", THIS_LIBRARY: "Trainer as we use it"}
PRECISIONS = {True: "mixed, bf16", False: "float32"}  # by `bf16`
COLUMNS = (  # that only some measurements have
    "gemm_fast",
    "repeat",
    "steps",
    "check",
    "failed",
    "seconds",
    "max_error",
    "covered",
    "parameters",
)


@functools.cache
def read_cases() -> dict[str, Any]:
    """Read the specification of the benchmarks, `benchmarks/cases.json`."""
    return json.loads((_folder() / "cases.json").read_text(encoding="utf-8"))


def read_results(
    path: Path | None = None, device: str = "cpu"
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Read the measurements, and a description of the machine that they were made on.

    Parameters
    ----------
    path
        The results to read; by default those that the repository has for `device`.
    device
        'cpu' or 'cuda'.

    Returns
    -------
    machine : dict
        `processor, threads, memory_gb, versions`.
    rows : pandas.DataFrame
        One row per measurement: its specification (defaults included) and its results.

    Raises
    ------
    RunError
        If there are no results.
    """
    file = "results.json" if device == "cpu" else f"results-{device}.json"
    path = path or _folder() / file
    if not path.exists():
        raise runs.RunError(f"{path} is missing: run `make bench` first")
    found = json.loads(path.read_text(encoding="utf-8"))
    rows = []
    for row in found["rows"]:
        measured = {name: value for name, value in row.items() if name != "spec"}
        rows.append(read_cases()["defaults"] | row["spec"] | measured)
    frame = pd.DataFrame(rows)
    frame["what"] = frame["what"].map(_current_name)
    return found["machine"], frame.reindex(columns=frame.columns.union(COLUMNS, sort=False))


def read_finetuning(path: Path | None = None) -> tuple[dict[str, Any], pd.DataFrame]:
    """Read how fast fine-tuning is, relative to a plain matrix product, from `finetuning.json`.

    Parameters
    ----------
    path
        Another file to read.

    Returns
    -------
    machine : dict
        `processor, torch, length, threads, steps, repeats`.
    table : pandas.DataFrame
        `way, batch size, precision, rate` (samples per second), `of_product, least, most` (share of
        the rate of a plain product in the same precision: median, least and most of the repeats),
        `product` (FLOP/s).
    """
    path = path or _folder() / "finetuning.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    table = pd.DataFrame(found["rows"])
    table["way"] = table["way"].map(lambda method: TRAINERS[_current_name(method)])
    table.insert(2, "precision", table.pop("bf16").map(PRECISIONS))
    return found["machine"], table.rename(columns={"batch_size": "batch size"})


def list_methods(kind: str) -> list[str]:
    """Return the keys in `ways` of a kind: 'this library', 'peer', 'modified peer', 'reference'."""
    return [method for method, entry in read_cases()["ways"].items() if entry["kind"] == kind]


def name_method(method: str) -> str:
    """Return the name in tables and charts of a method, given as its key in `ways`."""
    return read_cases()["ways"][method]["name"]


def _folder() -> Path:
    return params.find_root() / "benchmarks"


def _current_name(method: str) -> str:
    """Return the current key of a method; older results may use another one."""
    return read_cases()["renamed"].get(method, method)
