"""The engine against plain float64 autograd, one sample at a time; and what it refuses."""

import copy
import weakref

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import xarray as xr
from conftest import random_samples, tiny
from torch import nn

from xl_influence.engine import engine, products
from xl_influence.engine.engine import Engine
from xl_influence.engine.gradients import UncoveredError
from xl_influence.tracin import gradient_products, influence, rounding

KINDS = ["xlm-roberta", "bert", "roberta", "distilbert", "deberta-v2", "gpt2"]


def plain(model, samples):
    """Gradients by a loop of single backward passes: float64 array (samples, parameters)."""
    model = copy.deepcopy(model).double()
    rows = []
    for sample in samples:
        model.zero_grad()
        logits = model(input_ids=torch.tensor([sample["input_ids"]])).logits
        F.cross_entropy(logits, torch.tensor([sample["label"]])).backward()
        parts = [
            p.grad if p.grad is not None else torch.zeros_like(p)
            for p in model.parameters()
            if p.requires_grad
        ]
        rows.append(torch.cat([part.flatten() for part in parts]).numpy())
    return np.array(rows)


def cosines(a, b):
    return a @ b.T / np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))


@pytest.mark.parametrize("kind", KINDS)
def test_cosine_equals_float64_autograd(kind, samples):
    train, test = samples
    model = tiny(kind)
    scores = gradient_products(model, train, test, max_tokens=120)  # several batches, with padding
    truth = cosines(plain(model, test), plain(model, train))
    assert np.abs(influence(scores).to_numpy() - truth).max() <= 1e-5
    assert influence(scores).to_numpy()[0, 40] == pytest.approx(
        1, abs=1e-6
    )  # the test sample itself
    dot = plain(model, test) @ plain(model, train).T
    assert (
        np.abs(influence(scores, normalize=False).to_numpy() - dot).max()
        <= 1e-5 * np.abs(dot).max()
    )


@pytest.mark.parametrize("kind", KINDS)
def test_float64_is_exact(kind, samples):
    train, test = samples
    model = tiny(kind).double()
    scores = gradient_products(model, train, test, max_tokens=120)
    assert scores["dot"].dtype == np.float64
    assert (
        np.abs(
            influence(scores).to_numpy() - cosines(plain(model, test), plain(model, train))
        ).max()
        <= 1e-12
    )


def test_groups_add_up_and_can_be_taken_alone(samples):
    train, test = samples
    model = tiny("bert").double()
    scores = gradient_products(model, train, test)
    assert list(scores["group"].values) == [
        "embeddings",
        "layer-00",
        "layer-01",
        "layer-02",
        "head",
    ]
    for parameter in model.bert.parameters():
        parameter.requires_grad_(False)
    for parameter in model.bert.pooler.parameters():
        parameter.requires_grad_(True)
    head = cosines(plain(model, test), plain(model, train))
    assert np.abs(influence(scores, groups=["head"]).to_numpy() - head).max() <= 1e-12
    frozen = gradient_products(model, train, test)  # frozen parameters do not take part
    assert list(frozen["group"].values) == ["head"]
    assert np.abs(influence(frozen).to_numpy() - head).max() <= 1e-12


def test_duplicates_order_and_batches_do_not_matter(samples):
    train, test = samples
    model = tiny("xlm-roberta").double()
    whole = gradient_products(model, train, test)["dot"].to_numpy()
    alone = gradient_products(model, train, test, max_tokens=1)[
        "dot"
    ].to_numpy()  # one sample per batch: no padding
    assert np.abs(whole - alone).max() <= 1e-12 * np.abs(whole).max()
    assert np.array_equal(whole[:, :, 41], whole[:, :, 42]) or np.allclose(
        whole[:, :, 41], whole[:, :, 42], rtol=1e-12
    )


def test_batches_are_of_similar_length_within_both_limits():
    samples = [{"input_ids": [5] * length} for length in (9, 2, 8, 3, 3, 2, 30)]
    found = list(engine.batches(samples, 18, most=3))
    assert found == [
        [1, 5, 3],
        [4, 2],
        [0],
        [6],
    ]  # by number; by tokens with padding; alone, though too long
    assert list(engine.batches(samples, 18)) == [[1, 5, 3, 4], [2, 0], [6]]
    many = [{"input_ids": [5]}] * 100 + [
        {"input_ids": [5] * 40}
    ] * 30  # 32 at once where there are more
    assert [len(rows) for rows in engine.batches(many, 50)] == [32, 32, 32, 4, *[1] * 30]


