"""What may be published of a run: `python -m xl_influence.publish study=real task=xnli` takes it out of `runs/`.

A published run lies under `results/<study>/<task>/<variant>/`: the manifest, the samples without their texts, the influence
of every training sample on every test sample as float16 (per checkpoint of the base run, summed for a variant), and the
tables. Every analysis reads it with `runs_root=results`. It holds no text of any data set.

Where a run was made from a prepared folder the data are not at hand: its samples are published without their rows in the
official release; where the data are, `python -m xl_influence.publish describe study=real task=xnli` adds these.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
import zarr

from . import data, influence, runs, scores, sharing, tables, texts
from .manifest import read_manifest, write_manifest
from .params import root

LOCAL = {
    "runs_root": "runs",
    "data_root": "",
    "prepared": "",
}  # parameters that name folders of one machine, as published
SAMPLES = ("uid", "lang", "item", "label")
ADDED = ("official", "wholly_in_script")  # told by the data
CODES = 40  # letters: longer strings in a table would be texts


def publish(merged, target="results"):
    """Write the publishable part of a finished run. Returns its folder (pathlib.Path).

    Raises
    ------
    RunError
        The run has no score cube, a table holds long strings, or data needed to name the official rows are not there.
    """
    scores.make(merged)
    cube, train, test, manifest = scores.read(merged)
    if merged["variant"] == "base":
        _make_tables(merged, cube, train, test)
    cube, test = _of_interest(merged, cube, test)
    if not merged["prepared"]:
        train, test = (
            _described(merged, frame, split) for frame, split in ((train, "train"), (test, "test"))
        )
        if "class_counts" not in manifest:  # of a run from before it was written
            manifest["class_counts"] = data.class_counts(data.load(merged))
    manifest["parameters"] |= LOCAL
    with runs.complete(_place(merged, target)) as folder:
        folder.mkdir()
        for name, frame in (("train", train), ("test", test)):
            _without_texts(frame).to_parquet(folder / f"{name}.parquet", index=False)
        _write_influence(cube, train, test, merged["variant"] == "base", folder / "influence.zarr")
        write_manifest(folder, **manifest)
        _copy_tables(merged, tables.place(merged) / "tables", folder / "tables")
    return _place(merged, target)


def describe(merged, target="results"):
    """Add to a published run's samples what only the data tell: `official` and `wholly_in_script`. Returns its folder."""
    folder = _place(merged, target)
    samples = texts.drawn(merged, read_manifest(folder))
    for split in ("train", "test"):
        bare = pd.read_parquet(folder / f"{split}.parquet").drop(
            columns=list(ADDED), errors="ignore"
        )
        frame = _described(merged, texts.put(bare, samples[split]), split)
        with runs.complete(folder / f"{split}.parquet") as path:
            _without_texts(frame).to_parquet(path, index=False)
    return folder


def _place(merged, target):
    base = Path(target) if Path(target).is_absolute() else root() / target
    return base / merged["study"] / merged["task"] / merged["variant"]


def _make_tables(merged, cube, train, test):
    """The tables that take more than the influence over all parameters, where notebook 10 has not made them."""
    choice = {"top_k": merged["top_k"], "bootstrap": sharing.Bootstrap.of(merged)}
    for name, function in (("groups", sharing.by_group), ("contributions", sharing.contributions)):
        if tables.find(merged, name) is None:
            tables.write(merged, **{name: function(cube, train, test, **choice)})


def _of_interest(merged, cube, test):
    """Of a model trained on other languages only the test samples in the language that the variant changes."""
    changed = merged["left_out"] or merged["extra_language"]
    if not changed:
        return cube, test
    mine = (test["lang"] == changed).to_numpy()
    return cube.isel(test=mine), test[mine].reset_index(drop=True)


def _described(merged, frame, split):
    """The samples with `official` (their row in the official release) and `wholly_in_script`."""
    if "text_a" not in frame:
        frame = texts.put(frame, texts.drawn(merged, read_manifest(runs.folder(merged)))[split])
    return frame.assign(
        official=_official(merged, frame, split), wholly_in_script=sharing.wholly_in_script(frame)
    )


def _official(merged, frame, split):
    """Where each sample stands in the official release: '<split>-<row>', or the data set's own id."""
    folder = Path(merged["data_root"]).expanduser()
    rows, task = folder / "official-rows" / f"{merged['task']}.csv", data.tasks.find(merged)
    if merged["data"] == "demo" or merged["task"] == "own":
        return None
    if task.item_column:
        return frame["item"].astype(str)
    if merged["data_root"] and rows.is_file():
        known = pd.read_csv(rows).query("split == @split").set_index("row")
        return [
            f"{known.at[item, 'official_split']}-{known.at[item, 'official_row']}"
            for item in frame["item"]
        ]
    own = {
        lang: _own_ids(folder / task.hub.format(lang=lang) / f"{split}.jsonl")
        for lang in frame["lang"].unique()
    }
    return [
        own[row.lang][row.item] if own[row.lang] else f"{split}-{row.item}"
        for row in frame.itertuples()
    ]


def _own_ids(path):
    """The `id` of every row of a JSON-lines file; None where there is no such file or column."""
    rows = pd.read_json(path, lines=True, dtype=False) if path.is_file() else None
    return rows["id"].astype(str).tolist() if rows is not None and "id" in rows else None


def _without_texts(frame):
    more = [
        column for column in (*ADDED, "template", "phenomenon", "confidence") if column in frame
    ]
    return frame[[*SAMPLES, *more]]


def _write_influence(cube, train, test, by_checkpoint, path):
    values = (
        influence.terms(cube).sum("group", skipna=False)
        if by_checkpoint
        else influence.influence(cube)
    )
    values = values.transpose(..., "test", "train")
    coords = {"checkpoint": cube["checkpoint"].to_numpy()} if by_checkpoint else {}
    for dim, frame in (("test", test), ("train", train)):
        coords |= influence.sample_coords(frame.to_dict("records"), dim)
    dataset = xr.Dataset(
        {"influence": (values.dims, values.to_numpy().astype(np.float16))}, coords=coords
    )
    chunks = [1] * by_checkpoint + [len(test), len(train)]
    packed = zarr.codecs.BloscCodec(cname="zstd", clevel=9, shuffle="bitshuffle", typesize=2)
    dataset.to_zarr(
        path,
        mode="w",
        consolidated=False,
        encoding={"influence": {"chunks": chunks, "compressors": [packed]}},
    )


def _copy_tables(merged, source, target):
    target.mkdir()
    for path in sorted(source.glob("*.parquet")):
        table = tables.read(merged, path.stem)
        for column in table.select_dtypes(["object", "str"]):
            longest = table[column].dropna().astype(str).str.len().max()
            if path.stem != "claims" and longest > CODES:
                raise runs.RunError(
                    f"{path}, column {column}: strings of up to {longest} letters; allowed are {CODES}"
                )
        table.to_parquet(target / path.name, index=False)


if __name__ == "__main__":
    import sys

    from .params import merge, parse

    given = sys.argv[1:]
    if given[:1] == ["describe"]:
        print(describe(merge(parse(given[1:]))))
    else:
        pairs = parse(given)
        print(
            publish(
                merge({key: value for key, value in pairs.items() if key != "target"}),
                pairs.get("target", "results"),
            )
        )
