"""Language leakage: whether a sample's translation or its language ranks at the top."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..influence import influence
from ..sharing import BOOTSTRAP, Bootstrap, parallel, summary
from ..sharing.base import check
from ..sharing.top import View, most_influential_by

KS = (1, 5)
TRANSLATION, LANGUAGE = "own translation", "same language, wrong item"
KEYS = ["group", "checkpoint", "k", "what"]


def measure_leakage(
    scores: xr.Dataset,
    train: pd.DataFrame,
    test: pd.DataFrame,
    *,
    ks: Sequence[int] = KS,
    translated: bool = True,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> pd.DataFrame:
    """Find a test sample's translations and its language at the top, by group and epoch.

    Only test samples with a translation among the training samples of another language count.

    Parameters
    ----------
    scores : xarray.Dataset
        Score cube of a run, with dims (checkpoint, group, test, train).
    train, test : pandas.DataFrame
        The cube's samples, in the cube's order.
    ks : sequence of int
        How far down the ranking to look.
    translated : bool
        Whether equal items of test and training samples are translations of each other, as in the
        demo corpora; in real data they are not.
    bootstrap : Bootstrap
        How the intervals are computed.

    Returns
    -------
    pandas.DataFrame
        `group` ('all parameters', then each), `checkpoint` (0: summed), `k`, `what`: 'own
        translation' (whether the top k holds one) or 'same language, wrong item' (their share of
        the top k), `share`, `ci_low`, `ci_high`, `chance`, `test_samples`, `items`. Empty if no
        test sample has a translation.
    """
    check(scores, train, test)
    lang, item = train["lang"].to_numpy(), train["item"].to_numpy()
    same_item = item[None] == test["item"].to_numpy()[:, None]  # (test, train)
    same_lang = lang[None] == test["lang"].to_numpy()[:, None]  # (test, train)
    chosen = (same_item & ~same_lang).any(1) & parallel(train) & translated
    columns = [*KEYS, "share", "ci_low", "ci_high", "chance", "test_samples", "items"]
    if not chosen.any():
        return pd.DataFrame(columns=columns)
    masks = {TRANSLATION: same_item & ~same_lang, LANGUAGE: same_lang & ~same_item}
    masks = {what: mask[chosen] for what, mask in masks.items()}
    samples = pd.DataFrame({"test": test["uid"], "item": test["item"].astype(str)})[chosen]
    tops, tables = most_influential_by(scores.isel(test=chosen), max(ks), _views(scores)), []
    for (group, checkpoint), by_sign in tops.items():
        top = by_sign["positive"].rows  # (test, largest k)
        for k in ks:
            about: dict[str, Any] = {"group": group, "checkpoint": checkpoint, "k": k}
            for what, mask in masks.items():
                share, chance = _found(mask, top[:, :k], any_of=what == TRANSLATION)
                tables.append(samples.assign(**about, what=what, share=share, chance=chance))
    return summary(pd.concat(tables, ignore_index=True), KEYS, bootstrap)


def _views(scores: xr.Dataset) -> dict[tuple[str, int], View]:
    """List influence by group and checkpoint: over all first, and summed (0) first."""
    groups = [str(group) for group in scores["group"].values]
    sets = {"all parameters": groups}
    sets |= {group: [group] for group in groups if len(groups) > 1}
    epochs = [int(epoch) for epoch in scores.get("checkpoint", [])]
    each = [0, *epochs] if len(epochs) > 1 else [0]
    return {
        (name, epoch): partial(_influence_at, groups=members, epoch=epoch)
        for name, members in sets.items()
        for epoch in each
    }


def _influence_at(scores: xr.Dataset, groups: list[str], epoch: int) -> xr.DataArray:
    """Compute the influence (test, train) over some groups at an epoch; 0: summed over epochs."""
    return influence(scores.sel(checkpoint=epoch) if epoch else scores, groups)


def _found(mask: np.ndarray, top: np.ndarray, any_of: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return for each test sample what its top k (test, k) holds of `mask`, and by chance.

    With `any_of`: whether it holds any; otherwise the share of it that is marked.
    """
    hits, (n, k) = np.take_along_axis(mask, top, 1), (mask.shape[1], top.shape[1])
    if not any_of:
        return hits.mean(1), mask.mean(1)
    marked = mask.sum(1)[:, None]  # (test, 1)
    drawn = np.arange(k)  # no hit in any of k draws without replacement
    none = np.clip((n - drawn - marked) / (n - drawn), 0, 1).prod(1)
    return hits.any(1).astype(float), 1 - none
