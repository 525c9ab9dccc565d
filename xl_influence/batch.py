"""Several runs at once on one device, each in a process of its own.

`python -m xl_influence.batch study=real prepared=prepared workers=4 runs=[pawsx/base,pawsx/without-ko,xnli/seed-2]` fine-tunes
and scores these runs, four at a time. What each prints goes to `log.txt` in its folder. A run that was finished is found, one
that was killed goes on, one that fails is told and the others go on. With `publish=folder` each run leaves there, at its end,
what may be published of it (`publish`): megabytes to bring back instead of gigabytes.
"""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

from . import estimate, runs, scores
from .manifest import development_accuracy, read_manifest
from .params import ParameterError, merge, parse, with_variant
from .tasks import TASKS

SHOWN = 8  # lines of the log of a run that failed


def chosen(given, names):
    """Parameters of the runs `names` ('<task>/<variant>'), and of those whose test samples they take: name → dict."""
    found = {}
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


def run_all(wanted, given, workers, tell=print, target=None):
    """Run these (name → parameters), `workers` at once. Returns the names of those that failed.

    `target`: folder to which each run is published when it ends; see `publish`.

    A run that takes its test samples from another waits for it, and is not started where that one failed.
    """
    waiting, running, failed = dict(wanted), {}, []

    def told(name, words):
        tell(f"{len(wanted) - len(waiting) - len(running)}/{len(wanted)} {name}: {words}")

    with ThreadPoolExecutor(workers) as pool:
        try:
            while waiting or running:
                for name, params in list(waiting.items()):
                    base = _base(params)
                    if base in failed:
                        del waiting[name]
                        failed.append(name)
                        told(name, f"not started, {base} failed")
                    elif base not in waiting and base not in running.values():
                        running[pool.submit(_run, waiting.pop(name), given, workers, target)] = name
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    name, (status, seconds) = running.pop(future), future.result()
                    failed += [name] if status else []
                    told(name, _outcome(wanted[name], status, seconds))
        except KeyboardInterrupt:  # the processes got it too
            pool.shutdown(cancel_futures=True)
            raise
    return failed


def _base(params):
    """The run that must be done first, None where there is none."""
    return f"{params['task']}/{params['test_from']}" if params["test_from"] else None


def _run(params, given, workers, target):
    """One run in a process, and its publishing where `target` names a folder: (exit status, seconds)."""
    start, folder = time.time(), runs.folder(params)
    steps = [] if scores.is_done(params) else [("scores", {})]
    steps += [("publish", {"target": target})] if target else []
    if not steps:
        return 0, 0.0
    folder.mkdir(parents=True, exist_ok=True)
    values = given | {"task": params["task"], "variant": params["variant"]}
    with (folder / "log.txt").open("w") as log:
        for module, more in steps:
            pairs = [f"{key}={json.dumps(value)}" for key, value in (values | more).items()]
            command = [sys.executable, "-m", f"xl_influence.{module}", *pairs]
            streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": subprocess.STDOUT}
            done = subprocess.run(command, env=_environment(workers), **streams)
            if done.returncode:
                break
    return done.returncode, time.time() - start


def _environment(workers):
    """Of a process that shares the machine with others: its part of the cores and of the memory."""
    here = str(Path(__file__).resolve().parent.parent)
    paths = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // workers))
    return os.environ | {
        "PYTHONPATH": paths,
        "OMP_NUM_THREADS": threads,
        "XL_INFLUENCE_WORKERS": str(workers),
    }


def _outcome(params, status, seconds):
    """How a run ended, in words."""
    folder = runs.folder(params)
    if status:
        log = (
            (folder / "log.txt")
            .read_text(encoding="utf-8", errors="replace")
            .replace("\r", "\n")
            .splitlines()
        )
        end = "\n".join(f"    {line}" for line in log[-SHOWN:])
        return f"FAILED (exit status {status}), the end of {folder / 'log.txt'}:\n{end}"
    manifest = read_manifest(folder)
    accuracy = f"development accuracy {development_accuracy(manifest):.1%} after {manifest['chosen_epoch']} epoch(s)"
    return f"{accuracy}, {'found finished' if not seconds else f'{seconds / 60:.1f} min'}"


def main(arguments):
    """Command line: key=value, and `workers` (1), `runs` (base of `task`, or of every task), `publish` (a folder)."""
    if set(arguments) & {"-h", "--help"}:
        print(__doc__)
        return 0
    try:
        given = parse(arguments)
        workers, names = given.pop("workers", 1), given.pop("runs", None)
        target = given.pop("publish", None)
        if type(workers) is not int or workers < 1:
            raise ParameterError(f"workers={workers!r}: allowed is a whole number from 1")
        if names is not None and not isinstance(names, list):
            raise ParameterError(
                f"runs={names!r}: allowed is a list, as in runs=[pawsx/base,pawsx/without-ko]"
            )
        names = (
            [f"{task}/base" for task in ([given["task"]] if "task" in given else TASKS)]
            if names is None
            else names
        )
        wanted = chosen(given, names)
        print(estimate.announce(wanted.values()) or "All of these runs are finished.", flush=True)
    except ValueError as error:  # of parameters, of a prepared folder, of a task of one's own
        print(f"error: {error}", file=sys.stderr)
        return 2
    target = target and str(Path(target).expanduser().resolve())
    failed = run_all(wanted, given, workers, lambda line: print(line, flush=True), target)
    print(
        f"{len(wanted) - len(failed)} of {len(wanted)} runs finished"
        + (f"; failed: {', '.join(failed)}" if failed else "")
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
