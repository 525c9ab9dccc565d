"""Matrix products are exact in float32, and torch is left as it was."""

import pytest
import torch

from xl_influence.engine import arithmetic

CPU = torch.device("cpu")


@pytest.fixture
def new_trial():
    arithmetic.onednn_is_exact.cache_clear()
    yield
    arithmetic.onednn_is_exact.cache_clear()


def test_products_are_exact_in_float32():
    torch.manual_seed(0)
    a, b = torch.randn(1024, 384), torch.randn(384, 1536)
    with arithmetic.arithmetic(CPU):
        found = a @ b
    # Entries of up to 100; rounding to bf16 gives 0.1
    assert (found - a.double() @ b.double()).abs().max() < 2e-4


def test_torch_is_as_before_even_after_an_error(new_trial):
    torch.manual_seed(0)
    cpu, cuda, rng = settings()

    def fail():
        with arithmetic.arithmetic(CPU, "bf16", passes=True):
            assert torch.is_autocast_enabled("cpu")
            assert arithmetic.CUDA.fp32_precision == "tf32"
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not torch.is_autocast_enabled("cpu")
    assert settings()[:2] == (cpu, cuda)
    assert torch.equal(settings()[2], rng)


def settings():
    return arithmetic.CPU.fp32_precision, arithmetic.CUDA.fp32_precision, torch.get_rng_state()


def test_a_gpu_adds_up_in_a_fixed_order_in_the_products_only():
    for passes in (False, True):
        with arithmetic.arithmetic(torch.device("cuda"), passes=passes):
            assert torch.are_deterministic_algorithms_enabled() is not passes
        assert not torch.are_deterministic_algorithms_enabled()


def test_onednn_is_not_used_where_it_rounds(new_trial, monkeypatch):
    """A processor with AMX: products differ as if the numbers were rounded to bf16."""

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
    """Trainer enters an autocast at each step, and its cache of rounded weights ends with it."""
    layer, x = torch.nn.Linear(4, 4), torch.ones(2, 4)
    results = []
    with arithmetic.arithmetic(CPU):
        for _ in range(2):
            with torch.autocast("cpu", torch.bfloat16):
                results.append(layer(x))
            with torch.no_grad():
                layer.weight.add_(1)
    assert not torch.allclose(*results)
