"""What fine-tuning takes: samples as token ids over the vocabulary in use.

They are drawn from the data or from a prepared folder. Both give the same numbers and the same
fingerprints, but samples from a prepared folder have no texts.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from . import corruption, data, encoders, prepared, tasks, vocabulary
from .sections import FineTuning

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

UNKNOWN = 0.2  # with a larger share of unknown tokens in a language we warn


@dataclass
class Inputs:
    """The samples of a run.

    Only the test samples in `pool` are tokenized: those that `test_pool` lets the study choose
    from.
    """

    samples: dict[str, pd.DataFrame]  # by split
    pool: pd.DataFrame  # the test samples that have sequences, in the order of these
    sequences: dict[str, list[list[int]]]  # by split: each sample's tokens, as rows of `kept`
    kept: np.ndarray  # the tokenizer's ids in use, sorted
    n_cut: dict[str, int]  # by split: sequences that were longer than `max_length`
    unknown: dict[str, float]  # language → share of its tokens that the tokenizer does not know
    untranslated: dict[str, data.Untranslated]  # by split
    pad: int  # row of the padding token, which is also its id
    class_names: tuple[str, ...]
    data_fingerprint: str  # of the samples as drawn, before any were changed on purpose
    revision: str | None  # of the encoder's hub repository


def load(params: FineTuning) -> Inputs:
    """Load the inputs of a run, from its prepared folder if it names one, else from the data.

    Warns of languages that the encoder's tokenizer hardly knows.
    """
    found = _load_prepared(params) if params["prepared"] else _load_data(params)
    found.samples["train"], order = corruption.corrupt(params, found.samples["train"])
    found.sequences["train"] = [found.sequences["train"][row] for row in order]
    many = {lang: share for lang, share in found.unknown.items() if share > UNKNOWN}
    if many:
        shares = ", ".join(f"{100 * share:.0f} % in {lang}" for lang, share in many.items())
        warnings.warn(
            f"encoder {params['encoder']!r}: its tokenizer does not know {shares} of the tokens, "
            f"which the model cannot tell apart. At most {100 * UNKNOWN:.0f} % are advisable: "
            "choose an encoder for these languages",
            stacklevel=2,
        )
    return found


def find_places(params: FineTuning, test: pd.DataFrame) -> pd.Series:
    """Return the place of each test sample in the random order in which they are tried.

    Parameters
    ----------
    params
        The parameters of the run.
    test
        All test samples, as drawn.

    Returns
    -------
    pandas.Series
        From 0. In a parallel task translations have the same place; in others every language has
        an order of its own.
    """
    if tasks.find(params).parallel:
        return test["item"].map(data.test_order(test["item"].unique(), params["test_seed"]))
    rng = np.random.default_rng(params["test_seed"])
    by_language = test.groupby("lang")["item"]
    return by_language.transform(lambda items: rng.permutation(len(items)))


def choose_pool(params: FineTuning, test: pd.DataFrame) -> pd.DataFrame:
    """Return the test samples that the study may choose from; all if `test_pool` is 0.

    Parameters
    ----------
    params
        The parameters of the run.
    test
        All test samples, as drawn.
    """
    if not params["test_pool"]:
        return test
    return test[find_places(params, test) < params["test_pool"]].reset_index(drop=True)


def _load_data(params: FineTuning) -> Inputs:
    samples, untranslated = data.load_and_count(params)
    tokenizer = encoders.load_tokenizer(params["encoder"])
    pool = choose_pool(params, samples["test"])
    tokenized = samples | {"test": pool}
    ids, n_cut = {}, {}
    for split, frame in tokenized.items():
        ids[split], cut = encoders.tokenize(tokenizer, frame, params["max_length"])
        n_cut[split] = len(cut)
    special = tokenizer.all_special_ids
    kept = _find_kept(ids, special, tokenizer.pad_token_id)
    return Inputs(
        samples=samples,
        pool=pool,
        sequences=_renumber(ids, kept),
        kept=kept,
        n_cut=n_cut,
        unknown=_share_unknown(tokenized, ids, special, tokenizer.unk_token_id),
        untranslated=untranslated,
        pad=tokenizer.pad_token_id,
        class_names=tasks.find(params).class_names,
        data_fingerprint=data.hash_samples(samples),
        revision=encoders.find_revision(params["encoder"]),
    )


def _load_prepared(params: FineTuning) -> Inputs:
    about, task = prepared.read(params), tasks.find(params)
    drawn = prepared.draw(params, data.train_sizes(params))
    if params["planted"]:
        drawn = data.plant(params, task, drawn)
    tokenized = drawn | {"test": choose_pool(params, drawn["test"])}
    ids = {split: frame["input_ids"].tolist() for split, frame in tokenized.items()}
    kept = _find_kept(ids, about["special_ids"], about["pad_id"])
    helpers = ["input_ids", "cut", "hash"]
    return Inputs(
        samples={split: frame.drop(columns=helpers) for split, frame in drawn.items()},
        pool=tokenized["test"].drop(columns=helpers),
        sequences=_renumber(ids, kept),
        kept=kept,
        n_cut={split: int(frame["cut"].sum()) for split, frame in tokenized.items()},
        # Older folders have neither entry.
        unknown=_share_unknown(tokenized, ids, about["special_ids"], about.get("unknown_id")),
        untranslated=about.get("untranslated", {}),
        pad=about["pad_id"],
        class_names=task.class_names,
        data_fingerprint=data.hash_samples(drawn),
        revision=about["revision"],
    )


def _share_unknown(
    frames: dict[str, pd.DataFrame],
    ids: dict[str, list[list[int]]],
    special: list[int],
    unknown: int | None,
) -> dict[str, float]:
    """Return the share of unknown tokens in each language, special tokens aside.

    Parameters
    ----------
    frames, ids
        By split: samples and their token ids, in the same order.
    special
        The tokenizer's special tokens.
    unknown
        The id of the unknown token; if it is None, the result is empty.
    """
    if unknown is None:
        return {}
    counts: dict[str, np.ndarray] = {}  # language → (unknown tokens, tokens)
    aside = np.array(sorted(set(special) - {unknown}))
    for split, frame in frames.items():
        for lang, rows in frame.reset_index(drop=True).groupby("lang", sort=False).groups.items():
            tokens = np.concatenate([np.asarray(ids[split][row]) for row in rows])
            tokens = tokens[~np.isin(tokens, aside)]
            found = np.array([(tokens == unknown).sum(), len(tokens)])
            counts[str(lang)] = counts.get(str(lang), np.zeros(2, dtype=int)) + found
    return {lang: round(float(n / max(of, 1)), 4) for lang, (n, of) in counts.items()}


def _find_kept(ids: dict[str, list[list[int]]], special: list[int], pad: int) -> np.ndarray:
    """Return the token ids that any split uses, sorted."""
    sequences = [sequence for part in ids.values() for sequence in part]
    return vocabulary.find_tokens_in_use(sequences, special, pad)


def _renumber(ids: dict[str, list[list[int]]], kept: np.ndarray) -> dict[str, list[list[int]]]:
    return {split: vocabulary.renumber(part, kept) for split, part in ids.items()}


def show(params: FineTuning, frame: pd.DataFrame) -> pd.DataFrame:
    """Return samples as the model reads them, with texts truncated like its input.

    Parameters
    ----------
    params
        The parameters of the run.
    frame
        Samples of the run. Those of a published run have no texts and are returned unchanged.
    """
    if "text_a" not in frame:
        return frame
    return cut_texts(encoders.load_tokenizer(params["encoder"]), frame, params["max_length"])


def cut_texts(
    tokenizer: PreTrainedTokenizerBase, frame: pd.DataFrame, max_length: int
) -> pd.DataFrame:
    """Return samples with their texts truncated like the model's input.

    Parameters
    ----------
    tokenizer, max_length
        As for `encoders.tokenize`.
    frame
        Samples with `text_a` and `text_b`; `text_b` is missing in all of them or in none.

    Returns
    -------
    pandas.DataFrame
        The samples with shorter texts, which end in ' […]' where they are cut, and `tokens`, the
        length of the input with its special tokens.
    """
    paired = frame["text_b"].notna().any()
    columns = ["text_a", "text_b"] if paired else ["text_a"]
    ids, cut = encoders.tokenize(tokenizer, frame, max_length)
    texts = frame[columns].to_numpy(dtype=object, copy=True)  # (samples, 1 or 2)
    for row in cut:
        texts[row] = _cut_sample(tokenizer, texts[row].tolist(), max_length)
    changed = frame.assign(tokens=[len(sample) for sample in ids])
    changed[columns] = texts
    return changed


def _cut_sample(tokenizer: PreTrainedTokenizerBase, texts: list[str], max_length: int) -> list[str]:
    """Return one or two texts as far as the model reads them."""
    pair = texts[1] if len(texts) > 1 else None
    cutting: dict[str, Any] = {"truncation": True, "max_length": max_length}
    if not tokenizer.is_fast:  # knows no places in the text
        ids = tokenizer(texts[0], pair, **cutting)["input_ids"]
        return [str(tokenizer.decode(ids)), *texts[1:2]]
    read = tokenizer(texts[0], pair, **cutting, return_offsets_mapping=True)
    parts, found = read.sequence_ids(0), []
    for number, text in enumerate(texts):
        places = zip(parts, read["offset_mapping"], strict=True)
        end = max((end for part, (_, end) in places if part == number), default=0)
        found.append(text if not text[end:].strip() else f"{text[:end]} […]")
    return found
