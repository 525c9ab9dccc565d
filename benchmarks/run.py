"""Measure all that the page 'How fast, and why' shows: `make bench`, or `python benchmarks/run.py`.

`cases.json` says which cases and methods there are. Each measurement is a process of its own
(`measure.py`), one after the other, with the same number of threads. On a GPU, where starting
a process takes longer than measuring, one process makes all measurements of a method. Results are
saved one by one to `results.json` (on a GPU: `results-cuda.json`). A measurement that is already
in the file is not repeated; `--fresh` discards the file.

Time has a fixed part, the test gradients, and a part for each training sample. Two runs with few
and more training samples separate the two. If a peer's test gradients do not fit into memory, it
gets the test samples in tiles, and passes all training samples once per tile.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import torch
from common import (
    DEFAULTS,
    HERE,
    METHODS,
    SPECIFICATION,
    THIS_LIBRARY,
    current_name,
    is_this_library,
)
from tqdm import tqdm

from xl_influence.manifest import read_processor_name

Spec = dict[str, Any]  # the specification of one measurement: keyword arguments of measure.measure
Case = dict[str, Any]  # `title`, `spec`, `n_train`: an entry of `cases` in cases.json

N_TEST = SPECIFICATION["n_test"]
CASES: list[Case] = SPECIFICATION["cases"]  # their n_train: one and four full batches of the engine
CUDA_COUNTS = (2048, 8192)  # training samples of this library's runs on a GPU, in every case
# Training samples of the other methods' runs: more and more, until the times differ enough.
PEER_COUNTS = {"cpu": (8, 24, 88, 280), "cuda": (64, 256, 1024, 4096)}
PAIRS_COUNTS = (1, 3, 11, 43)
MIN_DIFFERENCE = {"cpu": 30, "cuda": 2}  # seconds: more than noise, also that of the fixed part
TILES = (125, 63, 32, 16, 8, 4, 2)  # test samples at once: the first that fits is taken
PACKAGES = ("torch", "transformers", "captum", "kronfluence", "dattri", "dattri-llm", "bergson")


class Results:
    """Measurements by their specification, kept in a file.

    Parameters
    ----------
    path
        The JSON file. If it exists, its measurements are not repeated.
    threads
        Threads of every process.
    device
        'cpu' or 'cuda'.
    fresh
        Whether to ignore what the file holds.

    Raises
    ------
    SystemExit
        If the file holds measurements of another machine.
    """

    def __init__(self, path: Path, threads: int, device: str = "cpu", fresh: bool = False) -> None:
        self.path = path
        self.threads = threads
        self.device = device
        self.machine = describe_machine(threads, device)
        self.rows: dict[str, dict[str, Any]] = {}
        self.measurer: Measurer | None = None
        if path.exists() and not fresh:
            self._read()

    def _read(self) -> None:
        found = json.loads(self.path.read_text())
        if found["machine"] != self.machine:
            sys.exit(
                f"error: {self.path} was measured on another machine: {found['machine']}, "
                f"this one is {self.machine}; "
                "use --fresh to discard it, or --results to write to another file"
            )
        for row in found["rows"]:
            row["spec"]["what"] = current_name(row["spec"]["what"])
            self.rows[spec_key(row["spec"])] = row

    def get(self, **spec: Any) -> dict[str, Any]:
        """The measurement with this specification, made now if the file does not have it."""
        key = spec_key(spec)
        if key not in self.rows:
            tqdm.write(" ".join(f"{name}={value}" for name, value in spec.items()))
            request = {name: value for name, value in spec.items() if name != "repeat"}
            response = self._measurer_for(spec["what"]).request(request | {"device": self.device})
            found = {
                name: value
                for name, value in response.items()
                if name == "steps" or name not in spec
            }
            self.rows[key] = {"spec": spec} | found
            self.save()
            tqdm.write("  " + json.dumps(self.rows[key]))
        return self.rows[key]

    def _measurer_for(self, method: str) -> "Measurer":
        """A process for this method: a new one on a CPU, on a GPU the last one if it still runs."""
        last = self.measurer
        if last and self.device != "cpu" and last.method == method and not last.has_ended():
            return last
        if last:
            last.close()
        self.measurer = Measurer(method, self.threads)
        return self.measurer

    def save(self) -> None:
        """Write all measurements; the file is complete at any time."""
        text = json.dumps({"machine": self.machine, "rows": list(self.rows.values())}, indent=1)
        part = self.path.with_suffix(".part")
        part.write_text(text + "\n")
        part.replace(self.path)


def spec_key(spec: Spec) -> str:
    """A specification as a key: the same whether or not a default is written out."""
    return json.dumps(DEFAULTS | spec, sort_keys=True)


class Measurer:
    """A process of `measure.py` for one method.

    Parameters
    ----------
    method
        A key of `ways` in cases.json.
    threads
        Threads that the process may use.
    """

    def __init__(self, method: str, threads: int) -> None:
        self.method = method
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed in `close`
        environment = {
            "OMP_NUM_THREADS": str(threads),
            "PYTHONPATH": f"{HERE.parent}:{os.environ.get('PYTHONPATH', '')}",
            "TQDM_DISABLE": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "measure.py")],
            env=os.environ | environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
        )

    def request(self, spec: Spec) -> dict[str, Any]:
        """What `measure.py` returns for one specification; `failed` if the process ended."""
        with contextlib.suppress(BrokenPipeError):  # we read below why it ended
            self.process.stdin.write(json.dumps(spec) + "\n")
            self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        return {"failed": self._why_ended()}

    def _why_ended(self) -> str:
        """The reason in one line: the last one that the process wrote to stderr."""
        code = self.process.wait()
        if code in (-9, 137):
            return "out of memory"
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        return lines[-1] if lines else f"exit code {code}"

    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self.process.poll() is not None

    def close(self) -> None:
        """Let the process end, and wait for it."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.errors.close()


