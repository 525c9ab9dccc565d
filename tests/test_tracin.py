"""The engine against plain float64 autograd, one sample at a time; and what it refuses."""

import contextlib
import platform
import weakref

import numpy as np
import pytest
import torch
import xarray as xr
from conftest import random_samples, tiny
from torch import nn
from truth import KINDS, cosines, largest_error, plain

from xl_influence.engine import coverage, engine, memory, products, timing
from xl_influence.engine.batches import group_batches, make_batches
from xl_influence.engine.engine import Engine
from xl_influence.engine.layout import REBUILD_SHARE
from xl_influence.engine.store import Store
from xl_influence.selection import predict
from xl_influence.tracin import gradient_products, influence, rounding


@pytest.mark.parametrize("kind", KINDS)
def test_cosine_equals_float64_autograd(kind, samples):
    train, test = samples
    model = tiny(kind)
    scores = gradient_products(model, train, test, max_tokens=120)  # several batches, with padding
    assert largest_error(scores, model, train, test) <= 1e-5
    itself = influence(scores).to_numpy()[0, 40]  # the test sample is a training sample, too
    assert itself == pytest.approx(1, abs=1e-6)
    dot = plain(model, test) @ plain(model, train).T
    error = np.abs(influence(scores, normalize=False).to_numpy() - dot).max()
    assert error <= 1e-5 * np.abs(dot).max()


@pytest.mark.parametrize("kind", KINDS)
def test_float64_is_exact(kind, samples):
    train, test = samples
    model = tiny(kind).double()
    scores = gradient_products(model, train, test, max_tokens=120)
    assert scores["dot"].dtype == np.float64
    assert largest_error(scores, model, train, test) <= 1e-12


def test_groups_add_up_and_can_be_used_one_by_one(samples):
    train, test = samples
    model = tiny("bert").double()
    scores = gradient_products(model, train, test)
    layers = ["layer-00", "layer-01", "layer-02"]
    assert list(scores["group"].values) == ["embeddings", *layers, "head"]
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
    # One sample per batch, so no padding
    single = gradient_products(model, train, test, max_tokens=1)["dot"].to_numpy()
    assert np.abs(whole - single).max() <= 1e-12 * np.abs(whole).max()
    assert np.allclose(whole[:, :, 41], whole[:, :, 42], rtol=1e-12)


def test_batches_are_of_similar_length_within_both_limits():
    samples = [{"input_ids": [5] * length} for length in (9, 2, 8, 3, 3, 2, 30)]
    # By number; by tokens with padding; a batch of its own, though too long
    assert list(make_batches(samples, 18, max_samples=3)) == [[1, 5, 3], [4, 2], [0], [6]]
    assert list(make_batches(samples, 18)) == [[1, 5, 3, 4], [2, 0], [6]]
    many = [{"input_ids": [5]}] * 100 + [{"input_ids": [5] * 40}] * 30
    # A multiple of 32 where there are more
    assert [len(rows) for rows in make_batches(many, 50)] == [32, 32, 32, 4, *[1] * 30]


def test_tiles_are_whole_batches():
    batches = [[0, 1], [2], [3, 4, 5], [6]]
    assert list(group_batches(batches, 3)) == [[[0, 1], [2]], [[3, 4, 5]], [[6]]]
    assert list(group_batches(batches, 0)) == [batches]
    assert list(group_batches(batches, 1)) == [[rows] for rows in batches]


def test_tiles_of_the_test_set_give_the_same(samples):
    train, test = samples
    model = tiny("bert")
    longest = max(len(sample["input_ids"]) for sample in (*train, *test))
    # Half of the memory is for test samples: two at once
    memory = 4.5 * Engine(model).bytes_per_sample(longest) / 2**30
    assert Engine(model).layout(train, test, memory).test_tile == 2
    tiled = gradient_products(model, train, test, test_memory=memory)
    whole = gradient_products(model, train, test)
    assert np.allclose(tiled["dot"], whole["dot"], rtol=1e-5, atol=1e-6)
    assert np.allclose(tiled["train_sqnorm"], whole["train_sqnorm"], rtol=1e-5)
    assert list(tiled["test"].values) == list(range(7))
    with pytest.raises(ValueError, match="one test sample take"):
        gradient_products(model, train, test, test_memory=1e-9)


