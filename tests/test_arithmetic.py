"""Matrix products: exact in float32, and torch left as it was."""

import pytest
import torch

from xl_influence.engine import arithmetic

CPU = torch.device("cpu")


@pytest.fixture
def tried_anew():
    arithmetic.onednn_is_exact.cache_clear()
    yield
    arithmetic.onednn_is_exact.cache_clear()


def test_products_are_exact_in_float32():
    torch.manual_seed(0)
    a, b = torch.randn(1024, 384), torch.randn(384, 1536)
    with arithmetic.arithmetic(CPU):
        found = a @ b
    assert (
        found - a.double() @ b.double()
    ).abs().max() < 2e-4  # entries of up to 100; rounding to bf16 gives 0.1


def test_nothing_of_torch_is_changed_after(tried_anew):
    torch.manual_seed(0)
    before = arithmetic.CPU.fp32_precision, arithmetic.CUDA.fp32_precision, torch.get_rng_state()
    with pytest.raises(KeyError), arithmetic.arithmetic(CPU, "bf16", passes=True):
        assert torch.is_autocast_enabled("cpu") and arithmetic.CUDA.fp32_precision == "tf32"
        raise KeyError
    assert (arithmetic.CPU.fp32_precision, arithmetic.CUDA.fp32_precision) == before[:2]
    assert not torch.is_autocast_enabled("cpu") and torch.equal(torch.get_rng_state(), before[2])


def test_a_gpu_adds_up_in_one_order_in_the_products_alone():
    for passes in (False, True):
        with arithmetic.arithmetic(torch.device("cuda"), passes=passes):
            assert torch.are_deterministic_algorithms_enabled() is not passes
        assert not torch.are_deterministic_algorithms_enabled()


def test_onednn_is_not_asked_where_it_rounds(tried_anew, monkeypatch):
    """A processor with AMX: products differ as those of numbers cut to bf16 do."""

    class Rounds(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            if (
                function.__name__ in ("matmul", "__matmul__")
                and arithmetic.CPU.fp32_precision == "bf16"
            ):
                args = tuple(tensor.bfloat16().float() for tensor in args)
            return function(*args, **(kwargs or {}))

    with Rounds():
        assert not arithmetic.onednn_is_exact()
    with arithmetic.arithmetic(CPU):
        assert arithmetic.CPU.fp32_precision == "ieee"


def test_mixed_precision_inside_sees_weights_that_have_changed():
    """Trainer enters an autocast at each step; its cache of rounded weights must not outlive the step."""
    layer, x = torch.nn.Linear(4, 4), torch.ones(2, 4)
    results = []
    with arithmetic.arithmetic(CPU):
        for _ in range(2):
            with torch.autocast("cpu", torch.bfloat16):
                results.append(layer(x))
            with torch.no_grad():
                layer.weight.add_(1)
    assert not torch.allclose(*results)
