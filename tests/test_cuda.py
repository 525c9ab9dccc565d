"""The engine on a GPU, against float64 autograd on the CPU. Skipped without a CUDA device."""

import warnings

import numpy as np
import pytest
import torch
from conftest import random_samples, tiny
from truth import KINDS, cosines, plain

from xl_influence.engine import products
from xl_influence.engine.engine import Engine
from xl_influence.tracin import gradient_products, influence, rounding

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]


def error(model, train, test, **options):
    """Largest difference of a cosine from float64 autograd's."""
    truth = cosines(plain(model, test), plain(model, train))
    found = influence(gradient_products(model, train, test, device="cuda", **options)).to_numpy()
    model.cpu()
    return np.abs(found - truth).max()


@pytest.mark.parametrize("kind", KINDS)
def test_cosine_equals_float64_autograd(kind, samples):
    assert error(tiny(kind), *samples, max_tokens=120) <= 1e-5
    assert error(tiny(kind).double(), *samples, max_tokens=120) <= 1e-12


@pytest.mark.parametrize("ghost_norms", [True, False])
@pytest.mark.parametrize("cheaper", [True, False])
def test_every_route_gives_the_same(samples, monkeypatch, cheaper, ghost_norms):
    monkeypatch.setattr(products, "ghost_is_cheaper", lambda *args: cheaper)
    monkeypatch.setattr(products, "ghost_norms_are_cheaper", lambda *args: ghost_norms)
    assert error(tiny("xlm-roberta"), *samples, max_tokens=120) <= 1e-5


def test_an_encoder_of_usual_size():
    """Wide products of many numbers, where rounding to tf32 would show."""
    wide = {
        "hidden_size": 384,
        "num_hidden_layers": 6,
        "num_attention_heads": 12,
        "intermediate_size": 1536,
    }
    train, test = random_samples(60, seed=3, longest=60), random_samples(10, seed=4, longest=60)
    assert error(tiny("bert", **wide), train, test) <= 1e-5


@pytest.mark.parametrize(
    "options", [{"precision": "tf32"}, {"precision": "bf16"}, {"storage": "bfloat16"}]
)
def test_what_less_precision_costs(samples, options):
    model = tiny("xlm-roberta", hidden_size=128, intermediate_size=512).cuda()
    cost = rounding(model, *samples, top_k=10, **options)
    assert 1e-6 < cost["max_cosine_error"] < 2e-2
    assert cost["top_overlap"] > 0.8


def test_the_same_numbers_again(samples):
    model = tiny("xlm-roberta").cuda()
    once, again = (gradient_products(model, *samples) for _ in range(2))
    assert all(np.array_equal(once[name], again[name]) for name in once.data_vars)


def test_tiles_by_the_memory_of_the_device(samples):
    train, test = samples
    model = tiny("bert").cuda()
    longest = max(len(sample["input_ids"]) for sample in (*train, *test))
    memory = 4.5 * Engine(model).bytes_per_sample(longest) / 2**30
    assert Engine(model).layout(train, test, memory).test_tile == 2
    tiled, whole = (
        influence(gradient_products(model, train, test, test_memory=gb)) for gb in (memory, None)
    )
    assert np.abs(tiled - whole).max() <= 1e-5


def test_the_host_waits_for_no_module(samples):
    """How often the host waits for the device does not grow with the layers."""
    train, test = samples
    waits = []
    for layers in (3, 6):
        engine = Engine(tiny("xlm-roberta", num_hidden_layers=layers).cuda())
        engine.products(engine.collect_test(test), train)  # what happens only once
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                engine.products(engine.collect_test(test), train)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        waits.append(sum("synchronizing" in str(warning.message) for warning in caught))
    assert 0 < waits[0] == waits[1]
