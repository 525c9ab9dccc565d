"""Every sequence classifier of `transformers`, tiny, through the engine: exact, or refused and why.

`python benchmarks/architectures.py` writes `architectures.json`, the table of the book's API page;
with names (`bert llama`) it only prints. Each model gets samples of mixed length, a duplicate and
one of a single token. The truth is plain autograd in float64, one unpadded sample at a time; the
engine runs in float32. Exact: no cosine differs by more than 1e-5. A model that takes no short
samples gets longer ones (`LONGER`), and one that fails in float64 is compared in float32.
"""

from __future__ import annotations

import contextlib
import copy
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers
from torch.nn import functional
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

from xl_influence.engine.engine import Engine
from xl_influence.engine.losses import UncoveredError
from xl_influence.tracin import gradient_products, influence

FILE = Path(__file__).parent / "architectures.json"
EXACT = 1e-5  # largest difference of a cosine
VOCABULARY = 120
LAST = 2  # the token at the end of every sample, which BART and T5 read
SIZES: dict[str, int] = {
    "vocab_size": VOCABULARY,
    **dict.fromkeys(("hidden_size", "d_model", "dim", "n_embd", "emb_dim"), 32),
    **dict.fromkeys(("num_hidden_layers", "n_layers", "n_layer", "num_layers"), 2),
    **dict.fromkeys(("encoder_layers", "decoder_layers", "num_decoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_heads", "n_head", "num_heads"), 4),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4),
    "num_key_value_heads": 2,
    **dict.fromkeys(("intermediate_size", "d_ff", "hidden_dim", "n_inner", "dff"), 64),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim", "ffn_hidden_size", "ffn_dim"), 64),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "d_inner"), 64),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx"), 64),
    **dict.fromkeys(("head_dim", "d_kv", "kv_channels", "d_head"), 8),
    "embedding_size": 16,
}
LATENT = {  # attention with latent keys and values, and routed experts
    "num_key_value_heads": 4,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "head_dim": 8,
}
HYBRID = {  # linear attention in three layers of four
    "num_hidden_layers": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "num_experts": 4,
    "num_experts_per_tok": 2,
}
OWN: dict[str, dict[str, Any]] = {  # what a tiny version of a model needs besides
    **dict.fromkeys(("axk1", "axk2", "deepseek_v2", "deepseek_v3", "minicpm3", "mistral4"), LATENT),
    "jamba": {"num_hidden_layers": 8},
    **dict.fromkeys(("qwen3_next", "qwen3_5_text"), HYBRID),
    **{key: {"head_dim": 8} for key in ("hunyuan_v1_dense", "hunyuan_v1_moe", "ministral")},
    **{key: {"decoder_start_token_id": 0} for key in ("t5", "mt5", "umt5")},
    "esm": {
        "position_embedding_type": "absolute",
        "mask_token_id": 3,
        "vocab_size": VOCABULARY,
    },
    "gptj": {"rotary_dim": 8},
    "layoutlmv3": {
        "coordinate_size": 4,
        "shape_size": 8,
        "has_relative_attention_bias": False,
        "has_spatial_attention_bias": False,
        "visual_embed": False,
    },
    "lilt": {"hidden_size": 48},
    "luke": {"entity_vocab_size": 20, "entity_emb_size": 16},
    "nemotron": {"num_key_value_heads": 2, "head_dim": 8},
    "perceiver": {"num_latents": 8, "d_latents": 32, "num_self_attends_per_block": 2},
    "reformer": {"axial_pos_embds": False},
    "squeezebert": {"embedding_size": 32},
}
IMAGES = {"gemma3", "layoutlmv2", "modernvbert", "t5gemma2", "ultravbert", "qwen3_5"}


LONGER = {"canine": 40, "funnel": 12}  # tokens that each sample needs more
FLOAT32 = {"mra", "canine"}  # what gives errors or NaN in float64


class Result(NamedTuple):
    """The outcome for one architecture."""

    name: str
    model: str
    outcome: str  # exact, WRONG, refused, FAILED, or not built
    error: float | None  # largest difference of a cosine
    batches: str  # how its samples go through: 'any', 'equal length' or 'one sample'
    reason: str  # of what is not exact


