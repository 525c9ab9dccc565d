"""Names of languages: those of the three tasks, and of any other by its tag.

A tag is a code of two or three letters or a name, and may have a script, a region or more after
hyphens or underscores: `pt-BR`, `eng_Latn`, `no`.
"""

from __future__ import annotations

import functools
import re
from importlib import resources

import yaml

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
TAG = r"[A-Za-z]{2,20}(?:[-_][A-Za-z0-9]{1,8})*"
TAGS = "letters, with parts after - or _, as in en, pt-BR and eng_Latn"  # TAG in words
RESERVED = ("all", "accuracy", "epoch", "train_loss")  # what tables have in place of languages


def is_tag(text: str) -> bool:
    """Whether the text can be the tag of a language."""
    return bool(re.fullmatch(TAG, text)) and text not in RESERVED


def normalize(tag: str) -> str:
    """Return the canonical spelling of a tag: `en-Latn` for `eng_Latn`, `pt-BR` for `pt_br`."""
    language, *parts = re.split("[-_]", tag)
    language = _known()["short"].get(language.lower(), language.lower())
    return "-".join([language, *(_write_part(part) for part in parts)])


def name_language(tag: str) -> str:
    """The English name of a language, `Portuguese (Brazil)` for `pt-BR`; the tag if it has none."""
    if tag in LANGUAGES:
        return LANGUAGES[tag]
    if not is_tag(tag):
        return tag
    language, *parts = normalize(tag).split("-")
    known = _known()
    name = LANGUAGES.get(language) or known["languages"].get(language)
    if name is None:
        return tag
    places = known["scripts"] | known["regions"]
    more = ", ".join(places.get(part, part) for part in parts)
    return f"{name} ({more})" if more else name


def _write_part(part: str) -> str:
    """Write a script as `Latn`, a region as `BR`, anything else in lower case."""
    if not part.isalpha():
        return part.lower()
    return {2: part.upper(), 4: part.title()}.get(len(part), part.lower())


@functools.cache
def _known() -> dict[str, dict[str, str]]:
    """Read `languages.yaml`: `languages`, `scripts`, `regions`, `short`."""
    path = resources.files(__package__).joinpath("languages.yaml")
    return yaml.safe_load(path.read_text(encoding="utf-8"))
