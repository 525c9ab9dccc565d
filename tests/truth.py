"""What the engine is compared with: plain float64 autograd, one sample at a time."""

import copy

import numpy as np
import torch
from torch.nn import functional

from xl_influence.tracin import influence

KINDS = ["xlm-roberta", "bert", "roberta", "distilbert", "deberta-v2", "gpt2"]


def plain(model, samples):
    """Gradients by a loop of single backward passes: float64 array (samples, parameters)."""
    model = copy.deepcopy(model).double()
    rows = []
    for sample in samples:
        model.zero_grad()
        logits = model(input_ids=torch.tensor([sample["input_ids"]])).logits
        functional.cross_entropy(logits, torch.tensor([sample["label"]])).backward()
        parts = [
            p.grad if p.grad is not None else torch.zeros_like(p)
            for p in model.parameters()
            if p.requires_grad
        ]
        rows.append(torch.cat([part.flatten() for part in parts]).numpy())
    return np.array(rows)


def cosines(a, b):
    return a @ b.T / np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))


def largest_error(scores, model, train, test):
    """Largest difference of a cosine from float64 autograd's."""
    truth = cosines(plain(model, test), plain(model, train))
    return np.abs(influence(scores).to_numpy() - truth).max()
