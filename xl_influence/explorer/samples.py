"""What the explorer says about a sample: texts, label, phenomenon, and the model's prediction."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ..charts.tables import mark_differences

ENGLISH = "en"  # the language of the line under a text in another language
TEXTS = ("text_a", "text_b")
TAGS = re.compile(r"<(u|b)>(.*?)</\1>", re.DOTALL)

# A text, or its pieces: words as they are, and [mark, words], where the mark is 'u' for words that
# the other text of the pair has at another place, 'b' for words that it lacks.
Marked = str | list[str | list[str]]


@dataclass(frozen=True)
class Describer:
    """Describes samples; knows their translations.

    Attributes
    ----------
    parallel : bool
        Whether equal items are translations of each other.
    train, test : dict
        (item, language) → texts, of the samples of a split; empty unless the task is parallel.
    scored : set
        The (item, language) of the test samples.
    """

    parallel: bool
    train: dict[tuple[Any, str], list[str]] = field(default_factory=dict)
    test: dict[tuple[Any, str], list[str]] = field(default_factory=dict)
    scored: set[tuple[Any, str]] = field(default_factory=set)

    @classmethod
    def of(
        cls, train: pd.DataFrame, test: pd.DataFrame, pool: pd.DataFrame | None, parallel: bool
    ) -> Describer:
        """Return a describer of a run's samples.

        Parameters
        ----------
        train, test : pandas.DataFrame
            The samples.
        pool : pandas.DataFrame, optional
            Further translations of the test items.
        parallel : bool
            Whether samples of the same item are translations of each other.
        """
        if not parallel:
            return cls(False)
        scored = set(zip(test["item"], test["lang"], strict=True))
        items = {} if pool is None else _find_texts(pool[pool["item"].isin(test["item"])])
        return cls(True, _find_texts(train), items | _find_texts(test), scored)

    def describe_train(self, sample: Any) -> dict[str, Any]:
        """Describe a training sample, a named tuple; see `_describe`."""
        return self._describe(sample, self.train)

    def describe_test(self, sample: Any) -> dict[str, Any]:
        """Describe a test sample, a named tuple; see `_describe`."""
        return self._describe(sample, self.test)

    def _describe(self, sample: Any, translations: dict[Any, list[str]]) -> dict[str, Any]:
        """What `describe_train` and `describe_test` say; keys that are not known are left out."""
        found: dict[str, Any] = {
            "uid": sample.uid,
            "lang": sample.lang,
            "label": int(sample.label),
            "texts": mark(_list_texts(sample)),
        }
        if self.parallel:
            found["item"] = _as_python(sample.item)
            if sample.lang != ENGLISH and (sample.item, ENGLISH) in translations:
                found["english"] = translations[sample.item, ENGLISH]
        for name in ("phenomenon", "official"):
            if isinstance(getattr(sample, name, None), str):
                found[name] = getattr(sample, name)
        return found

    def describe_untested(self) -> dict[str, dict[str, list[Marked]]]:
        """Item → language → texts, where a test item has a translation that has no scores."""
        found: dict[str, dict[str, list[Marked]]] = {}
        for (item, lang), texts in self.test.items():
            if (item, lang) not in self.scored:
                found.setdefault(str(item), {})[lang] = mark(texts)
        return found


def describe_prediction(sample: Any, classes: int) -> dict[str, Any]:
    """What the model predicts for a test sample, as far as `confidence` says it.

    Parameters
    ----------
    sample
        A test sample, a named tuple with `label` and `confidence`, the probability of that label.
    classes
        How many classes the task has.

    Returns
    -------
    dict
        `confidence`; `right`, whether the label has the highest probability, and `predicted`, the
        class that has it. Both are None where this cannot be known: with more than two classes, a
        class with less than half of the probability may or may not be the most probable.
    """
    confidence, label = float(sample.confidence), int(sample.label)
    right = True if confidence > 0.5 else None
    if right is None and (classes == 2 or confidence < 1 / classes):
        right = False
    predicted = label if right else None
    if right is False and classes == 2:
        predicted = 1 - label
    return {"confidence": round(confidence, 4), "right": right, "predicted": predicted}


def mark(texts: list[str]) -> list[Marked]:
    """The texts; where there are two, with the words marked in which they differ.

    Parameters
    ----------
    texts
        A sample's texts.
    """
    if len(texts) != 2:
        return list(texts)
    return [_read_marks(marked) for marked in mark_differences(*texts)]


def _read_marks(marked: str) -> Marked:
    """The pieces of a text that `mark_differences` has marked; neighbours with one mark joined."""
    pieces: list[str | list[str]] = []
    end = 0
    for tag in TAGS.finditer(marked):
        between = html.unescape(marked[end : tag.start()])
        words, last = html.unescape(tag[2]), pieces[-1] if pieces else ""
        if isinstance(last, list) and last[0] == tag[1] and not between.strip():
            last[1] += between + words
        else:
            pieces += [between] if between else []
            pieces.append([tag[1], words])
        end = tag.end()
    rest = html.unescape(marked[end:])
    if not pieces:
        return rest
    return pieces + ([rest] if rest else [])


def _find_texts(frame: pd.DataFrame) -> dict[tuple[Any, str], list[str]]:
    """(item, language) → texts, of the samples that have texts."""
    samples = ((sample, _list_texts(sample)) for sample in frame.itertuples())
    return {(sample.item, sample.lang): texts for sample, texts in samples if texts}


def _list_texts(sample: Any) -> list[str]:
    columns = (getattr(sample, name, None) for name in TEXTS)
    return [text for text in columns if isinstance(text, str)]


def _as_python(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
