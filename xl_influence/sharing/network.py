"""Where in the network languages share: by parameter group, and by the tokens they share."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..influence import influence, terms
from .base import (
    BOOTSTRAP,
    SIGNS,
    Bootstrap,
    check,
    in_other_language,
    samples_of,
    spread,
    summary,
    top_samples,
)

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
    """
    check(scores, train, test)
    groups = list(scores["group"].to_numpy())
    sets = {"all": groups, f"all but {WORDS}": [group for group in groups if group != WORDS]}
    sets |= {group: [group] for group in groups}
    other = in_other_language(train, test)
    samples, tables = samples_of(train, test).assign(chance=other.mean(1)), []
    over_all: dict[str, np.ndarray] = {}  # sign → the top k over all parameters, (test, train)
    for name, members in sets.items():
        values = influence(scores, groups=members).to_numpy()
        for sign in SIGNS:
            top = top_samples(values, top_k, sign)  # (test, k)
            if name == "all":  # the first set
                over_all[sign] = _marked(top, other.shape)
            shares = {"share": _mean_at(other, top), "overlap": _mean_at(over_all[sign], top)}
            tables.append(samples.assign(group=name, sign=sign, **shares))
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
    """
    check(scores, train, test)
    parts = _terms(scores)  # (test, group, train)
    other = in_other_language(train, test)
    samples, groups, tables = samples_of(train, test), list(scores["group"].to_numpy()), []
    for sign in SIGNS:
        top = top_samples(parts.sum(1), top_k, sign)  # (test, k)
        for source, wanted in (("own", ~other), ("other", other)):
            chosen = [rows[wanted[row, rows]] for row, rows in enumerate(top)]
            some = [row for row, rows in enumerate(chosen) if len(rows)]
            carried = np.zeros((len(some), len(groups)))  # (test with such samples, group)
            for place, row in enumerate(some):
                carried[place] = parts[row][:, chosen[row]].sum(1)
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
    values, other = influence(scores).to_numpy(), in_other_language(train, test)
    chosen = {
        sign: _marked(top_samples(values, top_k, sign), other.shape) & other for sign in SIGNS
    }
    samples, tables = samples_of(train, test), []
    for kind, common in _in_common(tokens, kinds):
        chance = np.nanmean(_mean_of(common, other)) if other.any() else np.nan
        for sign, marked in chosen.items():
            shared = _mean_of(common, marked)  # (test,)
            each = samples.assign(kind=kind, sign=sign, shared=shared, chance=chance)
            tables.append(each[marked.any(1)])
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


def _terms(scores: xr.Dataset) -> np.ndarray:
    """Return each group's part of the influence, summed over checkpoints: (test, group, train)."""
    parts = terms(scores)
    if "checkpoint" in parts.dims:
        parts = parts.sum("checkpoint", skipna=False)
    return parts.transpose("test", "group", "train").to_numpy()


def _marked(top: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Turn row numbers (test, k) into a bool array of `shape` (test, train)."""
    marked = np.zeros(shape, bool)
    np.put_along_axis(marked, top, True, 1)
    return marked


def _mean_at(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Average `values` (test, train) at the training samples `rows` (test, k): (test,)."""
    return np.take_along_axis(values, rows, 1).mean(1)


def _mean_of(values: np.ndarray, marked: np.ndarray) -> np.ndarray:
    """Average `values` (test, train) where `marked`: (test,), NaN where nothing is marked."""
    count = marked.sum(1)
    return np.where(marked, values, 0).sum(1) / np.where(count, count, np.nan)


def _in_common(
    tokens: Sequence[Sequence[Sequence[int]]], kinds: Mapping[int, str]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each kind, 'any' first, and how many such tokens each pair shares: (test, train)."""
    train, test = (_incidence(part, 1 + max(kinds)) for part in tokens)
    for name in ("any", *sorted(set(kinds.values()))):
        columns = [token for token, kind in kinds.items() if _counts_as(kind, name)]
        yield name, (test[:, columns] @ train[:, columns].T).toarray()


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
