"""From which languages influence comes (section 7, Appendix B)."""

import unicodedata

import numpy as np
import pandas as pd

from ..cosine import influence
from .base import SIGNS, SharingError, by_checkpoint, check, languages_of, mean_of, top_samples

SCRIPTS = {"ko": "Hangul", "ru": "Cyrillic", "zh": "Han"}  # of languages that no other language of a task shares
UNICODE = {"Hangul": "HANGUL", "Cyrillic": "CYRILLIC", "Han": "CJK"}  # how the names of its letters begin


def composition(scores, train, test, *, top_k, resamples=2000, confidence_level=0.95, seed=0):
    """How much of the top k comes from each language (Figure 2; per epoch Figures 12 and 13).

    Returns
    -------
    pandas.DataFrame
        `test_lang, train_lang, sign, checkpoint` (0 for the sum over checkpoints), `share` (mean over test samples),
        `ci_low, ci_high`, `chance` (the language's share of the training samples).
    """
    check(scores, train, test)
    _, chance = languages_of(train)
    rows = []
    for checkpoint, values in by_checkpoint(scores):
        for sign, shares in _shares(values, train, top_k):
            for test_lang, part in test.reset_index(drop=True).groupby("lang", sort=False):
                for train_lang, each in shares.items():
                    rows.append(
                        {"test_lang": test_lang, "train_lang": train_lang, "sign": sign, "checkpoint": checkpoint}
                        | mean_of(each[part.index], resamples, confidence_level, seed)
                        | {"chance": chance[train_lang]}
                    )
    return pd.DataFrame(rows)


def composition_by_sample(scores, train, test, *, top_k):
    """How much of each test sample's top k comes from each language: what `composition` is the mean of.

    Returns
    -------
    pandas.DataFrame
        `test` (uid), `test_lang, train_lang, sign, share`, `chance` (the language's share of the training samples).
    """
    check(scores, train, test)
    _, chance = languages_of(train)
    samples = test[["uid", "lang"]].rename(columns={"uid": "test", "lang": "test_lang"})
    tables = [
        samples.assign(train_lang=train_lang, sign=sign, share=each, chance=chance[train_lang])
        for sign, shares in _shares(influence(scores).to_numpy(), train, top_k)
        for train_lang, each in shares.items()
    ]
    return pd.concat(tables, ignore_index=True)


def _shares(values, train, top_k):
    """For each sign: (sign, training language → its share of each test sample's top k, an array (test,))."""
    languages, _ = languages_of(train)
    for sign in SIGNS:
        lang_of = train["lang"].to_numpy()[top_samples(values, top_k, sign)]  # (test, k)
        yield sign, {lang: (lang_of == lang).mean(1) for lang in languages}


def cross_language(scores, train, test, *, top_k, resamples=2000, confidence_level=0.95, seed=0):
    """How much of the top k comes from languages other than the test sample's own.

    Returns
    -------
    pandas.DataFrame
        `test_lang` ('all' for every test sample), `sign`, `share, ci_low, ci_high`, `chance` (the share of the training
        samples in other languages), `test_samples`.
    """
    check(scores, train, test)
    _, chance = languages_of(train)
    values = influence(scores).to_numpy()
    own = test["lang"].to_numpy()
    rows = []
    for sign in SIGNS:
        other = (train["lang"].to_numpy()[top_samples(values, top_k, sign)] != own[:, None]).mean(1)  # (test,)
        expected = np.array([1 - chance.get(lang, 0.0) for lang in own])
        for name in ("all", *dict.fromkeys(own)):
            part = np.ones(len(own), bool) if name == "all" else own == name
            rows.append(
                {"test_lang": name, "sign": sign}
                | mean_of(other[part], resamples, confidence_level, seed)
                | {"chance": expected[part].mean(), "test_samples": int(part.sum())}
            )
    return pd.DataFrame(rows)


def mean_influence(scores, train, test, *, resamples=2000, confidence_level=0.95, seed=0):
    """Average influence of all training samples of a language on the test samples of a language (Tables 3 and 6).

    Returns
    -------
    pandas.DataFrame
        `test_lang, train_lang, mean, ci_low, ci_high`, in units of cosine summed over checkpoints.
    """
    check(scores, train, test)
    values = influence(scores).to_numpy()
    languages, _ = languages_of(train)
    rows = []
    for test_lang, part in test.reset_index(drop=True).groupby("lang", sort=False):
        for train_lang in languages:
            each = values[part.index][:, (train["lang"] == train_lang).to_numpy()].mean(1)
            interval = mean_of(each, resamples, confidence_level, seed)
            rows.append({"test_lang": test_lang, "train_lang": train_lang, "mean": interval.pop("share")} | interval)
    return pd.DataFrame(rows)


