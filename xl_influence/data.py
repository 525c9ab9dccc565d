"""The samples of a task, drawn from their source (see `sources`).

A sample is a row `uid, lang, item, label, text_a, text_b`, as in the paper's tables: `de935` is
item 935 in German. In a parallel task every language gets the same items, and equal items are
translations of each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from . import runs, sources, tasks, translations
from .items import (
    Untranslated,
    check_aligned,
    check_uids,
    describe_items,
    describe_untranslated,
)
from .own_task import COLUMNS
from .sections import Analysis, Data, FineTuning
from .sources import DataError
from .tasks import SPLITS, Task

# What a draw depends on, and what changes it further (no effect if empty or 0).
KEYS = ("task", "data", "languages", "train_size", "dev_size", "data_seed")
CHANGES = (
    "left_out",
    "extra_language",
    "extra_percent",
    "planted",
    "flip_share",
    "swap_share",
    "corruption_seed",
    *COLUMNS,
)


def load(params: FineTuning) -> dict[str, pd.DataFrame]:
    """Draw the samples of a run.

    Returns
    -------
    dict of pandas.DataFrame
        `train` (`train_size` rows per language, more for `extra_language`, none for `left_out`),
        `validation` (`dev_size` per language, 0: all) and `test` (all). Columns `uid`, `lang`,
        `item`, `label` (class number), `text_a`, `text_b` (missing for single texts), and for the
        demo corpora `template`, `phenomenon`. Ordered by language as in `params["languages"]`,
        then as drawn.

    Raises
    ------
    DataError
        A missing language or split, fewer rows than asked for, an unknown label, an empty text,
        or misaligned translations.
    """
    return load_and_count(params)[0]


def load_and_count(
    params: FineTuning,
) -> tuple[dict[str, pd.DataFrame], dict[str, Untranslated]]:
    """Draw the samples of a run as `load` does, and count those that have no translation.

    Returns
    -------
    samples : dict of pandas.DataFrame
        As from `load`.
    untranslated : dict
        By split: `items` (how many were dropped, in all languages), `rows` (language → rows that
        were never translated). Empty unless the data are a parallel data set of the hub.
    """
    task = tasks.find(params)
    sizes = {
        "train": train_sizes(params),
        "validation": dict.fromkeys(params["languages"], params["dev_size"]),
        "test": dict.fromkeys(params["languages"], 0),
    }
    samples, untranslated = {}, {}
    for split, by_language in sizes.items():
        frames, left = _read_languages(params, task, by_language, split)
        if left:
            untranslated[split] = left
        samples[split] = _draw(params, task, split, frames, by_language, untranslated=left)
    if params["planted"]:
        samples = plant(params, task, samples)
    return samples, untranslated


def load_for_variants(
    params: Analysis,
) -> tuple[dict[str, pd.DataFrame], list[str], dict[str, Untranslated]]:
    """Draw what the base run and every variant of the study need.

    Returns
    -------
    samples : dict of pandas.DataFrame
        As from `load`, with as many training rows per language as the largest variant takes, or
        as there are. Planted translations are not yet in place (see `plant`).
    uneven : list of str
        Languages that no variant can leave out: without them the other languages share more
        items, and the draw would differ.
    untranslated : dict
        As from `load_and_count`.
    """
    task = tasks.find(params)
    percent = max(*params["imbalance_percents"], params["extra_percent"], 0)
    sizes = {"train": params["train_size"], "validation": params["dev_size"], "test": 0}
    samples: dict[str, pd.DataFrame] = {}
    uneven: list[str] = []
    untranslated = {}
    for split, size in sizes.items():
        frames, left = _read_languages(params, task, params["languages"], split)
        if left:
            untranslated[split] = left
        most = size + size * percent // 100 if split == "train" else 0
        by_language = dict.fromkeys(frames, size)
        samples[split] = _draw(
            params, task, split, frames, by_language, most=most, untranslated=left
        )
        if split == "train" and task.parallel:
            uneven = _find_uneven({lang: set(frame.index) for lang, frame in frames.items()})
    return samples, uneven, untranslated


def _find_uneven(items: Mapping[str, set[int]]) -> list[str]:
    """Return the languages without which the others have more items in common."""
    shared = set.intersection(*items.values())
    found = []
    for lang in items:
        others = [items[other] for other in items if other != lang]
        if others and set.intersection(*others) != shared:
            found.append(lang)
    return found


def train_sizes(params: Data) -> dict[str, int]:
    """Return the number of training samples per language, in the languages' order."""
    size = params["train_size"]
    sizes = {lang: size for lang in params["languages"] if lang != params["left_out"]}
    if params["extra_language"] in sizes:
        sizes[params["extra_language"]] += size * params["extra_percent"] // 100
    return sizes


def test_order(items: Iterable[int], seed: int) -> dict[int, int]:
    """Return the order in which test items are tried.

    Parameters
    ----------
    items
        The items, in any order.
    seed
        Seed of the permutation.

    Returns
    -------
    dict
        Item → its place, from 0.
    """
    order = np.random.default_rng(seed).permutation(np.sort(np.asarray(items)))
    return {item: place for place, item in enumerate(order)}


