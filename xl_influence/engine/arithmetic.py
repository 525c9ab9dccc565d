"""How matrices are multiplied: as exactly as `precision` says, by the faster library.

On a CPU, PyTorch multiplies float32 matrices with Intel's MKL. It turns to oneDNN only if we allow
less precision, by setting `fp32_precision` to "bf16". oneDNN then rounds to bf16 only on
processors that have units for it (AMX). On all others its products are exact in float32, and on
AMD's processors, whose widest units MKL does not use, they take half the time. So we give that
permission, but only after a trial has shown that oneDNN's products are exact on this processor.

PyTorch's fused attention for CPUs is made for long sequences; for sentences, plain matrix products
are faster.
"""

import contextlib
import functools
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

PRECISIONS = ("float32", "tf32", "bf16")
# torch makes the first of these modules at run time, so its type stubs lack it
CPU = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
CUDA = torch.backends.cuda.matmul
# Batch, rows, inner and columns of the trial's products: layers, gradients, their dot products
TRIED = (
    (1, 1024, 384, 1536),
    (1, 1024, 1536, 384),
    (1, 1024, 3072, 768),
    (21, 384, 48, 1536),
    (1, 125, 65_536, 64),
)
EXACT = 1e-5  # largest difference relative to the largest entry; rounding to bf16 gives 1e-3


@contextlib.contextmanager
def arithmetic(
    device: torch.device, precision: str = "float32", passes: bool = False
) -> Iterator[None]:
    """Multiply matrices as `precision` says inside this context, then restore torch's settings.

    On CUDA, sums whose order is otherwise arbitrary (embeddings' gradients) get a fixed order,
    except in passes.

    Parameters
    ----------
    device : torch.device
        Where the matrices are.
    precision : {'float32', 'tf32', 'bf16'}
        float32: exact to its 24 bits. tf32: 11 bits on CUDA, float32 on a CPU. bf16: bf16 in
        forward and backward passes, tf32 elsewhere.
    passes : bool
        Whether the context contains forward and backward passes.
    """
    cpu, cuda = CPU.fp32_precision, CUDA.fp32_precision
    CPU.fp32_precision = "bf16" if device.type == "cpu" and onednn_is_exact() else "ieee"
    CUDA.fp32_precision = "ieee" if precision == "float32" else "tf32"
    try:
        with (
            _fixed_order(device.type == "cuda" and not passes),
            _plain_attention(device),
            _autocast(device, passes and precision == "bf16"),
        ):
            yield
    finally:
        CPU.fp32_precision, CUDA.fp32_precision = cpu, cuda


@contextlib.contextmanager
def _fixed_order(wanted: bool) -> Iterator[None]:
    if not wanted:
        yield
        return
    enabled = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)


def _plain_attention(device: torch.device) -> AbstractContextManager[Any]:
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def _autocast(device: torch.device, wanted: bool) -> AbstractContextManager[Any]:
    """Autocast to bf16, or return a context that does nothing.

    A disabled autocast will not do: an autocast that the caller enters inside it would keep the
    rounded weights of its first step.
    """
    return torch.autocast(device.type, torch.bfloat16) if wanted else nullcontext()


def multiplies_bf16(device: torch.device) -> bool:
    """Whether this device has units for bf16: CUDA, and CPUs with AVX-512 BF16 or AMX.

    Other devices multiply bf16 slowly.
    """
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


@functools.cache
def onednn_is_exact() -> bool:
    """Whether oneDNN, when allowed to round float32 to bf16, does not do so on this processor."""
    if not torch.backends.mkldnn.is_available():
        return False
    return all(_difference(*shape) < EXACT for shape in TRIED)


def _difference(batch: int, rows: int, inner: int, columns: int) -> float:
    """Return how much the permission changes a product at most, relative to its largest entry."""
    random = torch.Generator().manual_seed(0)  # leaves the caller's random state alone
    left = torch.randn(batch, rows, inner, generator=random)  # (batch, rows, inner)
    right = torch.randn(batch, inner, columns, generator=random)  # (batch, inner, columns)
    before = CPU.fp32_precision
    try:
        CPU.fp32_precision = "ieee"
        exact = left @ right  # (batch, rows, columns)
        CPU.fp32_precision = "bf16"
        allowed = left @ right  # (batch, rows, columns)
    finally:
        CPU.fp32_precision = before
    return float((allowed - exact).abs().max() / exact.abs().max())
