# Which notebook runs after which, for every task of a study.
# snakemake --profile profiles/local --cores all --config study=demo tasks="xnli marc" [any parameter of params/base.yaml]
import json
import shlex
import shutil
import sys
from pathlib import Path

from xl_influence import params, runs, tables
from xl_influence import workflow as notebooks  # Snakemake has a name `workflow` of its own

TASKS = str(config.get("tasks", config.get("task", "xnli pawsx marc"))).split()
# Notebooks that compute → priority: what others wait for goes first, so that no core is idle at the end. The others read what
# these leave: one thread each.
COMPUTING = {"01-data-and-fine-tuning": 3, "02-influence": 2, "03-quality": 1}
# Threads of a notebook that computes: tasks run side by side, which uses the cores better than one task with all of them.
# Snakemake sets OMP_NUM_THREADS to it.
THREADS = int(config.get("threads", max(1, workflow.cores // len(TASKS))))
GPU = shutil.which("nvidia-smi") is not None  # one notebook at a time uses it
GIVEN = {  # Snakemake leaves whole numbers inside a list as text
    key: [int(entry) if str(entry).isdecimal() else entry for entry in value] if isinstance(value, list) else value
    for key, value in config.items()
    if key not in ("task", "tasks", "threads", "once")
}
try:
    MERGED = {}  # task → its parameters, with where they come from
    for task in TASKS:
        MERGED[task] = params.merge_with_source(GIVEN | {"task": task})
    NAMES = {task: notebooks.notebooks(*MERGED[task]) for task in TASKS}  # task → its notebooks
    COMPARED = {  # task → notebook → parameters of runs; published ones are only read
        task: {
            name: [run for run in group if not runs.is_published(runs.folder(run)) and runs.can_load(run)]
            for name, group in notebooks.compared(*MERGED[task]).items()
        }
        for task in TASKS
    }
    RUNS = {}  # (study, task, variant) → parameters; of those that are only compared notebooks 01 and 02 are run
    for task in TASKS:
        for merged in [MERGED[task][0], *(run for group in COMPARED[task].values() for run in group)]:
            RUNS.setdefault((merged["study"], task, merged["variant"]), merged)
except params.ParameterError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)


def executed(merged, name):
    """Where a notebook of a run lies when it was executed."""
    return f"{tables.place(merged)}/notebooks/{name}.ipynb"


def needed(task, name):
    """Executed notebooks that a notebook of the study needs: of its own run, of variants, of other tasks."""
    own = [executed(MERGED[task][0], before) for before in notebooks.PER_TASK[name] if before in NAMES[task]]
    others = [executed(run, "02-influence") for run in COMPARED[task].get(name, [])]
    if name == "09-the-paper-and-this-run":
        others += [executed(MERGED[other][0], "04-cross-language-influence") for other in TASKS if NAMES[other]]
    return list(dict.fromkeys(own + others))


def given(merged):
    """The command line of a run: what is not in its files."""
    own = merged["study"] == MERGED[merged["task"]][0]["study"]
    values = GIVEN if own else {key: merged[key] for key in ("runs_root", "data_root", "prepared", "device") if key in GIVEN}
    values = values | {"study": merged["study"], "task": merged["task"], "variant": merged["variant"]}
    return " ".join(shlex.quote(f"{key}={json.dumps(value)}") for key, value in values.items())


onstart:  # only where something is to run, and only in the process that the reader started
    from xl_influence import estimate

    told = estimate.announce(RUNS.values(), [run for task in TASKS for run in COMPARED[task]["03-quality"]])
    if told:
        print(told, file=sys.stderr, flush=True)


SOURCES = sorted(str(path) for path in Path("xl_influence").rglob("*") if path.suffix in (".py", ".yaml"))
ONCE = {  # notebooks that the book has once → what they need; they run when all tasks do
    "00-the-answer": [executed(MERGED[task][0], "04-cross-language-influence") for task in TASKS if NAMES[task]],
    "11-how-fast": [f"benchmarks/{name}.json" for name in ("results", "results-cuda", "finetuning")],
    "12-what-ran": [executed(MERGED[task][0], "09-the-paper-and-this-run") for task in TASKS if NAMES[task]],
} if set(TASKS) >= {"xnli", "pawsx", "marc"} and config.get("once", True) else {}


rule all:
    input:
        [executed(MERGED[task][0], name) for task in TASKS for name in NAMES[task]],
        [executed(MERGED["xnli"][0], name) for name in ONCE],


for (STUDY, TASK, VARIANT), RUN in RUNS.items():
    WHOLE = RUN["study"] == MERGED[TASK][0]["study"] and RUN["variant"] == MERGED[TASK][0]["variant"]
    for NAME in NAMES[TASK]:
        BEFORE = notebooks.PER_TASK[NAME]
        # Of a variant 01 and 02 are run; of another study 02 alone, which fine-tunes first.
        wanted = {"01-data-and-fine-tuning", "02-influence"} if STUDY == MERGED[TASK][0]["study"] else {"02-influence"}
        if not WHOLE and NAME not in wanted:
            continue
        NEEDS = needed(TASK, NAME) if WHOLE else [executed(RUN, before) for before in BEFORE if before in wanted]
        if NAME == "02-influence" and RUN["test_from"]:
            NEEDS.append(executed(RUNS[STUDY, TASK, RUN["test_from"]], NAME))

        rule:
            name:
                f"{TASK}_{NAME[:2]}" if WHOLE else f"{TASK}_{STUDY}_{VARIANT}_{NAME[:2]}".replace("-", "_")
            input:
                f"notebooks/{NAME}.ipynb",
                NEEDS,
                sources=SOURCES,
            output:
                executed(RUN, NAME),
            params:
                merged=RUN,
                name=NAME,
                given=given(RUN),
            priority: COMPUTING.get(NAME, 0)
            threads: THREADS if NAME in COMPUTING else 1
            resources:
                gpu=int(GPU and NAME in COMPUTING and RUN["device"] != "cpu"),
            shell:
                "python -m xl_influence.notebook {params.name} {params.given}"


for NAME, NEEDED in ONCE.items():

    rule:
        name:
            f"once_{NAME[:2]}"
        input:
            f"notebooks/{NAME}.ipynb",
            NEEDED,
            sources=SOURCES,
        output:
            executed(MERGED["xnli"][0], NAME),
        params:
            name=NAME,
            given=given(MERGED["xnli"][0]),
        threads: 1
        shell:
            "python -m xl_influence.notebook {params.name} {params.given}"
