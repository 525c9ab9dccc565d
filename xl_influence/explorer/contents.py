"""All that the explorer shows of a run: an index, and parts that the page loads when needed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import pandas as pd
import xarray as xr

from .. import runs
from ..charts import choose_colors
from ..sections import Run
from ..sharing import SIGNS
from ..tasks import Task, name_language
from .by_train_sample import describe_train, find_chunks
from .lists import OF_EACH, STRONGEST, describe_tests
from .near_duplicates import name_rule
from .run_data import RunData
from .samples import describe_prediction

if TYPE_CHECKING:
    from ..scores import Scored


class Described(TypedDict):
    """What the explorer shows of a run."""

    index: dict[str, Any]
    parts: dict[str, Any]


def describe(
    scores: xr.Dataset,
    train: pd.DataFrame,
    test: pd.DataFrame,
    task: Task,
    *,
    top_k: int,
    title: str | None = None,
    pool: pd.DataFrame | None = None,
    others: Mapping[str, Scored] | None = None,
) -> Described:
    """Collect the explorer's data.

    Parameters
    ----------
    scores
        The score cube.
    train, test
        Its samples, in the same order. Where they have no texts, the data have none.
    task
        The task that they belong to.
    top_k
        How many training samples count as the most influential.
    title
        What the data are called; the task's title by default.
    pool
        The rows that the test samples were chosen from, with their texts. From here come a test
        item's English text and its other translations where they are not among the test samples.
    others
        Name → the same run with another seed.

    Returns
    -------
    Described
        `index`: `title`; `classes`; `languages` (names and colours); `epochs`, `groups`; `trained`
        (language → training samples); `top_k`; `strongest` and `of_each`, how many samples a list
        shows, in all and of each language and label; `limit`, the end of the scale, and `bounded`,
        whether no score can be larger; `parallel`; `seeds`, how many models with another seed there
        are; `twins`, by what near-duplicates are found;
        `texts`, whether there are any; `first`, the row of the most telling test sample, and its
        `deviation`; `untested` (item → language → texts); and `tests`, for every test sample its
        texts, prediction and `shares` (sign → language → samples in the top k).

        `parts`: `test-<row>`, as from `lists.describe_test`, and `train` and `train-<number>`, as
        from `by_train_sample.describe_train`.
    """
    run = RunData.of(scores, train, test, pool, top_k, others or {})
    chunks = find_chunks(run)
    parts = {f"test-{row}": part for row, part in enumerate(describe_tests(run, chunks))}
    parts |= describe_train(run, chunks)
    tests = [
        _summarize(run, row, sample, len(task.class_names))
        for row, sample in enumerate(test.itertuples())
    ]
    first, deviation = find_furthest_from_chance(tests, run.count_languages(slice(None)))
    index = {
        "title": title or task.title,
        "classes": list(task.class_names),
        "languages": _describe_languages(train, test),
        "epochs": run.epochs,
        "groups": [str(group) for group in scores["group"].to_numpy()],
        "trained": run.count_languages(slice(None)),
        "top_k": top_k,
        "strongest": STRONGEST,
        "of_each": OF_EACH,
        "limit": run.limit,
        "bounded": run.bounded,
        "parallel": run.describer.parallel,
        "seeds": run.seeds,
        "twins": name_rule(train, test),
        "texts": any(one["texts"] for one in tests),
        "first": first,
        "deviation": deviation,
        "untested": run.describer.describe_untested(),
        "tests": tests,
    }
    return {"index": index, "parts": parts}


def find_furthest_from_chance(
    tests: list[dict[str, Any]], trained: dict[str, int]
) -> tuple[int, float]:
    """Find the test sample to show first: its own language's share is furthest from chance.

    Among equal ones, it is the one whose item is in most languages, and then the earliest.

    Parameters
    ----------
    tests
        The test samples of the index.
    trained
        Training samples in each language.

    Returns
    -------
    tuple
        Its row, and that share minus chance.
    """
    items = pd.Series([one.get("item") for one in tests], dtype=object).value_counts()
    best, found = (-1.0, -1), (0, 0.0)
    for row, one in enumerate(tests):
        counts = one["shares"]["positive"]
        share = counts.get(one["lang"], 0) / max(sum(counts.values()), 1)
        deviation = share - trained.get(one["lang"], 0) / sum(trained.values())
        key = (round(abs(deviation), 9), int(items.get(one.get("item"), 0)))
        if key > best:
            best, found = key, (row, round(deviation, 4))
    return found


def read_pool(params: Run) -> pd.DataFrame | None:
    """Read the rows that a run's test samples were chosen from; None if the run is published.

    Parameters
    ----------
    params
        The parameters of the run.
    """
    path = runs.find_folder(params) / "pool.parquet"
    return pd.read_parquet(path) if path.is_file() else None


def write(folder: Path, data: Described) -> None:
    """Write what `describe` returned to `explorer.json`.

    Parameters
    ----------
    folder
        Where the file goes.
    data
        From `describe`.
    """
    with runs.write_atomically(folder / "explorer.json") as path:
        path.write_text(_to_json(data), encoding="utf-8")


def split(path: Path, key: str) -> Iterator[tuple[str, str]]:
    """Yield the scripts that the page loads, from what `write` wrote: the index, then each part.

    They are scripts because a page that is opened from a disk may load scripts, but no JSON.

    Parameters
    ----------
    path
        A run's `explorer.json`.
    key
        The name of the data, such as 'xnli' or 'demo-xnli'.

    Yields
    ------
    tuple
        The name of the script, `<key>` or `<key>/<part>`, and its text.

    Raises
    ------
    RunError
        The file is of an older version.
    """
    data = json.loads(path.read_text(encoding="utf-8"))
    if not {"index", "parts"} <= set(data):
        raise runs.RunError(f"{path} is of an older version: run notebook 02 of this run again")
    named = {key: data["index"]} | {f"{key}/{name}": part for name, part in data["parts"].items()}
    for name, part in named.items():
        yield name, f"window.explorer[{json.dumps(name)}] = {_to_json(part)};\n"


def _to_json(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def _summarize(run: RunData, row: int, sample: Any, classes: int) -> dict[str, Any]:
    """One test sample in the index."""
    shares = {sign: run.count_languages(run.ranks[sign][row] <= run.top_k) for sign in SIGNS}
    prediction = describe_prediction(sample, classes)
    return run.describer.describe_test(sample) | prediction | {"shares": shares}


def _describe_languages(train: pd.DataFrame, test: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Language → name and colour."""
    names = {lang: name_language(lang) for lang in dict.fromkeys([*train["lang"], *test["lang"]])}
    colors = choose_colors(list(names.values()))
    return {lang: {"name": name, "color": colors[name]} for lang, name in names.items()}