def test_tiles_of_the_test_set_give_the_same(samples):
    train, test = samples
    model = tiny("bert")
    longest = max(len(sample["input_ids"]) for sample in (*train, *test))
    memory = (
        4.5 * Engine(model).bytes_per_sample(longest) / 2**30
    )  # half of it for test samples: two at once
    assert Engine(model).layout(train, test, memory)[0] == 2
    tiled = gradient_products(model, train, test, test_memory=memory)
    whole = gradient_products(model, train, test)
    assert np.allclose(tiled["dot"], whole["dot"], rtol=1e-5, atol=1e-6)
    assert np.allclose(tiled["train_sqnorm"], whole["train_sqnorm"], rtol=1e-5)
    assert list(tiled["test"].values) == list(range(7))
    with pytest.raises(ValueError, match="one test sample take"):
        gradient_products(model, train, test, test_memory=1e-9)


def test_no_more_than_one_portion_of_gradients_is_held(samples, monkeypatch):
    train, test = samples
    alive, most = weakref.WeakSet(), []

    class Counted(products.Store):
        def __init__(self, *args):
            super().__init__(*args)
            alive.add(self)
            most.append(len(alive))

    monkeypatch.setattr(engine, "Store", Counted)
    own = Engine(tiny("bert"), max_tokens=60)
    own.products(own.hold(test), train, together=10)
    assert len(most) > 3 and max(most) == 2  # the test samples' and one portion's


@pytest.mark.parametrize("block", [1 << 12, 300_000])
@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("cheaper", [True, False])
def test_every_route_gives_the_same(samples, monkeypatch, cheaper, apart, block):
    """Products of positions, and of gradients built in blocks of one or of many rows; norms of either."""
    train, test = samples
    model = tiny("xlm-roberta")
    monkeypatch.setattr(products, "ghost_is_cheaper", lambda *args: cheaper)
    monkeypatch.setattr(products, "norms_are_cheaper_apart", lambda *args: apart)
    monkeypatch.setitem(products.MACHINES, "cpu", products.Machine(1e11, 1e10, block, 512))
    scores = gradient_products(model, train, test, max_tokens=120)
    assert (
        np.abs(
            influence(scores).to_numpy() - cosines(plain(model, test), plain(model, train))
        ).max()
        <= 1e-5
    )


def test_the_cheaper_route_is_taken():
    machine = products.MACHINES["cpu"]
    one = (
        10,
        1000,
    )  # positions of 10 test and of 1000 training samples with one position each: rank one
    assert products.ghost_is_cheaper(machine, (384, 384), *one, 10, 1000)
    assert not products.ghost_is_cheaper(machine, (384, 384), 48 * 125, 48 * 1000, 125, 1000)
    assert products.norms_are_cheaper_apart(
        machine, (384, 384), 8
    ) and not products.norms_are_cheaper_apart(machine, (384, 384), 48)
    assert products.norms_are_cheaper_apart(products.MACHINES["cuda"], (384, 384), 48)


@pytest.mark.parametrize(("storage", "most"), [("bfloat16", 1e-2), ("float16", 1e-3)])
def test_rounded_storage_takes_half_the_memory_and_tells_its_error(samples, storage, most):
    train, test = samples
    model = tiny("xlm-roberta")
    scores = gradient_products(model, train, test, storage=storage)
    error = np.abs(
        influence(scores).to_numpy() - cosines(plain(model, test), plain(model, train))
    ).max()
    told = rounding(model, train, test, top_k=10, storage=storage)
    assert 1e-6 < error < most and told["max_cosine_error"] == pytest.approx(error, abs=2e-6)
    assert 0.8 < told["top_overlap"] <= 1 and (told["top_k"], told["train"], told["test"]) == (
        10,
        44,
        7,
    )
    kept, whole = (
        sum(p.numel() * p.element_size() for p in held(model, test, name))
        for name in (storage, None)
    )
    assert kept == pytest.approx(whole / 2, rel=0.05)
    with pytest.raises(ValueError, match="float8.*allowed are.*bfloat16, float16"):
        gradient_products(model, train, test, storage="float8")


def held(model, test, storage):
    """The tensors in which gradients of test samples are kept."""
    store = Engine(model, storage=storage).hold(test).store
    factors = [part.factor for parts in store.parts.values() for part in parts]
    return [
        value for factor in factors for value in vars(factor).values() if value.is_floating_point()
    ]


