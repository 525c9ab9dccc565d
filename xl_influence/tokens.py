"""The tokens that a run's samples share, as `sharing.shared_tokens` counts them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from . import encoders, runs, sharing
from .sections import FineTuning


def count_shared(
    params: FineTuning,
    cube: xr.Dataset,
    train: pd.DataFrame,
    test: pd.DataFrame,
    **choice: Any,
) -> pd.DataFrame:
    """Compute `sharing.shared_tokens` for a run that has its inputs and its vocabulary.

    Parameters
    ----------
    params
        The parameters of the run.
    cube, train, test
        The run's scores and samples, as from `scores.read`.
    **choice
        Further arguments of `sharing.shared_tokens`.
    """
    run = runs.find_folder(params)
    tokenizer = encoders.load_tokenizer(params["encoder"])
    kept = np.load(run / "checkpoints" / "vocabulary.npy")  # rows of the cut vocabulary → token ids
    pieces = dict(enumerate(tokenizer.convert_ids_to_tokens(kept.tolist())))
    special = {row for row, token in enumerate(kept) if token in tokenizer.all_special_ids}
    kinds = sharing.token_kinds(pieces, special)
    tokens = [
        runs.read_inputs(run, split, frame["uid"])["input_ids"].tolist()
        for split, frame in (("train", train), ("test", test))
    ]
    return sharing.shared_tokens(cube, train, test, tokens, kinds, **choice)
