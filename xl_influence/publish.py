"""The publishable part of a run: `python -m xl_influence.publish study=real task=xnli` writes it.

A published run is in `results/<study>/<task>/<variant>/`: the manifest, the samples without their
texts, the influence of every training sample on every test sample, and the tables. It has no text
of any data set. Every analysis reads it with `runs_root=results`.

The base run has influence per checkpoint, in steps of 2⁻²⁰. A variant has the sum over checkpoints:
in the same steps for the `scores.TAIL` most positive and most negative training samples of each
test sample, and in steps of `COARSE` for those in between, which comparisons of runs never read.

A machine with only a prepared folder has no data sets. It publishes samples without their rows in
the official release. Where the data are available,
`python -m xl_influence.publish describe study=real task=xnli` adds these.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from zarr.codecs import BloscCodec

from . import data, influence, runs, scores, sharing, tables, tasks, texts
from .manifest import read_manifest, write_manifest
from .own_files import name_folder
from .params import find_root, merge, parse
from .sections import FineTuning, Parameters
from .slabs import read_slabs
from .tasks import Task

# Parameters that name folders of one machine, with their published values.
LOCAL = {"runs_root": "runs", "data_root": "", "prepared": ""}
SAMPLES = ("uid", "lang", "item", "label")
ADDED = ("official", "wholly_in_script")  # columns that need the data
CHUNK = 2**30  # bytes of a published chunk at most; the compressor takes no more than twice that
STEP = 2.0**-20  # in which influence is published
COARSE = 0.25  # step for the values between the ends, which so take little space
# Whole numbers, which xarray multiplies again
STORED = {"dtype": "int32", "scale_factor": STEP, "_FillValue": -(2**31)}
CODES = 40  # letters; longer strings in a table would be texts


def publish(params: Parameters, target: str | Path = "results") -> Path:
    """Write the part of a finished run that can be published; computes nothing.

    Parameters
    ----------
    params
        The parameters of the run.
    target
        The folder of all published runs; a relative one is taken from the project's root.

    Returns
    -------
    pathlib.Path
        `<target>/<study>/<task>/<variant>`.

    Raises
    ------
    RunError
        A table holds long strings, or the data differ from those of the run.
    ScoreError
        The run has no complete score cube.
    """
    cube, train, test, manifest = scores.read(params)
    if params["variant"] == "base":
        _make_tables(params, cube, train, test)
    # Published with the items of the data; `scores.read` separates those that are no translations
    train, test = (runs.read_samples(params, split) for split in ("train", "test"))
    cube, test = _select_changed(params["left_out"] or params["extra_language"], cube, test)
    if not params["prepared"]:
        train = _describe_samples(params, train, "train")
        test = _describe_samples(params, test, "test")
        if "class_counts" not in manifest:  # an older run
            manifest["class_counts"] = data.count_classes(data.load(params))
    manifest["parameters"] |= LOCAL
    place = _find_place(target, params["study"], name_folder(params), params["variant"])
    with runs.write_atomically(place) as folder:
        folder.mkdir()
        for name, frame in (("train", train), ("test", test)):
            _drop_texts(frame).to_parquet(folder / f"{name}.parquet", index=False)
        values = compute_influence(cube, by_checkpoint=params["variant"] == "base")
        if params["variant"] != "base":
            values = coarsen_middle(values)
        write_influence(folder / "influence.zarr", values, train, test)
        write_manifest(folder, **manifest)
        copy_tables(params, tables.find_output_dir(params) / "tables", folder / "tables")
    return place


def describe(params: FineTuning, target: str | Path = "results") -> Path:
    """Add to a published run the columns that need the data: `official`, `wholly_in_script`.

    Parameters
    ----------
    params
        The parameters of the run; `data_root` names the data, if they do not come from the hub.
    target
        The folder of all published runs.

    Returns
    -------
    pathlib.Path
        `<target>/<study>/<task>/<variant>`.

    Raises
    ------
    RunError
        The data differ from those of the run.
    """
    folder = _find_place(target, params["study"], name_folder(params), params["variant"])
    samples = texts.redraw(params, read_manifest(folder))
    for split in ("train", "test"):
        bare = pd.read_parquet(folder / f"{split}.parquet")
        bare = bare.drop(columns=list(ADDED), errors="ignore")
        frame = _describe_samples(params, texts.insert(bare, samples[split]), split)
        with runs.write_atomically(folder / f"{split}.parquet") as path:
            _drop_texts(frame).to_parquet(path, index=False)
    return folder


def _find_place(target: str | Path, *parts: str) -> Path:
    base = Path(target) if Path(target).is_absolute() else find_root() / target
    return base.joinpath(*parts)


def _make_tables(
    params: Parameters, cube: xr.Dataset, train: pd.DataFrame, test: pd.DataFrame
) -> None:
    """Write the tables that need more than the influence summed over all parameters.

    Notebook 10 writes them too; we compute those that it has not, if parameter groups were kept.
    """
    if not sharing.has_groups(cube):
        return
    top_k, bootstrap = params["top_k"], sharing.Bootstrap.of(params)
    for name, analysis in (("groups", sharing.by_group), ("contributions", sharing.contributions)):
        if tables.find(params, name) is None:
            tables.write(
                params, **{name: analysis(cube, train, test, top_k=top_k, bootstrap=bootstrap)}
            )


def _select_changed(
    lang: str, cube: xr.Dataset, test: pd.DataFrame
) -> tuple[xr.Dataset, pd.DataFrame]:
    """Keep the test samples in the language that the variant changes; all if it changes none."""
    if not lang:
        return cube, test
    selected = (test["lang"] == lang).to_numpy()
    return cube.isel(test=selected), test[selected].reset_index(drop=True)


def _describe_samples(params: FineTuning, frame: pd.DataFrame, split: str) -> pd.DataFrame:
    """Add `official` (the row in the official release) and `wholly_in_script` to the samples."""
    if "text_a" not in frame:
        manifest = read_manifest(runs.find_folder(params))
        frame = texts.insert(frame, texts.redraw(params, manifest)[split])
    return frame.assign(
        official=_find_official(params, frame, split),
        wholly_in_script=sharing.wholly_in_script(frame),
    )


def _find_official(params: FineTuning, frame: pd.DataFrame, split: str) -> Any:
    """Return each sample's place in the official release.

    '<split>-<row>', or the data set's own id; None for data without an official release.
    """
    if params["data"] == "demo" or params["task"] == "own":
        return None
    task, folder = tasks.find(params), Path(params["data_root"]).expanduser()
    if task.item_column:
        return frame["item"].astype(str)
    known = folder / "official-rows" / f"{params['task']}.csv"
    if params["data_root"] and known.is_file():
        rows = pd.read_csv(known)
        rows = rows[rows["split"] == split].set_index("row").loc[frame["item"]]
        return [
            f"{official_split}-{row}"
            for official_split, row in zip(
                rows["official_split"], rows["official_row"], strict=True
            )
        ]
    return _find_own_ids(task, folder, frame, split)


def _find_own_ids(task: Task, folder: Path, frame: pd.DataFrame, split: str) -> list[str]:
    """Return the ids in the data set's JSON-lines files, or '<split>-<row>' if it has none."""
    ids = {
        lang: _read_ids(folder / task.hub.format(lang=lang) / f"{split}.jsonl")
        for lang in frame["lang"].unique()
    }
    found = []
    for lang, item in zip(frame["lang"], frame["item"], strict=True):
        own = ids[lang]
        found.append(own[item] if own else f"{split}-{item}")
    return found


