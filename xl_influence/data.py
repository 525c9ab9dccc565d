"""Samples of a task: from the hub, from clones of the hub's repositories (`data_root`) or from the demo corpora.

A sample is a row `uid, lang, item, label, text_a, text_b`, as in the paper's tables (`de935` is item 935 in German).
In a parallel task every language gets the same items, so an item is the same pair everywhere.
"""

import functools
import hashlib
import logging
import os
from pathlib import Path

import numpy as np
import pandas as pd

from . import demo, prepared, runs, tasks
from .tasks import SPLITS

KEYS = ("task", "data", "languages", "train_size", "dev_size", "data_seed")
CHANGES = (
    "left_out",
    "extra_language",
    "extra_percent",
    "planted",
)  # to the training set; without effect where empty


class DataError(ValueError):
    """The data are not there, too few, or not what the task expects."""


def load(params):
    """Draw the samples of a run.

    Returns
    -------
    dict of pandas.DataFrame
        `train` (`train_size` rows per language, of `extra_language` more, of `left_out` none), `validation` (`dev_size`
        per language, 0: all) and `test` (all); columns `uid`,
        `lang`, `item`, `label` (0 or 1), `text_a`, `text_b` (missing for single texts), and for the demo corpora
        `template`, `phenomenon`. Ordered by language as in `params["languages"]`, then as drawn.

    Raises
    ------
    DataError
        Missing language or split, fewer rows than asked, unknown label, empty text, misaligned translations.
    """
    task = tasks.find(params)
    sizes = {"validation": params["dev_size"], "test": 0}
    samples = {"train": _draw(params, task, "train", train_sizes(params))}
    samples |= {
        split: _draw(params, task, split, dict.fromkeys(params["languages"], size))
        for split, size in sizes.items()
    }
    return plant(params, task, samples) if params["planted"] else samples


def load_for_variants(params):
    """Draw what base and every variant of the study need: (dict of DataFrames as from `load`, list of str).

    Of the training split as many rows per language as the largest variant has, or as there are. Planted translations are
    not yet in their place (`plant`). The list names languages that cannot be left out: without them the others share more
    items, and the draw is another one.
    """
    task = tasks.find(params)
    percent = max(*params["imbalance_percents"], params["extra_percent"], 0)
    sizes = {"train": params["train_size"], "validation": params["dev_size"], "test": 0}
    samples, uneven = {}, []
    for split, size in sizes.items():
        frames = {lang: _read(params, task, lang, split) for lang in params["languages"]}
        most = size + size * percent // 100 if split == "train" else 0
        samples[split] = _choose(params, task, split, frames, dict.fromkeys(frames, size), most)
        if split == "train" and task.parallel:
            uneven = _uneven({lang: set(frame.index) for lang, frame in frames.items()})
    return samples, uneven


def _uneven(items):
    """Languages without which the others have more items in common; `items`: language → set."""
    shared = set.intersection(*items.values())
    rest = {lang: [items[other] for other in items if other != lang] for lang in items}
    return [lang for lang, others in rest.items() if others and set.intersection(*others) != shared]


def train_sizes(params):
    """Training samples per language: dict, in the languages' order."""
    size, more = params["train_size"], params["train_size"] * params["extra_percent"] // 100
    return {
        lang: size + (more if lang == params["extra_language"] else 0)
        for lang in params["languages"]
        if lang != params["left_out"]
    }


def test_order(items, seed):
    """The order in which test items are tried: item → place."""
    order = np.random.default_rng(seed).permutation(np.sort(items))
    return dict(zip(order, range(len(order)), strict=True))


def plant(params, task, samples):
    """Put one language's version of the first test items in place of that language's last training samples.

    So a test sample of such an item in another language has its own translation, and no other version, among the training
    samples. The version itself leaves the test samples.
    """
    if params["data"] != "demo" or task.name == "own":
        raise DataError(
            f"planted={params['planted']}: only the demo corpora can hold planted translations"
        )
    if not task.parallel:  # there are no translations
        return samples
    train, test = samples["train"], samples["test"]
    languages = params[
        "languages"
    ]  # also the one left out, so that variants have the same test samples
    order = test_order(test["item"].unique(), params["test_seed"])
    chosen = {
        item: languages[place % len(languages)]
        for item, place in order.items()
        if place < params["planted"]
    }
    moved = test["item"].map(chosen) == test["lang"]
    parts = []
    for lang, part in train.groupby("lang", sort=False):
        new = test[moved & (test["lang"] == lang)]
        if len(new) >= len(part):
            raise DataError(
                f"planted={params['planted']}: more than the {len(part)} training samples of {lang}"
            )
        parts += [part.iloc[: len(part) - len(new)], new]
    return samples | {
        "train": pd.concat(parts, ignore_index=True),
        "test": test[~moved].reset_index(drop=True),
    }


