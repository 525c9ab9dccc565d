"""Where in the network languages share: by parameter group, and by the tokens that two texts have in common."""

import numpy as np
import pandas as pd

from ..influence import influence, terms
from .base import SIGNS, check, samples_of, spread, summary, top_samples

WORDS = "embeddings"  # the group that holds the word embeddings


def by_group(scores, train, test, *, top_k, resamples=2000, confidence_level=0.95, seed=0):
    """How much of the top k comes from other languages if influence is taken over some of the parameters only.

    Returns
    -------
    pandas.DataFrame
        `group` ('all', 'all but embeddings', then each group of the cube), `sign, share, ci_low, ci_high`, `chance`,
        `overlap` (part of the top k over all parameters that is also in this top k), `test_samples, items`.
    """
    check(scores, train, test)
    groups = list(scores["group"].to_numpy())
    sets = {"all": groups, f"all but {WORDS}": [g for g in groups if g != WORDS]} | {
        g: [g] for g in groups
    }
    other = train["lang"].to_numpy()[None] != test["lang"].to_numpy()[:, None]  # (test, train)
    samples, tables, whole = samples_of(train, test).assign(chance=other.mean(1)), [], {}
    for name, members in sets.items():
        values = influence(scores, groups=members).to_numpy()
        for sign in SIGNS:
            top = top_samples(values, top_k, sign)
            chosen = whole.setdefault(sign, np.zeros(other.shape, bool))  # the first set is all
            if name == "all":
                np.put_along_axis(chosen, top, True, 1)
            shares = {"share": _mean_at(other, top), "overlap": _mean_at(chosen, top)}
            tables.append(samples.assign(group=name, sign=sign, **shares))
    each, keys = pd.concat(tables, ignore_index=True), ["group", "sign"]
    table = summary(each, keys, resamples=resamples, confidence_level=confidence_level, seed=seed)
    table.insert(6, "overlap", each.groupby(keys, sort=False)["overlap"].mean().to_numpy())
    return table


def _mean_at(values, rows):
    """Mean of `values` (test, train) at the training samples `rows` (test, k), an array (test,)."""
    return np.take_along_axis(values, rows, 1).mean(1)


def contributions(scores, train, test, *, top_k, resamples=2000, confidence_level=0.95, seed=0):
    """Which part of the influence of the top k each parameter group carries, by whether they are in the test language.

    A cosine is a sum over groups, the dot product of each divided by the whole lengths; so is the influence.

    Returns
    -------
    pandas.DataFrame
        `group, source` ('own', 'other': language of the training samples), `sign`, `share` (of their summed influence;
        shares of all groups add up to 1), `ci_low, ci_high`, `test_samples, items` (those with such samples in the top k).
    """
    check(scores, train, test)
    parts = terms(scores)
    if "checkpoint" in parts.dims:
        parts = parts.sum("checkpoint", skipna=False)
    parts = parts.transpose("test", "group", "train").to_numpy()
    own = train["lang"].to_numpy()[None] == test["lang"].to_numpy()[:, None]  # (test, train)
    samples, groups, tables = samples_of(train, test), list(scores["group"].to_numpy()), []
    for sign in SIGNS:
        top = top_samples(parts.sum(1), top_k, sign)
        for source in ("own", "other"):
            chosen = [
                rows[mine[rows] == (source == "own")] for rows, mine in zip(top, own, strict=True)
            ]
            some = [row for row, found in enumerate(chosen) if len(found)]
            carried = np.array([parts[row][:, chosen[row]].sum(1) for row in some]).reshape(
                -1, len(groups)
            )
            shares = carried / carried.sum(1, keepdims=True)  # (test, group)
            there = samples.loc[some].reset_index(drop=True).assign(source=source, sign=sign)
            tables.append(spread(there, "group", groups, shares))
    each, keys = pd.concat(tables, ignore_index=True), ["group", "source", "sign"]
    return summary(each, keys, resamples=resamples, confidence_level=confidence_level, seed=seed)


