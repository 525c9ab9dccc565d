"""The three tasks of section 3: where their data lies, what the columns mean, how labels become two classes."""

from dataclasses import dataclass


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
    demo_classes: dict | None = None  # the same for the demo corpus, where its labels differ


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
        demo_classes={1: 0, 2: 0, 3: None, 4: 1, 5: 1},  # stars
    ),
}

LANGUAGES = {
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "ko": "Korean",
    "ru": "Russian",
    "zh": "Chinese",
}
