"""Puts the texts into runs that were made from a prepared folder, where the data sets are.

`python -m xl_influence.restore study=real task=pawsx data_root=~/data` goes through all variants of that study and task. After
it a run is the same as one made from the data.
"""

import pandas as pd

from . import runs, texts
from .manifest import read_manifest
from .params import with_variant

FILES = {"train.parquet": "train", "pool.parquet": "test", "test.parquet": "test"}  # → split


def restore(params):
    """Put the texts into the run's samples. Returns whether there were any to put.

    Raises `RunError` where the data are not those that the folder was prepared from.
    """
    run = runs.folder(params)
    frames = {path: pd.read_parquet(path) for name in FILES if (path := run / name).exists()}
    lacking = {path: frame for path, frame in frames.items() if "text_a" not in frame}
    if not lacking:
        return False
    samples = texts.drawn(params, read_manifest(run))
    for path, frame in lacking.items():
        with runs.complete(path) as partial:
            texts.put(frame, samples[FILES[path.name]]).to_parquet(partial, index=False)
    return True


def main(arguments):
    """Command line: key=value, for all variants of a study and task."""
    import sys

    from .params import merge, parse

    try:
        params = merge(parse(arguments))
        folders = [
            path.parent for path in sorted(runs.folder(params).parent.glob("*/manifest.json"))
        ]
        for folder in folders:
            put = restore(with_variant(params, folder.name))
            print(f"{folder}: {'texts put in' if put else 'has its texts'}")
    except (ValueError, runs.RunError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not folders:
        print(f"error: no finished run in {runs.folder(params).parent}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    import sys

    sys.exit(main(sys.argv[1:]))
