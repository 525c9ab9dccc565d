"""Whether influential samples in another script are wholly in it (section 7.1): names and numbers are shared."""

import unicodedata

import numpy as np
import pandas as pd

from ..influence import influence
from .base import SIGNS, check, samples_of, summary, top_samples

SCRIPTS = {
    "ko": "Hangul",
    "ru": "Cyrillic",
    "zh": "Han",
}  # of languages that no other language of a task shares
UNICODE = {
    "Hangul": "HANGUL",
    "Cyrillic": "CYRILLIC",
    "Han": "CJK",
}  # how the names of its letters begin
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


def scripts(scores, train, test, *, top_k, resamples=2000, confidence_level=0.95, seed=0):
    """How many of the influential samples of a language with a script of its own are wholly in that script (section 7.1).

    Counted are a language's samples in the top k of test samples in other languages, once for each test sample; letters
    count, digits and punctuation do not. Published samples have no text, and `wholly_in_script` instead.

    Returns
    -------
    pandas.DataFrame
        `train_lang, script, sign`, `share, ci_low, ci_high` (over the test samples that have any; NaN where none has),
        `chance` (the same among all the language's training samples), `in_top_k` (the language's share of the top k),
        `test_samples, items` (that have any).
    """
    check(scores, train, test)
    values, lang, samples = (
        influence(scores).to_numpy(),
        train["lang"].to_numpy(),
        samples_of(train, test),
    )
    choice = {"resamples": resamples, "confidence_level": confidence_level, "seed": seed}
    known = np.array(
        train["wholly_in_script"] if "wholly_in_script" in train else wholly_in_script(train),
        dtype=object,
    )
    rows = []
    for train_lang, script in SCRIPTS.items():
        others = samples[samples["test_lang"] != train_lang]
        if train_lang not in lang or others.empty:
            continue
        pure = (known == True) & (lang == train_lang)  # noqa: E712, of other languages it is missing
        for sign in SIGNS:
            top = top_samples(values, top_k, sign)[others.index]
            there = lang[top] == train_lang  # (test in other languages, k)
            share = (pure[top] & there).sum(1) / np.where(there.any(1), there.sum(1), np.nan)
            each = others.assign(share=share, sign=sign).dropna()
            found = summary(each, ["sign"], **choice).to_dict("records") or [
                {"sign": sign, "test_samples": 0, "items": 0}
            ]
            about = {"train_lang": train_lang, "script": script, "in_top_k": there.mean()}
            rows.append(about | found[0] | {"chance": pure[lang == train_lang].mean()})
    return pd.DataFrame(rows, columns=COLUMNS)


def wholly_in_script(samples):
    """Whether every letter of a sample is of its language's own script; None for languages that share theirs. One each."""
    return [
        _wholly(SCRIPTS[row.lang], row) if row.lang in SCRIPTS else None
        for row in samples.itertuples()
    ]


def _wholly(script, row):
    """Whether every letter of a sample's texts is of the script."""
    texts = row.text_a + (row.text_b if isinstance(row.text_b, str) else "")
    start = UNICODE[script]
    return all(
        unicodedata.name(letter, "").startswith(start) for letter in texts if letter.isalpha()
    )
