"""Removing influential samples and training again (section 6, Appendix A): does the confidence follow?

`retrain(params)` repeats the fine-tuning of a finished run without some of its training samples, once for every set of
`plan`, and leaves the gold class's probability before and after. What a retraining found is kept under the run's
`retrainings/`, so a killed notebook goes on where it stopped, and equal sets are trained once.
"""

import copy
import itertools
import json
import tempfile
from dataclasses import dataclass

import numpy as np
import pandas as pd
from tqdm import tqdm

from . import fingerprints, runs, scores, tables, tasks
from .influence import influence
from .sharing import SIGNS, bootstrap, summary, top_samples

STRATEGIES = ("top", "random", "random_labels", "random_languages")
COLUMNS = [
    "test_uid",
    "test_lang",
    "k",
    "sign",
    "strategy",
    "seed",
    "confidence_before",
    "confidence_after",
]


class RemovalError(ValueError):
    """More samples are to be removed than there are, or the run is not complete."""


@dataclass(frozen=True)
class Removal:
    """One set of training samples to leave out, for the sake of one test sample."""

    test_uid: str
    sign: str
    strategy: str  # of STRATEGIES
    k: int
    seed: int
    removed: tuple  # rows of the training samples, in order


def plan(cube, train, test, *, ks, samples, seeds):
    """All sets to remove: for `samples` test samples, both signs, every k and seed, the top k and its three controls.

    The controls remove k at random; k at random with the same number of each label as the top k; k at random with the same
    number from each language. They are drawn anew for each seed, from all training samples. Returns a list of `Removal`.
    """
    if max(ks) >= len(train):
        raise RemovalError(
            f"removal_ks={list(ks)}: allowed are 1 to {len(train) - 1}; there are {len(train)} training samples"
        )
    values, found = influence(cube).to_numpy(), []
    for row in _in_turn(test, samples):
        uid = test["uid"].iloc[row]
        for (place, sign), k in itertools.product(enumerate(SIGNS), ks):
            top = top_samples(values[[row]], k, sign)[0]
            for seed in seeds:
                rng = np.random.default_rng([seed, k, row, place])
                same = np.random.default_rng([seed, k])  # one draw for every test sample and sign
                sets = {
                    "top": top,
                    "random": same.choice(len(train), k, replace=False),
                    "random_labels": _like(rng, top, train["label"].to_numpy()),
                    "random_languages": _like(rng, top, train["lang"].to_numpy()),
                }
                found += [
                    Removal(uid, sign, how, k, seed, tuple(sorted(map(int, rows))))
                    for how, rows in sets.items()
                ]
    return found


def _in_turn(test, samples):
    """Rows of the first `samples` test samples, the languages in turn."""
    turn = test.groupby("lang", sort=False).cumcount()
    return list(turn.reset_index(drop=True).sort_values(kind="stable").index[:samples])


def _like(rng, top, values):
    """Random rows with the same number of each of `values` (train,) as the rows `top` have."""
    kinds, counts = np.unique(values[top], return_counts=True)
    return np.concatenate(
        [
            rng.choice(np.flatnonzero(values == k), n, replace=False)
            for k, n in zip(kinds, counts, strict=True)
        ]
    )


def retrain(params, progress=True):
    """The table `removal`: one row per test sample, sign, k, strategy and seed. Makes what is missing of the run first.

    Returns
    -------
    pandas.DataFrame
        `test_uid, test_lang, k, sign, strategy, seed, confidence_before, confidence_after`: the probability of the gold
        class, by the model trained with the same seed on all samples, and on all but the removed.
    """
    scores.make(params, progress)
    cube, train, test, manifest = scores.read(params)
    seeds = range(params["seed"], params["seed"] + params["removal_seeds"])
    removals = plan(
        cube, train, test, ks=params["removal_ks"], samples=params["removal_samples"], seeds=seeds
    )
    sets = dict.fromkeys(
        sorted({(seed, ()) for seed in seeds} | {(r.seed, r.removed) for r in removals})
    )
    trainer = _Retrainer(params, train, test, manifest["chosen_epoch"])
    for chosen in tqdm(
        sets,
        desc=f"{params['task']}: retraining",
        unit="training",
        disable=not progress,
        mininterval=10,
    ):
        sets[chosen] = trainer.confidence(*chosen)
    lang = test.set_index("uid")["lang"]
    rows = []
    for r in removals:
        before, after = (sets[r.seed, removed][r.test_uid] for removed in ((), r.removed))
        rows.append([r.test_uid, lang[r.test_uid], r.k, r.sign, r.strategy, r.seed, before, after])
    return pd.DataFrame(rows, columns=COLUMNS)


def find(params, progress=True):
    """The table `removal`: of a published run the one that was published, None where none was; else as `retrain`."""
    if not runs.is_published(runs.folder(params)):
        return retrain(params, progress)
    return tables.read_all(params).get("removal")


