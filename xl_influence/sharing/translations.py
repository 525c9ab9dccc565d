"""Which influential samples are translations: reinforcing or complementary (section 8.1), zero-shot testing (8.3)."""

import numpy as np
import pandas as pd

from ..cosine import influence
from .base import SIGNS, SharingError, check, mean_of, top_samples


def reinforcement(scores, train, test, *, top_k, resamples=2000, confidence_level=0.95, seed=0):
    """How many of the top k from other languages are translations of the top k from the test language (Table 4).

    Of one test sample's top k, the samples in other languages are *reinforcing* where the test language's version of the
    same item is in the top k as well, and *complementary* elsewhere. Test samples without any from other languages, of
    which there is no share, do not count.

    Returns
    -------
    pandas.DataFrame
        `test_lang, sign, share, ci_low, ci_high`, `chance` (the expected share where the items of each language's samples
        are permuted: own items in the top k / training items of the language), `test_samples` (that count).

    Raises
    ------
    SharingError
        Equal items are not translations of each other, as in MARC.
    """
    check(scores, train, test)
    if not parallel(train):
        raise SharingError("equal items have different labels, so they are no translations: this needs a parallel task")
    values, (lang, item) = influence(scores).to_numpy(), (train[name].to_numpy() for name in ("lang", "item"))
    items = train.groupby("lang")["item"].nunique()
    rows = []
    for sign in SIGNS:
        top = top_samples(values, top_k, sign)
        for test_lang, part in test.reset_index(drop=True).groupby("lang", sort=False):
            shares, chances = [], []
            for chosen in top[part.index]:
                own = lang[chosen] == test_lang
                if not own.all():
                    shares.append(np.isin(item[chosen[~own]], item[chosen[own]]).mean())
                    chances.append(own.sum() / items.get(test_lang, np.inf))
            if shares:
                rows.append(
                    {"test_lang": test_lang, "sign": sign}
                    | mean_of(shares, resamples, confidence_level, seed)
                    | {"chance": float(np.mean(chances)), "test_samples": len(shares)}
                )
    return pd.DataFrame(rows, columns=["test_lang", "sign", "share", "ci_low", "ci_high", "chance", "test_samples"])


def zero_shot(seen, unseen, language, *, top_k, resamples=2000, confidence_level=0.95, seed=0):
    """What stands in for a language that was left out of fine-tuning (section 8.3).

    `seen`, `unseen`: (scores, train, test) of the model that was trained on the language and of the one that was not, with
    the same test samples in the language. The paper's percentages leave their denominators open; here they are:

    - `translations`: of the unseen model's top k, the samples that are translations of the language's own samples in the
      seen model's top k; parallel tasks only.
    - `same_samples`: of the seen model's top k in other languages, those that are in the unseen model's top k again.

    Returns
    -------
    pandas.DataFrame
        `language, what, sign, share, ci_low, ci_high`, `chance` (were the unseen model's top k drawn at random),
        `test_samples`.
    """
    rows = {}
    for which, (scores, train, test) in (("seen", seen), ("unseen", unseen)):
        check(scores, train, test)
        mine = (test["lang"] == language).to_numpy()
        rows[which] = list(test["uid"][mine]), influence(scores.isel(test=mine)).to_numpy(), train
    (uids, before, train), (others, after, rest) = rows["seen"], rows["unseen"]
    if not uids or uids != others:
        raise SharingError(f"both models need the same test samples in {language!r}, one at least: {uids} and {others}")
    if (rest["lang"] == language).any():
        raise SharingError(f"the second model was trained on {language!r} as well")
    table = []
    for sign in SIGNS:
        found = {"translations": [], "same_samples": []}
        for was, now in zip(top_samples(before, top_k, sign), top_samples(after, top_k, sign), strict=True):
            own = (train["lang"].to_numpy() == language)[was]
            if parallel(train):
                item = rest["item"].isin(train["item"].to_numpy()[was[own]]).to_numpy()
                found["translations"].append((item[now].mean(), item.mean()))
            if not own.all():
                again = np.isin(train["uid"].to_numpy()[was[~own]], rest["uid"].to_numpy()[now])
                found["same_samples"].append((again.mean(), top_k / len(rest)))
        for what, pairs in found.items():
            if pairs:
                shares, chances = zip(*pairs, strict=True)
                table.append(
                    {"language": language, "what": what, "sign": sign}
                    | mean_of(shares, resamples, confidence_level, seed)
                    | {"chance": float(np.mean(chances)), "test_samples": len(shares)}
                )
    return pd.DataFrame(table)


def translation_rank(scores, train, test, *, resamples=2000, confidence_level=0.95, seed=0):
    """How high a test sample's own translation stands among the training samples of other languages.

    Test samples without a training sample of the same item in another language do not count; of several the best does.
    An item has to have one number in all splits, as in the demo corpora.

    Returns
    -------
    pandas.DataFrame
        One row: `mean_reciprocal_rank, ci_low, ci_high`, `chance` (of a random order), `test_samples`; empty where no test
        sample has its translation among the training samples, or the task is not parallel.
    """
    check(scores, train, test)
    values = influence(scores).to_numpy()
    found, expected, translated = [], [], parallel(train)
    for row, sample in enumerate(test.itertuples()):
        others = (train["lang"] != sample.lang).to_numpy()
        its = (train["item"] == sample.item).to_numpy()[others]
        if its.any() and translated:
            mine = values[row][others]
            found.append(1 / (1 + (mine > mine[its].max()).sum()))
            expected.append(_reciprocal_rank(its.sum(), len(its)))
    if not found:
        return pd.DataFrame(columns=["mean_reciprocal_rank", "ci_low", "ci_high", "chance", "test_samples"])
    mean = mean_of(found, resamples, confidence_level, seed)
    row = {"mean_reciprocal_rank": mean.pop("share")} | mean
    return pd.DataFrame([row | {"chance": float(np.mean(expected)), "test_samples": len(found)}])


def parallel(train):
    """Whether equal items can be translations of each other: their labels are equal."""
    return bool((train.groupby("item")["label"].nunique() <= 1).all())


def _reciprocal_rank(hits, n):
    """Expected reciprocal rank of the best of `hits` among `n` in random order."""
    alive, total = 1.0, 0.0
    for rank in range(1, n - hits + 2):
        first = hits / (n - rank + 1)
        total += alive * first / rank
        alive *= 1 - first
    return total
