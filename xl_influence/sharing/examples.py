"""Which samples they are, and whether they are those that ought to matter (section 6)."""

import numpy as np
import pandas as pd

from ..influence import influence
from .base import SIGNS, SharingError, check, samples_of, summary, top_samples


def influential_samples(scores, train, test, uid, *, n=3):
    """The test sample and its `n` most positively and negatively influential training samples (Tables 1, 2, 5).

    Returns
    -------
    pandas.DataFrame
        `sign` ('test' in the first row, then positive, negative), `uid`, `influence`, `lang`, `label`, `text_a`,
        `text_b`, and `phenomenon` where the corpus has it; strongest first.
    """
    check(scores, train, test)
    found = np.flatnonzero((test["uid"] == uid).to_numpy())
    if not len(found):
        raise SharingError(f"no test sample {uid!r}; there are {', '.join(test['uid'].head(5))} …")
    row = int(found[0])
    values = influence(scores.isel(test=[row])).to_numpy()
    columns = [c for c in ("uid", "lang", "label", "text_a", "text_b", "phenomenon") if c in train]
    parts = [test.iloc[[row]][columns].assign(sign="test", influence=np.nan)]
    for sign in SIGNS:
        top = top_samples(values, n, sign)[0]
        parts.append(train.iloc[top][columns].assign(sign=sign, influence=values[0, top]))
    return pd.concat(parts, ignore_index=True)


def planted(scores, train, test, *, top_k, resamples=2000, confidence_level=0.95, seed=0):
    """Demo corpora only: how many of the top k share the test sample's phenomenon, its label, and both.

    Returns
    -------
    pandas.DataFrame
        `what` ('phenomenon', 'label', 'both'), `sign`, `share, ci_low, ci_high`, `chance` (the same share among all
        training samples, averaged over the test samples), `test_samples, items`.
    """
    check(scores, train, test)
    if "phenomenon" not in train:
        raise SharingError("only the demo corpora say which phenomenon a sample tests")
    values = influence(scores).to_numpy()
    same = {
        c: train[c].to_numpy()[None] == test[c].to_numpy()[:, None] for c in ("phenomenon", "label")
    }  # (test, train)
    same["both"] = same["phenomenon"] & same["label"]
    samples, tables = samples_of(train, test), []
    for sign in SIGNS:
        top = top_samples(values, top_k, sign)
        for what, equal in same.items():
            share = np.take_along_axis(equal, top, 1).mean(1)
            tables.append(samples.assign(what=what, sign=sign, share=share, chance=equal.mean(1)))
    choice = {"resamples": resamples, "confidence_level": confidence_level, "seed": seed}
    return summary(pd.concat(tables), ["what", "sign"], **choice)
