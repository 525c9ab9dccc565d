"""How a study grows: what `benchmarks/scale.py` measured, and what a much larger one would take.

`python -m xl_influence.scale n_train=1000000 n_test=10000 devices=8` prints hours, memory and disk
of XLM-R base on several GPUs, calculated from the rates in `benchmarks/*.json`.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from . import cube_contents, measurements, params, runs
from .estimate import XLMR, count_gradient_bytes
from .measurements import read_cases

GB = 2**30
FLOAT = 4  # bytes
TEST_SHARE = 0.5  # of a GPU's memory that the gradients of test samples may take (engine.layout)
FILL = "02 fill the cube"  # the step that writes random numbers; the others are analyses
PER_WEIGHT = 16  # bytes in training: the weight, its gradient and two moments


@dataclass(frozen=True)
class Large:
    """A study of XLM-R base on several GPUs.

    Parameters
    ----------
    n_train, n_test : int
        Training and test samples.
    length : int
        Tokens of a sample.
    epochs : int
        Epochs of fine-tuning, each with its checkpoint.
    devices : int
        GPUs like the one in `benchmarks/results-cuda.json`.
    way : str
        How the engine multiplies: a key of this library in `ways` of `benchmarks/cases.json`.
    keep : str
        What the cube keeps, see `cube_contents`.
    """

    n_train: int = 1_000_000
    n_test: int = 10_000
    length: int = 64
    epochs: int = 3
    devices: int = 8
    way: str = "xl-influence-tf32"
    keep: str = "checkpoints"


def read(path: Path | None = None) -> pd.DataFrame:
    """Read the time and memory of every step, from `scale.json`.

    Parameters
    ----------
    path
        Another file to read.

    Returns
    -------
    pandas.DataFrame
        `step` (a notebook's number and an analysis), `notebook`, `n_train`, `seconds`, `peak_gb`
        (beyond what Python and its libraries take); in `attrs["about"]` the machine and the cube:
        `processor, cores, checkpoints, groups, tests`.

    Raises
    ------
    RunError
        If there are no measurements.
    """
    path = path or params.find_root() / "benchmarks" / "scale.json"
    if not path.exists():
        raise runs.RunError(f"{path} is missing: run benchmarks/scale.py first")
    found = json.loads(path.read_text(encoding="utf-8"))
    table = pd.DataFrame(found["rows"])
    table.insert(1, "notebook", table["step"].str.split().str[0])
    table.attrs["about"] = found["machine"] | found["cube"]
    return table


def sum_by_notebook(table: pd.DataFrame) -> pd.DataFrame:
    """Compute the time and memory of each notebook from those of its steps.

    Parameters
    ----------
    table
        From `read`.

    Returns
    -------
    pandas.DataFrame
        `notebook, n_train, seconds` (of all its steps), `peak_gb` (of the largest).
    """
    grouped = table.groupby(["notebook", "n_train"], sort=False)
    return grouped.agg({"seconds": "sum", "peak_gb": "max"}).reset_index()


def compute_growth(table: pd.DataFrame) -> pd.DataFrame:
    """Compute how each step's time and memory grow from the smallest to the largest sample count.

    Parameters
    ----------
    table
        From `read`.

    Returns
    -------
    pandas.DataFrame
        `step`; `seconds, peak_gb` at the largest number; `times_seconds` and `times_gb`, their
        ratios to those at the smallest.
    """
    ordered = table.sort_values("n_train", kind="stable").groupby("step", sort=False)
    first, last = (part[["seconds", "peak_gb"]] for part in (ordered.first(), ordered.last()))
    ratios = (last / first).rename(columns={"seconds": "times_seconds", "peak_gb": "times_gb"})
    order = list(dict.fromkeys(table["step"]))
    return last.join(ratios).loc[order].reset_index()


def plan_study(
    large: Large, card: tuple[dict[str, Any], pd.DataFrame], analyses: pd.DataFrame
) -> pd.DataFrame:
    """Estimate the hours, memory and disk that a large study takes.

    Fine-tuning and influence take as many floating-point operations as the engine counts, at the
    rate that it reached at the paper's scale; memory and disk follow from the sizes; the analyses
    run on one core and grow with the number of pairs.

    Parameters
    ----------
    large
        The study.
    card
        The GPU and the measurements on it, from `measurements.read_results`.
    analyses
        From `read`.

    Returns
    -------
    pandas.DataFrame
        `step, hours, memory_gb, disk_gb, from`: where the numbers come from.

    Raises
    ------
    ParameterError
        `keep` or `way` is unknown, or a number is not positive.
    """
    _check(large)
    machine, rows = card
    measured = _find_measured(large, rows)
    tiles = count_tiles(large, machine["memory_gb"] * GB)
    steps = [
        _plan_training(large, measured),
        _plan_influence(large, measured, tiles),
        _plan_disk(large),
        _plan_analyses(large, analyses),
    ]
    return pd.DataFrame(steps, columns=["step", "hours", "memory_gb", "disk_gb", "from"])


def count_tiles(large: Large, card_bytes: float) -> int:
    """Into how many tiles the test samples go, so that their gradients fit on the GPU.

    Parameters
    ----------
    large
        The study.
    card_bytes
        Memory of one GPU.
    """
    most = max(1, int(TEST_SHARE * card_bytes // count_gradient_bytes(XLMR, large.length)))
    return -(-large.n_test // most)


def _check(large: Large) -> None:
    for name in ("n_train", "n_test", "length", "epochs", "devices"):
        value = getattr(large, name)
        if not isinstance(value, int) or value < 1:
            raise params.ParameterError(f"{name}={value!r}: allowed is a whole number from 1")
    for name, allowed in (
        ("keep", ("groups", "checkpoints", "sum")),
        ("way", tuple(measurements.list_methods("this library"))),
    ):
        if getattr(large, name) not in allowed:
            raise params.ParameterError(
                f"{name}={getattr(large, name)!r}: allowed are {', '.join(allowed)}"
            )


def _find_measured(large: Large, rows: pd.DataFrame) -> pd.Series:
    """The measurement at the paper's scale: `weights`, `peak_gb`, and `rate` in FLOP/s."""
    paper = read_cases()["paper"]
    at_scale = (rows["n_train"] == paper["n_train"]) & (rows["length"] == paper["length"])
    found = rows[at_scale & (rows["shape"] == paper["shape"]) & rows["seconds"].notna()]
    if large.way not in set(found["what"]):
        raise params.ParameterError(
            f"way={large.way!r}: not measured at the paper's scale; there are "
            f"{', '.join(found['what'])}"
        )
    row = found[found["what"] == large.way].iloc[0]
    operations = (6 * paper["length"] + 2 * paper["n_test"]) * row["weights"] * paper["n_train"]
    values = {"weights": row["weights"], "peak_gb": row["peak_gb"]}
    return pd.Series(values | {"rate": operations / row["seconds"]})


def _plan_training(large: Large, measured: pd.Series) -> list[Any]:
    operations = 6 * large.length * measured["weights"] * large.n_train * large.epochs
    weights = measured["weights"] + read_cases()["paper"]["vocabulary"] * XLMR["hidden"]
    hours = operations / measured["rate"] / large.devices / 3600
    memory = PER_WEIGHT * weights / GB
    disk = FLOAT * weights * (large.epochs + 2) / GB  # two moments of the latest
    basis = "operations, at the engine's rate; memory per GPU, without activations"
    return [f"fine-tuning, epochs: {large.epochs}", hours, memory, disk, basis]


def _plan_influence(large: Large, measured: pd.Series, tiles: int) -> list[Any]:
    each = 6 * large.length * tiles + 2 * large.n_test
    tests = 6 * large.length * large.n_test / large.n_train  # the test gradients, once each
    operations = (each + tests) * measured["weights"] * large.n_train * large.epochs
    hours = operations / measured["rate"] / large.devices / 3600
    basis = f"operations, at the engine's rate; {tiles} tiles of test samples; memory per GPU"
    memory = (
        measured["peak_gb"]
        + count_gradient_bytes(XLMR, large.length) * -(-large.n_test // tiles) / GB
    )
    return [f"influence, checkpoints: {large.epochs}", hours, memory, 0.0, basis]


def _plan_disk(large: Large) -> list[Any]:
    sizes = {"checkpoint": large.epochs, "group": XLMR["layers"] + 2}
    sizes |= {"test": large.n_test, "train": large.n_train}
    computed, finished = cube_contents.count_cube_bytes(large.keep, **sizes)
    basis = "sizes"
    if finished < computed:
        basis = f"sizes; {finished / GB:,.0f} GB once the checkpoints are summed"
    return [f"score cube, keep={large.keep}", 0.0, 0.0, computed / GB, basis]


def _plan_analyses(large: Large, analyses: pd.DataFrame) -> list[Any]:
    """One core; time grows with the pairs, memory with the training samples."""
    about = analyses.attrs["about"]
    n_train = analyses["n_train"].max()
    largest = analyses[(analyses["n_train"] == n_train) & (analyses["step"] != FILL)]
    cells = about["tests"] * n_train * about["checkpoints"]
    times = large.n_train * large.n_test * large.epochs / cells
    hours = largest["seconds"].sum() * times / 3600
    peaks = analyses.groupby("n_train")["peak_gb"].max()
    slope, start = np.polyfit(peaks.index, peaks, 1) if len(peaks) > 1 else (0.0, peaks.iloc[0])
    memory = start + slope * large.n_train
    basis = f"measured up to {n_train:,} × {about['tests']}; one core"
    return ["analyses, notebooks 02 to 10", hours, float(memory), 0.0, basis]


def main(arguments: list[str]) -> str:
    """Run the command line: fields of `Large` as key=value; returns the table as text."""
    allowed = {field.name: field.type for field in dataclasses.fields(Large)}
    given: dict[str, Any] = {}
    for pair in arguments:
        key, _, value = pair.partition("=")
        if key not in allowed:
            raise params.ParameterError(f"{key!r}: allowed are {', '.join(allowed)}")
        try:
            given[key] = int(value.replace(",", "")) if allowed[key] == "int" else value
        except ValueError:
            raise params.ParameterError(f"{pair}: allowed is a whole number from 1") from None
    table = plan_study(Large(**given), measurements.read_results(device="cuda"), read())
    return table.to_string(index=False, float_format="{:,.1f}".format)


if __name__ == "__main__":
    try:
        print(main(sys.argv[1:]))
    except (params.ParameterError, runs.RunError) as error:
        sys.exit(str(error))