def test_gradients_too_large_or_small_for_float16_are_scaled(samples):
    train, test = samples
    model = tiny("bert")
    with torch.no_grad():
        model.classifier.weight *= (
            1e-6  # gradients of all layers below become a million times smaller
        )
    scores = gradient_products(model, train, test, storage="float16")
    assert (
        np.abs(
            influence(scores).to_numpy() - cosines(plain(model, test), plain(model, train))
        ).max()
        <= 1e-3
    )


def test_bf16_passes_are_close(samples):
    train, test = samples
    told = rounding(tiny("xlm-roberta"), train, test, top_k=10, precision="bf16")
    assert 1e-6 < told["max_cosine_error"] < 0.1


class Tied(nn.Module):
    """A classifier whose output layer is the embedding (tied), with one Linear called twice."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(12, 8)
        self.twice = nn.Linear(8, 8)
        self.out = nn.Linear(8, 12, bias=False)
        self.out.weight = self.embed.weight
        self.config = type(
            "Config", (), {"num_labels": 12, "pad_token_id": 0, "max_position_embeddings": 64}
        )()

    def get_input_embeddings(self):
        return self.embed

    def forward(self, input_ids, attention_mask=None):
        hidden = self.twice(torch.tanh(self.twice(self.embed(input_ids))))
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        hidden = (hidden * attention_mask[..., None]).sum(1)
        return type("Output", (), {"logits": self.out(hidden)})()


def test_tied_weights_and_modules_called_twice_are_summed_first():
    model = Tied().double()
    rng = np.random.default_rng(0)
    make = lambda n: [
        {"input_ids": rng.integers(1, 12, k).tolist(), "label": int(k)}
        for k in rng.integers(2, 9, n)
    ]  # noqa: E731
    train, test = make(15), make(4)
    scores = gradient_products(model, train, test)
    assert (
        np.abs(
            influence(scores).to_numpy() - cosines(plain(model, test), plain(model, train))
        ).max()
        <= 1e-12
    )


def test_an_uncovered_parameter_is_named():
    model = tiny("bert")
    model.bert.scale = nn.Parameter(torch.ones(3))
    with pytest.raises(UncoveredError, match=r"bert\.scale"):
        gradient_products(model, random_samples(2, 0), random_samples(1, 1))
    model.bert.scale.requires_grad_(False)
    gradient_products(model, random_samples(2, 0), random_samples(1, 1))


def test_a_weight_used_outside_its_module_is_named():
    model = tiny("bert")
    plainly = model.classifier.forward
    model.classifier.forward = lambda x: (
        plainly(x)
        + (x @ model.bert.pooler.dense.weight).sum(-1, keepdim=True)[..., :1]
        * torch.tensor([1.0, 0.0])
    )
    with pytest.raises(UncoveredError, match=r"bert\.pooler\.dense\.weight"):
        gradient_products(model, random_samples(2, 0), random_samples(1, 1))


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ({"input_ids": [], "label": 0}, "0 tokens"),
        ({"input_ids": [999], "label": 0}, "ids 0 to 199"),
        ({"input_ids": [3] * 80, "label": 0}, "1 to 64 tokens"),
        ({"input_ids": [3], "label": 7}, "label 7"),
    ],
)
def test_bad_samples_are_refused(sample, message):
    with pytest.raises(ValueError, match=message):
        gradient_products(tiny("bert"), [sample], random_samples(1, 0))


def test_influence_sums_checkpoints_and_refuses_holes(samples):
    train, test = samples
    first, second = (gradient_products(tiny(kind), train, test) for kind in ("bert", "xlm-roberta"))
    cube = xr.concat([first, second], "checkpoint")
    assert np.allclose(influence(cube), influence(first) + influence(second))
    with pytest.raises(ValueError, match="layer-09"):
        influence(cube, groups=["layer-09"])
    cube["dot"].data[0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="not numbers"):
        influence(cube)


def test_the_model_is_left_as_it_was():
    model = tiny("bert").train()
    model.bert.embeddings.word_embeddings.weight.requires_grad_(False)
    before = {name: p.requires_grad for name, p in model.named_parameters()}
    gradient_products(model, random_samples(2, 0), random_samples(1, 1))
    assert model.training and before == {
        name: p.requires_grad for name, p in model.named_parameters()
    }
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())
