"""Who hurts whom: train on samples that are wrong on purpose, and see which scores find them.

    python -m xl_influence.methods.hurting study=demo-small task=pawsx draws=5

In each draw, 10 % of the labels of every language are changed; in a parallel task, as many more
draws exchange 10 % of every language's texts instead. Each draw is a run of its own, the variant
`flipped-10-<draw>` or `swapped-10-<draw>`, so a command that was killed continues where it was. The
result goes to `results/who-hurts-whom/<study>-<task>.json`, without any text; page "Who hurts whom"
reads it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from .. import corruption, params, runs, scores, tasks
from ..manifest import (
    development_accuracy,
    is_at_chance,
    languages_at_chance,
    majority_share,
)
from ..sections import Analysis
from ..sharing import Bootstrap
from ..variants import CORRUPTION
from ..workflow import MEASURED
from . import commands
from .detection import Draw, find_marked
from .evidence import describe_machine, make_rows
from .harm import Harmed, compare_own_and_other, tabulate_harm
from .study import as_given
from .suspicion import compute_suspicion, train_probabilities

PERCENT = 10  # of the training samples of each language
DRAWS = 5
OPTIONS = {"draws": commands.Option(DRAWS, 1)}
DIGITS = 4  # of numbers in a file
TEST_SIZE = 10  # test samples per language at least, so that intervals have enough items
FOLDER = MEASURED["17-who-hurts-whom"]
TABLES = ("auroc", "harm", "pairs")
FLIPPED, WRONG, RIGHT = (
    "label changed",
    "text exchanged, label wrong",
    "text exchanged, label right",
)
NOT_PARALLEL = "the samples of this task are not translations of each other"
SETTINGS = (
    *("study", "task", "languages", "train_size", "dev_size", "data_seed", "encoder"),
    *("encoder_layers", "learning_rate", "batch_size", "epochs", "seed", "test_size", "top_k"),
    *("resamples", "confidence_level"),
)


class ResultError(ValueError):
    """A result file is damaged, or cannot be made."""


class Trained(NamedTuple):
    """One draw: the scores of its training samples, its influence, and what it was.

    Attributes
    ----------
    scores : dict
        Name → (train,), from `compute_suspicion`.
    harmed : Harmed
        Influence on the test samples in whose language the model learned the task.
    at_chance : list of str
        Languages in which the model is at chance.
    about : dict
        One row of `runs` in the result.
    reasons : dict
        Score → why it could not be computed.
    """

    scores: dict[str, np.ndarray]
    harmed: Harmed
    at_chance: list[str]
    about: dict[str, Any]
    reasons: dict[str, str]


def measure(config: Analysis, *, draws: int = DRAWS, progress: bool = True) -> dict[str, Any]:
    """Train on corrupted samples, and measure which scores find them and whom they hurt.

    Parameters
    ----------
    config : dict
        The parameters of a study's run `base`; nothing of that run is needed or changed.
    draws : int
        How many trainings of each kind, with other samples changed in each.
    progress : bool
        Whether to show progress bars.

    Returns
    -------
    dict
        `auroc` (rows of `find_marked`, with `corruption`), `harm` (of `tabulate_harm`), `pairs` (of
        `compare_own_and_other`), `runs` (one row per training), `not_computed` (score or corruption
        → why), `at_chance` (corruption → whether fewer than half of the models learned the task;
        then nothing can be claimed), and what the result was made with.

    Raises
    ------
    ResultError
        `draws` is less than 1, samples are already corrupted, or only sums of scores are kept.
    """
    if draws < 1:
        raise ResultError(f"draws={draws}: allowed is a whole number from 1")
    if any(runs.select_keys(config, CORRUPTION).values()):
        raise ResultError(f"{', '.join(CORRUPTION)}: set here for each training; leave them out")
    if config["keep"] == "sum":
        raise ResultError(
            "keep='sum': the lengths of gradients are needed; allowed are groups and checkpoints"
        )
    found: dict[str, Any] = {
        "title": tasks.find_title(config),
        "synthetic": config["data"] == "demo",
    }
    found |= {"percent": PERCENT, "draws": draws, "parameters": runs.select_keys(config, SETTINGS)}
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    abouts: list[dict[str, Any]] = []
    at_chance: dict[str, bool] = {}
    not_computed: dict[str, str] = {}
    for kind in (corruption.FLIPPED, corruption.SWAPPED):
        if kind == corruption.SWAPPED and not tasks.find(config).parallel:
            not_computed[kind] = NOT_PARALLEL
            continue
        trained = [_train(config, f"{kind}-{PERCENT}-{n}", progress) for n in range(draws)]
        used = choose_used(trained)
        at_chance[kind] = not has_learned(trained)
        not_computed |= trained[0].reasons
        abouts += [each.about for each in trained]
        for name, table in make_tables(used, kind, Bootstrap.of(config), config["top_k"]).items():
            tables[name].append(table)
    joined = {name: make_rows(pd.concat(parts), DIGITS) for name, parts in tables.items()}
    found |= {"at_chance": at_chance, "not_computed": not_computed}
    return found | {"made_with": describe_machine(config)} | joined | {"runs": abouts}


def has_learned(trained: Sequence[Trained]) -> bool:
    """Whether at least half of the models learned the task; fewer may have seemed to by luck."""
    return 2 * sum(not each.about["at_chance"] for each in trained) >= len(trained)


def choose_used(trained: Sequence[Trained]) -> list[Trained]:
    """Choose the draws whose model learned the task; all of them if fewer than half did."""
    if not has_learned(trained):
        return list(trained)
    return [each for each in trained if not each.about["at_chance"]]


def _train(config: Analysis, variant: str, progress: bool) -> Trained:
    """Compute one draw, or read it if that has been done."""
    chosen = params.with_variant(config, variant)
    scores.make(chosen, progress)
    found = scores.read(chosen)
    given, manifest = as_given(found, chosen), found.manifest
    probabilities = train_probabilities(given, chosen["max_tokens"])
    values, reasons = compute_suspicion(given, probabilities, seed=chosen["corruption_seed"])
    at_chance = languages_at_chance(manifest)
    never = is_at_chance(manifest)
    kept = np.ones(len(found.test), bool)
    if not never:
        kept = ~found.test["lang"].isin(at_chance).to_numpy()
    kind = variant.partition("-")[0]
    marked = found.train[kind].to_numpy()
    about = {
        "variant": variant,
        "accuracy": development_accuracy(manifest),
        "most_frequent_class": majority_share(manifest),
        "at_chance": never,
        "languages_at_chance": at_chance,
        "chosen_epoch": manifest["chosen_epoch"],
        "train": len(found.train),
        "changed": int(marked.sum()),
        "label_wrong": int((found.train["label"] != found.train[corruption.TRUE_LABEL]).sum()),
        "test": len(found.test),
        "fingerprint": manifest["scores_fingerprint"],
        "seconds": sum(manifest[f"{key}_cost"]["wall_seconds"] for key in ("finetune", "scores")),
    }
    harmed = Harmed(given.cosine[kept], found.train, found.test[kept], marked)
    return Trained(values, harmed, [] if never else at_chance, about, reasons)


def make_tables(
    trained: Sequence[Trained], kind: str, bootstrap: Bootstrap, top_k: int
) -> dict[str, pd.DataFrame]:
    """Make the tables of one kind of corruption: `auroc`, `harm`, `pairs`.

    Parameters
    ----------
    trained : sequence of Trained
        The draws that count.
    kind : str
        'flipped' or 'swapped'.
    bootstrap : Bootstrap
        How the intervals are computed.
    top_k : int
        How many training samples count as the most harmful.
    """
    areas = []
    for name in (FLIPPED,) if kind == corruption.FLIPPED else (WRONG, RIGHT):
        draws = [_as_draw(each, right=name == RIGHT) for each in trained]
        if any(draw.marked.any() for draw in draws):
            table = find_marked(draws, bootstrap=bootstrap)
            areas.append(table.assign(corruption=name))
    harmed = [each.harmed for each in trained]
    return {
        "auroc": pd.concat(areas),
        "harm": tabulate_harm(harmed, top_k, bootstrap=bootstrap).assign(corruption=kind),
        "pairs": compare_own_and_other(harmed, top_k, bootstrap=bootstrap).assign(corruption=kind),
    }


def _as_draw(each: Trained, right: bool) -> Draw:
    """The samples to find: those changed whose label is right, or is not, in learned languages."""
    train, changed = each.harmed.train, each.harmed.marked
    has_right = (train["label"] == train[corruption.TRUE_LABEL]).to_numpy()
    marked = changed & (has_right == right)
    unlearned = train["lang"].isin(each.at_chance).to_numpy()
    return Draw(each.scores, train["lang"], marked & ~unlearned, changed & ~marked)


def find_file(study: str, task: str, target: str | Path = FOLDER) -> Path:
    """Find where a result belongs; a relative `target` is taken from the project's root.

    Parameters
    ----------
    study, task : str
        The study and the task, of your own data set with its name, as in 'own-reviews'.
    target : str or Path
        The folder of all results.
    """
    base = Path(target) if Path(target).is_absolute() else params.find_root() / target
    return base / f"{study}-{task}.json"


def write(result: Mapping[str, Any], path: Path) -> None:
    """Write a result, each row of a table on a line of its own.

    Parameters
    ----------
    result : mapping
        From `measure`.
    path : Path
        The file; whatever was there stays until the new one is complete.
    """
    parts = []
    for key, value in result.items():
        text = json.dumps(value, ensure_ascii=False)
        if isinstance(value, list):
            text = ",\n".join(f"  {json.dumps(row, ensure_ascii=False)}" for row in value)
            text = f"[\n{text}\n ]"
        parts.append(f" {json.dumps(key)}: {text}")
    with runs.write_atomically(path) as partial:
        partial.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def read(study: str, task: str, target: str | Path = FOLDER) -> dict[str, Any] | None:
    """Read a result; None if there is none.

    Parameters
    ----------
    study, task, target
        As in `find_file`.

    Returns
    -------
    dict or None
        As `measure` returns it, with `auroc`, `harm`, `pairs` and `runs` as data frames.

    Raises
    ------
    ResultError
        The file is damaged.
    """
    path = find_file(study, task, target)
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        frames = {name: pd.DataFrame(found[name]) for name in (*TABLES, "runs")}
    except (ValueError, KeyError) as error:
        raise ResultError(
            f"{path} is damaged ({error}). Put back a copy of it, or make it again: "
            f"python -m xl_influence.methods.hurting study={study} task={task}"
        ) from error
    ends = dict.fromkeys(("ci_low", "ci_high"), float)  # null in all rows is no number otherwise
    return found | frames | {name: frames[name].astype(ends) for name in TABLES}


def read_first(
    studies: Sequence[str], task: str, target: str | Path = FOLDER
) -> dict[str, Any] | None:
    """Read the result of the first study that has one for this task.

    Parameters
    ----------
    studies : sequence of str
        The studies, in the order in which they are preferred.
    task, target
        As in `find_file`.
    """
    return next((found for study in studies if (found := read(study, task, target))), None)


def main(arguments: Sequence[str]) -> int:
    """Run the command line: key=value, `draws`, and `to` (the folder for the file)."""

    def work() -> str:
        config, options, folder = commands.read(arguments, OPTIONS)
        if "test_size" not in params.parse(arguments):
            config["test_size"] = max(config["test_size"], TEST_SIZE)
        path = find_file(config["study"], runs.find_folder(config).parent.name, folder or FOLDER)
        write(measure(config, draws=options["draws"]), path)
        return str(path)

    return commands.run(work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
