"""Training samples that are wrong on purpose: labels changed, or texts exchanged.

Page "Who hurts whom" trains on them and asks which scores find them. Only training samples are ever
changed; development and test samples stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from . import tasks
from .sections import FineTuning
from .sources import DataError

FLIPPED, SWAPPED = "flipped", "swapped"  # columns of the training samples of such runs
TRUE_LABEL = "true_label"  # the label that belongs to a sample's text
NAMES = ("uid", "lang", "item", "label")  # what stays with a row when its text is exchanged


def corrupt(params: FineTuning, train: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Change some training samples of every language, as the parameters say.

    Parameters
    ----------
    params
        The parameters of the run: `flip_share`, `swap_share`, `corruption_seed`. Each language has
        draws of its own, so translations of a changed sample are right in most other languages.
    train
        The training samples, as drawn.

    Returns
    -------
    train : pandas.DataFrame
        The samples as the model is to learn them. A corrupted run has two more columns: `flipped`
        or `swapped` (bool: whether the row was changed) and `true_label` (the label that belongs to
        its text).
    order : numpy.ndarray
        (train,), int: the row that each row's text comes from.

    Raises
    ------
    DataError
        A share is too small to change anything, or `swap_share` is set for a task that is not
        parallel.
    """
    order = np.arange(len(train))
    seeds = {lang: [params["corruption_seed"], n] for n, lang in enumerate(params["languages"])}
    languages = dict.fromkeys(train["lang"])
    if share := params["flip_share"]:
        labels, flipped = train["label"], np.zeros(len(train), bool)
        for lang in languages:
            try:
                labels, of_language = flip_labels(
                    labels, train["lang"], lang, share=share, seed=seeds[lang]
                )
            except ValueError as error:
                raise DataError(f"flip_share={share}: {error}") from None
            flipped |= of_language
        added = {"label": labels, FLIPPED: flipped, TRUE_LABEL: train["label"]}
        return train.assign(**added), order
    if share := params["swap_share"]:
        if not tasks.find(params).parallel:
            raise DataError(
                f"swap_share={share}: the samples of {params['task']} are not translations of each "
                "other, so none can be put in the wrong place; allowed is 0"
            )
        for lang in languages:
            order = order[exchange_rows(train["lang"], lang, share=share, seed=seeds[lang])]
        texts = [column for column in train if column not in NAMES]
        moved = train[texts].iloc[order].reset_index(drop=True)
        changed = {SWAPPED: order != np.arange(len(train))}
        changed[TRUE_LABEL] = train["label"].to_numpy()[order]
        return train.reset_index(drop=True).assign(**moved, **changed), order
    return train, order


def flip_labels(
    labels: pd.Series,
    lang: pd.Series,
    language: str,
    *,
    share: float = 0.1,
    seed: int | Sequence[int] = 0,
) -> tuple[pd.Series, np.ndarray]:
    """Change some labels of one language to another class.

    Parameters
    ----------
    labels, lang : pandas.Series
        Label and language of each training sample.
    language : str
        The language.
    share : float
        Share of its samples that get another label, drawn from the other classes.
    seed : int or sequence of int
        Seed of the draw.

    Returns
    -------
    labels : pandas.Series
        The new labels.
    flipped : numpy.ndarray
        (train,), bool: whether a label was changed.

    Raises
    ------
    ValueError
        No sample is in the language, or no label would change.
    """
    rows, classes = np.flatnonzero((lang == language).to_numpy()), np.unique(labels)
    size = round(share * len(rows))
    if not 0 < size <= len(rows) or len(classes) < 2:
        raise ValueError(
            f"{size} of {len(rows)} samples in {language!r}, {len(classes)} classes: allowed are "
            "one sample or more, and two classes or more"
        )
    rng = np.random.default_rng(seed)
    flipped, new = np.zeros(len(labels), bool), labels.to_numpy().copy()
    flipped[rng.choice(rows, size, replace=False)] = True
    for row in np.flatnonzero(flipped):
        new[row] = rng.choice(classes[classes != new[row]])
    return pd.Series(new, index=labels.index, name=labels.name), flipped


def exchange_rows(
    lang: pd.Series, language: str, *, share: float = 0.1, seed: int | Sequence[int] = 0
) -> np.ndarray:
    """Exchange some rows of one language among each other, so that each gets another one's text.

    Parameters
    ----------
    lang : pandas.Series
        The language of each training sample.
    language : str
        The language.
    share : float
        Share of its samples to exchange.
    seed : int or sequence of int
        Seed of the draw.

    Returns
    -------
    numpy.ndarray
        (train,), int: the row that each row's text comes from; its own for all other rows.

    Raises
    ------
    DataError
        Fewer than two rows would be exchanged.
    """
    rows = np.flatnonzero((lang == language).to_numpy())
    size = round(share * len(rows))
    if not 2 <= size <= len(rows):
        raise DataError(
            f"swap_share={share}: {size} of {len(rows)} samples in {language!r}; allowed are two "
            "or more"
        )
    chosen = np.random.default_rng(seed).choice(rows, size, replace=False)
    order = np.arange(len(lang))
    order[chosen] = np.roll(chosen, 1)  # in a circle: no row keeps its own text
    return order