def test_training_tiles_are_just_large_enough():
    """Rebuilding the test gradients is 5 % of the work where the memory suffices, and not less."""
    samples = random_samples(200, seed=0)
    mean = int(np.mean([len(sample["input_ids"]) for sample in samples]))
    tiles = Engine(tiny("bert")).layout(samples, samples[:50], 100)

    def share(train_tile):
        return mean * tiles.test_tile / (train_tile * (3 * mean + tiles.test_tile))

    assert tiles.test_tile == 50
    assert share(tiles.train_tile) <= REBUILD_SHARE < share(tiles.train_tile - 1)


def test_no_more_than_one_training_tile_is_in_memory(samples, monkeypatch):
    train, test = samples
    alive, most = weakref.WeakSet(), []

    class Counted(Store):
        def __init__(self, *args):
            super().__init__(*args)
            alive.add(self)
            most.append(len(alive))

    monkeypatch.setattr(engine, "Store", Counted)
    own = Engine(tiny("bert"), max_tokens=60)
    own.products(own.collect_test(test), train, train_tile=10)
    assert len(most) > 3
    assert max(most) == 2  # the test samples' and one training tile's


@pytest.mark.parametrize("block_bytes", [1 << 12, 300_000])
@pytest.mark.parametrize("ghost_norms", [True, False])
@pytest.mark.parametrize("ghost", [True, False])
def test_every_route_gives_the_same(samples, monkeypatch, ghost, ghost_norms, block_bytes):
    """Products of positions, and of gradients in blocks of one or many rows; norms of either."""
    train, test = samples
    model = tiny("xlm-roberta")
    machine = products.Machine(1e11, 1e10, block_bytes, 512)
    monkeypatch.setattr(products, "ghost_is_cheaper", lambda *args: ghost)
    monkeypatch.setattr(products, "ghost_norms_are_cheaper", lambda *args: ghost_norms)
    monkeypatch.setitem(products.MACHINES, "cpu", machine)
    scores = gradient_products(model, train, test, max_tokens=120)
    assert largest_error(scores, model, train, test) <= 1e-5


def test_the_cheaper_route_is_used():
    cpu, cuda, shape = products.MACHINES["cpu"], products.MACHINES["cuda"], (384, 384)
    rank_one = products.Work(10, 1000, test_positions=10, train_positions=1000)
    sentences = products.Work(125, 1000, test_positions=48 * 125, train_positions=48 * 1000)
    assert products.ghost_is_cheaper(cpu, shape, rank_one)
    assert not products.ghost_is_cheaper(cpu, shape, sentences)
    assert products.ghost_norms_are_cheaper(cpu, shape, 8)
    assert not products.ghost_norms_are_cheaper(cpu, shape, 48)
    assert products.ghost_norms_are_cheaper(cuda, shape, 48)


@pytest.mark.parametrize(("storage", "most"), [("bfloat16", 1e-2), ("float16", 1e-3)])
def test_rounded_storage_takes_half_the_memory_and_its_error_is_measured(samples, storage, most):
    train, test = samples
    model = tiny("xlm-roberta")
    scores = gradient_products(model, train, test, storage=storage)
    error = largest_error(scores, model, train, test)
    cost = rounding(model, train, test, top_k=10, storage=storage)
    assert 1e-6 < error < most
    assert cost["max_cosine_error"] == pytest.approx(error, abs=2e-6)
    assert 0.8 < cost["top_overlap"] <= 1
    assert (cost["top_k"], cost["train"], cost["test"]) == (10, 44, 7)
    assert kept_bytes(model, test, storage) == pytest.approx(
        kept_bytes(model, test, None) / 2, rel=0.05
    )
    with pytest.raises(ValueError, match=r"float8.*allowed are.*bfloat16, float16"):
        gradient_products(model, train, test, storage="float8")


