"""The cube on disk: every cell written once, and a gather step that refuses anything else."""

import json

import numpy as np
import pytest
import torch
import xarray as xr
from conftest import random_samples, tiny

from xl_influence import influence_pass
from xl_influence.cube import Cube, CubeError
from xl_influence.engine.engine import Engine
from xl_influence.tracin import gradient_products

GROUPS = ["embeddings", "head"]


def samples(name, n):
    return [{"uid": f"{name}{i}", "lang": "en", "item": i, "label": 0} for i in range(n)]


@pytest.fixture
def cube(tmp_path):
    """2 checkpoints, 5 test samples in tiles of 2, 7 training samples in ranges of 3."""
    return Cube.create(
        tmp_path / "work",
        groups=GROUPS,
        epochs=[1, 2],
        test=samples("t", 5),
        train=samples("n", 7),
        test_tile=2,
        train_tile=10,
        shard_size=3,
    )


def products(cube, shard):
    """Numbers that tell where they belong."""
    n_test, n_train = (edges[1] - edges[0] for edges in (shard.test, shard.train))
    test, train = np.arange(*shard.test), np.arange(*shard.train)
    dot = np.broadcast_to(
        100.0 * shard.checkpoint + 10 * test[:, None] + train, (2, n_test, n_train)
    )
    return xr.Dataset(
        {
            "dot": (("group", "test", "train"), dot),
            "test_sqnorm": (("group", "test"), np.tile(test + 1.0, (2, 1))),
            "train_sqnorm": (("group", "train"), np.tile(train + 1.0, (2, 1))),
        },
        coords={"group": GROUPS},
    )


def fill(cube, skip=()):
    for shard in cube.claim_shards():
        if shard.name not in skip:
            cube.write(shard, products(cube, shard))
        elif not (cube.written / f"{shard.name}.json").exists():  # claims to be written
            (cube.written / f"{shard.name}.json").write_text(json.dumps(shard.box))


def test_shards_fill_every_cell_once_and_in_place(cube):
    fill(cube)
    whole = xr.open_zarr(cube.gather()).load()
    where = 100 * np.arange(2)[:, None, None] + 10 * np.arange(5)[:, None] + np.arange(7)
    assert np.array_equal(whole["dot"].sel(group="head"), where)
    assert np.array_equal(whole["test_sqnorm"][1, 0], np.arange(5) + 1) and np.array_equal(
        whole["train_sqnorm"][1, 0], np.arange(7) + 1
    )
    assert len(cube.list_shards()) == 2 * 3 * 3 and not cube.is_busy()


def test_no_two_shards_share_a_file(cube):
    def chunks():
        return {
            path: path.stat().st_mtime_ns
            for path in cube.path.rglob("*")
            if path.is_file() and "c" in path.parts
        }

    written = []
    for shard in cube.claim_shards():
        before = chunks()
        cube.write(shard, products(cube, shard))
        now = chunks()
        written += [path for path in now if before.get(path) != now[path]]
    assert len(written) == len(set(written))
    assert len(cube.list_shards()) == sum("dot" in str(path) for path in written)


def test_a_missing_an_overlapping_and_a_lost_shard_are_refused(cube):
    fill(cube)
    path = cube.written / "0-0-0.json"
    text = path.read_text()
    path.unlink()
    with pytest.raises(
        CubeError, match=r"6 cells were never written, 0 more than once.*\(0, 0, 0\)"
    ):
        cube.gather()
    path.write_text(json.dumps([[0, 1], [0, 2], [0, 4]]))
    with pytest.raises(CubeError, match="0 cells were never written, 2 more than once"):
        cube.gather()
    path.write_text(text)
    assert cube.gather() == cube.path


def test_a_shard_that_claims_to_be_written_and_is_not_is_refused(cube):
    fill(cube, skip=("1-2-3",))
    with pytest.raises(CubeError, match="12 values of dot are not numbers"):
        cube.gather()


def test_a_shard_that_another_process_holds_is_left_to_it_until_it_dies(cube):
    claims = cube.claim_shards()
    first = next(claims)
    assert cube.is_busy()
    others = []
    for shard in cube.claim_shards():
        others.append(shard)
        cube.write(shard, products(cube, shard))
        if len(others) == len(cube.list_shards()) - 1:
            claims.close()  # the other process dies with its shard unwritten
    assert (
        others[-1] == first and first not in others[:-1] and len(others) == len(cube.list_shards())
    )


def test_an_unfinished_cube_of_an_earlier_version_goes_on(cube):
    path = cube.work / "layout.json"
    layout = json.loads(path.read_text())
    for old, new in {"tile": "test_tile", "step": "shard_size", "together": "train_tile"}.items():
        layout[old] = layout.pop(new)
    path.write_text(json.dumps(layout))
    again = Cube(cube.work)
    assert (again.layout, again.list_shards()) == (cube.layout, cube.list_shards())


def test_the_influence_pass_fills_a_cube_with_the_products(tmp_path, monkeypatch):
    """Two checkpoints, two tiles of test samples, three ranges of training samples."""
    models = {1: tiny("bert"), 2: tiny("roberta")}
    train, test = random_samples(7, seed=2), random_samples(3, seed=1)
    cube = Cube.create(
        tmp_path / "work",
        groups=Engine(models[1]).groups,
        epochs=[1, 2],
        test=test,
        train=train,
        test_tile=2,
        train_tile=2,
        shard_size=3,
    )
    loaded = []

    def load_engine(params, run, epoch, device):
        loaded.append(epoch)
        return Engine(models[epoch])

    monkeypatch.setattr(influence_pass, "_load_engine", load_engine)
    monkeypatch.setattr(influence_pass, "_read_samples", lambda run: (train, test))
    influence_pass._fill({"task": "xnli"}, tmp_path, cube, torch.device("cpu"), progress=False)
    found = xr.open_zarr(cube.gather()).load()
    assert loaded == [1, 2]
    for epoch, model in models.items():
        exact = gradient_products(model, train, test)
        for name in ("dot", "test_sqnorm", "train_sqnorm"):
            stored = found[name].sel(checkpoint=epoch)
            assert np.allclose(stored, exact[name], rtol=1e-4, atol=1e-6)
