"""Where in the network languages share: by parameter group, and by the tokens they share."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
import xarray as xr

from .. import overlap
from ..influence import ALL, influence
from .base import (
    BOOTSTRAP,
    SIGNS,
    Bootstrap,
    SharingError,
    check,
    expand,
    language_codes,
    other_language_at,
    samples_of,
    summary,
)
from .languages import share_of_others
from .top import Top, most_influential, most_influential_by, terms_at

WORDS = "embeddings"  # the group that holds the word embeddings


def by_group(
    scores: xr.Dataset,
    train: pd.DataFrame,
    test: pd.DataFrame,
    *,
    top_k: int,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> pd.DataFrame:
    """Measure the share of other languages if influence takes only some of the parameters.

    Parameters
    ----------
    scores : xarray.Dataset
        Score cube of a run, with dims (checkpoint, group, test, train).
    train, test : pandas.DataFrame
        The cube's samples, in the cube's order.
    top_k : int
        How many training samples per test sample count as the most influential.
    bootstrap : Bootstrap
        How the intervals are computed.

    Returns
    -------
    pandas.DataFrame
        `group` ('all', 'all but embeddings', then each group of the cube), `sign`, `share`,
        `ci_low`, `ci_high`, `chance` (the share of the training samples in other languages),
        `overlap` (the share of this top k that is in the top k over all parameters as well),
        `test_samples`, `items`.

    Raises
    ------
    SharingError
        The cube does not keep parameter groups.
    """
    check(scores, train, test)
    groups = _known_groups(scores)
    sets = {"all": groups, f"all but {WORDS}": [group for group in groups if group != WORDS]}
    sets |= {group: [group] for group in groups}
    views = {name: partial(influence, groups=members) for name, members in sets.items()}
    found = most_influential_by(scores, top_k, views)
    tables = []
    for name, tops in found.items():
        pairs = [zip(tops[sign].rows, found["all"][sign].rows, strict=True) for sign in SIGNS]
        again = [np.isin(*pair).mean() for of_sign in pairs for pair in of_sign]
        table = share_of_others(tops, train, test, ks=(top_k,))  # one sign after the other
        tables.append(table.assign(group=name, overlap=again))
    each, keys = pd.concat(tables, ignore_index=True), ["group", "sign"]
    table = summary(each, keys, bootstrap)
    common = each.groupby(keys, sort=False)["overlap"].mean().to_numpy()
    table.insert(table.columns.get_loc("chance") + 1, "overlap", common)
    return table


def contributions(
    scores: xr.Dataset,
    train: pd.DataFrame,
    test: pd.DataFrame,
    *,
    top_k: int,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> pd.DataFrame:
    """Measure how much of the top k's influence each parameter group carries.

    The cosine of two gradients is a sum over parameter groups: each group's dot product, divided by
    the lengths of the whole gradients. So influence is a sum over groups as well.

    Parameters
    ----------
    scores : xarray.Dataset
        Score cube of a run, with dims (checkpoint, group, test, train).
    train, test : pandas.DataFrame
        The cube's samples, in the cube's order.
    top_k : int
        How many training samples per test sample count as the most influential.
    bootstrap : Bootstrap
        How the intervals are computed.

    Returns
    -------
    pandas.DataFrame
        `group`, `source` ('own' or 'other': training samples in the test language or in another),
        `sign`, `share` (of the summed influence of these samples; the shares of all groups add up
        to 1), `ci_low`, `ci_high`, `test_samples`, `items` (those with such samples in their
        top k).

    Raises
    ------
    SharingError
        The cube does not keep parameter groups.
    """
    check(scores, train, test)
    samples, groups, tables = samples_of(test), _known_groups(scores), []
    tops = most_influential(scores, top_k)
    parts = _terms_of(scores, tops)  # sign → (test, k, group)
    for sign in SIGNS:
        other = other_language_at(train, test, tops[sign].rows)  # (test, k)
        for source, wanted in (("own", ~other), ("other", other)):
            some = np.flatnonzero(wanted.any(1))  # test samples that have such samples
            carried = (parts[sign] * wanted[..., None]).sum(1)[some]  # (some, group)
            shares = carried / carried.sum(1, keepdims=True)
            there = samples.loc[some].reset_index(drop=True).assign(source=source, sign=sign)
            tables.append(expand(there, "group", groups, shares))
    return summary(pd.concat(tables, ignore_index=True), ["group", "source", "sign"], bootstrap)


def shared_tokens(
    scores: xr.Dataset,
    train: pd.DataFrame,
    test: pd.DataFrame,
    tokens: Sequence[Sequence[Sequence[int]]],
    kinds: Mapping[int, str],
    *,
    top_k: int,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> pd.DataFrame:
    """Count the tokens a test sample shares with its influential samples in other languages.

    Word embeddings of two samples can only interact through tokens that the samples share.

    Parameters
    ----------
    scores : xarray.Dataset
        Score cube of a run, with dims (checkpoint, group, test, train).
    train, test : pandas.DataFrame
        The cube's samples, in the cube's order.
    tokens : pair of sequences
        The token ids of each training sample, and of each test sample.
    kinds : mapping of int to str
        Token id → its kind, see `token_kinds`.
    top_k : int
        How many training samples per test sample count as the most influential.
    bootstrap : Bootstrap
        How the intervals are computed.

    Returns
    -------
    pandas.DataFrame
        `kind` ('any': all but special tokens), `sign`, `shared` (number of distinct tokens in
        common, averaged over the samples in other languages in the top k, then over test samples),
        `ci_low`, `ci_high`, `chance` (the same for all training samples in other languages),
        `test_samples`, `items` (those with such samples in their top k).
    """
    check(scores, train, test)
    tops, samples = most_influential(scores, top_k), samples_of(test)
    lang, test_lang = language_codes(train, test)
    names, in_kind = _sort_into_kinds(kinds)  # in_kind: (token, kind)
    of_train = (overlap.count(tokens[0], len(in_kind)) > 0).astype(int).tocsc()  # (train, token)
    shared = np.full((len(SIGNS), len(test), len(names)), np.nan)  # (sign, test, kind)
    expected = np.full((len(test), len(names)), np.nan)  # (test, kind)
    for row, ids in enumerate(tokens[1]):
        own = np.unique(np.asarray(ids, int))  # (token,)
        common = of_train[:, own] @ in_kind[own]  # (train, kind) tokens that both have
        other = lang != test_lang[row]  # (train,)
        expected[row] = _mean(common[other])
        for place, sign in enumerate(SIGNS):
            top = tops[sign].rows[row]  # (k,)
            shared[place, row] = _mean(common[top[other[top]]])
    chance = pd.DataFrame(expected).mean()  # of the test samples that have others
    tables = [
        samples.assign(kind=kind, sign=sign, shared=shared[place, :, column], chance=chance[column])
        for column, kind in enumerate(names)
        for place, sign in enumerate(SIGNS)
    ]
    each = pd.concat(tables).dropna(subset="shared")
    return summary(each, ["kind", "sign"], bootstrap, value="shared")


def _sort_into_kinds(kinds: Mapping[int, str]) -> tuple[list[str], np.ndarray]:
    """Return the kinds, and which of them a token counts as: ones and zeros, (token, kind).

    All but special tokens also count as 'any'.
    """
    names = ["any", *sorted(set(kinds.values()))]
    member = np.zeros((1 + max(kinds), len(names)), int)
    for token, kind in kinds.items():
        member[token, names.index(kind)] = 1
        member[token, 0] = kind != "special"
    return names, member


def _mean(counts: np.ndarray) -> np.ndarray | float:
    """Average over the first axis; NaN if it is empty."""
    return counts.mean(0) if len(counts) else np.nan


def token_kinds(pieces: Mapping[int, str], special: Collection[int]) -> dict[int, str]:
    """Sort the tokens of a SentencePiece vocabulary into kinds.

    Parameters
    ----------
    pieces : mapping of int to str
        Token id → piece.
    special : collection of int
        Ids of special tokens.

    Returns
    -------
    dict of int to str
        Token id → 'special', 'number' (has a digit), 'punctuation' (has no letter), 'name' (begins
        a word with a capital letter: names, and every noun in German) or 'word' (the rest).
    """
    return {token: _kind(piece, token in special) for token, piece in pieces.items()}


def _kind(piece: str, is_special: bool) -> str:
    """Return the kind of one piece."""
    text = piece.lstrip("▁")
    if is_special:
        return "special"
    if any(character.isdigit() for character in text):
        return "number"
    if not any(character.isalpha() for character in text):
        return "punctuation"
    return "name" if piece.startswith("▁") and text[0].isupper() else "word"


def has_groups(scores: xr.Dataset) -> bool:
    """Whether the cube keeps influence by parameter group; published runs do not."""
    return [str(group) for group in scores["group"].to_numpy()] != [ALL]


def _known_groups(scores: xr.Dataset) -> list[str]:
    """Return the cube's parameter groups; raise a `SharingError` if they were not kept."""
    groups = [str(group) for group in scores["group"].to_numpy()]
    if not has_groups(scores):
        raise SharingError(
            "the cube holds influence over all parameters together (a published run, or "
            "keep=checkpoints or keep=sum); to compare groups, compute it with keep=groups"
        )
    return groups


def _terms_of(scores: xr.Dataset, tops: Mapping[str, Top]) -> dict[str, np.ndarray]:
    """Sign → each group's part of the top k's influence, over all checkpoints: (test, k, group)."""
    rows = np.concatenate([top.rows for top in tops.values()], 1)  # (test, signs × k)
    parts = np.stack(terms_at(scores, list(rows)))  # (test, signs × k[, checkpoint], group)
    if "checkpoint" in scores.dims:
        parts = parts.sum(2)
    return dict(zip(tops, np.split(parts, len(tops), 1), strict=True))
