"""Which influential samples are translations: reinforcing or complementary (section 8.1), zero-shot testing (8.3)."""

import numpy as np
import pandas as pd

from ..influence import influence
from .base import SIGNS, SharingError, by_sign, check, parallel, samples_of, summary, top_samples


def reinforcement(scores, train, test, *, top_k, resamples=2000, confidence_level=0.95, seed=0):
    """How many of the top k from other languages are translations of the top k from the test language (Table 4).

    Of one test sample's top k, the samples in other languages are *reinforcing* where the test language's version of the
    same item is in the top k as well, and *complementary* elsewhere. Test samples without any from other languages, of
    which there is no share, do not count.

    Returns
    -------
    pandas.DataFrame
        `test_lang, sign, share, ci_low, ci_high`, `chance` (the expected share where the items of each language's samples
        are permuted: own items in the top k / training items of the language), `test_samples, items` (that count).

    Raises
    ------
    SharingError
        Equal items are not translations of each other, as in MARC.
    """
    each = reinforcement_by_sample(scores, train, test, top_k=top_k)
    choice = {"resamples": resamples, "confidence_level": confidence_level, "seed": seed}
    return by_sign(summary(each, ["test_lang", "sign"], **choice))


def reinforcement_by_sample(scores, train, test, *, top_k):
    """What `reinforcement` is the mean of: `test` (uid), `item, test_lang, sign, share, chance`; raises as it does."""
    check(scores, train, test)
    if not parallel(train):
        raise SharingError(
            "equal items have different labels, so they are no translations: this needs a parallel task"
        )
    values, (lang, item) = (
        influence(scores).to_numpy(),
        (train[name].to_numpy() for name in ("lang", "item")),
    )
    items, rows = train.groupby("lang")["item"].nunique(), []
    for sign in SIGNS:
        for sample, chosen in zip(
            samples_of(train, test).itertuples(), top_samples(values, top_k, sign), strict=True
        ):
            own = lang[chosen] == sample.test_lang
            if not own.all():
                share = np.isin(item[chosen[~own]], item[chosen[own]]).mean()
                chance = own.sum() / items.get(sample.test_lang, np.inf)
                rows.append([sample.test, sample.item, sample.test_lang, sign, share, chance])
    return pd.DataFrame(rows, columns=["test", "item", "test_lang", "sign", "share", "chance"])


def zero_shot(seen, unseen, language, *, top_k, resamples=2000, confidence_level=0.95, seed=0):
    """What stands in for a language that was left out of fine-tuning (section 8.3).

    `seen`, `unseen`: `scores.Scored` (or its first three) of the model that was trained on the language and of the one that was not, with
    the same test samples in the language. The paper's percentages leave their denominators open; here they are:

    - `translations`: of the unseen model's top k, the samples that are translations of the language's own samples in the
      seen model's top k; parallel tasks only.
    - `same_samples`: of the seen model's top k in other languages, those that are in the unseen model's top k again.

    Returns
    -------
    pandas.DataFrame
        `language, what, sign, share, ci_low, ci_high`, `chance` (were the unseen model's top k drawn at random),
        `test_samples, items`.
    """
    each = zero_shot_by_sample(seen, unseen, language, top_k=top_k)
    choice = {"resamples": resamples, "confidence_level": confidence_level, "seed": seed}
    return by_sign(summary(each, ["language", "what", "sign"], **choice))


def zero_shot_by_sample(seen, unseen, language, *, top_k):
    """What `zero_shot` is the mean of: `test` (uid), `item, language, what, sign, share, chance`."""
    (samples, before, train), (others, after, rest) = (
        _in_language(run, language) for run in (seen, unseen)
    )
    if samples.empty or list(samples["test"]) != list(others["test"]):
        uids = " and ".join(str(list(part["test"])) for part in (samples, others))
        raise SharingError(
            f"both models need the same test samples in {language!r}, one at least: {uids}"
        )
    if (rest["lang"] == language).any():
        raise SharingError(f"the second model was trained on {language!r} as well")
    lang, rows = train["lang"].to_numpy(), []
    for sign in SIGNS:
        tops = (top_samples(values, top_k, sign) for values in (before, after))
        for sample, was, now in zip(samples.itertuples(), *tops, strict=True):
            own, about = lang[was] == language, [sample.test, sample.item, language]
            if parallel(train):
                item = rest["item"].isin(train["item"].to_numpy()[was[own]]).to_numpy()
                rows.append([*about, "translations", sign, item[now].mean(), item.mean()])
            if not own.all():
                again = np.isin(train["uid"].to_numpy()[was[~own]], rest["uid"].to_numpy()[now])
                rows.append([*about, "same_samples", sign, again.mean(), top_k / len(rest)])
    return pd.DataFrame(
        rows, columns=["test", "item", "language", "what", "sign", "share", "chance"]
    )


def _in_language(run, language):
    """The test samples of a run in a language as a table by sample, their influence (test, train), the training samples."""
    scores, train, test = run[:3]
    check(scores, train, test)
    mine = (test["lang"] == language).to_numpy()
    return samples_of(train, test[mine]), influence(scores.isel(test=mine)).to_numpy(), train


def translation_rank(scores, train, test, *, resamples=2000, confidence_level=0.95, seed=0):
    """How high a test sample's own translation stands among the training samples of other languages.

    Test samples without a training sample of the same item in another language do not count; of several the best does.
    An item has to have one number in all splits, as in the demo corpora.

    Returns
    -------
    pandas.DataFrame
        One row: `mean_reciprocal_rank, ci_low, ci_high`, `chance` (of a random order), `test_samples, items`; empty where
        no test sample has its translation among the training samples, or the task is not parallel.
    """
    check(scores, train, test)
    values, rows = influence(scores).to_numpy(), []
    for row, sample in enumerate(test.itertuples() if parallel(train) else []):
        others = (train["lang"] != sample.lang).to_numpy()
        its = (train["item"] == sample.item).to_numpy()[others]
        if its.any():
            mine = values[row][others]
            found = 1 / (1 + (mine > mine[its].max()).sum())
            rows.append(["all", str(sample.item), found, _reciprocal_rank(its.sum(), len(its))])
    each = pd.DataFrame(rows, columns=["which", "item", "mean_reciprocal_rank", "chance"])
    choice = {"resamples": resamples, "confidence_level": confidence_level, "seed": seed}
    return summary(each, ["which"], value="mean_reciprocal_rank", **choice).drop(columns="which")


def _reciprocal_rank(hits, n):
    """Expected reciprocal rank of the best of `hits` among `n` in random order."""
    alive, total = 1.0, 0.0
    for rank in range(1, n - hits + 2):
        first = hits / (n - rank + 1)
        total += alive * first / rank
        alive *= 1 - first
    return total
