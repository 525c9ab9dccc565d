"""Several runs at once on one device, each in its own process.

`python -m xl_influence.batch study=real prepared=prepared workers=4 runs=[pawsx/base,xnli/seed-2]`
fine-tunes and scores these runs, four at a time. The output of each goes to `log.txt` in its
folder. Finished runs are reused, and a run that was killed continues. If a run fails, we say so and
go on with the others. With `publish=folder`, the publishable part of each finished run is written
to that folder (see `publish`): megabytes to copy instead of gigabytes.

Fine-tuning in small batches leaves a GPU mostly idle, so that a dozen can share it. An influence
pass fills it alone, and is faster the more memory it has. So at most `passes` runs are in that step
at the same time, however many `workers` there are.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

from . import estimate, runs, scores
from .manifest import development_accuracy, read_manifest
from .params import ParameterError, merge, parse, with_variant
from .sections import Influence, Parameters, Run
from .tasks import TASKS

SHOWN = 8  # how many lines we show of the log of a run that failed


@dataclass
class Settings:
    """The settings that all runs share."""

    given: dict[str, Any]  # parameters given, task and variant aside
    workers: int = 1  # runs at a time
    passes: int = 0  # influence passes at a time; 0: as many as runs
    publish_to: str | Path | None = None  # folder to publish each run to; None: do not publish
    turn: BoundedSemaphore = field(init=False, repr=False)  # held during an influence pass

    def __post_init__(self) -> None:
        self.turn = BoundedSemaphore(self.at_once("scores"))

    def at_once(self, module: str) -> int:
        """Return how many processes of a step run at the same time."""
        return (self.passes or self.workers) if module == "scores" else self.workers


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    status: int  # exit status of its process
    seconds: float  # 0 if the run was already finished


def find_runs(given: dict[str, Any], names: Sequence[str]) -> dict[str, Parameters]:
    """Return the parameters of some runs, and of the runs whose test samples they use.

    Parameters
    ----------
    given
        The parameters given, task and variant aside.
    names
        The runs, as '<task>/<variant>'.

    Returns
    -------
    dict
        Name → parameters, in an order in which the runs can be computed.

    Raises
    ------
    ParameterError
        A name or a parameter is wrong.
    """
    found: dict[str, Parameters] = {}
    for name in names:
        task, slash, variant = str(name).partition("/")
        if not slash:
            raise ParameterError(
                f"runs: {name!r}: allowed is <task>/<variant>, as in pawsx/base or xnli/without-ru"
            )
        params = merge(given | {"task": task, "variant": variant})
        if params["test_from"]:
            base = with_variant(params, params["test_from"])
            found.setdefault(f"{task}/{base['variant']}", base)
        found.setdefault(name, params)
    return found


def run_all(
    wanted: dict[str, Parameters], settings: Settings, log: Callable[[str], Any] = print
) -> list[str]:
    """Compute some runs, `settings.workers` at a time.

    A run that takes its test samples from another run waits for it, and is not started if that one
    fails.

    Parameters
    ----------
    wanted
        Name → parameters, as from `find_runs`.
    settings
        What the runs have in common.
    log
        Called with a line of text whenever a run ends.

    Returns
    -------
    list of str
        The names of the runs that failed.
    """
    waiting = dict(wanted)
    running: dict[Future[Outcome], str] = {}
    failed: list[str] = []

    def report(name: str, words: str) -> None:
        ended = len(wanted) - len(waiting) - len(running)
        log(f"{ended}/{len(wanted)} {name}: {words}")

    with ThreadPoolExecutor(settings.workers) as pool:
        try:
            while waiting or running:
                for name, params in list(waiting.items()):
                    base = _find_base(params["task"], params["test_from"])
                    if base in failed:
                        del waiting[name]
                        failed.append(name)
                        report(name, f"not started, {base} failed")
                    elif base not in waiting and base not in running.values():
                        running[pool.submit(_run, waiting.pop(name), settings)] = name
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    name, outcome = running.pop(future), future.result()
                    if outcome.status:
                        failed.append(name)
                    report(name, _describe(wanted[name], outcome))
        except KeyboardInterrupt:  # the processes are interrupted too
            pool.shutdown(cancel_futures=True)
            raise
    return failed


def _find_base(task: str, test_from: str) -> str | None:
    """Return the run that must be finished first, None if there is none."""
    return f"{task}/{test_from}" if test_from else None


def _run(params: Influence, settings: Settings) -> Outcome:
    """Compute a run in its own process, and publish it if `publish_to` is set."""
    start, folder = time.time(), runs.find_folder(params)
    steps: list[tuple[str, dict[str, Any]]] = []
    if not scores.is_done(params):
        steps += [("finetune", {}), ("scores", {})]
    if settings.publish_to:
        steps.append(("publish", {"target": str(settings.publish_to)}))
    if not steps:
        return Outcome(0, 0.0)
    folder.mkdir(parents=True, exist_ok=True)
    values = settings.given | {"task": params["task"], "variant": params["variant"]}
    with (folder / "log.txt").open("w") as log:
        for module, more in steps:
            pairs = [f"{key}={json.dumps(value)}" for key, value in (values | more).items()]
            with settings.turn if module == "scores" else contextlib.nullcontext():
                done = subprocess.run(
                    [sys.executable, "-m", f"xl_influence.{module}", *pairs],
                    env=_make_environment(settings.at_once(module)),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    check=False,
                )
            if done.returncode:
                break
    return Outcome(done.returncode, time.time() - start)


def _make_environment(workers: int) -> dict[str, str]:
    """Return the environment of one of several processes: its share of cores and memory."""
    paths = [str(Path(__file__).resolve().parent.parent)]
    if os.environ.get("PYTHONPATH"):
        paths.append(os.environ["PYTHONPATH"])
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // workers))
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": threads,
        "XL_INFLUENCE_WORKERS": str(workers),
    }


def _describe(params: Run, outcome: Outcome) -> str:
    """Say how a run ended."""
    folder = runs.find_folder(params)
    if outcome.status:
        log = folder / "log.txt"
        text = log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n")
        end = "\n".join(f"    {line}" for line in text.splitlines()[-SHOWN:])
        return f"FAILED (exit status {outcome.status}), the end of {log}:\n{end}"
    manifest = read_manifest(folder)
    accuracy = f"development accuracy {development_accuracy(manifest):.1%}"
    time_taken = f"{outcome.seconds / 60:.1f} min" if outcome.seconds else "found finished"
    return f"{accuracy} after {manifest['chosen_epoch']} epoch(s), {time_taken}"


def main(arguments: Sequence[str]) -> int:
    """Run the command line.

    key=value, and `workers` (1), `passes` (as `workers`), `runs` (by default base of `task`, or of
    every task), `publish` (a folder).
    """
    if set(arguments) & {"-h", "--help"}:
        print(__doc__)
        return 0
    try:
        settings, wanted = _read_command_line(arguments)
        print(estimate.announce(wanted.values()) or "All of these runs are finished.", flush=True)
    except ValueError as error:  # in parameters, a prepared folder, or a task of your own
        print(f"error: {error}", file=sys.stderr)
        return 2
    failed = run_all(wanted, settings, lambda line: print(line, flush=True))
    summary = f"{len(wanted) - len(failed)} of {len(wanted)} runs finished"
    print(f"{summary}; failed: {', '.join(failed)}" if failed else summary)
    return 1 if failed else 0


def _read_command_line(arguments: Sequence[str]) -> tuple[Settings, dict[str, Parameters]]:
    """Return the settings of the command and the parameters of its runs, by name."""
    given = parse(arguments)
    names, publish_to = given.pop("runs", None), given.pop("publish", None)
    workers, passes = (_pop_number(given, key) for key in ("workers", "passes"))
    if names is not None and not isinstance(names, list):
        raise ParameterError(
            f"runs={names!r}: allowed is a list, as in runs=[pawsx/base,pawsx/without-ko]"
        )
    if names is None:
        tasks = [given["task"]] if "task" in given else list(TASKS)
        names = [f"{task}/base" for task in tasks]
    if publish_to:
        publish_to = Path(publish_to).expanduser().resolve()
    settings = Settings(given, workers or 1, passes or 0, publish_to)
    return settings, find_runs(given, names)


def _pop_number(given: dict[str, Any], key: str) -> int | None:
    """Take a number of processes out of `given`; None if it is not there."""
    found = given.pop(key, None)
    if found is not None and (type(found) is not int or found < 1):
        raise ParameterError(f"{key}={found!r}: allowed is a whole number from 1")
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
