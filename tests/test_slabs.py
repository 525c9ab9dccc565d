"""A cube in slabs gives what the whole cube gives, from memory and from disk."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from xl_influence import cube_contents, explorer, influence, publish, sharing, slabs
from xl_influence.cube import Cube
from xl_influence.sharing import top
from xl_influence.tasks import TASKS

LANGUAGES = ("de", "en", "zh")
GROUPS = ["embeddings", "layer-00", "head"]
BOOTSTRAP = sharing.Bootstrap(20)
CHOICE = {"top_k": 5, "bootstrap": BOOTSTRAP}


def make_samples(items):
    rows = [{"lang": lang, "item": item} for lang in LANGUAGES for item in items]
    frame = pd.DataFrame(rows)
    return frame.assign(
        uid=frame["lang"] + frame["item"].astype(str),
        label=frame["item"] % 2,
        phenomenon=frame["item"] % 3,
        text_a=np.where(frame["lang"] == "zh", "汉字", "a text"),
        text_b=None,
        confidence=0.9,
    )


TRAIN, TEST = make_samples(range(40)), make_samples(range(38, 42))


def make_products(n_test, n_train, seed):
    """Random values, rounded so that some tie."""
    rng = np.random.default_rng(seed)
    return xr.Dataset(
        {
            "dot": (("group", "test", "train"), rng.normal(size=(3, n_test, n_train)).round(1)),
            "test_sqnorm": (("group", "test"), np.full((3, n_test), 1 / 3)),
            "train_sqnorm": (("group", "train"), np.full((3, n_train), 1 / 3)),
        },
        coords={"group": GROUPS},
    )


def write_cube(folder, keep="groups"):
    """A cube of 2 checkpoints, in tiles of 5 test samples and shards of 16 training samples."""
    cube = Cube.create(
        folder,
        groups=GROUPS,
        epochs=[1, 2],
        test=TEST.to_dict("records"),
        train=TRAIN.to_dict("records"),
        test_tile=5,
        train_tile=8,
        shard_size=16,
        keep=keep,
    )
    for number, shard in enumerate(cube.claim_shards()):
        sizes = (shard.test[1] - shard.test[0], shard.n_train)
        cube.write(shard, make_products(*sizes, seed=number))
    return cube


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_cube(tmp_path_factory.mktemp("cube") / "work").gather()


def run_all(cube):
    """Every analysis that reads a cube, by name."""
    run = (cube, TRAIN, TEST)
    tokens = [[[1 + row % 7, 2, 3] for row in range(len(part))] for part in (TRAIN, TEST)]
    kinds = {0: "special", 1: "word", 2: "word", 3: "name"} | dict.fromkeys(range(4, 9), "name")
    de = (TRAIN["lang"] != "de").to_numpy()
    less = (cube.isel(train=de), TRAIN[de].reset_index(drop=True), TEST)
    return {
        "share_by_k": sharing.share_by_k(*run, bootstrap=BOOTSTRAP),
        "composition": sharing.composition(*run, **CHOICE),
        "mean_influence": sharing.mean_influence(*run, bootstrap=BOOTSTRAP),
        "distribution": sharing.distribution(*run),
        "scripts": sharing.scripts(*run, **CHOICE),
        "planted": sharing.planted(*run, **CHOICE),
        "rank": sharing.translation_rank(*run, bootstrap=BOOTSTRAP),
        "reinforcement": sharing.reinforcement(*run, **CHOICE),
        "epoch_tests": sharing.epoch_tests(*run),
        "zero_shot": sharing.zero_shot(run, less, "de", **CHOICE),
        "by_group": sharing.by_group(*run, **CHOICE),
        "contributions": sharing.contributions(*run, **CHOICE),
        "shared_tokens": sharing.shared_tokens(*run, tokens, kinds, **CHOICE),
        "examples": sharing.all_examples(*run),
        "explorer": explorer.describe(*run, TASKS["pawsx"], top_k=5),
        "published": publish.compute_influence(cube, by_checkpoint=True),
    }


def test_every_analysis_in_slabs_is_that_of_the_whole(path, monkeypatch):
    loaded = xr.open_zarr(path).load().drop_encoding()
    assert len(list(slabs.read_slabs(loaded))) == 1
    whole = run_all(loaded)
    lazy = slabs.open_lazily(path)
    monkeypatch.setattr(slabs, "SLAB_BYTES", 1)
    assert (
        len(list(slabs.read_slabs(lazy))) == 3 * 8
    )  # 12 test samples by 5, 120 training ones by 16
    for name, found in run_all(lazy).items():
        if isinstance(found, pd.DataFrame):
            pd.testing.assert_frame_equal(found, whole[name], rtol=1e-12, atol=1e-15)
        elif name == "published":
            xr.testing.assert_identical(found, whole[name])
        else:
            assert json.dumps(found) == json.dumps(whole[name])


def test_slabs_cover_every_pair_once_and_hold_it(path):
    lazy, whole = slabs.open_lazily(path), xr.open_zarr(path).load()
    times = np.zeros((len(TEST), len(TRAIN)))
    for slab in slabs.read_slabs(lazy, size=8 * 2 * 3 * 5 * 40):  # 40 training samples: 2 chunks
        times[slab.test, slab.train] += 1
        assert slab.train.start % 32 == 0
        there = whole.isel(test=slab.test, train=slab.train)
        assert np.array_equal(slab.scores["dot"], there["dot"])
    assert (times == 1).all()


def test_a_small_cube_is_read_once_and_a_large_one_stays_on_disk(path, monkeypatch):
    assert isinstance(
        slabs.load_if_small(slabs.open_lazily(path))["dot"].variable._data, np.ndarray
    )
    monkeypatch.setattr(slabs, "IN_MEMORY", 0)
    large = slabs.load_if_small(slabs.open_lazily(path))
    assert not isinstance(large["dot"].variable._data, np.ndarray)
    assert isinstance(large["train_sqnorm"].variable._data, np.ndarray)


def test_the_strongest_are_those_of_a_sort(path, monkeypatch):
    monkeypatch.setattr(slabs, "SLAB_BYTES", 1)
    lazy = slabs.open_lazily(path)
    values = influence.influence(lazy).to_numpy()
    for k in (1, 7, 120):
        tops = top.most_influential(lazy, k)
        for sign, factor in sharing.SIGNS.items():
            expected = np.argsort(-factor * values, axis=1, kind="stable")[:, :k]
            assert (tops[sign].rows == expected).all()
            assert (tops[sign].values == np.take_along_axis(values, expected, 1)).all()
    with pytest.raises(sharing.SharingError, match="top_k=121: allowed are 1 to 120"):
        top.most_influential(lazy, 121)


def test_values_by_hand(monkeypatch):
    monkeypatch.setattr(slabs, "SLAB_BYTES", 1)  # a slab for every training sample
    cube = influence.from_values([[0.5, 0.9, 0.5, -1.0]], TRAIN[:4], TEST[:1])
    assert top.values_at(cube, [np.array([3, 1])])[0].tolist() == [-1.0, 0.9]


def test_a_cube_by_checkpoint_or_summed_gives_the_same_influence(path, tmp_path):
    whole = xr.open_zarr(path).load()
    for keep in ("checkpoints", "sum"):
        cube = write_cube(tmp_path / keep, keep)
        found = xr.open_zarr(cube.gather()).load()
        expected = {"test": 12, "train": 120, "group": 1}
        expected |= {"checkpoint": 2} if keep == "checkpoints" else {}
        assert dict(found.sizes) == expected
        assert not sharing.has_groups(found)
        same = influence.influence(found).to_numpy(), influence.influence(whole).to_numpy()
        assert np.allclose(*same, atol=1e-6)
        assert list(found["train_lang"].values) == list(whole["train_lang"].values)


def test_what_a_cube_takes_is_told():
    sizes = {"checkpoint": 3, "group": 14, "test": 125, "train": 10_000}
    groups, by_checkpoint, summed = (
        cube_contents.count_cube_bytes(keep, **sizes) for keep in ("groups", "checkpoints", "sum")
    )
    pairs = 4 * 125 * 10_000  # bytes
    assert groups == (3 * 14 * pairs,) * 2 and by_checkpoint == (3 * pairs,) * 2
    assert summed == (3 * pairs, pairs)
    sizes |= {"train": 10**6}
    said = cube_contents.describe_bytes("sum", **sizes)
    assert said == "1.4 GB of disk until its checkpoints are summed, 0.5 GB afterwards (keep=sum)"
