"""From which languages influence comes (section 7, Appendix B)."""

import numpy as np
import pandas as pd

from ..influence import influence
from .base import (
    SIGNS,
    SharingError,
    by_checkpoint,
    by_sign,
    check,
    languages_of,
    samples_of,
    spread,
    summary,
    top_samples,
    with_all,
)

KS = (1, 2, 5, 10, 20, 50, 100, 200, 500)  # of `share_by_k`; the paper's k is 100


def composition(scores, train, test, *, top_k, resamples=2000, confidence_level=0.95, seed=0):
    """How much of the top k comes from each language (Figure 2; per epoch Figures 12 and 13).

    Returns
    -------
    pandas.DataFrame
        `test_lang, train_lang, sign, checkpoint` (0 for the sum over checkpoints), `share` (mean over test samples),
        `ci_low, ci_high`, `chance` (the language's share of the training samples), `test_samples, items`.
    """
    each = composition_by_sample(scores, train, test, top_k=top_k, epochs=True)
    keys = ["test_lang", "train_lang", "sign", "checkpoint"]
    return summary(each, keys, resamples=resamples, confidence_level=confidence_level, seed=seed)


def composition_by_sample(scores, train, test, *, top_k, epochs=False):
    """How much of each test sample's top k comes from each language: what `composition` is the mean of.

    Returns
    -------
    pandas.DataFrame
        `test` (uid), `item, test_lang, train_lang, sign, share`, `chance` (the language's share of the training
        samples); with `epochs` also `checkpoint`, 0 for the sum over checkpoints, which is all there is without.
    """
    check(scores, train, test)
    if not epochs:
        return _composition(influence(scores).to_numpy(), train, test, top_k)
    parts = [
        _composition(values, train, test, top_k).assign(checkpoint=epoch)
        for epoch, values in by_checkpoint(scores)
    ]
    return pd.concat(parts, ignore_index=True)


def _composition(values, train, test, top_k):
    languages, chance = languages_of(train)
    samples, tables = samples_of(train, test), []
    for sign in SIGNS:
        lang_of = train["lang"].to_numpy()[top_samples(values, top_k, sign)]  # (test, k)
        shares = np.stack([(lang_of == lang).mean(1) for lang in languages], 1)  # (test, language)
        tables.append(spread(samples.assign(sign=sign), "train_lang", languages, shares))
    table = pd.concat(tables, ignore_index=True).assign(
        chance=lambda rows: rows["train_lang"].map(chance)
    )
    return table[["test", "item", "test_lang", "train_lang", "sign", "share", "chance"]]


def cross_language(scores, train, test, *, top_k, resamples=2000, confidence_level=0.95, seed=0):
    """How much of the top k comes from languages other than the test sample's own.

    Returns
    -------
    pandas.DataFrame
        `test_lang` ('all' for every test sample), `sign`, `share, ci_low, ci_high`, `chance` (the share of the training
        samples in other languages), `test_samples, items`.
    """
    each = with_all(cross_language_by_sample(scores, train, test, top_k=top_k))
    keys = ["test_lang", "sign"]
    return by_sign(
        summary(each, keys, resamples=resamples, confidence_level=confidence_level, seed=seed)
    )


def cross_language_by_sample(scores, train, test, *, top_k):
    """What `cross_language` is the mean of: `test` (uid), `item, test_lang, sign, share, chance`."""
    return share_by_k_by_sample(scores, train, test, ks=(top_k,)).drop(columns="k")


def share_by_k(scores, train, test, *, ks=KS, resamples=2000, confidence_level=0.95, seed=0):
    """How much of the top k comes from other languages, for every k: the answer depends on it.

    Returns
    -------
    pandas.DataFrame
        `test_lang` ('all' for every test sample), `sign`, `k` (none above the number of training samples), `share,
        ci_low, ci_high`, `chance` (the share of the training samples in other languages), `test_samples, items`.
    """
    each = share_by_k_by_sample(scores, train, test, ks=[k for k in ks if k <= len(train)])
    keys = ["test_lang", "sign", "k"]
    return summary(
        with_all(each), keys, resamples=resamples, confidence_level=confidence_level, seed=seed
    )


def share_by_k_by_sample(scores, train, test, *, ks=KS):
    """What `share_by_k` is the mean of: `test` (uid), `item, test_lang, sign, k, share, chance`."""
    check(scores, train, test)
    values, own = influence(scores).to_numpy(), test["lang"].to_numpy()
    _, part = languages_of(train)
    samples, tables = samples_of(train, test), []
    samples["chance"] = [1 - part.get(lang, 0.0) for lang in own]
    for sign in SIGNS:
        other = (
            train["lang"].to_numpy()[top_samples(values, max(ks), sign)] != own[:, None]
        )  # (test, largest k)
        shares = other.cumsum(1)[:, np.array(ks) - 1] / np.array(ks)  # (test, k)
        tables.append(spread(samples.assign(sign=sign), "k", ks, shares))
    return pd.concat(tables, ignore_index=True)[
        ["test", "item", "test_lang", "sign", "k", "share", "chance"]
    ]


