"""Parameters: one flat set of keys, merged from the files in `params/` and checked before any work.

Later layers win: `base.yaml`, the task, the study, the variant, then what the caller gives. A wrong
value is a `ParameterError` that names the key, the value, where it comes from and what is allowed.
`sections` has the types and ranges.
"""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from . import own_files, own_task, prepared
from .literals import load_yaml, read_given, read_lists
from .schema import KEYS as KEYS  # callers have it from here
from .schema import SEED, ParameterError, check, check_names, check_together
from .sections import Influence, Parameters
from .tasks import TASKS
from .variants import CORRUPTION, FORMS, check_corruption, is_corrupted, parse_variant

InfluenceOrLater = TypeVar("InfluenceOrLater", bound=Influence)

CELL = "# Parameters"  # how the parameters cell of a notebook begins, and the one papermill adds
VARIANT_KEYS = ("left_out", "extra_language", "extra_percent", "test_from")  # what variants change

# what `switch_study` keeps, wherever it is set: which run on which data
KEPT = (
    "task",
    "variant",
    "runs_root",
    "data_root",
    "prepared",
    "data_name",
    "files",
    *own_task.COLUMNS,
    *CORRUPTION,
    "device",
)
# parameters that `switch_study` passes on, where they are given, to the study that is retrained
FORWARDED = (
    "data",
    "languages",
    "removal_ks",
    "removal_samples",
    "removal_seeds",
    "other_seeds",
    "zero_shot_languages",
    "imbalance_languages",
    "imbalance_percents",
    "resamples",
    "confidence_level",
)


class Source(dict[str, str]):
    """Where each parameter's value comes from: a file's name, or 'given'.

    `names` lists the parameters that a notebook's cells set, in their order.
    """

    names: tuple[str, ...] = ()


def find_root() -> Path:
    """Find the folder that contains `params/`, at or above the working directory.

    If there is none, this is the checkout that the package is installed from.
    """
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parent.parent):
        if (folder / "params" / "base.yaml").is_file():
            return folder
    raise ParameterError(
        f"no folder with params/base.yaml at or above {here}: run this in a checkout of the project"
    )


def list_names(kind: str) -> list[str]:
    """Names of the files in `params/<kind>`; kind is 'tasks', 'studies' or 'variants'."""
    return sorted(path.stem for path in (find_root() / "params" / kind).glob("*.yaml"))


def merge(given: Mapping[str, Any] | None = None) -> Parameters:
    """Complete the values that are given with those from the files.

    Parameters
    ----------
    given
        Some parameters; a value of None counts as not given.

    Returns
    -------
    dict
        Every key of `base.yaml`, in its order.

    Raises
    ------
    ParameterError
        Unknown key, wrong type, value out of range, or values that contradict each other.
    """
    return merge_with_source(given)[0]


def merge_with_source(given: Mapping[str, Any] | None = None) -> tuple[Parameters, Source]:
    """Merge as `merge` does, and return where each value comes from as well: (values, source)."""
    given = {key: value for key, value in (given or {}).items() if value is not None}
    check_names(given, "given")
    given = read_lists(given)
    merged, source = _read_files(given)
    layer, where = read_variant(given.get("variant", merged["variant"]))
    merged |= layer | given
    source |= dict.fromkeys(layer, where) | dict.fromkeys(given, "given")
    if merged["task"] == "own":
        _complete_own(merged, source)
    _fit_languages(merged, source)
    checked = _check(merged, source)
    return checked, Source(source)


def _complete_own(merged: dict[str, Any], source: dict[str, str]) -> None:
    """Fill in what the data of your own task say: its name and its languages."""
    if source["planted"] != "given":  # only the demo corpora hold planted translations
        merged["planted"] = 0
    try:
        found = own_task.complete(cast(Parameters, merged))  # not checked yet
    except (own_files.TaskError, prepared.PreparedError) as error:
        raise ParameterError(str(error)) from error
    source |= dict.fromkeys(found, "your data")
    merged |= found