def fingerprint(samples):
    """Short hash of all drawn samples, texts included (or their hashes, in samples from a prepared folder)."""
    hashes = [int(row_hashes(samples[split]).sum()) for split in SPLITS]
    return runs.fingerprint(hashes, [len(samples[split]) for split in SPLITS])


def class_counts(samples):
    """Split → language → class number (as text, for JSON) → samples."""
    return {
        split: {
            lang: {
                str(label): int(n) for label, n in part["label"].value_counts().sort_index().items()
            }
            for lang, part in frame.groupby("lang", sort=False)
        }
        for split, frame in samples.items()
    }


def row_hashes(frame):
    """A hash of each sample, texts included: array of uint64."""
    if "hash" in frame:
        return frame["hash"].to_numpy()
    return pd.util.hash_pandas_object(
        frame[["uid", "label", "text_a", "text_b"]], index=False
    ).to_numpy()


def source_fingerprint(params):
    """Short hash of where the data come from: the corpus file, the files under `data_root`, or the hub's names."""
    if params["prepared"]:
        return prepared.read(params)["source_fingerprint"]
    task = tasks.find(params)
    if task.name == "own":
        return runs.fingerprint(
            {split: _digest(path) for split, path in tasks.own_files(params).items()}
        )
    if params["data"] == "demo":
        return runs.fingerprint(demo.source(task.name))
    if not params["data_root"]:
        return runs.fingerprint("hub", task.hub)
    digests = {}
    for lang in params["languages"]:
        folder = Path(params["data_root"]).expanduser() / task.hub.format(lang=lang)
        for path in sorted((folder / lang if task.config_is_language else folder).rglob("*")):
            if path.is_file() and ".git" not in path.parts:
                digests[f"{lang}/{path.name}"] = _digest(path)
    return runs.fingerprint(digests)