def kept_bytes(model, test, storage):
    """Memory of the numbers that the gradients of test samples are kept in."""
    store = Engine(model, storage=storage).collect_test(test).store
    factors = [part.factor for parts in store.parts.values() for part in parts]
    tensors = [tensor for factor in factors for tensor in vars(factor).values()]
    return sum(t.numel() * t.element_size() for t in tensors if t.is_floating_point())


def test_gradients_too_large_or_small_for_float16_are_scaled(samples):
    train, test = samples
    model = tiny("bert")
    with torch.no_grad():  # gradients of all layers below become a million times smaller
        model.classifier.weight *= 1e-6
    scores = gradient_products(model, train, test, storage="float16")
    assert largest_error(scores, model, train, test) <= 1e-3


def test_bf16_passes_are_close(samples):
    train, test = samples
    cost = rounding(tiny("xlm-roberta"), train, test, top_k=10, precision="bf16")
    assert 1e-6 < cost["max_cosine_error"] < 0.1


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
    samples = [
        {"input_ids": rng.integers(1, 12, length).tolist(), "label": int(length)}
        for length in rng.integers(2, 9, 19)
    ]
    train, test = samples[:15], samples[15:]
    scores = gradient_products(model, train, test)
    assert largest_error(scores, model, train, test) <= 1e-12


@pytest.mark.parametrize("dtype", list(coverage.TOLERANCE))
@pytest.mark.parametrize("kind", ["bert", "deberta-v2", "gpt2"])
def test_right_rules_pass_the_check_in_every_precision(kind, dtype):
    assert Engine(tiny(kind).to(dtype)).plan.single_sample == (kind == "deberta-v2")


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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc is only changed in glibc")
def test_malloc_is_set_and_set_back_or_left_alone(monkeypatch):
    changes, samples = [], random_samples(2, 0)
    monkeypatch.setattr(memory, "_set_options", lambda libc, options: changes.append(options))
    kept = gradient_products(tiny("bert"), samples, samples)
    assert changes == [memory.KEEP, memory.DEFAULTS]
    assert memory.KEEP.keys() == memory.DEFAULTS.keys()
    left = gradient_products(tiny("bert"), samples, samples, keep_memory=False)
    assert len(changes) == 2
    xr.testing.assert_identical(kept, left)


def test_a_timer_is_entered_around_every_step_and_changes_nothing(samples):
    train, test = samples
    entered, inside = [], []

    @contextlib.contextmanager
    def timer(step):
        entered.append((*inside, step))
        inside.append(step)
        yield
        inside.pop()

    timed = gradient_products(tiny("bert"), train, test, timer=timer)
    assert set(entered) == {
        (timing.PASSES,),
        (timing.NORMS,),  # of the test samples
        (timing.MULTIPLYING,),
        (timing.MULTIPLYING, timing.BUILDING),
        (timing.MULTIPLYING, timing.EMBEDDINGS),
        (timing.MULTIPLYING, timing.NORMS),
    }
    xr.testing.assert_identical(timed, gradient_products(tiny("bert"), train, test))


def test_a_frozen_model_predicts(samples):
    model = tiny("xlm-roberta").requires_grad_(False)
    sequences = [sample["input_ids"] for sample in samples[0]]
    found = predict(model, sequences, max_tokens=100)
    assert found.shape == (44, 2)
    for ids, row in zip(sequences, found, strict=True):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids])).logits
        assert row == pytest.approx(logits.softmax(-1)[0].numpy(), abs=1e-6)
    with pytest.raises(ValueError, match="nothing to compare"):
        Engine(model)
