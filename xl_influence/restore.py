"""Adds the texts to runs that were made from a prepared folder, on a machine with the data sets.

`python -m xl_influence.restore study=real task=pawsx data_root=~/data` restores all variants of
this study and task. Afterwards a run is the same as one made from the data.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pandas as pd

from . import runs, texts
from .manifest import read_manifest
from .params import merge, parse, with_variant
from .sections import FineTuning

FILES = {"train.parquet": "train", "pool.parquet": "test", "test.parquet": "test"}  # → split


def restore_texts(params: FineTuning) -> bool:
    """Add the texts to a run's samples; returns whether any were missing.

    Raises
    ------
    RunError
        The data are not those that the prepared folder was made from.
    """
    run = runs.find_folder(params)
    frames = {path: pd.read_parquet(path) for name in FILES if (path := run / name).exists()}
    incomplete = {path: frame for path, frame in frames.items() if "text_a" not in frame}
    if not incomplete:
        return False
    samples = texts.redraw(params, read_manifest(run))
    for path, frame in incomplete.items():
        with runs.write_atomically(path) as partial:
            texts.insert(frame, samples[FILES[path.name]]).to_parquet(partial, index=False)
    return True


def main(arguments: Sequence[str]) -> int:
    """Run the command line: key=value, for all variants of a study and task."""
    try:
        params = merge(parse(arguments))
        manifests = sorted(runs.find_folder(params).parent.glob("*/manifest.json"))
        for run in [path.parent for path in manifests]:
            restored = restore_texts(with_variant(params, run.name))
            print(f"{run}: {'texts added' if restored else 'already has its texts'}")
    except (ValueError, runs.RunError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not manifests:
        print(f"error: no finished run in {runs.find_folder(params).parent}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