def _digest(path):
    state = path.stat()
    return _digest_of(path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(256)
def _digest_of(path, *state):
    """Once per process, as long as the file stays what it is."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _draw(params, task, split, sizes):
    """`sizes`: language → rows to draw, 0 for all. Of two sizes the smaller draw is the beginning of the larger."""
    return _choose(
        params, task, split, {lang: _read(params, task, lang, split) for lang in sizes}, sizes
    )


def _choose(params, task, split, frames, sizes, most=0):
    """Draw from the frames of all languages; up to `most` rows where there are more than `sizes`."""
    shared = None
    if task.parallel:
        _check_aligned(frames, split)
        shared = sorted(set.intersection(*(set(frame.index) for frame in frames.values())))
    drawn = []
    for lang, frame in frames.items():
        size, order = sizes[lang], params["languages"].index(lang)
        items = shared if task.parallel else sorted(frame.index)
        if len(items) < size:
            what = "items that every language has" if task.parallel else f"rows in {lang}"
            raise DataError(
                f"{task.title}, {split}: {size} samples per language asked for, {len(items)} {what}"
            )
        rng = np.random.default_rng(
            [params["data_seed"], SPLITS.index(split), 0 if task.parallel else order]
        )
        chosen = rng.permutation(items)[: max(size, most) or None]
        part = frame.loc[chosen].reset_index(names="item")
        part.insert(0, "lang", lang)
        part.insert(0, "uid", lang + part["item"].astype(str))
        drawn.append(part)
    return pd.concat(drawn, ignore_index=True)


def _read(params, task, lang, split):
    """One language and split as a frame indexed by item: label, text_a, text_b (and the demo's tags), checked."""
    if task.name == "own":
        frame, where, classes = *_from_own(params, task, lang, split), task.classes
    elif params["data"] == "demo":
        frame = pd.DataFrame(demo.load(task.name))
        frame = (
            frame[(frame["lang"] == lang) & (frame["split"] == split)]
            .set_index("item")
            .drop(columns=["lang", "split"])
        )
        classes, where = (
            task.demo_classes or task.classes,
            f"{task.title} demo corpus, {lang}, {split}",
        )
        if frame.empty:
            raise DataError(f"{where}: no rows; the demo corpus has no such language or split")
    else:
        frame, where = _from_hub(params, task, lang, split)
        classes = task.classes
    unknown = sorted(set(frame["label"]) - set(classes))
    if unknown:
        raise DataError(
            f"{where}: unknown label {unknown[0]!r}; allowed are {', '.join(map(str, classes))}"
        )
    frame = (
        frame.assign(label=frame["label"].map(classes))
        .dropna(subset="label")
        .astype({"label": int})
    )
    for column in ("text_a", "text_b") if task.columns[1] else ("text_a",):
        empty = frame.index[frame[column].isna() | (frame[column].fillna("").str.strip() == "")]
        if len(empty):
            raise DataError(
                f"{where}: empty text in {column}, item {empty[0]} ({len(empty)} in all)"
            )
    doubled = frame.index[frame.index.duplicated()]
    if len(doubled):
        raise DataError(f"{where}: item {doubled[0]} occurs more than once")
    return frame


def _from_own(params, task, lang, split):
    """One language and split of a task of one's own."""
    path = tasks.own_files(params)[split]
    rows = tasks.read_own(path)
    found = rows[rows["lang"] == lang]
    if found.empty:
        raise DataError(f"{path}: no rows in {lang}; there are {', '.join(rows['lang'].unique())}")
    texts = {column: found[column] if column in found else None for column in ("text_a", "text_b")}
    frame = pd.DataFrame({"label": found["label"], **texts}).set_index(
        pd.Index(found["item"], name="item")
    )
    return frame, f"{path}, {lang}"


def _from_hub(params, task, lang, split):
    """One language and split through `datasets`, from a clone under `data_root` or from the hub."""
    import datasets

    repository = task.hub.format(lang=lang)
    source = repository
    if params["data_root"]:
        source = str(Path(params["data_root"]).expanduser().resolve() / repository)
        if not os.path.isdir(source):
            raise DataError(
                f"{task.title}, {lang}: no folder {repository} in data_root {params['data_root']}"
            )
    else:
        offline_if_unreachable()
    where = f"{task.title}, {lang}, {split} ({repository})"
    bars = datasets.utils.logging.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        table = datasets.load_dataset(
            source, lang if task.config_is_language else None, split=split
        )
    except Exception as error:  # also errors of the transport, which have no common class
        first = (str(error).strip().splitlines() or ["no message"])[0]
        if isinstance(error, ValueError) and first.startswith(("BuilderConfig", "Unknown split")):
            raise DataError(f"{where}: no such language or split: {error}") from error
        raise DataError(
            f"{where}: cannot be read ({type(error).__name__}: {first}). Without a connection to the hub, set data_root "
            "to a folder with clones of the data sets"
        ) from error
    finally:
        if bars:
            datasets.enable_progress_bars()
    frame = table.to_pandas()
    wanted = [column for column in (*task.columns, task.item_column, "label") if column]
    missing = [column for column in wanted if column not in frame]
    if missing:
        raise DataError(f"{where}: no column {missing[0]!r}; there are {', '.join(frame.columns)}")
    items = frame[task.item_column] if task.item_column else frame.index
    texts = [frame[column] if column else None for column in task.columns]
    result = pd.DataFrame({"label": frame["label"], "text_a": texts[0], "text_b": texts[1]})
    return result.set_index(pd.Index(items, name="item")), where


@functools.cache
def offline_if_unreachable():
    """Ask the hub once per process; if it does not answer, its libraries take what they have cached, or fail at once.

    Left alone they try every file six times, 23 s, and that for every language and split, cached or not.
    """
    import datasets
    import huggingface_hub

    logging.getLogger("huggingface_hub.repocard").setLevel(
        logging.ERROR
    )  # MARC's cards have no front matter
    try:
        huggingface_hub.get_session().head(huggingface_hub.constants.ENDPOINT, timeout=10)
    except Exception:  # whatever it is, there is no hub
        huggingface_hub.constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True


def _check_aligned(frames, split):
    """Equal items must have equal labels in every language."""
    (first, reference), *others = frames.items()
    for lang, frame in others:
        both = reference[["label"]].join(frame["label"], how="inner", rsuffix="_other")
        wrong = both.index[both["label"] != both["label_other"]]
        if len(wrong):
            raise DataError(
                f"{split}: misaligned translations: item {wrong[0]} is labelled {both.loc[wrong[0], 'label']} in {first} "
                f"and {both.loc[wrong[0], 'label_other']} in {lang} ({len(wrong)} such items)"
            )
