"""Dropout with fewer random bits: its share, mean and gradient; attention equal to PyTorch's."""

import pytest
import torch
from conftest import random_samples, tiny
from torch.nn.utils.rnn import pad_sequence

from xl_influence import dropout


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_share_of_the_entries_is_dropped_and_the_mean_stays(dtype):
    torch.manual_seed(0)
    x = torch.ones(400, 501, dtype=dtype)
    share = 0.1
    y = dropout.drop(x, share)
    assert y.dtype == dtype and y.shape == x.shape
    assert abs(float((y == 0).float().mean()) - share) < 0.002
    assert abs(float(y.float().mean()) - 1) < 0.01
    dropped_levels = round(share * dropout.LEVELS)
    scale = dropout.LEVELS / (dropout.LEVELS - dropped_levels)
    assert set(y.unique().tolist()) == {0.0, float(torch.tensor(scale, dtype=dtype))}
    assert torch.equal(dropout.drop(x, 0.0), x)


def test_the_gradient_passes_where_the_entry_did():
    torch.manual_seed(0)
    x = torch.randn(50, 7, requires_grad=True)
    y = dropout.drop(x, 0.3)
    y.sum().backward()
    assert torch.equal(x.grad == 0, y == 0)
    assert torch.allclose(y, x * x.grad)


def test_a_seed_drops_the_same_entries_again():
    x, drawn = torch.ones(100), []
    for _ in range(2):
        torch.manual_seed(3)
        drawn.append(torch.stack([dropout.drop(x, 0.5), dropout.drop(x, 0.5)]))
    assert torch.equal(*drawn) and not torch.equal(*drawn[0])


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta", "distilbert", "deberta-v2", "gpt2"])
def test_a_model_answers_as_before_and_is_left_as_it_was(kind):
    model = tiny(kind)
    samples = random_samples(4, seed=0)
    sequences = [torch.tensor(sample["input_ids"]) for sample in samples]
    ids = pad_sequence(sequences, batch_first=True, padding_value=1)  # (batch, tokens)
    mask = pad_sequence([torch.ones_like(ids) for ids in sequences], batch_first=True)
    kinds = [type(module) for module in model.modules()]
    implementation = model.config._attn_implementation
    with torch.no_grad():
        before = model(input_ids=ids, attention_mask=mask).logits
        with dropout.use_fast(model):
            inside = model(input_ids=ids, attention_mask=mask).logits
        after = model(input_ids=ids, attention_mask=mask).logits
    assert torch.allclose(before, inside, atol=1e-6) and torch.equal(before, after)
    assert [type(module) for module in model.modules()] == kinds
    assert model.config._attn_implementation == implementation


def test_training_mode_drops():
    model, ids = tiny("bert").train(), torch.tensor([[0, 5, 6, 7, 2]])
    with dropout.use_fast(model), torch.no_grad():
        assert not torch.equal(model(input_ids=ids).logits, model(input_ids=ids).logits)
        assert any(type(module) is dropout.Dropout for module in model.modules())
