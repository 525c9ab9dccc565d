"""Small corpora written for this project, in which we know what ought to matter.

Each corpus is a YAML file of templates. Every template tests one *phenomenon* (negation, role swap,
battery life …). We fill its slots with fillers, always in the same order, so every machine gets the
same rows. Because we wrote the corpora, we know which training samples should influence a test
sample: those with its phenomenon and label. For the format of the files see `expand_parallel` and
`expand_reviews`.
"""

from __future__ import annotations

import functools
import itertools
import random
import re
from collections.abc import Iterable
from importlib import resources
from typing import Any

import yaml

SLOT = re.compile(r"\{(\w+?)(\d*)(?:\.(\w+))?\}")  # {person}, {person2}, {person2.gen}
# How many fillings of a parallel template go to each split.
FILLINGS = {"train": 8, "validation": 2, "test": 2}
# How many of every 12 review templates go to each split.
TEMPLATES = {"train": 8, "validation": 2, "test": 2}
REVIEW_FILLINGS = 15  # reviews made from one review template
ATTEMPTS = 200  # drawings per filling wanted, before we give up to find different ones
FILES = {"xnli": "xnli.yaml", "pawsx": "pawsx.yaml", "marc": "marc.yaml"}

Row = dict[str, Any]
Slot = tuple[str, str]  # name and number: {person2} is ("person", "2")
Filling = dict[Slot, Any]


@functools.cache  # parsing takes most of the time
def load(task: str) -> list[Row]:
    """Return all rows of the demo corpus of a task ('xnli', 'pawsx' or 'marc').

    Returns
    -------
    list of dict, the same object at every call
        `split` (train, validation, test), `lang`, `item` (int; the same pair in every language of a
        parallel corpus), `template`, `phenomenon`, `label` (as in the real data set: 0–2, 0–1,
        stars 1–5), `text_a`, `text_b` (None for reviews).
    """
    corpus = yaml.safe_load(read_corpus(task))
    return expand_reviews(corpus) if "languages" in corpus else expand_parallel(corpus)


def read_corpus(task: str) -> str:
    """Return the text of the corpus file of a task."""
    return resources.files(__name__).joinpath(FILES[task]).read_text(encoding="utf-8")


def expand_parallel(corpus: dict[str, Any]) -> list[Row]:
    """Return the rows of a parallel corpus.

    `fillers`: name → list of {language: text, or {form: text} with a form `base`}.
    `templates`: list of {id, phenomenon, texts: {key: {language: text}}, pairs: [[key_a, key_b,
    label], …]}. A slot `{person1.gen}` takes the form `gen` of one filler of `person`; another
    number takes another filler. A filling belongs to one split, so no filled sentence crosses
    splits.
    """
    by_split: dict[str, list[tuple[Any, ...]]] = {split: [] for split in FILLINGS}
    for template in corpus["templates"]:
        slots = _find_slots(text for texts in template["texts"].values() for text in texts.values())
        count = sum(FILLINGS.values())
        fillings = iter(_draw_fillings(slots, corpus["fillers"], count, template["id"]))
        for split, size in FILLINGS.items():
            chosen = itertools.islice(fillings, size)
            for filling, (key_a, key_b, label) in itertools.product(chosen, template["pairs"]):
                by_split[split].append((template, filling, key_a, key_b, label))
    rows, first = [], 0
    for split, items in by_split.items():
        random.Random(split).shuffle(items)
        for item, (template, filling, key_a, key_b, label) in enumerate(items, first):
            for lang, text_a in template["texts"][key_a].items():
                row = _make_row(split, lang, item, template, label)
                row["text_a"] = _fill(text_a, filling, lang)
                row["text_b"] = _fill(template["texts"][key_b][lang], filling, lang)
                rows.append(row)
        first += len(items)  # no two splits have an item of the same number
    return rows


def expand_reviews(corpus: dict[str, Any]) -> list[Row]:
    """Return the rows of a corpus that is not parallel.

    `languages`: language → {fillers: {name: [text, …]}, templates: [{id, phenomenon, stars, text},
    …]}. A template belongs to one split: of every twelve with the same stars eight go to training,
    two to validation, two to test.
    """
    cycle = [split for split, count in TEMPLATES.items() for _ in range(count)]
    rows = []
    for lang, part in corpus["languages"].items():
        by_split: dict[str, list[tuple[Any, str]]] = {split: [] for split in TEMPLATES}
        seen: dict[int, int] = {}  # stars → templates so far
        for template in part["templates"]:
            place = seen.get(template["stars"], 0)
            seen[template["stars"]] = place + 1
            slots, text = _find_slots([template["text"]]), template["text"]
            fillings = _draw_fillings(slots, part["fillers"], REVIEW_FILLINGS, template["id"])
            reviews = [(template, _fill(text, filling, lang)) for filling in fillings]
            by_split[cycle[place % len(cycle)]] += reviews
        for split, items in by_split.items():
            random.Random(split + lang).shuffle(items)
            for item, (template, text) in enumerate(items):
                row = _make_row(split, lang, item, template, template["stars"])
                rows.append(row | {"text_a": text, "text_b": None})
    return rows


def _make_row(split: str, lang: str, item: int, template: dict[str, Any], label: int) -> Row:
    """Return a row without its texts."""
    return {
        "split": split,
        "lang": lang,
        "item": item,
        "template": template["id"],
        "phenomenon": template["phenomenon"],
        "label": label,
    }


def _find_slots(texts: Iterable[str]) -> list[Slot]:
    """Return the slots that the texts use, in the order of first use."""
    return list(dict.fromkeys((m[1], m[2]) for text in texts for m in SLOT.finditer(text)))


def _draw_fillings(
    slots: list[Slot], fillers: dict[str, list[Any]], count: int, seed: str
) -> list[Filling]:
    """Draw `count` different fillings, with a generator seeded by the template's id."""
    rng = random.Random(seed)
    fillings: list[Filling] = []
    seen = set()
    names = {name: [number for n, number in slots if n == name] for name, _ in slots}
    for _ in range(ATTEMPTS * count):
        filling: Filling = {}
        for name, numbers in names.items():
            drawn = rng.sample(range(len(fillers[name])), len(numbers))
            for number, index in zip(numbers, drawn, strict=True):
                filling[name, number] = fillers[name][index]
        key = repr(filling)
        if key not in seen:
            seen.add(key)
            fillings.append(filling)
        if len(fillings) == count:
            return fillings
    raise ValueError(
        f"demo template {seed}: its slots {slots} allow fewer than {count} different fillings"
    )


def _fill(text: str, filling: Filling, lang: str) -> str:
    """Fill the slots of a text for a language, and make its first letter upper case."""

    def find_word(match: re.Match[str]) -> str:
        filler = filling[match[1], match[2]]
        forms = filler if isinstance(filler, str) else filler[lang]
        return forms if isinstance(forms, str) else forms[match[3] or "base"]

    text = SLOT.sub(find_word, text)
    return text[:1].upper() + text[1:]