def shared_tokens(
    scores, train, test, tokens, kinds, *, top_k, resamples=2000, confidence_level=0.95, seed=0
):
    """How many tokens a test sample shares with its influential samples in other languages, by kind of token.

    Gradients of word embeddings meet on shared tokens only. `tokens`: (train, test), for each sample its token ids;
    `kinds`: token id → kind (`token_kinds`).

    Returns
    -------
    pandas.DataFrame
        `kind` ('any' for all but special tokens), `sign`, `shared` (different tokens in common, mean over the samples in
        other languages in the top k, then over test samples), `ci_low, ci_high`, `chance` (the same over all training
        samples in other languages), `test_samples, items` (those with such samples in the top k).
    """
    check(scores, train, test)
    values, other = (
        influence(scores).to_numpy(),
        train["lang"].to_numpy()[None] != test["lang"].to_numpy()[:, None],
    )
    chosen, samples, tables = {}, samples_of(train, test), []
    for sign in SIGNS:
        marked = np.zeros(other.shape, bool)
        np.put_along_axis(marked, top_samples(values, top_k, sign), True, 1)
        chosen[sign] = marked & other
    for kind, common in _in_common(tokens, kinds):
        chance = np.nanmean(_mean_of(common, other)) if other.any() else np.nan
        for sign, marked in chosen.items():
            each = samples.assign(
                kind=kind, sign=sign, shared=_mean_of(common, marked), chance=chance
            )
            tables.append(each[marked.any(1)])
    each, choice = (
        pd.concat(tables),
        {"resamples": resamples, "confidence_level": confidence_level, "seed": seed},
    )
    return summary(each, ["kind", "sign"], value="shared", **choice)


def _mean_of(values, marked):
    """Mean of `values` (test, train) where `marked`, an array (test,); NaN where nothing is."""
    count = marked.sum(1)
    return np.where(marked, values, 0).sum(1) / np.where(count, count, np.nan)


def _in_common(tokens, kinds):
    """For each kind, after 'any': (kind, how many different tokens of it each pair has in common, array (test, train))."""
    size = 1 + max(kinds)
    train, test = (_incidence(part, size) for part in tokens)
    names = sorted(set(kinds.values()))
    of_kind = {name: [token for token, kind in kinds.items() if kind == name] for name in names}
    yield (
        "any",
        _products(train, test, [token for token, kind in kinds.items() if kind != "special"]),
    )
    for name, columns in of_kind.items():
        yield name, _products(train, test, columns)


def _incidence(samples, size):
    """Which tokens each sample has: a sparse 0-1 matrix (sample, token)."""
    from scipy import sparse

    ids = [np.unique(np.asarray(part, dtype=int)) for part in samples]
    ends = np.cumsum([0, *map(len, ids)])
    columns = np.concatenate(ids)
    return sparse.csr_array(
        (np.ones(len(columns), np.int32), columns, ends), shape=(len(ids), size)
    ).tocsc()


def _products(train, test, columns):
    return (test[:, columns] @ train[:, columns].T).toarray()  # (test, train)


def token_kinds(pieces, special):
    """Kind of each token: dict from id. `pieces`: id → piece of a SentencePiece vocabulary; `special`: ids.

    'special'; 'number' (has a digit); 'punctuation' (has no letter); 'name' (begins a word with a capital: names, and in
    German every noun); 'word' for the rest.
    """
    kinds = {}
    for token, piece in pieces.items():
        text = piece.lstrip("▁")
        if token in special:
            kinds[token] = "special"
        elif any(c.isdigit() for c in text):
            kinds[token] = "number"
        elif not any(c.isalpha() for c in text):
            kinds[token] = "punctuation"
        else:
            kinds[token] = "name" if piece.startswith("▁") and text[0].isupper() else "word"
    return kinds
