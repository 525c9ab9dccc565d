"""The three tasks of section 3: where their data lies, what the columns mean, how labels become two classes.

And a task of one's own, `task=own`: `train.csv`, `validation.csv` and `test.csv` in `data_root`, with the columns `text_a`,
`label`, `lang` and, where there are any, `text_b` and `item`. Equal items are translations of each other.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

from . import prepared

SPLITS = ("train", "validation", "test")


class TaskError(ValueError):
    """The files of a task of one's own are missing or not as they should be."""


@dataclass(frozen=True)
class Task:
    """A data set and how the study reads it."""

    name: str
    title: str
    hub: str  # repository on the hub; {lang} where every language has its own
    config_is_language: bool
    columns: tuple  # (text_a, text_b or None)
    item_column: str | None  # column that is equal across translations; None: the row number
    classes: dict  # label in the data → class, None: the row is left out
    class_names: tuple
    parallel: bool
    languages: tuple  # those that the data set has; (): not known
    demo_classes: dict | None = None  # the same for the demo corpus, where its labels differ
    demo_title: str = ""  # the demo corpus has a name of its own: it is not the data set


TASKS = {
    "xnli": Task(
        name="xnli",
        title="XNLI",
        hub="facebook/xnli",
        config_is_language=True,
        columns=("premise", "hypothesis"),
        item_column=None,
        classes={0: 1, 1: 0, 2: 0},  # entailment; neutral and contradiction (Han et al., 2020)
        class_names=("not entailment", "entailment"),
        parallel=True,
        languages=(
            "ar",
            "bg",
            "de",
            "el",
            "en",
            "es",
            "fr",
            "hi",
            "ru",
            "sw",
            "th",
            "tr",
            "ur",
            "vi",
            "zh",
        ),
        demo_title="demo-NLI",
    ),
    "pawsx": Task(
        name="pawsx",
        title="PAWS-X",
        hub="google-research-datasets/paws-x",
        config_is_language=True,
        columns=("sentence1", "sentence2"),
        item_column="id",
        classes={0: 0, 1: 1},
        class_names=("different", "paraphrase"),
        parallel=True,
        languages=("de", "en", "es", "fr", "ja", "ko", "zh"),
        demo_title="demo-paraphrase",
    ),
    "marc": Task(
        name="marc",
        title="MARC",
        hub="SetFit/amazon_reviews_multi_{lang}",
        config_is_language=False,
        columns=("text", None),
        item_column=None,
        classes={0: 0, 1: 0, 2: None, 3: 1, 4: 1},  # stars − 1; three stars are left out
        class_names=("negative", "positive"),
        parallel=False,
        languages=("de", "en", "es", "fr", "ja", "zh"),
        demo_classes={1: 0, 2: 0, 3: None, 4: 1, 5: 1},  # stars
        demo_title="demo-reviews",
    ),
}

LANGUAGES = {
    "ar": "Arabic",
    "bg": "Bulgarian",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "hi": "Hindi",
    "ja": "Japanese",
    "ko": "Korean",
    "ru": "Russian",
    "sw": "Swahili",
    "th": "Thai",
    "tr": "Turkish",
    "ur": "Urdu",
    "vi": "Vietnamese",
    "zh": "Chinese",
}


def find(params):
    """The `Task` of a run; that of one's own is read off its files, or off its prepared folder."""
    if params["task"] in TASKS:
        return TASKS[params["task"]]
    if params["prepared"]:
        about = prepared.read(params)
        return _own(about["class_names"], about["paired"], about["parallel"])
    return _from_files(own_files(params))


def title(params):
    """What a run's data are called: 'XNLI', or 'demo-NLI' for the corpus written for this project."""
    task = find(params)
    return task.demo_title if params["data"] == "demo" and task.demo_title else task.title


def own_files(params):
    """Split → path of its CSV file."""
    folder = Path(params["data_root"]).expanduser() if params["data_root"] else None
    if folder is None:
        raise TaskError(
            f"task={params['task']}: data_root must name the folder with train.csv, validation.csv and test.csv"
        )
    files = {split: folder / f"{split}.csv" for split in SPLITS}
    missing = [path.name for path in files.values() if not path.is_file()]
    if missing:
        raise TaskError(
            f"data_root {params['data_root']}: no {', '.join(missing)}; train.csv, validation.csv, test.csv are needed"
        )
    return files


def read_own(path):
    """The rows of one file, as text but for `item`, which is the row's number within its language where it is not given."""
    state = path.stat()
    return _read_own(path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(len(SPLITS))
def _read_own(path, *state):
    """Once for all languages, as long as the file stays what it is."""
    import pandas as pd

    rows = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    needed = ("text_a", "label", "lang")
    missing = [column for column in needed if column not in rows]
    if missing:
        raise TaskError(
            f"{path}: no column {missing[0]!r}; there are {', '.join(rows)}, needed are {', '.join(needed)}"
        )
    if "item" not in rows:
        rows["item"] = rows.groupby("lang").cumcount()
    return rows


def _from_files(files):
    rows = read_own(files["train"])
    names = sorted(rows["label"].unique())
    if len(names) < 2:
        raise TaskError(
            f"{files['train']}: labels are {', '.join(names)}; at least two classes are needed"
        )
    return _own(names, "text_b" in rows, bool((rows.groupby("item")["lang"].nunique() > 1).any()))


def _own(names, paired, parallel):
    return Task(
        name="own",
        title="Own task",
        hub="",
        config_is_language=False,
        columns=("text_a", "text_b" if paired else None),
        item_column="item",
        classes={name: number for number, name in enumerate(names)},
        class_names=tuple(names),
        parallel=parallel,
        languages=(),
    )