def plant(params: Data, task: Task, samples: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Replace training samples by translations of test samples, in tasks that are parallel.

    Each of the first `planted` test items moves to the training set in one language, in place of
    that language's last samples. So a test sample of this item in another language has its own
    translation among the training samples, in that one language only. The sample that moves is no
    longer a test sample.

    Parameters
    ----------
    params
        The parameters of the run.
    task
        Its task, as from `tasks.find`.
    samples
        By split, as drawn without planted translations.

    Returns
    -------
    dict of pandas.DataFrame
        The samples, with `train` and `test` changed.

    Raises
    ------
    DataError
        The data are not a demo corpus, or a language has too few training samples.
    """
    planted = params["planted"]
    if params["data"] != "demo" or task.name == "own":
        raise DataError(f"planted={planted}: only the demo corpora can hold planted translations")
    if not task.parallel:  # there are no translations
        return samples
    train, test = samples["train"], samples["test"]
    # A language that is left out counts too, so that all variants have the same test samples.
    languages = params["languages"]
    order = test_order(test["item"].unique(), params["test_seed"])
    chosen = {
        item: languages[place % len(languages)] for item, place in order.items() if place < planted
    }
    moves = test["item"].map(chosen) == test["lang"]
    parts = []
    for lang, part in train.groupby("lang", sort=False):
        new = test[moves & (test["lang"] == lang)]
        if len(new) >= len(part):
            raise DataError(
                f"planted={planted}: more than the {len(part)} training samples of {lang}"
            )
        parts += [part.iloc[: len(part) - len(new)], new]
    return samples | {
        "train": pd.concat(parts, ignore_index=True),
        "test": test[~moves].reset_index(drop=True),
    }


def hash_samples(samples: dict[str, pd.DataFrame]) -> str:
    """Hash all drawn samples, their texts included.

    Samples from a prepared folder have no texts, but their hashes, and give the same fingerprint.
    """
    hashes = [int(hash_rows(samples[split]).sum()) for split in SPLITS]
    return runs.hash_parts(hashes, [len(samples[split]) for split in SPLITS])


def hash_rows(frame: pd.DataFrame) -> np.ndarray:
    """Hash each sample, its texts included: (samples,) uint64."""
    if "hash" in frame:
        return frame["hash"].to_numpy()
    columns = frame[["uid", "label", "text_a", "text_b"]]
    return pd.util.hash_pandas_object(columns, index=False).to_numpy()


def count_classes(samples: dict[str, pd.DataFrame]) -> dict[str, dict[str, dict[str, int]]]:
    """Count the samples: split → language → class number (as a string, for JSON) → samples."""
    return {split: _count_by_language(frame) for split, frame in samples.items()}


def _count_by_language(frame: pd.DataFrame) -> dict[str, dict[str, int]]:
    counts = {}
    for lang, part in frame.groupby("lang", sort=False):
        of_classes = part["label"].value_counts().sort_index()
        counts[str(lang)] = {str(label): int(count) for label, count in of_classes.items()}
    return counts


def _read_languages(
    params: Data, task: Task, languages: Iterable[str], split: str
) -> tuple[dict[str, pd.DataFrame], Untranslated]:
    """Read one split in some languages, without the items that lack a translation in any language.

    Such items are dropped even if that language is not requested, so a run that leaves it out
    draws the same items as the others.
    """
    if not sources.has_translations(params["data"], task):
        return {lang: sources.read(params, task, lang, split) for lang in languages}, {}
    frames = {lang: sources.read(params, task, lang, split) for lang in params["languages"]}
    lacking = {
        lang: frame.index[frame["label"] == sources.UNTRANSLATED] for lang, frame in frames.items()
    }
    left = set().union(*lacking.values())
    if left:
        frames = {lang: frame[~frame.index.isin(left)] for lang, frame in frames.items()}
    _check_places(task, split, frames)
    counts = {"items": len(left), "rows": {lang: len(rows) for lang, rows in lacking.items()}}
    return {lang: frames[lang] for lang in languages}, counts


def _check_places(task: Task, split: str, frames: Mapping[str, pd.DataFrame]) -> None:
    """Raise `DataError` if rows are aligned only by order, and one language's order differs."""
    if task.item_column is None and (found := translations.describe_misplaced(frames)):
        raise DataError(
            f"{task.title}, {split}: misaligned translations: {found}. Equal rows must be "
            "translations of each other in every language; download the data set again"
        )


def _draw(
    params: Data,
    task: Task,
    split: str,
    frames: dict[str, pd.DataFrame],
    sizes: dict[str, int],
    *,
    most: int = 0,
    untranslated: Untranslated | None = None,
) -> pd.DataFrame:
    """Draw samples from the frames of all languages.

    Of two sizes, the smaller draw is the beginning of the larger one.

    Parameters
    ----------
    params, task, split
        As for `sources.read`.
    frames
        Language → all of its samples, indexed by item.
    sizes
        Language → rows to draw, 0 for all.
    most
        Draw up to this many rows where there are more than `sizes` asks for.
    untranslated
        How many items were dropped beforehand, for the error message.
    """
    shared: list[int] = []
    if task.parallel:
        check_aligned(frames, split)
        shared = sorted(set.intersection(*(set(frame.index) for frame in frames.values())))
        if not shared:
            raise DataError(describe_items(task, split, frames))
    drawn = []
    for lang, frame in frames.items():
        size = sizes[lang]
        items = shared if task.parallel else sorted(frame.index)
        if len(items) < size:
            what = "items that every language has" if task.parallel else f"rows in {lang}"
            what += describe_untranslated(untranslated)
            raise DataError(
                f"{task.title}, {split}: {size} samples per language asked for, but there are only "
                f"{len(items)} {what}"
            )
        # All languages of a parallel task draw the same items.
        stream = 0 if task.parallel else params["languages"].index(lang)
        rng = np.random.default_rng([params["data_seed"], SPLITS.index(split), stream])
        chosen = rng.permutation(items)[: max(size, most) or None]
        part = frame.loc[chosen].drop(columns=sources.SOURCE_LABEL, errors="ignore")
        part = part.reset_index(names="item")
        part.insert(0, "lang", lang)
        part.insert(0, "uid", lang + part["item"].astype(str))
        drawn.append(part)
    return check_uids(pd.concat(drawn, ignore_index=True))
