"""Where in the network languages share: by parameter group, and by the tokens they share."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..influence import ALL, influence, terms
from .base import (
    BOOTSTRAP,
    SIGNS,
    Bootstrap,
    SharingError,
    check,
    language_codes,
    other_language_at,
    samples_of,
    spread,
    summary,
)
from .top import Top, strongest, strongest_by, terms_at

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
    found = strongest_by(scores, top_k, views)
    chance = _share_of_others(train, test)
    samples, tables = samples_of(test).assign(chance=chance), []
    for name in sets:
        for sign in SIGNS:
            top, over_all = found[name][sign].rows, found["all"][sign].rows  # (test, k)
            again = [np.isin(*pair).mean() for pair in zip(top, over_all, strict=True)]
            share = other_language_at(train, test, top).mean(1)  # (test,)
            tables.append(samples.assign(group=name, sign=sign, share=share, overlap=again))
    each, keys = pd.concat(tables, ignore_index=True), ["group", "sign"]
    table = summary(each, keys, bootstrap)
    overlap = each.groupby(keys, sort=False)["overlap"].mean().to_numpy()
    table.insert(table.columns.get_loc("chance") + 1, "overlap", overlap)
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
    tops = strongest_by(scores, top_k, {"all": _sum_of_terms})["all"]
    parts = _terms_of(scores, tops)  # sign → (test, k, group)
    for sign in SIGNS:
        other = other_language_at(train, test, tops[sign].rows)  # (test, k)
        for source, wanted in (("own", ~other), ("other", other)):
            some = np.flatnonzero(wanted.any(1))
            carried = np.zeros((len(some), len(groups)))  # (test with such samples, group)
            for place, row in enumerate(some):
                carried[place] = parts[sign][row][wanted[row]].sum(0)
            shares = carried / carried.sum(1, keepdims=True)
            there = samples.loc[some].reset_index(drop=True).assign(source=source, sign=sign)
            tables.append(spread(there, "group", groups, shares))
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
    chosen = {}
    for sign, top in strongest(scores, top_k).items():
        other = other_language_at(train, test, top.rows)  # (test, k)
        pairs = zip(top.rows, other, strict=True)
        chosen[sign] = [rows[is_other] for rows, is_other in pairs]
    samples, tables = samples_of(test), []
    of_train, of_test = (_incidence(part, 1 + max(kinds)) for part in tokens)
    for kind in ("any", *sorted(set(kinds.values()))):
        columns = [token for token, own in kinds.items() if _counts_as(own, kind)]
        common = _Common(of_train[:, columns].tocsr(), of_test[:, columns].tocsr())
        chance = common.mean_in_other_languages(train, test)
        for sign, rows in chosen.items():
            each = samples.assign(kind=kind, sign=sign, shared=common.mean(rows), chance=chance)
            tables.append(each[[len(part) > 0 for part in rows]])
    return summary(pd.concat(tables), ["kind", "sign"], bootstrap, value="shared")


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


def _share_of_others(train: pd.DataFrame, test: pd.DataFrame) -> np.ndarray:
    """Return the share of the training samples in other languages than each test sample's."""
    own = test["lang"].map(train["lang"].value_counts()).fillna(0).to_numpy()
    return (len(train) - own) / len(train)  # (test,)


def _sum_of_terms(scores: xr.Dataset) -> np.ndarray:
    """Sum over groups what each adds to the influence, (test, train).

    Rounding apart, this is the influence.
    """
    parts = terms(scores)
    if "checkpoint" in parts.dims:
        parts = parts.sum("checkpoint", skipna=False)
    return parts.transpose("test", "group", "train").to_numpy().sum(1)


def _terms_of(scores: xr.Dataset, tops: Mapping[str, Top]) -> dict[str, np.ndarray]:
    """Sign → each group's part of the top k's influence, over all checkpoints: (test, k, group)."""
    rows = np.concatenate([top.rows for top in tops.values()], 1)  # (test, signs × k)
    parts = np.stack(terms_at(scores, list(rows)))  # (test, signs × k[, checkpoint], group)
    if "checkpoint" in scores.dims:
        parts = parts.sum(2)
    return dict(zip(tops, np.split(parts, len(tops), 1), strict=True))


class _Common:
    """How many tokens of one kind training and test samples have in common.

    Parameters
    ----------
    train, test : scipy.sparse.csr_array
        (sample, token), ones for the tokens that a sample has.
    """

    def __init__(self, train: Any, test: Any) -> None:
        self.train, self.test = train, test

    def mean(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        """Average over each test sample's training samples `rows`: (test,), NaN without any."""
        means = np.full(len(rows), np.nan)
        for row, part in enumerate(rows):
            if len(part):
                means[row] = (self.train[part] @ self.test[[row]].T).sum() / len(part)
        return means

    def mean_in_other_languages(self, train: pd.DataFrame, test: pd.DataFrame) -> float:
        """Average over all pairs of a test sample and a training sample in another language.

        NaN if there is no such pair; test samples without one do not count.
        """
        lang, test_lang = language_codes(train, test)
        total = self.train.sum(0)  # (token,) training samples with it
        means = []
        for code in np.unique(test_lang):
            own = lang == code
            if own.all():
                continue
            others = total - self.train[own].sum(0)  # (token,)
            found = self.test @ others / (~own).sum()  # (test,)
            means.append(np.where(test_lang == code, found, np.nan))
        return float(np.nanmean(np.fmax.reduce(means))) if means else np.nan


def _counts_as(kind: str, name: str) -> bool:
    """Whether tokens of a kind count under a name: under their own, and under 'any' if ordinary."""
    return kind != "special" if name == "any" else kind == name


def _incidence(samples: Sequence[Sequence[int]], size: int) -> Any:
    """Return a sparse matrix (sample, token) with ones for the tokens that a sample has."""
    from scipy import sparse

    ids = [np.unique(np.asarray(part, dtype=int)) for part in samples]
    columns, ends = np.concatenate(ids), np.cumsum([0, *map(len, ids)])
    ones = np.ones(len(columns), np.int32)
    return sparse.csr_array((ones, columns, ends), shape=(len(ids), size)).tocsc()
