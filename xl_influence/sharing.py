"""The analyses: functions from (scores, train, test) to tidy tables (sections 5 to 7).

`scores` is the score cube (design: dims checkpoint, group, test, train), `train` and `test` are its samples in the same
order. Shares are fractions from 0 to 1. Intervals are percentile bootstraps over test samples: which test samples were
drawn is what another study would draw again.
"""

import itertools

import numpy as np
import pandas as pd
from scipy import stats

from .tracin import influence

SIGNS = {"positive": 1, "negative": -1}


class SharingError(ValueError):
    """The cube, the samples and the parameters do not fit together."""


def top_samples(values, k, sign):
    """Rows of the `k` most positively or negatively influential training samples of every test sample.

    `values`: array (test, train). Returns an int array (test, k), the strongest first; of equal values the earlier
    training sample comes first, so the choice at rank k is deterministic.
    """
    if not 1 <= k <= values.shape[1]:
        raise SharingError(f"top_k={k}: allowed are 1 to {values.shape[1]}, the number of training samples")
    if not np.isfinite(values).all():
        raise SharingError("influence scores must be numbers; the cube holds NaN or infinity")
    return np.argsort(-SIGNS[sign] * values, axis=1, kind="stable")[:, :k]


def composition(scores, train, test, *, top_k, resamples=2000, confidence_level=0.95, seed=0):
    """How much of the top k comes from each language (Figure 2; per epoch Figures 12 and 13).

    Returns
    -------
    pandas.DataFrame
        `test_lang, train_lang, sign, checkpoint` (0 for the sum over checkpoints), `share` (mean over test samples),
        `ci_low, ci_high`, `chance` (the language's share of the training samples).
    """
    _check(scores, train, test)
    languages, chance = _languages(train)
    rows = []
    for checkpoint, values in _by_checkpoint(scores):
        for sign in SIGNS:
            top = top_samples(values, top_k, sign)
            lang_of = train["lang"].to_numpy()[top]  # (test, k)
            for test_lang, part in test.reset_index(drop=True).groupby("lang", sort=False):
                for train_lang in languages:
                    each = (lang_of[part.index] == train_lang).mean(1)  # (test samples,)
                    rows.append(
                        {"test_lang": test_lang, "train_lang": train_lang, "sign": sign, "checkpoint": checkpoint}
                        | _mean(each, resamples, confidence_level, seed)
                        | {"chance": chance[train_lang]}
                    )
    return pd.DataFrame(rows)


def cross_language(scores, train, test, *, top_k, resamples=2000, confidence_level=0.95, seed=0):
    """How much of the top k comes from languages other than the test sample's own.

    Returns
    -------
    pandas.DataFrame
        `test_lang` ('all' for every test sample), `sign`, `share, ci_low, ci_high`, `chance` (the share of the training
        samples in other languages), `test_samples`.
    """
    _check(scores, train, test)
    _, chance = _languages(train)
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
                | _mean(other[part], resamples, confidence_level, seed)
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
    _check(scores, train, test)
    values = influence(scores).to_numpy()
    languages, _ = _languages(train)
    rows = []
    for test_lang, part in test.reset_index(drop=True).groupby("lang", sort=False):
        for train_lang in languages:
            each = values[part.index][:, (train["lang"] == train_lang).to_numpy()].mean(1)
            interval = _mean(each, resamples, confidence_level, seed)
            rows.append({"test_lang": test_lang, "train_lang": train_lang, "mean": interval.pop("share")} | interval)
    return pd.DataFrame(rows)


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
    _check(scores, train, test)
    if (train.groupby("item")["label"].nunique() > 1).any():
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
                    | _mean(shares, resamples, confidence_level, seed)
                    | {"chance": float(np.mean(chances)), "test_samples": len(shares)}
                )
    return pd.DataFrame(rows, columns=["test_lang", "sign", "share", "ci_low", "ci_high", "chance", "test_samples"])


def epoch_tests(scores, train, test):
    """Whether influence differs between epochs (section 8.2): Wilcoxon signed-rank tests for every pair of epochs.

    The pairs of a test are the training samples: their influence after one epoch and after another, each the mean over
    the test samples of a language.

    Returns
    -------
    pandas.DataFrame
        `test_lang, checkpoint_a, checkpoint_b, statistic, p`, `p_adjusted` (Holm, over all rows), `effect` (matched-pairs
        rank-biserial correlation, −1 to 1; positive: more influence at `checkpoint_b`). Empty where there is one epoch.
    """
    _check(scores, train, test)
    by_checkpoint = {epoch: values for epoch, values in _by_checkpoint(scores) if epoch}
    rows = []
    for test_lang, part in test.reset_index(drop=True).groupby("lang", sort=False):
        for a, b in itertools.combinations(by_checkpoint, 2):
            change = (by_checkpoint[b] - by_checkpoint[a])[part.index].mean(0)  # (train,)
            ranks = stats.rankdata(np.abs(change[change != 0]))
            up = ranks[change[change != 0] > 0].sum()
            found = stats.wilcoxon(change) if len(ranks) else None
            rows.append(
                {"test_lang": test_lang, "checkpoint_a": a, "checkpoint_b": b}
                | {"statistic": float(found.statistic) if found else 0.0, "p": float(found.pvalue) if found else 1.0}
                | {"effect": float(2 * up / ranks.sum() - 1) if found else 0.0}
            )
    table = pd.DataFrame(rows, columns=["test_lang", "checkpoint_a", "checkpoint_b", "statistic", "p", "effect"])
    table.insert(5, "p_adjusted", _holm(table["p"].to_numpy()))
    return table


