"""The tasks of section 3: where their data are, what columns mean, how labels become classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import own_task, prepared
from .languages import LANGUAGES, name_language
from .own_files import SPLITS, TaskError
from .own_task import find as find_files
from .own_task import place, read_own
from .sections import FineTuning

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "LANGUAGES",
    "SPLITS",
    "TASKS",
    "Task",
    "TaskError",
    "find",
    "find_files",
    "find_title",
    "name_language",
    "place",
    "read_own",
    "separate_items",
]


@dataclass(frozen=True)
class Task:
    """A data set and how the study reads it."""

    name: str
    title: str
    hub: str  # repository on the hub; contains {lang} if every language has its own
    config_is_language: bool
    columns: tuple[str, str | None]  # (text_a, text_b or None)
    item_column: str | None  # has the same value in all translations; None: the row number
    classes: dict[Any, int | None]  # label in the data → class, None: skip the row
    class_names: tuple[str, ...]
    parallel: bool
    languages: tuple[str, ...]  # those that the data set has; (): unknown
    demo_classes: dict[int, int | None] | None = None  # for a demo corpus with other labels
    demo_title: str = ""  # the name of the demo corpus, which is not the data set
    untranslated: tuple[str, ...] = ()  # what stands in place of a text that was not translated
    withdrawn: str = ""  # what to say if the hub no longer has the data set


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
        untranslated=("NS", "WL"),
    ),
    "marc": Task(
        name="marc",
        title="MARC",
        hub="SetFit/amazon_reviews_multi_{lang}",
        config_is_language=False,
        columns=("text", None),
        item_column=None,
        classes={0: 0, 1: 0, 2: None, 3: 1, 4: 1},  # stars − 1; three stars are skipped
        class_names=("negative", "positive"),
        parallel=False,
        languages=("de", "en", "es", "fr", "ja", "zh"),
        demo_classes={1: 0, 2: 0, 3: None, 4: 1, 5: 1},  # stars
        withdrawn=(
            "MARC was withdrawn. Amazon no longer gives it out, and its licence (academic research "
            "only, no republication) allows no one else to. If you have it, set data_root to a "
            "folder with SetFit/amazon_reviews_multi_<language>/train.jsonl, validation.jsonl and "
            "test.jsonl; each line has text and label (stars minus 1)"
        ),
        demo_title="demo-reviews",
    ),
}


def find(params: FineTuning) -> Task:
    """The `Task` of a run; your own is described by its files, or by its prepared folder."""
    if params["task"] in TASKS:
        return TASKS[params["task"]]
    if params["prepared"]:
        about = prepared.read(params)
        form = own_task.Description(about["class_names"], about["paired"], about["parallel"])
    else:
        form = own_task.describe(params)
    return Task(
        name="own",
        title=params.get("data_name") or "Own task",
        hub="",
        config_is_language=False,
        columns=("text_a", "text_b" if form.paired else None),
        item_column="item",
        classes={name: number for number, name in enumerate(form.class_names)},
        class_names=tuple(form.class_names),
        parallel=form.parallel,
        languages=(),
    )


def separate_items(params: FineTuning, samples: pd.DataFrame) -> pd.DataFrame:
    """Make each sample its own `item` unless the task is parallel: equal items are translations.

    Parameters
    ----------
    params
        The parameters of the run.
    samples
        Its samples.
    """
    return samples if find(params).parallel else samples.assign(item=samples["uid"])


def find_title(params: FineTuning) -> str:
    """The name of a run's data: 'XNLI', or 'demo-NLI' for the corpus written for this project."""
    task = find(params)
    return task.demo_title if params["data"] == "demo" and task.demo_title else task.title
