"""Small corpora written for this project, in which we know what ought to matter.

Each corpus is a YAML file of templates; every template tests one *phenomenon* (negation, role swap, battery life …).
`expand` fills the slots with every split's own fillers, always in the same order, so that the same rows come out on
every machine. Because we wrote them, we know which training samples should influence a test sample: those of its
phenomenon and label. Format of the files: see `expand_parallel` and `expand_reviews`.
"""

import functools
import itertools
import random
import re
from importlib import resources

import yaml

SLOT = re.compile(r"\{(\w+?)(\d*)(?:\.(\w+))?\}")  # {person}, {person2}, {person2.gen}
FILLINGS = {
    "train": 8,
    "validation": 2,
    "test": 2,
}  # fillings of a parallel template that go to each split
TEMPLATES = {
    "train": 8,
    "validation": 2,
    "test": 2,
}  # of every 12 review templates, how many go to each split
REVIEW_FILLINGS = 15  # reviews made of one review template
FILES = {"xnli": "xnli.yaml", "pawsx": "pawsx.yaml", "marc": "marc.yaml"}


@functools.cache  # parsing takes longer than all else
def load(task):
    """All rows of the demo corpus of `task` ('xnli', 'pawsx' or 'marc').

    Returns
    -------
    list of dict, the same object at every call
        `split` (train, validation, test), `lang`, `item` (int; the same pair in every language of a parallel corpus),
        `template`, `phenomenon`, `label` (as in the real data set: 0–2, 0–1, stars 1–5), `text_a`, `text_b`
        (None for reviews).
    """
    corpus = yaml.safe_load(source(task))
    return expand_reviews(corpus) if "languages" in corpus else expand_parallel(corpus)


def source(task):
    """The text of the corpus file of `task`."""
    return resources.files(__name__).joinpath(FILES[task]).read_text(encoding="utf-8")


def expand_parallel(corpus):
    """Rows of a parallel corpus.

    `fillers`: name → list of {language: text, or {form: text} with a form `base`}.
    `templates`: list of {id, phenomenon, texts: {key: {language: text}}, pairs: [[key_a, key_b, label], …]}.
    A slot `{person1.gen}` takes the form `gen` of one filler of `person`; another number takes another filler.
    A filling belongs to one split, so no filled sentence crosses splits.
    """
    by_split = {split: [] for split in FILLINGS}
    for template in corpus["templates"]:
        slots = _slots(text for texts in template["texts"].values() for text in texts.values())
        fillings = _fillings(slots, corpus["fillers"], sum(FILLINGS.values()), template["id"])
        for split, count in FILLINGS.items():
            chosen, fillings = fillings[:count], fillings[count:]
            for filling, (key_a, key_b, label) in itertools.product(chosen, template["pairs"]):
                by_split[split].append((template, filling, key_a, key_b, label))
    rows, first = [], 0
    for split, items in by_split.items():
        random.Random(split).shuffle(items)
        for item, (template, filling, key_a, key_b, label) in enumerate(items, first):
            for lang in template["texts"][key_a]:
                text_a, text_b = (
                    _fill(template["texts"][key][lang], filling, lang) for key in (key_a, key_b)
                )
                rows.append(
                    {
                        "split": split,
                        "lang": lang,
                        "item": item,
                        "template": template["id"],
                        "phenomenon": template["phenomenon"],
                        "label": label,
                        "text_a": text_a,
                        "text_b": text_b,
                    }
                )
        first += len(items)  # an item has one number in all splits
    return rows


def expand_reviews(corpus):
    """Rows of a corpus that is not parallel.

    `languages`: language → {fillers: {name: [text, …]}, templates: [{id, phenomenon, stars, text}, …]}.
    A template belongs to one split: of every twelve with the same stars eight train, two validate, two test.
    """
    cycle = [split for split, count in TEMPLATES.items() for _ in range(count)]
    rows = []
    for lang, part in corpus["languages"].items():
        by_split, seen = {split: [] for split in TEMPLATES}, {}
        for template in part["templates"]:
            place = seen[template["stars"]] = seen.get(template["stars"], -1) + 1
            slots = _slots([template["text"]])
            for filling in _fillings(slots, part["fillers"], REVIEW_FILLINGS, template["id"]):
                by_split[cycle[place % len(cycle)]].append(
                    (template, _fill(template["text"], filling, lang))
                )
        for split, items in by_split.items():
            random.Random(split + lang).shuffle(items)
            rows += [
                {
                    "split": split,
                    "lang": lang,
                    "item": item,
                    "template": template["id"],
                    "phenomenon": template["phenomenon"],
                    "label": template["stars"],
                    "text_a": text,
                    "text_b": None,
                }
                for item, (template, text) in enumerate(items)
            ]
    return rows


def _slots(texts):
    """Slots (name, number) used in `texts`, in order of first use."""
    return list(dict.fromkeys((m[1], m[2]) for text in texts for m in SLOT.finditer(text)))


def _fillings(slots, fillers, count, seed):
    """`count` different fillings {(name, number): filler}, drawn with a generator seeded by the template's id."""
    rng, fillings, seen = random.Random(seed), [], set()
    names = {name: [number for n, number in slots if n == name] for name, _ in slots}
    for _ in range(200 * count):
        filling = {}
        for name, numbers in names.items():
            drawn = rng.sample(range(len(fillers[name])), len(numbers))
            filling |= {
                (name, number): fillers[name][i] for number, i in zip(numbers, drawn, strict=False)
            }
        key = repr(filling)
        if key not in seen:
            seen.add(key)
            fillings.append(filling)
        if len(fillings) == count:
            return fillings
    raise ValueError(
        f"demo template {seed}: its slots {slots} allow fewer than {count} different fillings"
    )


def _fill(text, filling, lang):
    """`text` with its slots filled for `lang`; the first letter of the result is upper case."""

    def value(match):
        filler = filling[match[1], match[2]]
        word = filler if isinstance(filler, str) else filler[lang]
        return word if isinstance(word, str) else word[match[3] or "base"]

    text = SLOT.sub(value, text)
    return text[:1].upper() + text[1:]
