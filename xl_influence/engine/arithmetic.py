"""How matrices are multiplied: as exactly as `precision` says, and with the faster of the libraries that PyTorch brings.

On a CPU, PyTorch multiplies float32 matrices with Intel's MKL, and asks oneDNN only where less precision is allowed. Of that
permission oneDNN makes no use unless the processor has units for it (AMX): elsewhere its products are float32's own, and on
processors whose widest units MKL leaves alone (AMD's) they take half the time. Whether they are exact is tried, not assumed.

PyTorch's fused attention for CPUs is made for long sequences; for sentences the plain products are faster.
"""

import contextlib
import functools

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

PRECISIONS = ("float32", "tf32", "bf16")
CPU, CUDA = torch.backends.mkldnn.matmul, torch.backends.cuda.matmul
TRIED = (  # batch, rows, inner, columns of the products by which oneDNN is judged: layers, gradients, their dot products
    (1, 1024, 384, 1536),
    (1, 1024, 1536, 384),
    (1, 1024, 3072, 768),
    (21, 384, 48, 1536),
    (1, 125, 65_536, 64),
)
EXACT = 1e-5  # largest difference beside the largest entry; numbers rounded to bf16 make it a hundred times that


@contextlib.contextmanager
def arithmetic(device, precision="float32", passes=False):
    """Matrix products on this device as `precision` says, until the context ends.

    float32: exact to its 24 bits. tf32: 11 bits on CUDA, float32 on a CPU. bf16: bf16 in forward and backward passes
    (`passes`), tf32 elsewhere. On CUDA, what adds up in any order by default (embeddings' gradients) does so in one order.
    """
    cpu, cuda = CPU.fp32_precision, CUDA.fp32_precision
    CPU.fp32_precision = "bf16" if device.type == "cpu" and onednn_is_exact() else "ieee"
    CUDA.fp32_precision = "ieee" if precision == "float32" else "tf32"
    order = _one_order() if device.type == "cuda" and not passes else contextlib.nullcontext()
    attention = sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else contextlib.nullcontext()
    # Only where it is wanted: inside an autocast, even a disabled one, a caller's own keeps the weights of its first step
    rounded = (
        torch.autocast(device.type, torch.bfloat16)
        if passes and precision == "bf16"
        else contextlib.nullcontext()
    )
    try:
        with order, attention, rounded:
            yield
    finally:
        CPU.fp32_precision, CUDA.fp32_precision = cpu, cuda


@contextlib.contextmanager
def _one_order():
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def multiplies_bf16(device):
    """Whether this device multiplies bf16 numbers itself: CUDA, and CPUs with AVX-512 BF16 or AMX. Others are slow at it."""
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


@functools.cache
def onednn_is_exact():
    """Whether oneDNN, allowed to round float32 to bf16, does not do so on this processor, in any of the `TRIED` shapes."""
    return torch.backends.mkldnn.is_available() and all(
        _difference(*shape) < EXACT for shape in TRIED
    )


def _difference(batch, rows, inner, columns):
    """Largest difference between a product of these sizes with and without the permission, beside its largest entry."""
    random = torch.Generator().manual_seed(0)  # the caller's random numbers stay as they are
    left, right = (
        torch.randn(batch, *size, generator=random) for size in ((rows, inner), (inner, columns))
    )
    before, products = CPU.fp32_precision, []
    try:
        for CPU.fp32_precision in ("ieee", "bf16"):
            products.append(left @ right)
    finally:
        CPU.fp32_precision = before
    exact, found = products
    return float((found - exact).abs().max() / exact.abs().max())