def describe_machine(threads: int, device: str) -> dict[str, Any]:
    """What the numbers are measured on: `processor, threads, memory_gb, versions`."""
    if device == "cpu":
        name, memory = read_processor_name(), psutil.virtual_memory().total
    else:
        name = torch.cuda.get_device_name(device)
        memory = torch.cuda.get_device_properties(device).total_memory
    return {
        "processor": name,
        "threads": threads,
        "memory_gb": round(memory / 2**30),
        "versions": {package: version(package) for package in PACKAGES},
    }


def compare(results: Results, case: Case, method: str, counts: Sequence[int]) -> None:
    """Measure time, memory and error of one method on one case.

    Parameters
    ----------
    results
        Where the measurements are kept.
    case
        An entry of `CASES`.
    method
        A key of `METHODS`.
    counts
        Training samples of the runs, ascending. The largest are skipped once the times differ by
        more than `MIN_DIFFERENCE`.
    """
    spec = {"what": method, **case["spec"]}
    results.get(n_train=6, n_test=4, check=True, **spec)
    few, *more = counts
    for tile in (1,) if method == "pairs" else TILES:
        first = results.get(n_train=few, n_test=tile, **spec)
        if first.get("failed") != "out of memory":
            break
    if "failed" in first:
        return
    for count in more:
        row = results.get(n_train=count, n_test=tile, **spec)
        if "failed" in row:
            return
        if row["seconds"] - first["seconds"] > MIN_DIFFERENCE[results.device]:
            return


def growth_points() -> list[Spec]:
    """The measurements of growth: one quantity at a time leaves its usual value."""
    usual = DEFAULTS | SPECIFICATION["growth"]["usual"]
    points: list[Spec] = []
    for axis, growth in SPECIFICATION["growth"]["axes"].items():
        for value in growth["values"]:
            point = usual | {axis: value}
            if point not in points:  # the usual values are on every axis
                points.append(point)
    return points


