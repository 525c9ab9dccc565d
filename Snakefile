# What runs after what, for every task of a study: the steps that compute (fine-tuning, influence,
# retraining), each a job of its own or several, and the notebooks that show what these leave.
#
#     snakemake --profile profiles/local --cores all --config study=demo tasks="xnli marc"
#     snakemake --profile profiles/slurm --config study=demo tasks="xnli marc"
#
# Any parameter in params/base.yaml can follow, such as epochs=2.
import json
import re
import shlex
import shutil
import sys
from pathlib import Path

from xl_influence import leftovers, literals, params, runs, steps, tables, uses
from xl_influence import workflow as notebooks  # Snakemake itself uses the name `workflow`
from xl_influence.tasks import TASKS as PAPERS_TASKS

TASKS = str(config.get("tasks", config.get("task", " ".join(PAPERS_TASKS)))).split()
# Threads of a step. Running the tasks side by side uses the cores better than giving all of them to
# one task. Snakemake sets OMP_NUM_THREADS to this number. Notebooks have one thread each.
THREADS = int(config.get("threads") or max(1, workflow.cores // len(TASKS)))
# GPUs of a step
GPUS = int(config.get("gpus", shutil.which("nvidia-smi") is not None))
# The most that one job does, see `steps.count_parts`; 0: all
SIZES = {
    "influence": config.get("samples_per_job", 0),
    "retraining": config.get("retrainings_per_job", 0),
}
# Keys of --config that are not parameters of the study, or that `tasks` sets
OF_SNAKEMAKE = (
    "task",
    "tasks",
    "threads",
    "gpus",
    "samples_per_job",
    "retrainings_per_job",
    "once",
)


def output_dir(run):
    """The folder of a run's notebooks and tables, as the wildcard `folder` has it."""
    return str(tables.find_output_dir(run))


def executed(run, name):
    """Path of an executed notebook."""
    return f"{output_dir(run)}/notebooks/{name}.ipynb"


def is_computed(run):
    """Whether a run is computed here; published ones are only read."""
    return not runs.is_published(runs.find_folder(run)) and runs.can_load(run)


try:
    written = literals.as_written(config, workflow.config_settings.config_args)
    GIVEN = literals.read_given(
        {key: value for key, value in written.items() if key not in OF_SNAKEMAKE}, params.find_root()
    )
    MERGED = {task: params.merge_with_source(GIVEN | {"task": task}) for task in TASKS}
    MAIN = {task: merged for task, (merged, _) in MERGED.items()}  # task → parameters of its run
    NAMES = {task: notebooks.list_notebooks(*MERGED[task]) for task in TASKS}  # by task
    COMPARED = {  # task → notebook → parameters of the runs that it compares
        task: {
            name: [run for run in group if is_computed(run)]
            for name, group in notebooks.find_compared(*MERGED[task]).items()
        }
        for task in TASKS
    }
    for task in TASKS:
        notebooks.check(*MERGED[task], NAMES[task])
    RUNS = {}  # folder → parameters of the run
    for task in TASKS:
        for run in [MAIN[task], *(run for group in COMPARED[task].values() for run in group)]:
            RUNS.setdefault(output_dir(run), run)
            if run["test_from"]:
                tested = params.with_variant(run, run["test_from"])
                RUNS.setdefault(output_dir(tested), tested)
    RETRAINED = [run for task in TASKS for run in COMPARED[task]["03-quality"]]
    STEPS = {}  # done file → step, parameters of its run, in how many parts
    for run in filter(is_computed, [*RUNS.values(), *RETRAINED]):
        for step in steps.STEPS if run in RETRAINED else steps.STEPS[:2]:
            parts = steps.count_parts(run, step, SIZES.get(step, 0))
            STEPS[str(steps.find_done_file(run, step))] = (step, run, parts)
    # Finished steps are found by their fingerprints, and no rule makes their done files again. A
    # job that Snakemake has started, on a node of a cluster, already knows what to run.
    FINISHED = set()
    if workflow.is_main_process:
        for step, run, _ in STEPS.values():
            FINISHED.update(map(str, steps.find_finished(run, [step])))
except (ValueError, runs.RunError) as error:  # in parameters, data, or the files of a run
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)


def pattern_of_done_files(step):
    """A regular expression for the done files that the rule of a step can make."""
    found = [path for path, (other, *_) in STEPS.items() if other == step and path not in FINISHED]
    return "|".join(map(re.escape, found)) or "(?!)"


def done_file(run, step):
    """The done file of a step of a run, as a list; empty for a published run."""
    return [str(steps.find_done_file(run, step))] if is_computed(run) else []


def needed(wildcards):
    """What a notebook needs: steps of its run and of others, and other notebooks."""
    run, name = RUNS[wildcards.folder], wildcards.name
    task = run["task"]
    found = done_file(run, "finetuning" if name.startswith("01-") else "influence")
    found += [executed(run, other) for other in notebooks.PER_TASK[name] if other in NAMES[task]]
    for other in COMPARED[task].get(name, []):
        found += done_file(other, "retraining" if name.startswith("03-") else "influence")
    if name == "09-the-paper-and-this-run":
        found += executed_for_tasks("04-cross-language-influence")
    return list(dict.fromkeys(found))


def needed_by_influence(wildcards):
    """What an influence pass needs: the model, and the test samples if another run chose them."""
    _, run, _ = STEPS[wildcards.done_file]
    found = done_file(run, "finetuning")
    if run["test_from"]:
        found += done_file(params.with_variant(run, run["test_from"]), "influence")
    return found


def parts(wildcards):
    """The done files of the parts of a step that is split into several jobs."""
    *_, number = STEPS[wildcards.done_file]
    return [f"{wildcards.done_file}.{part}-of-{number}" for part in range(number) if number > 1]


def executed_for_tasks(name):
    """Paths of an executed notebook, one for each task."""
    return [executed(MAIN[task], name) for task in TASKS if NAMES[task]]


def needed_once(wildcards):
    """What a notebook needs that runs once for the whole book."""
    if wildcards.name == "11-how-fast":
        measured = ("cases", "results", "results-cuda", "finetuning", "scale")
        return [f"benchmarks/{name}.json" for name in measured]
    if folder := notebooks.MEASURED.get(wildcards.name):  # its files may not be there yet
        return sorted(map(str, Path(folder).glob("*.json")))
    if wildcards.name == notebooks.ASK:
        return executed(MAIN["xnli"], "02-influence")
    if wildcards.name == "12-what-ran":
        return executed_for_tasks("09-the-paper-and-this-run")
    return executed_for_tasks("04-cross-language-influence")


def given(run):
    """The command line of a run: the parameters that its files do not set."""
    values = GIVEN
    if run["study"] != MAIN[run["task"]]["study"]:
        shared = (*params.KEPT, *params.FORWARDED)
        values = {key: run[key] for key in shared if key in GIVEN}
    values = values | {key: run[key] for key in ("study", "task", "variant")}
    return " ".join(shlex.quote(f"{key}={json.dumps(value)}") for key, value in values.items())


def given_to_step(wildcards):
    """The command line of a step."""
    return given(STEPS[wildcards.done_file][1])


def gpus(wildcards):
    """How many GPUs a step uses."""
    return GPUS if STEPS[wildcards.done_file][1]["device"] != "cpu" else 0


def sources(wildcards):
    """The package's files that a notebook uses."""
    return list(map(str, uses.find_files(f"notebooks/{wildcards.name}.ipynb")))


ONCE = notebooks.ONCE if set(TASKS) >= set(PAPERS_TASKS) and config.get("once", True) else ()


onstart:  # only if something is to run, and only in the process that the reader started
    from xl_influence import estimate

    if message := leftovers.cancel():
        print(message, file=sys.stderr, flush=True)
    if message := estimate.announce(filter(is_computed, RUNS.values()), RETRAINED):
        print(message, file=sys.stderr, flush=True)


wildcard_constraints:
    folder="|".join(re.escape(output_dir(MAIN[task])) for task in TASKS),
    part=r"\d+",


rule all:
    input:
        [executed(MAIN[task], name) for task in TASKS for name in NAMES[task]],
        [executed(MAIN["xnli"], name) for name in ONCE],
        [executed(MAIN[task], notebooks.ASK) for task in TASKS if notebooks.is_asked(MAIN[task])],


rule finetuning:
    output:
        "{done_file}",
    wildcard_constraints:
        done_file=pattern_of_done_files("finetuning"),
    params:
        given=given_to_step,
    priority: 3  # those that others wait for go first, so that no core is idle at the end
    threads: THREADS
    resources:
        gpu=gpus,
    shell:
        "python -m xl_influence.steps finetuning {params.given}"


rule influence_part:  # of a cube that several jobs fill
    input:
        needed_by_influence,
    output:
        "{done_file}.{part}-of-{parts}",
    wildcard_constraints:
        done_file=pattern_of_done_files("influence"),
    params:
        given=given_to_step,
    priority: 2
    threads: THREADS
    resources:
        gpu=gpus,
    shell:
        "python -m xl_influence.steps influence part={wildcards.part} parts={wildcards.parts}"
        " {params.given}"


rule influence:
    input:
        needed_by_influence,
        parts,
    output:
        "{done_file}",
    wildcard_constraints:
        done_file=pattern_of_done_files("influence"),
    params:
        given=given_to_step,
    priority: 2
    threads: THREADS
    resources:
        gpu=gpus,
    shell:
        "python -m xl_influence.steps influence {params.given}"


def cube(wildcards):
    """The done file of the cube from which samples to leave out are chosen."""
    return done_file(STEPS[wildcards.done_file][1], "influence")


rule retraining_part:
    input:
        cube,
    output:
        "{done_file}.{part}-of-{parts}",
    wildcard_constraints:
        done_file=pattern_of_done_files("retraining"),
    params:
        given=given_to_step,
    priority: 1
    threads: THREADS
    resources:
        gpu=gpus,
    shell:
        "python -m xl_influence.steps retraining part={wildcards.part} parts={wildcards.parts}"
        " {params.given}"


rule retraining:
    input:
        cube,
        parts,
    output:
        "{done_file}",
    wildcard_constraints:
        done_file=pattern_of_done_files("retraining"),
    params:
        given=given_to_step,
    priority: 1
    threads: THREADS
    resources:
        gpu=gpus,
    shell:
        "python -m xl_influence.steps retraining {params.given}"


rule notebook:
    input:
        "notebooks/{name}.ipynb",
        needed,
        sources=sources,
    output:
        "{folder}/notebooks/{name}.ipynb",
    wildcard_constraints:
        name="|".join(notebooks.PER_TASK),
    params:
        merged=lambda wildcards: RUNS[wildcards.folder],
        name=lambda wildcards: wildcards.name,
        given=lambda wildcards: given(RUNS[wildcards.folder]),
    threads: 1
    shell:
        "python -m xl_influence.notebook {params.name} {params.given}"


rule notebook_once:  # of all tasks together; they lie beside those of the first
    input:
        "notebooks/{name}.ipynb",
        needed_once,
        sources=sources,
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