def build(config: type, model: type) -> Any:
    """A tiny model with random weights."""
    torch.manual_seed(0)
    usual, renamed = config(), getattr(config, "attribute_map", {})
    given = {
        name: size
        for name, size in SIZES.items()
        if name not in renamed and getattr(usual, name, None) is not None
    }
    given |= {"pad_token_id": 0, "eos_token_id": LAST}
    for name in ("bos_token_id", "sep_token_id", "cls_token_id", "mask_token_id"):
        token = getattr(usual, name, None)
        if isinstance(token, list) or (isinstance(token, int) and token >= VOCABULARY):
            given[name] = LAST
    made = make_config(config, given | OWN.get(config.model_type, {}))
    made.num_labels = 2
    made._experts_implementation = "eager"  # the fast one has no float64
    built = model(made).float().eval()
    if hasattr(built, "set_default_language"):
        built.set_default_language(made.languages[0])
    return built


def make_config(config: type, settings: dict[str, Any]) -> Any:
    """A configuration with these settings, as far as it can be made smaller."""
    try:
        return config(**settings)
    except Exception:  # one of them does not fit: keep those that can be set
        made = config()
        for name, value in settings.items():
            with contextlib.suppress(Exception):
                setattr(made, name, value)
        return made


def draw_samples(more: int = 0) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Training and test samples, each of so many tokens more."""
    rng = np.random.default_rng(0)

    def draw(length: int) -> dict[str, Any]:
        ids = [*rng.integers(5, VOCABULARY, length + more - 1).tolist(), LAST]
        return {"input_ids": ids, "label": int(rng.integers(2))}

    train = [draw(length) for length in (9, 5, 12, 7, 9, 3)]
    single = [*train[0]["input_ids"][:more], LAST]  # one token
    train += [dict(train[0]), {"input_ids": single, "label": 1}]
    return train, [draw(length) for length in (6, 11, 4)]


def gradients(model: Any, samples: list[dict[str, Any]]) -> torch.Tensor:
    """Gradients by autograd in float64, (samples, parameters)."""
    parameters = [each for each in model.parameters() if each.requires_grad]
    rows = []
    for sample in samples:
        logits = model(input_ids=torch.tensor([sample["input_ids"]])).logits.flatten(1)
        loss = functional.cross_entropy(logits, torch.tensor([sample["label"]]))
        found = torch.autograd.grad(loss, parameters, allow_unused=True)
        pairs = zip(parameters, found, strict=True)
        rows.append(
            torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for p, g in pairs])
        )
    return torch.stack(rows)


def check(config: type, model_class: type) -> Result:
    """Compare the engine with autograd on one architecture."""
    name = config.model_type
    train, test = draw_samples(LONGER.get(name, 0))
    try:
        model = build(config, model_class)
        exact = copy.deepcopy(model).to(torch.float32 if name in FLOAT32 else torch.float64)
        sides = [functional.normalize(gradients(exact, side)) for side in (test, train)]
    except Exception as error:  # whatever keeps a model from being built or run alone
        return Result(name, model_class.__name__, "not built", None, "", describe(error))
    truth = (sides[0] @ sides[1].T).numpy()  # (test, train)
    try:
        found = influence(gradient_products(model, train, test)).to_numpy()
        engine = Engine(model)
        engine.check(train, test)
        plan = engine.plan
    except (UncoveredError, ValueError) as error:
        return Result(name, model_class.__name__, "refused", None, "", describe(error))
    except Exception as error:
        return Result(name, model_class.__name__, "FAILED", None, "", describe(error))
    largest = float(np.abs(found - truth).max())
    batches = "one sample" if plan.single_sample else "any"
    batches = "equal length" if plan.equal_length else batches
    outcome = "exact" if largest <= EXACT else "WRONG"
    return Result(name, model_class.__name__, outcome, largest, batches, "")


def describe(error: Exception) -> str:
    """The first line of an error, with its type."""
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {first[:140]}"


def main(names: list[str]) -> int:
    """Check the named architectures, or all of them for `architectures.json`."""
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    results = []
    for config, models in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING.items():
        if config.model_type in IMAGES or (names and config.model_type not in names):
            continue
        for model in models if isinstance(models, tuple) else (models,):
            start = time.time()
            result = check(config, model)
            results.append(result)
            took = time.time() - start
            print(f"{result.name}: {result.outcome} {result.reason} ({took:.1f} s)", flush=True)
    if not names:
        about = {"transformers": transformers.__version__, "torch": torch.__version__}
        left_out = {"take images": sorted(IMAGES)}
        rows = [result._asdict() for result in results]
        written = about | {"left_out": left_out, "results": rows}
        FILE.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    return int(any(result.outcome in ("WRONG", "FAILED") for result in results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
