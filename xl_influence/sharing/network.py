"""Where in the network languages share: by parameter group, and by the tokens that two texts have in common."""

import numpy as np
import pandas as pd

from ..cosine import influence, terms
from .base import SIGNS, check, mean_of, top_samples

WORDS = "embeddings"  # the group that holds the word embeddings


def by_group(scores, train, test, *, top_k, resamples=2000, confidence_level=0.95, seed=0):
    """How much of the top k comes from other languages if influence is taken over some of the parameters only.

    Returns
    -------
    pandas.DataFrame
        `group` ('all', 'all but embeddings', then each group of the cube), `sign, share, ci_low, ci_high`, `chance`,
        `overlap` (part of the top k over all parameters that is also in this top k).
    """
    check(scores, train, test)
    groups = list(scores["group"].to_numpy())
    sets = {"all": groups, f"all but {WORDS}": [g for g in groups if g != WORDS]} | {g: [g] for g in groups}
    lang, own = train["lang"].to_numpy(), test["lang"].to_numpy()
    chance = float(np.mean([(lang != mine).mean() for mine in own]))
    whole = {sign: top_samples(influence(scores).to_numpy(), top_k, sign) for sign in SIGNS}
    rows = []
    for name, members in sets.items():
        values = influence(scores, groups=members).to_numpy()
        for sign in SIGNS:
            top = top_samples(values, top_k, sign)
            same = [np.isin(a, b).mean() for a, b in zip(whole[sign], top, strict=True)]
            rows.append(
                {"group": name, "sign": sign}
                | mean_of((lang[top] != own[:, None]).mean(1), resamples, confidence_level, seed)
                | {"chance": chance, "overlap": float(np.mean(same))}
            )
    return pd.DataFrame(rows)


def contributions(scores, train, test, *, top_k, resamples=2000, confidence_level=0.95, seed=0):
    """Which part of the influence of the top k each parameter group carries, by whether they are in the test language.

    A cosine is a sum over groups, the dot product of each divided by the whole lengths; so is the influence.

    Returns
    -------
    pandas.DataFrame
        `group, source` ('own', 'other': language of the training samples), `sign`, `share` (of their summed influence;
        shares of all groups add up to 1), `ci_low, ci_high`, `test_samples` (those with such samples in the top k).
    """
    check(scores, train, test)
    parts = terms(scores)
    if "checkpoint" in parts.dims:
        parts = parts.sum("checkpoint", skipna=False)
    parts = parts.transpose("test", "group", "train").to_numpy()
    own = train["lang"].to_numpy()[None] == test["lang"].to_numpy()[:, None]  # (test, train)
    rows = []
    for sign in SIGNS:
        top = top_samples(parts.sum(1), top_k, sign)
        for source in ("own", "other"):
            shares = []
            for values, mine, chosen in zip(parts, own, top, strict=True):
                chosen = chosen[mine[chosen] == (source == "own")]
                if len(chosen):
                    each = values[:, chosen].sum(1)  # (group,)
                    shares.append(each / each.sum())
            for group, each in zip(scores["group"].to_numpy(), np.array(shares).T, strict=bool(shares)):
                rows.append(
                    {"group": group, "source": source, "sign": sign}
                    | mean_of(each, resamples, confidence_level, seed)
                    | {"test_samples": len(shares)}
                )
    return pd.DataFrame(rows)


def shared_tokens(scores, train, test, tokens, kinds, *, top_k, resamples=2000, confidence_level=0.95, seed=0):
    """How many tokens a test sample shares with its influential samples in other languages, by kind of token.

    Gradients of word embeddings meet on shared tokens only. `tokens`: (train, test), for each sample its token ids;
    `kinds`: token id → kind (`token_kinds`).

    Returns
    -------
    pandas.DataFrame
        `kind` ('any' for all but special tokens), `sign`, `shared` (different tokens in common, mean over the samples in
        other languages in the top k, then over test samples), `ci_low, ci_high`, `chance` (the same over all training
        samples in other languages).
    """
    check(scores, train, test)
    values, other = influence(scores).to_numpy(), train["lang"].to_numpy()[None] != test["lang"].to_numpy()[:, None]
    train_tokens, test_tokens = ([set(ids) for ids in part] for part in tokens)
    names = ["any", *sorted(set(kinds.values()))]
    counts = np.zeros((len(test), len(train), len(names)), np.int32)
    for i, mine in enumerate(test_tokens):
        for j, theirs in enumerate(train_tokens):
            for token in mine & theirs:
                counts[i, j, names.index(kinds[token])] += 1
    counts[..., 0] = counts.sum(-1) - (counts[..., names.index("special")] if "special" in names else 0)
    rows = []
    for sign in SIGNS:
        chosen = [row[mask[row]] for row, mask in zip(top_samples(values, top_k, sign), other, strict=True)]
        for column, kind in enumerate(names):
            each = [counts[i, top, column].mean() for i, top in enumerate(chosen) if len(top)]
            if each:
                mean = mean_of(each, resamples, confidence_level, seed)
                rest = np.mean([counts[i, mask, column].mean() for i, mask in enumerate(other)])
                rows.append({"kind": kind, "sign": sign, "shared": mean.pop("share")} | mean | {"chance": float(rest)})
    return pd.DataFrame(rows)


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
