"""Every command on the pages that tell a reader what to type runs as it is printed there.

The commands are read from the pages. The page on clusters runs from top to bottom, in a checkout of
its own. What takes hours, or needs the hub, a GPU or the network, is run in a smaller form that is
made from the printed one; `REDUCED` says how. A command that is in no list fails.
"""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import fake_hub
import pandas as pd
import pytest
from conftest import ROOT, random_samples, tiny

from xl_influence import literals, params, workflow

pytestmark = pytest.mark.slow

PAGES = ("README.md", "book/bring-your-own.md", "book/reproduce.md", "book/cluster.md")
QUOTED = ("text", "bibtex")  # fenced, but neither commands nor code
SMALL = "study=smoke task=pawsx"  # after the cluster page there is such a run, also a published one
DRY = "CORES='1 -n'"  # make hands it to Snakemake, which then says what it would run


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str


def read_blocks(page):
    """All fenced blocks of a page, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found[1], found[2])
        for found in re.finditer(r"^```(\S*)\n(.*?)^```$", text, re.M | re.S)
    ]


def read_commands(page):
    """The commands of a page, by line, without their comments; those joined by & are one."""
    found = {}
    for block in read_blocks(page):
        if block.language == "bash" and "&\n" in block.text:
            found[block.line + 1] = block.text.strip()
        elif block.language == "bash":
            lines = block.text.replace("\\\n", "\\ ").split("\n")  # continued lines count as one
            for number, line in enumerate(lines, block.line + 1):
                line = line.replace("\\ ", "")
                if command := re.sub(r"(^|\s)#.*", "", line).strip():
                    found[number] = command
    return found


COMMANDS = [(page, line, text) for page in PAGES for line, text in read_commands(page).items()]
PYTHON = [block for page in PAGES for block in read_blocks(page) if block.language == "python"]
CLUSTER = "book/cluster.md"

# What a command begins with → the smaller form of it; {} is the command as printed
REDUCED = {
    r"make study .*TASK=own": f"{{}} {DRY}",  # what would run
    r"make (study|book|html|lab|bench|test)\b": "make -n{}",  # its recipe is looked at
    r"make prepare STUDY=real\b": "{} STUDY=smoke TASK=marc",
    r"make publish STUDY=real\b": "{} STUDY=smoke TASK=pawsx DATA_ROOT=",
    r"git clone <repository>": "{}",  # the address is the checkout
    r"\.venv/bin/papermill\b": "{} --prepare-only",
    r"\.venv/bin/python -m xl_influence\.notebook 02\b": f"{{}} {SMALL} test_size=2",
    r"\.venv/bin/python -m xl_influence\.notebook 04\b": f"{{}} {SMALL}",
    r"\.venv/bin/python -c ": "{}",  # the run is the small one
    r"\.venv/bin/torchrun\b": f"{{}} {SMALL} variant=seed-3 device=cpu",  # one process, not four
    r"\.venv/bin/python -m xl_influence\.scores\b": "{}",  # the study is the small one
    r"\.venv/bin/python -m xl_influence\.scale\b": "{}",
    r"\.venv/bin/python -m xl_influence\.methods\.suspects\b": f"{{}} {SMALL} out=suspects.csv",
    r"pip install\b": "{} --no-index --dry-run",
}
AS_PRINTED = (  # on the cluster page, in its order, and the README's second line
    r"make prepare STUDY=smoke\b",
    r"git archive\b",
    r"tar -[cx]f\b",
    r"python -m xl_influence\.batch\b",
    r"python -m xl_influence\.publish\b",
    r"\.venv/bin/python -m xl_influence\.restore\b",
    r"cd xl-influence$",
)


DONE = {}  # form → its process, finished


def reduce(text, checkout):
    """The form in which a command is run; None if it is in no list."""
    if any(re.match(pattern, text) for pattern in AS_PRINTED):
        return text.replace("cd xl-influence", "cd xl-influence && test -f Makefile")
    text = re.sub(r'sbatch .*--wrap\s+"(.+)"', r"\1", text)  # what the job runs
    form = next((form for pattern, form in REDUCED.items() if re.match(pattern, text)), None)
    if form is None:
        return None
    text = text.replace("<repository>", shlex.quote(str(checkout)))
    text = text.replace("runs/paper/xnli/base', 4", "runs/smoke/pawsx/base', 1")
    text = text.replace("study=paper task=xnli &", f"{SMALL} variant=seed-3 &")
    text = re.sub(r"--nproc-per-node \d", "--nproc-per-node 1", text)
    if form.startswith("make -n"):
        return form.format(text.removeprefix("make"))
    return form.format(text)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A checkout with everything that is in git here, the same environment, and a home folder."""
    folder = tmp_path_factory.mktemp("commands") / "checkout"
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() and not name.startswith("results/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(sys.prefix)
    for line in (
        "git init -q",
        "git add -A",
        "git -c user.name=x -c user.email=x@example.org commit -qm x",
    ):
        subprocess.run(line.split(), cwd=folder, check=True)
    home = folder.parent / "home"
    fake_hub.write_datasets(home / "hub")
    (home / "hub" / "datasets").rename(home / "data")
    return folder


def write_my_task(folder, names, pattern):
    """Write the table on 'Bring your own' often enough for a study, with the columns in `names`.

    `pattern`: where each language has a file; empty: one file for all.
    """
    page = (ROOT / "book" / "bring-your-own.md").read_text(encoding="utf-8")
    head, *lines = re.search(r"```text\n(.+?)```", page, re.S)[1].strip().split("\n")
    rows = pd.DataFrame([line.split(",") for line in lines], columns=head.split(","))
    rows = pd.concat([rows.assign(item=n, text_a=rows["text_a"] + f" {n}") for n in range(2000)])
    rows.loc[rows["item"] % 2 == 0, "label"] = "entailment"
    shutil.rmtree(folder, ignore_errors=True)
    for lang, part in rows.groupby("lang") if pattern else [("", rows)]:
        for split in ("train", "validation", "test"):
            path = folder / (pattern or "{split}.csv").format(lang=lang, split=split)
            path.parent.mkdir(parents=True, exist_ok=True)
            written = part.drop(columns="lang") if pattern else part
            separator = "\t" if path.suffix == ".tsv" else ","
            written.rename(columns=names).to_csv(path, index=False, sep=separator)


def run(text, checkout):
    """Run a command with bash in the checkout, reduced; returns the finished process."""
    form = reduce(text, checkout)
    assert form, f"{text}: in no list; say in {Path(__file__).name} how it is tested"
    home = checkout.parent / "home"
    if "~/my-task" in text:
        names = dict(re.findall(r"\b(text_a|label|lang)=(\w+)", text))
        pattern = re.search(r"files=([^\s\"]+)", text)
        write_my_task(home / "my-task", names, pattern[1] if pattern else "")
    if form.startswith("make "):  # the environment is not what is tested here
        old = "-o .venv/installed -o benchmarks/.venv/installed"
        form = form.replace("make ", f"make {old} ", 1)
    environment = os.environ | {
        "HOME": str(home),
        "PYTHONPATH": str(checkout),
        "PATH": f"{checkout / '.venv' / 'bin'}:{os.environ['PATH']}",
    }
    if form not in DONE or not form.startswith("make"):  # some are on several pages
        DONE[form] = subprocess.run(
            ["bash", "-c", form], cwd=checkout, env=environment, capture_output=True, text=True
        )
    return DONE[form]


@pytest.fixture(scope="module")
def cluster(checkout):
    """The commands of the page on clusters, run from top to bottom: line → finished process."""
    return {line: run(text, checkout) for line, text in read_commands(CLUSTER).items()}


def fail_unless_done(done):
    assert done.returncode == 0, f"{done.args[-1]}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"


@pytest.mark.parametrize(
    ("page", "line", "text"), COMMANDS, ids=[f"{page}:{line}" for page, line, _ in COMMANDS]
)
def test_a_command_runs(page, line, text, checkout, request):
    if page == CLUSTER or "smoke" in (reduce(text, checkout) or ""):  # needs the small runs
        on_page = request.getfixturevalue("cluster")
    done = on_page[line] if page == CLUSTER else run(text, checkout)
    fail_unless_done(done)
    said = done.stdout + done.stderr
    if "TASK=own" in text:
        assert re.search(r"^notebook +\d+$", said, re.M), said[-2000:]
    elif re.match(r"make (study|book|html|lab|bench|test)\b", text):
        check_recipe(done.stdout)
    if text.endswith("wait"):  # which succeeds whatever the commands before it did
        assert (checkout / "runs" / "smoke" / "pawsx" / "seed-3" / "scores.zarr").is_dir(), said
    if "xl_influence.batch" in text:
        assert re.search(r"^(\d+) of \1 runs finished$", said, re.M), said
    if text.startswith(("make", ".venv")):
        check_parameters(text, checkout)


def check_recipe(recipe):
    """Every line of a recipe calls a program, a module or a script that there is.

    What Snakemake is given passes the checks at the beginning of the Snakefile.
    """
    lines = re.sub(r'PATH="[^"]*" ', "", recipe).splitlines()
    lines = [line for line in lines if line.strip() and not re.match(r"make|echo", line)]
    assert lines
    for line in lines:
        program, *words = shlex.split(line)
        if "--config" in words:
            plan(words[words.index("--config") + 1 :])
        assert program.startswith((".venv/bin/", "benchmarks/.venv/bin/")), line
        name = Path(program).name
        if name == "python":
            place = words[1] if words[0] == "-m" else words[0]
            module = words[0] == "-m" and importlib.util.find_spec(place)
            assert module or (ROOT / place).is_file(), line
        else:
            assert shutil.which(name, path=str(Path(sys.prefix) / "bin")), line


def plan(words):
    """Check a study as the Snakefile does: parameters, notebooks, data of one's own task."""
    from snakemake.cli import parse_config

    config = literals.as_written(parse_config(words), words)
    tasks = str(config.pop("tasks", "xnli pawsx marc")).split()
    config.pop("once", None)
    given = literals.read_given(config, ROOT)
    for task in tasks:
        merged = params.merge_with_source(given | {"task": task})
        names = workflow.list_notebooks(*merged)
        assert "02-influence" in names and workflow.find_compared(*merged)
        workflow.check(*merged, names)


def check_parameters(text, checkout):
    """The parameters as printed, not as reduced, fit each other."""
    if "xl_influence.scale" in text:  # its own keys, which it checks as printed
        return
    variables = dict(re.findall(r'\b([A-Z_]+)=("[^"]*"|\S+)', text))
    variables = {name: value.strip('"') for name, value in variables.items()}
    home = str(checkout.parent / "home")
    given = {}
    if "DATA_ROOT" in variables:
        given["data_root"] = variables["DATA_ROOT"].replace("~", home, 1)
    if "STUDY" in variables:
        given["study"] = variables["STUDY"]
    pairs = [pair.replace("~", home) for pair in re.findall(r"\b[a-z_]+=\S+", text.split("&")[0])]
    given |= params.parse(pair.strip('"') for pair in pairs)
    for task in variables.get("TASK", given.get("task", "xnli")).split():
        assert params.merge(given | {"task": task})["task"] == task


@pytest.mark.parametrize("block", PYTHON, ids=[f"{block.page}:{block.line}" for block in PYTHON])
def test_code_runs(block, cluster, checkout, monkeypatch, capsys):
    monkeypatch.chdir(checkout)
    code = block.text.replace("results/real/xnli", "results/smoke/pawsx")
    runs = str(checkout / "runs")
    small = f'{{"study": "smoke", "task": "pawsx", "runs_root": {runs!r}}}'
    code = code.replace('{"study": "demo", "task": "xnli"}', small)
    train, test = random_samples(4, 1), random_samples(2, 2)
    space = {"model": tiny("bert"), "train": train, "test": test}
    *before, last = [line for line in code.strip().split("\n") if not line.startswith("#")]
    exec("\n".join([*before, f"result = {last}"]), space)
    result, printed = space["result"], capsys.readouterr().out
    assert 0 <= float(printed) <= 1 if printed else len(result) >= 2


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_commands_code_or_quoted(page):
    blocks = read_blocks(page)
    assert (ROOT / page).read_text(encoding="utf-8").count("\n```") == 2 * len(blocks)
    assert {block.language for block in blocks} <= {"bash", "python", *QUOTED}
    for block in blocks:
        end = block.line + block.text.count("\n")
        where = [line for line in read_commands(page) if block.line < line <= end]
        assert block.language != "bash" or where


def test_a_command_in_no_list_fails(checkout):
    with pytest.raises(AssertionError, match="make coffee: in no list"):
        run("make coffee", checkout)
    assert read_commands("README.md")  # and something is read at all
