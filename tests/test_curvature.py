"""Methods that weigh gradients: EK-FAC by kronfluence, and the Adam-weighted cosine."""

import numpy as np
import pytest
import torch
from conftest import random_samples, tiny

from xl_influence.influence import influence
from xl_influence.methods import NotAvailableError, ekfac, second_moments
from xl_influence.tracin import gradient_products

TRAIN, TEST = random_samples(6, seed=1), random_samples(3, seed=2)


def gradients(model, samples, parameters):
    """Each sample's gradient over some parameters, (sample, entry)."""
    rows = []
    for sample in samples:
        logits = model(torch.tensor([sample["input_ids"]])).logits
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor([sample["label"]]))
        grads = torch.autograd.grad(loss, parameters)
        rows.append(torch.cat([grad.flatten() for grad in grads]))
    return torch.stack(rows).double().numpy()


# ------------------------------------------------------------- Adam-weighted cosine


def test_with_equal_scales_the_cosine_is_the_papers():
    model = tiny("bert")
    scales = [torch.full_like(parameter, 3.0) for parameter in model.parameters()]
    found = second_moments.scaled_cosine(model, TRAIN, TEST, scales)
    assert np.allclose(found, influence(gradient_products(model, TRAIN, TEST)), atol=1e-5)


def test_the_metric_divides_each_product_by_the_root_of_the_second_moment():
    model = tiny("bert")
    generator = torch.Generator().manual_seed(0)
    moments = [torch.rand(p.shape, generator=generator) for p in model.parameters()]
    moments[0][5] = 0.0  # a word that training never met
    root = torch.cat([v.flatten() for v in moments]).sqrt().double().numpy()
    weight = np.divide(1, root, out=np.zeros_like(root), where=root > 0)
    train, test = (gradients(model, side, list(model.parameters())) for side in (TRAIN, TEST))
    products = (test * weight) @ train.T
    lengths = [np.sqrt((side**2 * weight).sum(1)) for side in (test, train)]
    scales = second_moments.find_scales(moments)
    found = second_moments.scaled_cosine(model, TRAIN, TEST, scales)
    assert np.allclose(found, products / np.outer(*lengths), atol=1e-5)


def test_the_second_moment_is_the_mean_square_of_the_gradients_so_far():
    parameter = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.AdamW([parameter], lr=0.1, betas=(0.9, 0.5))
    for gradient in ([1.0, 2.0], [3.0, 2.0]):
        parameter.grad = torch.tensor(gradient)
        optimizer.step()
    kept = second_moments.Moments()
    model = torch.nn.Module()
    model.weight, model.never_used = parameter, torch.nn.Parameter(torch.zeros(1))
    optimizer.add_param_group({"params": [model.never_used]})
    kept.on_epoch_end(model=model, optimizer=optimizer)
    weights = np.array([0.25, 0.5]) / 0.75  # each older gradient counts half as much
    wanted = [weights @ [1, 9], weights @ [4, 4]]
    assert np.allclose(kept.moments[0][0], wanted)
    assert kept.moments[0][1].tolist() == [0.0]


# --------------------------------------------------------------------------- EK-FAC


def test_without_kronfluence_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(ekfac, "find_spec", lambda name: None)
    with pytest.raises(NotAvailableError, match=r"pip install .*requirements-optional\.txt"):
        ekfac.compute_scores(tiny("bert"), TRAIN, TEST)


def test_without_curvature_it_gives_the_dot_products_of_the_linear_layers():
    pytest.importorskip("kronfluence", reason="kronfluence is not installed")
    model = tiny("bert")
    linear = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    parameters = [parameter for module in linear for parameter in module.parameters()]
    train, test = (gradients(model, side, parameters) for side in (TRAIN, TEST))
    found = ekfac.compute_scores(model, TRAIN, TEST, strategy="identity")
    assert np.allclose(found, test @ train.T, rtol=1e-4, atol=1e-7)


def test_a_sample_helps_itself_most_and_the_model_stays_as_it_was():
    pytest.importorskip("kronfluence", reason="kronfluence is not installed")
    model = tiny("bert")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(0)
    found = ekfac.compute_scores(model, TRAIN, TRAIN)
    assert (np.diag(found) > 0).all()
    lengths = np.sqrt(np.diag(found))
    cosine = found / np.outer(lengths, lengths)
    assert np.allclose(cosine, cosine.T, atol=1e-3) and np.abs(cosine).max() <= 1 + 1e-3
    identity = ekfac.compute_scores(model, TRAIN, TRAIN, strategy="identity")
    assert np.corrcoef(found.ravel(), identity.ravel())[0, 1] < 0.999, "no curvature was used"
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())