def mean_influence(scores, train, test, *, resamples=2000, confidence_level=0.95, seed=0):
    """Average influence of all training samples of a language on the test samples of a language (Tables 3 and 6).

    Returns
    -------
    pandas.DataFrame
        `test_lang, train_lang, mean, ci_low, ci_high`, in units of cosine summed over checkpoints, `test_samples, items`.
    """
    each = mean_influence_by_sample(scores, train, test)
    choice = {"resamples": resamples, "confidence_level": confidence_level, "seed": seed}
    return summary(each, ["test_lang", "train_lang"], value="mean", **choice)


def mean_influence_by_sample(scores, train, test):
    """What `mean_influence` is the mean of: `test` (uid), `item, test_lang, train_lang, mean`."""
    check(scores, train, test)
    values, (languages, _) = influence(scores).to_numpy(), languages_of(train)
    means = np.stack(
        [values[:, (train["lang"] == lang).to_numpy()].mean(1) for lang in languages], 1
    )
    return spread(samples_of(train, test), "train_lang", languages, means, "mean")


def distribution(scores, train, test, *, bins=40):
    """How influence scores are distributed, by language pair (Figures 9 to 11).

    Returns
    -------
    pandas.DataFrame
        `test_lang, train_lang, low, high` (edges of the bin), `share` (of the pair's scores that fall into it),
        `test_samples, items`.
    """
    check(scores, train, test)
    values, (languages, _) = influence(scores).to_numpy(), languages_of(train)
    edges = np.linspace(values.min(), values.max(), bins + 1)
    tables = []
    for test_lang, part in samples_of(train, test).groupby("test_lang", sort=False):
        of = {"test_samples": len(part), "items": part["item"].nunique()}
        for train_lang in languages:
            counts, _ = np.histogram(
                values[part.index][:, (train["lang"] == train_lang).to_numpy()], edges
            )
            found = {
                "test_lang": test_lang,
                "train_lang": train_lang,
                "low": edges[:-1],
                "high": edges[1:],
            }
            tables.append(pd.DataFrame(found | {"share": counts / counts.sum()} | of))
    return pd.concat(tables, ignore_index=True)


def imbalance(by_percent, language, *, top_k, resamples=2000, confidence_level=0.95, seed=0):
    """How much of a language's top k comes from itself as it gets more training samples (Figure 5).

    `by_percent`: percent of additional samples → `scores.Scored` (or its first three) of the model trained with them.

    Returns
    -------
    pandas.DataFrame
        `language, percent, sign, share, ci_low, ci_high`, `chance` (the language's share of that training data),
        `test_samples, items`.
    """
    each = imbalance_by_sample(by_percent, language, top_k=top_k)
    keys = ["language", "percent", "sign"]
    return summary(each, keys, resamples=resamples, confidence_level=confidence_level, seed=seed)


def imbalance_by_sample(by_percent, language, *, top_k):
    """What `imbalance` is the mean of: `test` (uid), `item, language, percent, sign, share, chance`."""
    tables = []
    for percent, run in sorted(by_percent.items()):
        scores, train, test = run[:3]
        check(scores, train, test)
        mine = (test["lang"] == language).to_numpy()
        if not mine.any():
            raise SharingError(
                f"no test sample is in {language!r}; there are {', '.join(test['lang'].unique())}"
            )
        each = cross_language_by_sample(scores.isel(test=mine), train, test[mine], top_k=top_k)
        own = each.assign(
            language=language, percent=percent, share=1 - each["share"], chance=1 - each["chance"]
        )
        tables.append(own.drop(columns="test_lang"))
    return pd.concat(tables, ignore_index=True)


def stand_ins(seen, unseen, language, *, top_k, resamples=2000, confidence_level=0.95, seed=0):
    """Where a language's top k comes from, by the model trained on it and by the one that was not (Figure 4).

    `seen`, `unseen`: as for `zero_shot`.

    Returns
    -------
    pandas.DataFrame
        `composition` rows of the summed influence, with `language` and `model` ('trained on it', 'without it').
    """
    choice = {"resamples": resamples, "confidence_level": confidence_level, "seed": seed}
    keys = ["test_lang", "train_lang", "sign", "checkpoint", "language", "model"]
    return summary(stand_ins_by_sample(seen, unseen, language, top_k=top_k), keys, **choice)


def stand_ins_by_sample(seen, unseen, language, *, top_k):
    """What `stand_ins` is the mean of: `composition_by_sample` rows with `checkpoint` (0), `language`, `model`."""
    tables = []
    for model, run in (("trained on it", seen), ("without it", unseen)):
        scores, train, test = run[:3]
        each = composition_by_sample(scores, train, test, top_k=top_k)
        tables.append(
            each[each["test_lang"] == language].assign(checkpoint=0, language=language, model=model)
        )
    return pd.concat(tables, ignore_index=True)
