# Which notebook runs after which, for every task of a study.
# snakemake --profile profiles/local --cores all --config study=demo tasks="xnli marc" [any parameter of params/base.yaml]
import json
import shlex
import shutil
import sys
from pathlib import Path

from xl_influence import pages, params, runs

TASKS = str(config.get("tasks", "xnli pawsx marc")).split()
# Notebooks that compute → priority: what others wait for goes first, so that no core is idle at the end. The others read what
# these leave: one thread each.
COMPUTING = {"01-data-and-fine-tuning": 2, "02-influence": 1}
# Threads of a notebook that computes: tasks run side by side, which uses the cores better than one task with all of them.
# Snakemake sets OMP_NUM_THREADS to it.
THREADS = int(config.get("threads", max(1, workflow.cores // len(TASKS))))
GPU = shutil.which("nvidia-smi") is not None  # one notebook at a time uses it
GIVEN = {key: value for key, value in config.items() if key not in ("tasks", "threads")}
try:
    MERGED = {task: params.merge(GIVEN | {"task": task}) for task in TASKS}
except params.ParameterError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)

BASE = {task: str(runs.folder(merged) / "notebooks") for task, merged in MERGED.items()}
SOURCES = sorted(str(path) for path in Path("xl_influence").rglob("*") if path.suffix in (".py", ".yaml"))
ONCE = {  # notebooks that the book has once → what they need; they run when all tasks do
    "00-the-answer": [f"{BASE[task]}/04-cross-language-influence.ipynb" for task in TASKS],
} if set(TASKS) >= set(pages.TASKS) else {}
VALUES = " ".join(shlex.quote(f"{key}={json.dumps(value)}") for key, value in GIVEN.items())


rule all:
    input:
        [f"{BASE[task]}/{name}.ipynb" for task in TASKS for name in pages.PER_TASK],
        [f"{BASE['xnli']}/{name}.ipynb" for name in ONCE],


for TASK in TASKS:
    for NAME, BEFORE in pages.PER_TASK.items():

        rule:
            name:
                f"{TASK}_{NAME[:2]}"
            input:
                f"notebooks/{NAME}.ipynb",
                [f"{BASE[TASK]}/{before}.ipynb" for before in BEFORE],
                sources=SOURCES,
            output:
                f"{BASE[TASK]}/{NAME}.ipynb",
            params:
                merged=MERGED[TASK],
                name=NAME,
                given=f"task={TASK} {VALUES}",
            priority: COMPUTING.get(NAME, 0)
            threads: THREADS if NAME in COMPUTING else 1
            resources:
                gpu=int(GPU and NAME in COMPUTING and MERGED[TASK]["device"] != "cpu"),
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
            f"{BASE['xnli']}/{NAME}.ipynb",
        params:
            name=NAME,
            given=f"task=xnli {VALUES}",
        threads: 1
        shell:
            "python -m xl_influence.notebook {params.name} {params.given}"
