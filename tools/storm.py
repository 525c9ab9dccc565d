"""`make storm`: kills every step of a tiny study at random moments, and compares the results.

    .venv/bin/python tools/storm.py [--seed 0] [--kills 50]

Each step first runs undisturbed. Then it starts from the same files, is killed (SIGKILL) at a
random moment, starts again, and so on; at last it may finish. Its files must then be the same, bit
by bit, and no epoch, shard or retraining that was finished may have been done again, so that a kill
costs at most the one that it interrupted. Exit status 1 if not. Takes minutes.
"""

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")  # children are forked, and equal on any machine

import yaml

from xl_influence import finetune, notebook, pages, params, prepare, retraining, runs, scores
from xl_influence.manifest import read_manifest
from xl_influence.tasks import TASKS

TASK = "pawsx"
STUDY = "storm"  # the smoke study with these values, in a copy of `params`
CHANGED = {"study": STUDY, "train_size": 40, "epochs": 4, "shard_size": 20, "other_seeds": []}
GIVEN = {"study": STUDY, "task": TASK, "device": "cpu"}
NOT_COMPARED = ("finetune_cost", "scores_cost", "parameters")  # times, and where the run is
POLL = 0.01  # seconds between looks at a step that may finish


class Step(NamedTuple):
    """A step of the study.

    Attributes
    ----------
    run : callable
        Does it, for the parameters of a run and the folder of all runs.
    kills : int
        How often we kill it, of 50 in all.
    units : str
        Pattern of the files, in a run's folder, each of which says that a unit of work is finished.
    """

    run: Callable[[dict[str, Any], Path], Any]
    kills: int
    units: str = ""


def do_book(merged: dict[str, Any], folder: Path) -> None:
    """Gather the pages of one task; its notebooks stand in for executed ones."""
    pages.TASKS = {TASK: TASKS[TASK]}  # type: ignore[misc]
    pages.ONCE = ()  # type: ignore[misc]
    place = runs.find_folder(merged) / "notebooks"
    shutil.copytree(params.find_root() / "notebooks", place, dirs_exist_ok=True)
    empty = json.dumps({"index": {}, "parts": {}})
    (runs.find_folder(merged) / "explorer.json").write_text(empty)
    pages.gather(STUDY, str(folder), folder / "pages", STUDY, str(folder))


def do_analysis(merged: dict[str, Any], folder: Path) -> None:
    """Run notebook 04, whose kernel is a process of its own."""
    notebook.run("04", GIVEN | {"runs_root": str(folder)})


STEPS = {
    "prepare": Step(lambda merged, folder: prepare.prepare(merged, folder / "prepared"), 6),
    "fine-tuning": Step(
        lambda merged, _: finetune.finetune(merged, progress=False),
        12,
        ".finetune/checkpoint-*/complete",
    ),
    "influence": Step(
        lambda merged, _: scores.make(merged, progress=False), 12, ".scores/shards/*.json"
    ),
    "retraining": Step(
        lambda merged, _: retraining.retrain(merged, progress=False), 10, "retrainings/*.json"
    ),
    "analysis": Step(do_analysis, 5),
    "book": Step(do_book, 5),
}