def distribution(scores, train, test, *, bins=40):
    """How influence scores are distributed, by language pair (Figures 9 to 11).

    Returns
    -------
    pandas.DataFrame
        `test_lang, train_lang, low, high` (edges of the bin), `share` (of the pair's scores that fall into it).
    """
    _check(scores, train, test)
    values = influence(scores).to_numpy()
    edges = np.linspace(values.min(), values.max(), bins + 1)
    languages, _ = _languages(train)
    rows = []
    for test_lang, part in test.reset_index(drop=True).groupby("lang", sort=False):
        for train_lang in languages:
            counts, _ = np.histogram(values[part.index][:, (train["lang"] == train_lang).to_numpy()], edges)
            rows += [
                {"test_lang": test_lang, "train_lang": train_lang, "low": low, "high": high, "share": count / counts.sum()}
                for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
            ]
    return pd.DataFrame(rows)


def influential_samples(scores, train, test, uid, *, n=3):
    """The test sample and its `n` most positively and negatively influential training samples (Tables 1, 2, 5).

    Returns
    -------
    pandas.DataFrame
        `sign` ('test' in the first row, then positive, negative), `uid`, `influence`, `lang`, `label`, `text_a`,
        `text_b`, and `phenomenon` where the corpus has it; strongest first.
    """
    _check(scores, train, test)
    found = np.flatnonzero((test["uid"] == uid).to_numpy())
    if not len(found):
        raise SharingError(f"no test sample {uid!r}; there are {', '.join(test['uid'].head(5))} …")
    row = int(found[0])
    values = influence(scores.isel(test=[row])).to_numpy()
    columns = [c for c in ("uid", "lang", "label", "text_a", "text_b", "phenomenon") if c in train]
    parts = [test.iloc[[row]][columns].assign(sign="test", influence=np.nan)]
    for sign in SIGNS:
        top = top_samples(values, n, sign)[0]
        parts.append(train.iloc[top][columns].assign(sign=sign, influence=values[0, top]))
    return pd.concat(parts, ignore_index=True)


def planted(scores, train, test, *, top_k, resamples=2000, confidence_level=0.95, seed=0):
    """Demo corpora only: how many of the top k share the test sample's phenomenon, its label, and both.

    Returns
    -------
    pandas.DataFrame
        `what` ('phenomenon', 'label', 'both'), `sign`, `share, ci_low, ci_high`, `chance` (the same share among all
        training samples, averaged over the test samples).
    """
    _check(scores, train, test)
    if "phenomenon" not in train:
        raise SharingError("only the demo corpora say which phenomenon a sample tests")
    values = influence(scores).to_numpy()
    same = {c: train[c].to_numpy()[None] == test[c].to_numpy()[:, None] for c in ("phenomenon", "label")}  # (test, train)
    same["both"] = same["phenomenon"] & same["label"]
    rows = []
    for sign in SIGNS:
        top = top_samples(values, top_k, sign)
        for what, equal in same.items():
            each = np.take_along_axis(equal, top, 1).mean(1)
            rows.append(
                {"what": what, "sign": sign} | _mean(each, resamples, confidence_level, seed) | {"chance": equal.mean()}
            )
    return pd.DataFrame(rows)


def bootstrap(each, resamples, confidence_level, seed):
    """Percentile bootstrap interval (low, high) of the mean of `each` (n,)."""
    each = np.asarray(each, dtype=float)
    rng = np.random.default_rng(seed)
    means = each[rng.integers(len(each), size=(resamples, len(each)))].mean(1)
    tail = (1 - confidence_level) / 2
    return tuple(np.quantile(means, [tail, 1 - tail]))


def _holm(p):
    """P-values adjusted by Holm's step-down procedure, in the order given."""
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)) if len(p) else p
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


def _mean(each, resamples, confidence_level, seed):
    low, high = bootstrap(each, resamples, confidence_level, seed)
    return {"share": float(np.mean(each)), "ci_low": float(low), "ci_high": float(high)}


def _by_checkpoint(scores):
    """(0, summed influence), then (epoch, influence at that checkpoint) for each, as arrays (test, train)."""
    yield 0, influence(scores).to_numpy()
    for checkpoint in scores["checkpoint"].to_numpy() if "checkpoint" in scores.dims else []:
        yield int(checkpoint), influence(scores.sel(checkpoint=checkpoint)).to_numpy()


def _languages(train):
    """Training languages in their order, and each one's share of the training samples."""
    counts = train["lang"].value_counts(normalize=True)
    return list(dict.fromkeys(train["lang"])), counts.to_dict()


def _check(scores, train, test):
    for name, frame in (("train", train), ("test", test)):
        if list(scores[name].to_numpy()) != list(frame["uid"]):
            raise SharingError(f"the cube's {name} samples are not those of the table given, or in another order")
