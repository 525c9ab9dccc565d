# Which notebook runs after which, for every task of a study.
#
#     snakemake --profile profiles/local --cores all --config study=demo tasks="xnli marc"
#
# Any parameter in params/base.yaml can follow, such as epochs=2.
import json
import re
import shlex
import shutil
import sys
from pathlib import Path

from xl_influence import literals, params, runs, tables
from xl_influence import workflow as notebooks  # Snakemake itself uses the name `workflow`

TASKS = str(config.get("tasks", config.get("task", "xnli pawsx marc"))).split()
# Notebooks that compute → priority. Those that others wait for go first, so that no core is idle at
# the end. All other notebooks read what these leave, with one thread each.
COMPUTING = {"01-data-and-fine-tuning": 3, "02-influence": 2, "03-quality": 1}
# Threads of a notebook that computes. Running the tasks side by side uses the cores better than
# giving all of them to one task. Snakemake sets OMP_NUM_THREADS to this number.
THREADS = int(config.get("threads", max(1, workflow.cores // len(TASKS))))
GPU = shutil.which("nvidia-smi") is not None  # for one notebook at a time
SOURCES = [
    str(path) for path in sorted(Path("xl_influence").rglob("*")) if path.suffix in (".py", ".yaml")
]


OF_SNAKEMAKE = ("task", "tasks", "threads", "once")  # no parameters, or set by `tasks`


def place(run):
    """The folder of a run's notebooks and tables, as the wildcard `folder` has it."""
    return str(tables.place(run))


def executed(run, name):
    """Path of an executed notebook."""
    return f"{place(run)}/notebooks/{name}.ipynb"


def is_computed(run):
    """Whether a run is computed here; published ones are only read."""
    return not runs.is_published(runs.folder(run)) and runs.can_load(run)


try:
    GIVEN = literals.read_given(
        {key: value for key, value in config.items() if key not in OF_SNAKEMAKE}, params.root()
    )
    MERGED = {task: params.merge_with_source(GIVEN | {"task": task}) for task in TASKS}
    MAIN = {task: merged for task, (merged, _) in MERGED.items()}  # task → parameters of its run
    NAMES = {task: notebooks.notebooks(*MERGED[task]) for task in TASKS}  # task → its notebooks
    COMPARED = {  # task → notebook → parameters of the runs that it compares
        task: {
            name: [run for run in group if is_computed(run)]
            for name, group in notebooks.compared(*MERGED[task]).items()
        }
        for task in TASKS
    }
    for task in TASKS:
        notebooks.check(*MERGED[task], NAMES[task])
    RUNS = {}  # folder → parameters of the run
    for task in TASKS:
        for run in [MAIN[task], *(run for group in COMPARED[task].values() for run in group)]:
            RUNS.setdefault(place(run), run)
            if run["test_from"]:
                tested = params.with_variant(run, run["test_from"])
                if is_computed(tested):
                    RUNS.setdefault(place(tested), tested)
except params.ParameterError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)


def needed(wildcards):
    """Executed notebooks that a notebook needs: from its own run, from others, from other tasks."""
    run, name = RUNS[wildcards.folder], wildcards.name
    task, before = run["task"], notebooks.PER_TASK[name]
    found = []
    if wildcards.folder == place(MAIN[task]):
        found += [executed(run, other) for other in before if other in NAMES[task]]
        found += [executed(other, "02-influence") for other in COMPARED[task].get(name, [])]
    elif run["study"] == MAIN[task]["study"]:  # of another study only 02 runs; it also fine-tunes
        found += [executed(run, other) for other in before]
    if name == "02-influence" and run["test_from"]:
        tested = params.with_variant(run, run["test_from"])
        found += [executed(tested, name)] if place(tested) in RUNS else []
    if name == "09-the-paper-and-this-run":
        found += executed_for_tasks("04-cross-language-influence")
    return list(dict.fromkeys(found))


def executed_for_tasks(name):
    """Paths of an executed notebook, one for each task."""
    return [executed(MAIN[task], name) for task in TASKS if NAMES[task]]


def needed_once(wildcards):
    """What the notebooks need that the book has once."""
    if wildcards.name == "11-how-fast":
        return [f"benchmarks/{name}.json" for name in ("cases", "results", "results-cuda", "finetuning")]
    if wildcards.name == notebooks.ASK:
        return executed(MAIN["xnli"], "02-influence")
    if wildcards.name == "12-what-ran":
        return executed_for_tasks("09-the-paper-and-this-run")
    return executed_for_tasks("04-cross-language-influence")


def given(run):
    """The command line of a run: what its files do not say."""
    values = GIVEN
    if run["study"] != MAIN[run["task"]]["study"]:
        shared = (*params.KEPT, *params.TAKEN_ALONG)
        values = {key: run[key] for key in shared if key in GIVEN}
    values = values | {key: run[key] for key in ("study", "task", "variant")}
    return " ".join(shlex.quote(f"{key}={json.dumps(value)}") for key, value in values.items())


def gpus(wildcards):
    """How many GPUs a notebook uses: 1 or 0."""
    return int(GPU and wildcards.name in COMPUTING and RUNS[wildcards.folder]["device"] != "cpu")


ALL_TASKS = set(TASKS) >= {"xnli", "pawsx", "marc"}
ONCE = notebooks.ONCE if ALL_TASKS and config.get("once", True) else ()


onstart:  # only if something is to run, and only in the process that the reader started
    from xl_influence import estimate

    retrained = [run for task in TASKS for run in COMPARED[task]["03-quality"]]
    if told := estimate.announce(RUNS.values(), retrained):
        print(told, file=sys.stderr, flush=True)


wildcard_constraints:
    folder="|".join(map(re.escape, RUNS)),


rule all:
    input:
        [executed(MAIN[task], name) for task in TASKS for name in NAMES[task]],
        [executed(MAIN["xnli"], name) for name in ONCE],
        [executed(MAIN[task], notebooks.ASK) for task in TASKS if notebooks.is_asked(MAIN[task])],


rule notebook:
    input:
        "notebooks/{name}.ipynb",
        needed,
        sources=SOURCES,
    output:
        "{folder}/notebooks/{name}.ipynb",
    wildcard_constraints:
        name="|".join(notebooks.PER_TASK),
    params:
        merged=lambda wildcards: RUNS[wildcards.folder],
        name=lambda wildcards: wildcards.name,
        given=lambda wildcards: given(RUNS[wildcards.folder]),
    priority: lambda wildcards: COMPUTING.get(wildcards.name, 0)
    threads: lambda wildcards: THREADS if wildcards.name in COMPUTING else 1
    resources:
        gpu=gpus,
    shell:
        "python -m xl_influence.notebook {params.name} {params.given}"


rule notebook_once:  # of all tasks together; they lie beside those of the first
    input:
        "notebooks/{name}.ipynb",
        needed_once,
        sources=SOURCES,
    output:
        "{folder}/notebooks/{name}.ipynb",
    wildcard_constraints:
        name="|".join((*notebooks.ONCE, notebooks.ASK)),
    params:
        name=lambda wildcards: wildcards.name,
        given=lambda wildcards: given(RUNS[wildcards.folder]),
    threads: 1
    shell:
        "python -m xl_influence.notebook {params.name} {params.given}"