def make_root(folder: Path) -> Path:
    """Make a copy of the project in which the study exists; only `params` is really copied."""
    project = params.find_root()
    for path in project.iterdir():
        if path.name != "params" and not path.name.startswith("."):
            (folder / path.name).symlink_to(path)
    shutil.copytree(project / "params", folder / "params")
    studies = folder / "params" / "studies"
    values = yaml.safe_load((studies / "smoke.yaml").read_text(encoding="utf-8")) | CHANGED
    (studies / f"{STUDY}.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return folder


def start(step: Step, folder: Path) -> int:
    """Start a step in a process of its own; returns its number."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.setsid()
        log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        step.run(params.merge(GIVEN | {"runs_root": str(folder)}), folder)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def find_run(folder: Path) -> Path:
    """The folder of the run among all runs."""
    return runs.find_folder(params.merge(GIVEN | {"runs_root": str(folder)}))


def find_units(step: Step, folder: Path) -> dict[str, int]:
    """When each unit of work was finished; one that vanishes meanwhile is left out."""
    found = {}
    for path in find_run(folder).glob(step.units) if step.units else ():
        try:
            found[path.name + path.parent.name] = path.stat().st_mtime_ns
        except FileNotFoundError:
            continue
    return found


def watch(child: int, step: Step, folder: Path, until: float) -> tuple[bool, dict[str, int]]:
    """Wait for a step until a time, then kill it; whether it ended, and the units it finished."""
    units: dict[str, int] = {}
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        units |= find_units(step, folder)
        if ended:
            if status:
                raise SystemExit(f"a step failed:\n{(folder / 'log.txt').read_text()[-3000:]}")
            return True, units
        if time.monotonic() >= until:
            _kill(child)
            os.waitpid(child, 0)
            return False, units
        time.sleep(POLL)


def _kill(child: int) -> None:
    """Kill a step and its processes; a notebook's kernel then ends by itself."""
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:  # it has no group of its own yet
        os.kill(child, signal.SIGKILL)


def read_bits(folder: Path) -> dict[str, str]:
    """A hash of every file, without times, locks and logs."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        executed = path.suffix == ".ipynb" and "notebooks" in path.parts  # it has the times
        if not path.is_file() or path.name in ("log.txt", ".lock") or executed:
            continue
        content = path.read_bytes()
        if path.name == "manifest.json":
            kept = read_manifest(path.parent)
            kept = {key: value for key, value in kept.items() if key not in NOT_COMPARED}
            content = json.dumps(kept, sort_keys=True).encode()
        if path.suffix == ".yaml":  # a notebook's parameters, with the folder that it ran in
            content = re.sub(re.escape(str(folder.parent).encode()) + rb"/\w+", b"", content)
        found[name] = hashlib.sha256(content).hexdigest()
    return found


def storm(name: str, kills: int, before: Path, room: Path, rng: random.Random) -> dict[str, Any]:
    """Run a step undisturbed and in the storm; returns what differed and what was repeated.

    Afterwards `before` holds the step's results.
    """
    step, whole, killed = STEPS[name], room / "whole", room / "killed"
    shutil.copytree(before, whole)
    begun = time.monotonic()
    watch(start(step, whole), step, whole, float("inf"))
    duration, wanted = time.monotonic() - begun, read_bits(whole)
    found: dict[str, Any] = {"step": name, "kills": 0, "differing": set(), "repeated": set()}
    found["seconds"], known = round(duration, 1), {}
    shutil.copytree(before, killed)
    while True:
        storming = found["kills"] < kills
        until = time.monotonic() + rng.uniform(0, duration) if storming else float("inf")
        ended, units = watch(start(step, killed), step, killed, until)
        found["repeated"] |= {unit for unit in known.keys() & units if known[unit] != units[unit]}
        known |= units
        found["kills"] += not ended
        if ended:
            bits = read_bits(killed)
            found["differing"] |= {key for key in wanted | bits if wanted.get(key) != bits.get(key)}
            if not storming:
                break
            shutil.rmtree(killed)  # it ended before it could be killed: from the start
            shutil.copytree(before, killed)
            known = {}
    shutil.rmtree(killed)
    shutil.rmtree(before)
    whole.rename(before)
    return found


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=sum(step.kills for step in STEPS.values()))
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    given = parser.parse_args()
    rng, results = random.Random(given.seed), []
    share = given.kills / sum(step.kills for step in STEPS.values())
    with tempfile.TemporaryDirectory() as folder:
        before, project = Path(folder) / "before", Path(folder) / "project"
        before.mkdir()
        project.mkdir()
        os.chdir(make_root(project))
        for name, step in STEPS.items():
            kills = round(step.kills * share) if name in given.steps else 0
            found = storm(name, kills, before, Path(folder), rng)
            results.append(found)
            differing, repeated = (sorted(found[key]) for key in ("differing", "repeated"))
            print(
                f"{name}: {found['kills']} kills in a step of {found['seconds']} s, "
                f"{len(differing)} files differ {differing[:3]}, "
                f"{len(repeated)} finished units repeated {repeated[:3]}",
                flush=True,
            )
    wrong = sum(bool(found["differing"] or found["repeated"]) for found in results)
    total = sum(found["kills"] for found in results)
    print(f"{total} kills, seed {given.seed}: {'all as undisturbed' if not wrong else 'FAILED'}")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
