"""Whether the files of your own task have enough rows for a run; checked before it starts."""

from __future__ import annotations

from collections.abc import Sequence

from . import data, tasks
from .data import DataError
from .sections import Data, FineTuning
from .tasks import Task


def check(params: FineTuning) -> None:
    """Raise `DataError` if the files of your own task have too few rows for a run.

    This reads the files but draws nothing. For other tasks it does nothing.
    """
    if params["task"] != "own" or params["prepared"]:
        return
    task, files = tasks.find(params), tasks.find_files(params)
    sizes = {
        "train": data.train_sizes(params),
        "validation": dict.fromkeys(params["languages"], params["dev_size"]),
        "test": dict.fromkeys(params["languages"], 1),
    }
    for split, wanted in sizes.items():
        unit = " whose items every language has" if task.parallel else ""
        for lang, there in _count_rows(params, task, split, list(wanted)).items():
            size = max(wanted[lang], 1)
            if size > there:
                raise DataError(
                    f"study {params['study']}, variant {params['variant']}: {size} rows "
                    f"in {lang} asked for, {files[split].name} has {there}{unit}. "
                    f"{_advise(params, split, lang, there)}"
                )


def _advise(params: Data, split: str, lang: str, there: int) -> str:
    """Say what to set where a language has too few rows."""
    key = {"train": "train_size", "validation": "dev_size", "test": "languages"}[split]
    advice = f"Set another {key}" if key == "languages" else f"Set {key} to {there} at most"
    if split == "train" and lang == params["extra_language"]:
        percent = 100 * (there - params["train_size"]) // params["train_size"]
        smaller = 100 * there // (100 + params["extra_percent"])
        advice = f"Set train_size to {smaller} at most"
        if percent > 0:
            advice += f", or imbalance_percents to {percent} at most"
    return f"{advice}, or choose another study"


def _count_rows(params: Data, task: Task, split: str, languages: Sequence[str]) -> dict[str, int]:
    """Map each language to its rows; in a parallel task, to those whose items every one has."""
    frame = tasks.read_own(params, split)
    absent = [lang for lang in languages if lang not in set(frame["lang"])]
    if absent:
        raise DataError(
            f"{tasks.find_files(params)[split].name}: no rows in {', '.join(absent)}; there are "
            f"{', '.join(frame['lang'].unique())}. Set languages"
        )
    frame = frame[frame["lang"].isin(languages)]
    if task.parallel:
        in_all = frame.groupby("item")["lang"].nunique() == len(languages)
        return dict.fromkeys(languages, int(in_all.sum()))
    rows = frame["lang"].value_counts()
    return {lang: int(rows[lang]) for lang in languages}