def distribution(scores, train, test, *, bins=40):
    """How influence scores are distributed, by language pair (Figures 9 to 11).

    Returns
    -------
    pandas.DataFrame
        `test_lang, train_lang, low, high` (edges of the bin), `share` (of the pair's scores that fall into it).
    """
    check(scores, train, test)
    values = influence(scores).to_numpy()
    edges = np.linspace(values.min(), values.max(), bins + 1)
    languages, _ = languages_of(train)
    rows = []
    for test_lang, part in test.reset_index(drop=True).groupby("lang", sort=False):
        for train_lang in languages:
            counts, _ = np.histogram(values[part.index][:, (train["lang"] == train_lang).to_numpy()], edges)
            rows += [
                {"test_lang": test_lang, "train_lang": train_lang, "low": low, "high": high, "share": count / counts.sum()}
                for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
            ]
    return pd.DataFrame(rows)


def imbalance(by_percent, language, *, top_k, resamples=2000, confidence_level=0.95, seed=0):
    """How much of a language's top k comes from itself as it gets more training samples (Figure 5).

    `by_percent`: percent of additional samples → (scores, train, test) of the model trained with them.

    Returns
    -------
    pandas.DataFrame
        `language, percent, sign, share, ci_low, ci_high`, `chance` (the language's share of that training data),
        `test_samples`.
    """
    tables = []
    for percent, (scores, train, test) in sorted(by_percent.items()):
        check(scores, train, test)
        mine = (test["lang"] == language).to_numpy()
        if not mine.any():
            raise SharingError(f"no test sample is in {language!r}; there are {', '.join(test['lang'].unique())}")
        top = {"top_k": top_k, "resamples": resamples, "confidence_level": confidence_level, "seed": seed}
        table = cross_language(scores.isel(test=mine), train, test[mine], **top)
        own = table[table["test_lang"] == language].assign(language=language, percent=percent)
        own[["share", "ci_low", "ci_high", "chance"]] = 1 - own[["share", "ci_high", "ci_low", "chance"]].to_numpy()
        tables.append(own)
    columns = ["language", "percent", "sign", "share", "ci_low", "ci_high", "chance", "test_samples"]
    return pd.concat(tables, ignore_index=True)[columns]


def stand_ins(seen, unseen, language, *, top_k, resamples=2000, confidence_level=0.95, seed=0):
    """Where a language's top k comes from, by the model trained on it and by the one that was not (Figure 4).

    `seen`, `unseen`: as for `zero_shot`.

    Returns
    -------
    pandas.DataFrame
        `composition` rows of the summed influence, with `language` and `model` ('trained on it', 'without it').
    """
    choice = {"top_k": top_k, "resamples": resamples, "confidence_level": confidence_level, "seed": seed}
    tables = []
    for model, (scores, train, test) in (("trained on it", seen), ("without it", unseen)):
        found = composition(scores, train, test, **choice)
        found = found[(found["test_lang"] == language) & (found["checkpoint"] == 0)]
        tables.append(found.assign(language=language, model=model))
    return pd.concat(tables, ignore_index=True)


def scripts(scores, train, test, *, top_k, resamples=2000, confidence_level=0.95, seed=0):
    """How many of the influential samples of a language with a script of its own are wholly in that script (section 7.1).

    Counted are a language's samples in the top k of test samples in other languages, once for each test sample; letters
    count, digits and punctuation do not.

    Returns
    -------
    pandas.DataFrame
        `train_lang, script, sign`, `share, ci_low, ci_high` (over the test samples that have any; NaN where none has),
        `chance` (the same among all the language's training samples), `in_top_k` (the language's share of the top k).
    """
    check(scores, train, test)
    values, lang = influence(scores).to_numpy(), train["lang"].to_numpy()
    own = test["lang"].to_numpy()
    rows = []
    known = np.array(train["wholly_in_script"] if "wholly_in_script" in train else wholly_in_script(train), dtype=object)
    for train_lang, script in SCRIPTS.items():
        if train_lang not in lang or (own == train_lang).all():
            continue
        pure = known == True  # noqa: E712, of other languages it is missing
        for sign in SIGNS:
            top = top_samples(values, top_k, sign)[own != train_lang]
            there = lang[top] == train_lang  # (test in other languages, k)
            each = [pure[rows_of[mask]].mean() for rows_of, mask in zip(top, there, strict=True) if mask.any()]
            nothing = {"share": np.nan, "ci_low": np.nan, "ci_high": np.nan}
            rows.append(
                {"train_lang": train_lang, "script": script, "sign": sign}
                | (mean_of(each, resamples, confidence_level, seed) if each else nothing)
                | {"chance": pure[lang == train_lang].mean(), "in_top_k": there.mean()}
            )
    return pd.DataFrame(rows, columns=["train_lang", "script", "sign", "share", "ci_low", "ci_high", "chance", "in_top_k"])


def wholly_in_script(samples):
    """Whether every letter of a sample is of its language's own script; None for languages that share theirs. One each."""
    return [_wholly(SCRIPTS[row.lang], row) if row.lang in SCRIPTS else None for row in samples.itertuples()]


def _wholly(script, row):
    """Whether every letter of a sample's texts is of the script."""
    texts = row.text_a + (row.text_b if isinstance(row.text_b, str) else "")
    start = UNICODE[script]
    return all(unicodedata.name(letter, "").startswith(start) for letter in texts if letter.isalpha())
