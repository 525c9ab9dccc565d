"""Whether influential samples in another script are wholly in it (section 7.1).

Texts in different scripts share few tokens; names and numbers in Latin letters are the exception.
"""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from .base import BOOTSTRAP, SIGNS, Bootstrap, check, samples_of, summary
from .top import most_influential

SCRIPTS = {"ko": "Hangul", "ru": "Cyrillic", "zh": "Han"}  # scripts used by one language of a task
UNICODE = {"Hangul": "HANGUL", "Cyrillic": "CYRILLIC", "Han": "CJK"}  # how letter names begin
COLUMNS = [
    "train_lang",
    "script",
    "sign",
    "share",
    "ci_low",
    "ci_high",
    "chance",
    "in_top_k",
    "test_samples",
    "items",
]


def scripts(
    scores: xr.Dataset,
    train: pd.DataFrame,
    test: pd.DataFrame,
    *,
    top_k: int,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> pd.DataFrame:
    """Measure how many influential samples are wholly in their language's own script (section 7.1).

    We look at a language's samples in the top k of test samples in other languages, once for each
    such test sample. Letters decide; digits and punctuation do not.

    Parameters
    ----------
    scores : xarray.Dataset
        Score cube of a run, with dims (checkpoint, group, test, train).
    train, test : pandas.DataFrame
        The cube's samples, in the cube's order; the training samples with their texts or, in a
        published run, with the column `wholly_in_script`.
    top_k : int
        How many training samples per test sample count as the most influential.
    bootstrap : Bootstrap
        How the intervals are computed.

    Returns
    -------
    pandas.DataFrame
        `train_lang`, `script`, `sign`, `share`, `ci_low`, `ci_high` (over the test samples with
        such a sample in their top k; NaN if there are none), `chance` (the share among all the
        language's training samples), `in_top_k` (the language's share of the top k),
        `test_samples`, `items` (those with such a sample). Empty if no language has its own script.
    """
    check(scores, train, test)
    tops, lang = most_influential(scores, top_k), train["lang"].to_numpy()
    samples, wholly = samples_of(test), _known_or_computed(train)
    rows = []
    for train_lang, script in SCRIPTS.items():
        others = samples[samples["test_lang"] != train_lang]
        if train_lang not in lang or others.empty:
            continue
        pure = wholly & (lang == train_lang)  # (train,)
        for sign in SIGNS:
            top = tops[sign].rows[others.index]  # (test in other languages, k)
            there = lang[top] == train_lang
            count = there.sum(1)  # (test in other languages,)
            share = (pure[top] & there).sum(1) / np.where(count, count, np.nan)
            each = others.assign(share=share, sign=sign).dropna()
            found = summary(each, ["sign"], bootstrap).to_dict("records")
            row: dict[Any, Any] = found[0] if found else {"test_samples": 0, "items": 0}
            row |= {"train_lang": train_lang, "script": script, "sign": sign}
            row |= {"in_top_k": there.mean(), "chance": pure[lang == train_lang].mean()}
            rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def wholly_in_script(samples: pd.DataFrame) -> list[bool | None]:
    """Whether every letter of a sample belongs to its language's own script, one entry per sample.

    None for samples in languages that share their script with others.
    """
    return [
        _wholly(SCRIPTS[row.lang], row.text_a, row.text_b) if row.lang in SCRIPTS else None
        for row in samples.itertuples()
    ]


def _known_or_computed(train: pd.DataFrame) -> np.ndarray:
    """`wholly_in_script` of training samples as a bool array; False where it is None."""
    given = train["wholly_in_script"] if "wholly_in_script" in train else wholly_in_script(train)
    return pd.array(list(given), dtype="boolean").fillna(False).to_numpy(dtype=bool)


def _wholly(script: str, text_a: str, text_b: str | None) -> bool:
    """Whether every letter of the texts belongs to the script."""
    text = text_a + (text_b if isinstance(text_b, str) else "")
    start = UNICODE[script]
    letters = [character for character in text if character.isalpha()]
    return all(unicodedata.name(letter, "").startswith(start) for letter in letters)
