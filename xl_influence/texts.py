"""The texts of samples stored without them: in published runs and runs from a prepared folder.

We can add the texts again where the data sets are available, but only from the same data.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from . import corruption, data, runs
from .sections import FineTuning

TEXTS = ["text_a", "text_b"]


def redraw(params: FineTuning, manifest: dict[str, Any]) -> dict[str, pd.DataFrame]:
    """Draw the samples of a run again, with their texts.

    Parameters
    ----------
    params
        The parameters of the run; its prepared folder, if any, is not used.
    manifest
        The run's manifest.

    Returns
    -------
    dict of pandas.DataFrame
        By split, as from `data.load`; training samples as the model learned them.

    Raises
    ------
    RunError
        The run was made from other samples: the fingerprints differ.
    """
    samples = data.load({**params, "prepared": ""})
    found, wanted = data.hash_samples(samples), manifest["data_fingerprint"]
    if found != wanted:
        raise runs.RunError(
            f"data_root {params['data_root'] or '(the hub)'}: the run was made from other data "
            f"(its fingerprint is {wanted}, that of the samples drawn here {found}). "
            "Leave data_root empty to see a published run without texts"
        )
    return samples | {"train": corruption.corrupt(params, samples["train"])[0]}


def insert(frame: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with the texts of its samples inserted after the labels.

    Parameters
    ----------
    frame
        Samples without texts; columns `uid` and `label` at least.
    samples
        The same split's samples with texts; uids repeat across splits.
    """
    found = samples.set_index("uid").loc[frame["uid"], TEXTS].reset_index(drop=True)
    frame = frame.reset_index(drop=True)
    place = frame.columns.get_loc("label") + 1
    for offset, column in enumerate(found):
        frame.insert(place + offset, column, found[column])
    return frame