def _read_ids(path: Path) -> list[str] | None:
    """Return the `id` of every row of a file; None if there is no such file or column."""
    if not path.is_file():
        return None
    rows = pd.read_json(path, lines=True, dtype=False)
    return rows["id"].astype(str).tolist() if "id" in rows else None


def _drop_texts(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of the samples that may be published."""
    optional = (*ADDED, "template", "phenomenon", "confidence")
    return frame[[*SAMPLES, *(column for column in optional if column in frame)]]


def compute_influence(cube: xr.Dataset, *, by_checkpoint: bool) -> xr.DataArray:
    """Compute the influence to publish, slab by slab.

    Parameters
    ----------
    cube : xarray.Dataset
        The score cube.
    by_checkpoint : bool
        Whether to keep the checkpoints apart, if the cube does.

    Returns
    -------
    xarray.DataArray
        ([checkpoint,] test, train), float32.
    """
    if not by_checkpoint or "checkpoint" not in cube.dims:
        return influence.influence(cube).astype(np.float32)
    dims = ("checkpoint", "test", "train")
    values = np.empty([cube.sizes[dim] for dim in dims], np.float32)
    for slab in read_slabs(cube):
        part = influence.compute_terms(slab.scores).sum("group", skipna=False)
        values[..., slab.test, slab.train] = part.transpose(*dims)
    return xr.DataArray(values, {"checkpoint": cube["checkpoint"].to_numpy()}, dims)


def coarsen_middle(
    values: xr.DataArray, tail: int = scores.TAIL, step: float = COARSE
) -> xr.DataArray:
    """Round influence between the most positive and the most negative training samples.

    Rounded values stay between those that are kept, so the order of the latter and what they are
    never change.

    Parameters
    ----------
    values : xarray.DataArray
        (test, train) influence, summed over checkpoints.
    tail : int
        How many values at either end of each row to keep as they are.
    step : float
        What the others are rounded to multiples of.

    Returns
    -------
    xarray.DataArray
        The same shape, float32.
    """
    found = values.to_numpy()
    if found.shape[1] <= 2 * tail:
        return values
    ordered = np.sort(found, axis=1)
    low, high = ordered[:, [tail - 1]], ordered[:, [-tail]]
    rounded = np.clip(np.round(found / step) * step, low + STEP, high - STEP)
    kept = (found <= low) | (found >= high) | (high - low <= 2 * STEP)
    return values.copy(data=np.where(kept, found, rounded).astype(np.float32))


def write_influence(
    path: Path, values: xr.DataArray, train: pd.DataFrame, test: pd.DataFrame
) -> None:
    """Write influence, with the samples as coordinates, in steps of `STEP`.

    Half precision is too coarse: where a model is confident, the top samples differ by less.

    Parameters
    ----------
    path : Path
        The Zarr folder to create.
    values : xarray.DataArray
        From `compute_influence`.
    train, test : pandas.DataFrame
        The samples.
    """
    coords: dict[str, Any] = {}
    chunks = [len(test), min(len(train), max(1, CHUNK // (4 * len(test))))]
    if "checkpoint" in values.dims:
        coords["checkpoint"] = values["checkpoint"].to_numpy()
        chunks = [1, *chunks]
    for dim, frame in (("test", test), ("train", train)):
        coords |= influence.make_coords(frame.to_dict("records"), dim)
    dataset = xr.Dataset({"influence": (values.dims, values.to_numpy())}, coords=coords)
    packed = BloscCodec(cname="zstd", clevel=9, shuffle="bitshuffle", typesize=4)
    encoding = {"influence": {"chunks": chunks, "compressors": [packed], **STORED}}
    dataset.to_zarr(path, mode="w", consolidated=False, encoding=encoding)


def copy_tables(params: Parameters, source: Path, target: Path) -> None:
    """Copy the tables of a run.

    Parameters
    ----------
    params : dict
        The run's parameters.
    source, target : Path
        The folder with the tables, and the one to create.

    Raises
    ------
    RunError
        A table holds strings as long as texts.
    """
    target.mkdir()
    for path in sorted(source.glob("*.parquet")):
        table = tables.read(params, path.stem)
        for column in table.select_dtypes(["object", "str"]):
            longest = table[column].dropna().astype(str).str.len().max()
            if path.stem != "claims" and longest > CODES:
                raise runs.RunError(
                    f"{path}, column {column}: strings of up to {longest} letters; "
                    f"allowed are {CODES}"
                )
        table.to_parquet(target / path.name, index=False)


def main(arguments: list[str]) -> Path:
    """Run the command line: key=value, `target` (a folder), and `describe` as the first word."""
    if arguments[:1] == ["describe"]:
        return describe(merge(parse(arguments[1:])))
    given = parse(arguments)
    target = given.pop("target", "results")
    return publish(merge(given), target)


if __name__ == "__main__":
    try:
        print(main(sys.argv[1:]))
    except (ValueError, runs.RunError) as error:
        sys.exit(f"error: {error}")
