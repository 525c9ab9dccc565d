"""Runs of random gradients, with and without a planted answer."""

import itertools

import numpy as np
import pandas as pd
import xarray as xr

from xl_influence import methods
from xl_influence.sharing import Bootstrap

FEW = Bootstrap(100)


def make_samples(languages, items, seed=0, labels=2, prefix=""):
    """Parallel samples: every item in every language, with the same label."""
    rng = np.random.default_rng(seed)
    label = dict(zip(items, rng.integers(labels, size=len(items)), strict=True))
    rows = [
        {"uid": f"{prefix}{lang}{item}", "lang": lang, "item": item, "label": int(label[item])}
        for lang in languages
        for item in items
    ]
    return pd.DataFrame(rows)


def make_cube(gradients, epochs=1):
    """The cube of gradients: group → (test, train) arrays of shape (epoch, sample, dim)."""
    parts = [
        {
            "dot": np.einsum("eid,ejd->eij", test, train),
            "test_sqnorm": (test**2).sum(-1),
            "train_sqnorm": (train**2).sum(-1),
        }
        for test, train in gradients.values()
    ]
    dims = {
        "dot": ("checkpoint", "group", "test", "train"),
        "test_sqnorm": ("checkpoint", "group", "test"),
        "train_sqnorm": ("checkpoint", "group", "train"),
    }
    arrays = {name: (dims[name], np.stack([part[name] for part in parts], 1)) for name in dims}
    coords = {"checkpoint": range(1, epochs + 1), "group": list(gradients)}
    return xr.Dataset(arrays, coords=coords)


def given_at_random(seed=0, groups=("embeddings", "layer-00", "layer-01", "head"), epochs=2):
    """A run of random gradients: 3 languages, 20 training items and 6 test items."""
    rng = np.random.default_rng(seed)
    train = make_samples(["en", "de", "es"], range(20), seed)
    test = make_samples(["en", "de", "es"], range(100, 106), seed + 1)
    gradients = {
        group: (rng.normal(size=(epochs, len(test), 5)), rng.normal(size=(epochs, len(train), 5)))
        for group in groups
    }
    cube = make_cube(gradients, epochs)
    cube = cube.assign_coords(train=list(train["uid"]), test=list(test["uid"]))
    return methods.MethodInput(cube, train, test, top_k=10), gradients


def planted_run(seed=0, sources=("gradients",)):
    """A run whose gradients point by phenomenon and label, and a little by language."""
    rng = np.random.default_rng(seed)
    train = make_samples(["en", "de", "es", "fr"], range(60), seed)
    test = make_samples(["en", "de", "es", "fr"], range(100, 108), seed + 1)
    planted = train[train["lang"] == "de"].head(0)
    for lang, item in itertools.product(["de"], range(100, 108)):
        label = test.loc[test["item"] == item, "label"].iloc[0]
        row = {"uid": f"{lang}{item}", "lang": lang, "item": item, "label": label}
        planted = pd.concat([planted, pd.DataFrame([row])])
    train = pd.concat([train, planted], ignore_index=True)
    directions = rng.normal(size=(300, 40))
    parts = []
    for frame in (train, test):
        frame["phenomenon"] = [f"p{item % 6}" for item in frame["item"]]
        kind = (frame["item"] % 6) * 2 + frame["label"]
        language = 50 + pd.factorize(frame["lang"])[0]
        item = 100 + frame["item"]
        mean = 2 * directions[kind] + 1.5 * directions[language] + 1.5 * directions[item]
        parts.append((mean + 3 * rng.normal(size=mean.shape))[None])
    cube = make_cube({"embeddings": parts[::-1], "layer-00": parts[::-1]})
    cube = cube.assign_coords(train=list(train["uid"]), test=list(test["uid"]))
    return methods.MethodInput(cube, train, test, top_k=10)