def shape_points() -> list[Spec]:
    """The usual point of `growth_points` with other shapes of as many weights: the same work."""
    usual = DEFAULTS | SPECIFICATION["growth"]["usual"]
    return [usual | {"shape": shape} for shape in SPECIFICATION["other_shapes"]]


def peer_counts(method: str, device: str) -> Sequence[int]:
    """Training samples of the runs of a peer or reference."""
    return PAIRS_COUNTS if method == "pairs" else PEER_COUNTS[device]


def plan_cpu(
    results: Results, methods: Sequence[str], cases: Sequence[Case]
) -> Iterator[Callable[[], object]]:
    """All measurements on a CPU, as calls without arguments.

    Growth, shapes and steps of this library are measured once after each of its cases: as many
    repeats as there are cases, spread over time.

    Parameters
    ----------
    results
        Where the measurements are kept.
    methods
        Keys of `METHODS`.
    cases
        Entries of `CASES`.
    """
    if THIS_LIBRARY in methods:
        for repeat, case in enumerate(cases):
            yield partial(compare, results, case, THIS_LIBRARY, case["n_train"])
            own = partial(results.get, what=THIS_LIBRARY, repeat=repeat)
            for point in [*growth_points(), *shape_points()]:
                yield partial(own, **point)
            yield partial(own, n_train=CASES[0]["n_train"][-1], n_test=N_TEST, steps=True)
    for method in methods:
        if method != THIS_LIBRARY:
            for case in cases:
                yield partial(compare, results, case, method, peer_counts(method, "cpu"))


def plan_cuda(
    results: Results, methods: Sequence[str], cases: Sequence[Case]
) -> Iterator[Callable[[], object]]:
    """All measurements on a GPU, as calls without arguments.

    Growth is not among them: the small cases that grow hardly fill a GPU.

    Parameters
    ----------
    results
        Where the measurements are kept.
    methods
        Keys of `METHODS`.
    cases
        Entries of `CASES`.
    """
    for method in methods:
        counts = CUDA_COUNTS if is_this_library(method) else peer_counts(method, "cuda")
        for case in cases:
            yield partial(compare, results, case, method, counts)
        if is_this_library(method):
            yield partial(
                results.get, what=method, n_train=CUDA_COUNTS[0], n_test=N_TEST, steps=True
            )
            yield partial(results.get, what=method, **SPECIFICATION["paper"])


def ways_on(device: str) -> list[str]:
    """The methods that can be measured on a device: this library's first, then all others."""
    return [
        method
        for method in METHODS
        if not is_this_library(method) or device in METHODS[method]["devices"]
    ]


def parse_arguments() -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=psutil.cpu_count(logical=False))
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--results", type=Path, help="default: results.json, or results-cuda.json")
    parser.add_argument("--fresh", action="store_true", help="discard earlier measurements")
    parser.add_argument("--ways", nargs="+", help="measure only these")
    parser.add_argument(
        "--cases", type=int, default=len(CASES), help="measure only the first CASES cases"
    )
    options = parser.parse_args()
    allowed = ways_on(options.device)
    options.ways = options.ways or allowed
    if wrong := set(options.ways) - set(allowed):
        sys.exit(f"error: --ways {' '.join(sorted(wrong))}; allowed are {', '.join(allowed)}")
    file = "results.json" if options.device == "cpu" else "results-cuda.json"
    options.results = options.results or HERE / file
    return options


def main() -> None:
    """Make the measurements that the command line asks for."""
    options = parse_arguments()
    results = Results(options.results, options.threads, options.device, options.fresh)
    plan = plan_cpu if options.device == "cpu" else plan_cuda
    work = list(plan(results, options.ways, CASES[: options.cases]))
    for measure in tqdm(work, desc="benchmarks", unit="measurement"):
        measure()


if __name__ == "__main__":
    main()