def _fit_languages(merged: dict[str, Any], source: Mapping[str, str]) -> None:
    """Keep only the run's languages in a study's lists; if none is left, use the run's last one."""
    for key in ("zero_shot_languages", "imbalance_languages"):
        if source[key] != "given" and set(merged[key]) - set(merged["languages"]):
            kept = [lang for lang in merged[key] if lang in merged["languages"]]
            merged[key] = kept or list(merged["languages"][-1:])


def read_variant(name: str) -> tuple[dict[str, Any], str]:
    """Return what a variant changes, and where this is defined: (values, source).

    A variant is a name that `variants.parse_variant` reads, or a file in `params/variants`.
    """
    if not isinstance(name, str):
        raise ParameterError(f"variant={name!r}: {_allowed_variants()}")
    if (found := parse_variant(name)) is not None:
        return found, f"the variant {name}"
    if name not in list_names("variants"):
        raise ParameterError(f"variant={name!r}: {_allowed_variants()}")
    path = find_root() / "params" / "variants" / f"{name}.yaml"
    return _read(path), f"variants/{path.name}"


def _allowed_variants() -> str:
    files = ", ".join(list_names("variants"))
    return f"allowed are {files}, {FORMS}"


def with_variant(merged: InfluenceOrLater, name: str) -> InfluenceOrLater:
    """The parameters of another variant of the same run.

    Parameters
    ----------
    merged
        The parameters of the run, of any variant.
    name
        The other variant.
    """
    neutral = _read(find_root() / "params" / "base.yaml")
    changed: dict[str, Any] = dict(merged) | {key: neutral[key] for key in VARIANT_KEYS}
    if re.fullmatch(SEED, merged["variant"]):
        changed["seed"] = _read_files(merged)[0]["seed"]
    if is_corrupted(merged["variant"]):
        changed |= {key: neutral[key] for key in CORRUPTION}
    layer, source = read_variant(name)
    changed |= layer | {"variant": name}
    check_together(changed, dict.fromkeys(changed, source))
    return cast(InfluenceOrLater, changed)


def read_study_defaults(merged: Parameters) -> dict[str, Any]:
    """Return the files' values for this task, study and variant: every key, unchecked."""
    found, source = _read_files(merged)
    found |= read_variant(merged["variant"])[0] | {"languages": merged["languages"]}
    _fit_languages(found, source)
    return found


def switch_study(merged: Parameters, source: Mapping[str, str], key: str) -> Parameters:
    """The parameters of the study that does the retraining for this one.

    Parameters
    ----------
    merged, source
        As `merge_with_source` returns them.
    key
        'removal_study' or 'variants_study', which names the other study.

    Returns
    -------
    dict
        The other study's parameters, or `merged` itself if `key` names none. The other study has
        its own scale; of the values given, only those in `FORWARDED` apply to it.
    """
    values: Mapping[str, Any] = merged
    if not values[key]:
        return merged
    kept = {name: values[name] for name in KEPT}
    kept |= {name: values[name] for name in FORWARDED if source[name] == "given"}
    return merge(kept | {"study": values[key]})


def from_notebook(namespace: Mapping[str, Any]) -> tuple[Parameters, Source]:
    """Merge and check what a notebook's parameters cell sets, and the cell that papermill adds.

    Papermill only warns about a misspelt parameter and runs the notebook anyway; this raises.

    Parameters
    ----------
    namespace
        The notebook's `globals()`, of which we use `In`, IPython's list of the cells that have run:
        the parameters are what the cells that begin with `# Parameters` assign. Other variables of
        the notebook do not count, whatever their names.

    Returns
    -------
    tuple
        As from `merge_with_source`; `source.names` lists the parameters that the cells set.
    """
    cells: dict[str, str] = {}  # first line → the cell, in the order in which they ran last
    for cell in namespace.get("In", ()):
        first = cell.lstrip().partition("\n")[0]
        if first.startswith(CELL):
            cells.pop(first, None)
            cells[first] = cell
    if not cells:
        raise ParameterError(f"no parameters: run the cell that begins with {CELL!r} first")
    given: dict[str, Any] = {}
    for cell in cells.values():
        given |= read_cell(cell)
    merged, source = merge_with_source(given)
    source.names = tuple(given)
    return merged, source


