"""What the benchmark scripts share: the specification in `cases.json`, and facts about the machine.

`xl_influence/speed.py` reads the same file, so that a case or a method is described only once.
"""

import json
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).parent
SPECIFICATION: dict[str, Any] = json.loads((HERE / "cases.json").read_text(encoding="utf-8"))
DEFAULTS: dict[str, Any] = SPECIFICATION["defaults"]  # of a measurement's model and samples
METHODS: dict[str, dict[str, Any]] = SPECIFICATION["ways"]  # they compute the same influence
THIS_LIBRARY = "xl-influence"


def is_this_library(method: str) -> bool:
    """Whether a method is this library, in any precision; the others are peers and references."""
    return METHODS[method]["kind"] == "this library"


def current_name(method: str) -> str:
    """The present identifier of a method that older results may know under another one."""
    return SPECIFICATION["renamed"].get(method, method)


def count_linear_weights(encoder: torch.nn.Module) -> int:
    """Weights of an encoder's Linear layers, which see every token: P in the count of FLOPs."""
    layers = (module for module in encoder.modules() if isinstance(module, torch.nn.Linear))
    return sum(layer.weight.numel() for layer in layers)