class _Retrainer:
    """Trains the model of a run again, on part of its samples."""

    def __init__(self, params, train, test, epochs):
        self.params, self.train, self.test, self.epochs = params, train, test, epochs
        self.run, self.mark = runs.folder(params), fingerprints.finetuned(params)
        self.ids = runs.read_inputs(self.run, "train")["input_ids"].tolist()
        self.test_ids = (
            runs.read_inputs(self.run, "test")
            .set_index("uid")
            .loc[test["uid"], "input_ids"]
            .tolist()
        )
        self.models = {}  # seed → the model before training

    def confidence(self, seed, removed):
        """Test uid → probability of the gold class after training without the rows `removed`."""
        if not removed and seed == self.params["seed"]:  # the run itself
            return dict(zip(self.test["uid"], self.test["confidence"], strict=True))
        mark = runs.fingerprint(
            "removal", self.mark, self.epochs, seed, removed, list(self.test["uid"])
        )
        path = self.run / "retrainings" / f"{mark}.json"
        if not path.exists():
            found = dict(zip(self.test["uid"], map(float, self._train(seed, removed)), strict=True))
            with runs.write_atomically(path) as partial:
                partial.write_text(json.dumps(found), encoding="utf-8")
        return json.loads(path.read_text(encoding="utf-8"))

    def _train(self, seed, removed):
        from .finetune import pick_device
        from .selection import predict
        from .trainer import build

        kept = np.setdiff1d(np.arange(len(self.train)), removed)
        sequences = {"train": [self.ids[row] for row in kept], "validation": []}
        samples = {"train": self.train.iloc[kept], "validation": self.train.iloc[:0]}
        params, device = self.params | {"seed": seed}, pick_device(self.params["device"])
        model = self._new(seed)
        with tempfile.TemporaryDirectory() as work:
            trainer = build(
                params,
                model,
                samples=samples,
                sequences=sequences,
                pad=model.config.pad_token_id,
                work=work,
                device=device,
                stop_after=self.epochs,
            )
            trainer.train()
        probability = predict(model.eval(), self.test_ids, params["max_tokens"])
        return probability[np.arange(len(self.test)), self.test["label"]]

    def _new(self, seed):
        """The encoder with a new head, as fine-tuning begins with it."""
        from . import encoders

        if seed not in self.models:
            kept = np.load(self.run / "checkpoints" / "vocabulary.npy")
            self.models = {
                seed: encoders.load_model(
                    self.params, tasks.find(self.params).class_names, seed, kept
                )
            }
        return copy.deepcopy(self.models[seed])


def change(removal, *, parallel=True, resamples=2000, confidence_level=0.95, seed=0):
    """Mean change of confidence by removal (Figures 1, 6 to 8).

    `removal`: the table of `retrain`; `parallel`: as for `by_sample`. Changes are averaged over seeds, then over test
    samples, whose items are resampled.

    Returns
    -------
    pandas.DataFrame
        `sign, strategy, k, change, ci_low, ci_high` (in probability; NaN from fewer than `sharing.FEWEST` items),
        `test_samples, items`.
    """
    choice = {"resamples": resamples, "confidence_level": confidence_level, "seed": seed}
    return summary(
        by_sample(removal, parallel), ["sign", "strategy", "k"], value="change", **choice
    )


def by_sample(removal, parallel=True):
    """What `change` is the mean of: `sign, strategy, k, test_uid, item, change`, averaged over seeds.

    `parallel`: test samples of several languages that have one number are one item; False: each is its own, as in MARC.
    """
    table = removal.assign(
        change=removal["confidence_after"] - removal["confidence_before"], item=removal["test_uid"]
    )
    if parallel:
        table["item"] = [
            uid.removeprefix(lang)
            for uid, lang in zip(table["test_uid"], table["test_lang"], strict=True)
        ]
    return (
        table.groupby(["sign", "strategy", "k", "test_uid", "item"], sort=False)["change"]
        .mean()
        .reset_index()
    )


def against_controls(removal, *, parallel=True, resamples=2000, confidence_level=0.95, seed=0):
    """How much more removing the top k changes confidence than each control does, for the same test samples.

    Returns
    -------
    pandas.DataFrame
        `sign, strategy` (the control), `k, difference` (change by the top k minus change by the control), `ci_low, ci_high`,
        `test_samples, items`, `beyond` (there is an interval, and it lies on the expected side of zero, below it for
        positive samples).
    """
    each, keys = against_controls_by_sample(removal, parallel), ["sign", "strategy", "k"]
    choice = {"resamples": resamples, "confidence_level": confidence_level, "seed": seed}
    table = summary(each, keys, value="difference", **choice)
    below, above = table["ci_high"] < 0, table["ci_low"] > 0
    return table.assign(beyond=np.where(table["sign"] == "positive", below, above))


def against_controls_by_sample(removal, parallel=True):
    """What `against_controls` is the mean of: `sign, strategy, k, test_uid, item, change, difference`."""
    each, keys = by_sample(removal, parallel), ["sign", "k", "test_uid"]
    top = each[each["strategy"] == "top"].set_index(keys)["change"]
    rest = each[each["strategy"] != "top"]
    pairs = list(rest[keys].itertuples(index=False, name=None))
    return rest.assign(difference=top.loc[pairs].to_numpy() - rest["change"])


def levels_off(removal, *, parallel=True, resamples=2000, confidence_level=0.95, seed=0):
    """The k at which the curve levels off, by sign: the smallest k beyond which no larger one changes confidence further.

    Further means that the interval of the paired difference between the two ks excludes zero, on the expected side. The
    paper says 'starts to level off' (section 6) and 'the smallest possible value of k for which we observe consistent
    change' (Appendix A), by eye. Returns a dict from sign to k, None where no k changes confidence on the expected side, or
    there are too few test samples for an interval.
    """
    found, each = {}, by_sample(removal, parallel)
    for sign, direction in SIGNS.items():
        part = each[(each["sign"] == sign) & (each["strategy"] == "top")]
        drop = -direction * part.pivot(
            index=["test_uid", "item"], columns="k", values="change"
        )  # positive: as expected
        items = drop.index.get_level_values("item")

        def rises(values, items=items):
            return bootstrap(values, resamples, confidence_level, seed, items)[0] > 0

        ks = [k for k in drop.columns if rises(drop[k])]
        found[sign] = next(
            (
                k
                for k in ks
                if not any(rises(drop[more] - drop[k]) for more in drop.columns if more > k)
            ),
            None,
        )
    return found