def select_given(merged: Parameters, source: Mapping[str, str]) -> dict[str, Any]:
    """Return the values that were given, except the task: the runs of other tasks share them.

    `merged` and `source` are those of this run, as from `merge_with_source`.
    """
    return {key: value for key, value in merged.items() if source[key] == "given" and key != "task"}


def find_other_tasks(merged: Parameters, source: Mapping[str, str]) -> dict[str, Parameters]:
    """Return the parameters of each of the paper's tasks, with the values given for this run.

    `merged` and `source` are those of this run, as for `select_given`. A task is left out if it
    does not allow a value, such as a language. Your own task is compared with no other, so for it
    there are none.
    """
    found: dict[str, Parameters] = {}
    if merged["task"] not in TASKS:
        return found
    for task in TASKS:
        with contextlib.suppress(ParameterError):
            found[task] = merge(select_given(merged, source) | {"task": task})
    return found


def read_cell(text: str) -> dict[str, Any]:
    """The values that a parameters cell assigns, in their order.

    Raises `ParameterError` if a value is not a literal.
    """
    values = {}
    for statement in ast.parse(text).body:
        if not isinstance(statement, (ast.AnnAssign, ast.Assign)) or statement.value is None:
            continue
        target = statement.target if isinstance(statement, ast.AnnAssign) else statement.targets[0]
        try:
            values[ast.unparse(target)] = ast.literal_eval(statement.value)
        except ValueError:
            line = ast.unparse(statement)
            raise ParameterError(
                f"{line} (parameters cell): allowed are plain values, without calls or variables"
            ) from None
    return values


def find_cell(notebook: dict[str, Any]) -> dict[str, Any]:
    """The parameters cell of a notebook, by its tag."""
    for cell in notebook["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            return cell
    raise ParameterError("this notebook has no cell with the tag 'parameters'")


def parse(pairs: Iterable[str]) -> dict[str, Any]:
    """Read parameters from a command line, e.g. 'train_size=500' or 'languages=[en,de]'."""
    given = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ParameterError(
                f"{pair!r} (command line): write key=value, in quotes if the value has spaces, "
                "as in 'languages=[en, de]'"
            )
        given[key.strip()] = value
    return read_given(given, find_root())


def _read(path: Path) -> dict[str, Any]:
    layer = load_yaml(path.read_text(encoding="utf-8")) or {}
    check_names(layer, path)
    return layer


def _read_files(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """What the files say for this task and study, before variants: (values, source)."""
    folder = find_root() / "params"
    merged = _read(folder / "base.yaml")
    source = dict.fromkeys(merged, "base.yaml")
    for kind, key in (("tasks", "task"), ("studies", "study")):
        name = given.get(key, merged[key])
        if name not in list_names(kind):
            raise ParameterError(
                f"{key}={name!r} (given): allowed are {', '.join(list_names(kind))}"
            )
        path = folder / kind / f"{name}.yaml"
        layer = _read(path)
        merged |= layer
        source |= dict.fromkeys(layer, f"{kind}/{path.name}")
    return merged, source


def _check(merged: Mapping[str, Any], source: Mapping[str, str]) -> Parameters:
    checked = check(merged, source)
    for key in ("removal_study", "variants_study"):
        if merged[key] and merged[key] not in list_names("studies"):
            allowed = f"empty, {', '.join(list_names('studies'))}"
            raise ParameterError(f"{key}={merged[key]!r} ({source[key]}): allowed are {allowed}")
    check_corruption(checked, source)
    return checked
