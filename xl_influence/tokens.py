"""The tokens that a run's samples have in common: what `sharing.shared_tokens` needs of the run and of its tokenizer."""

import numpy as np

from . import encoders, runs, sharing


def shared(params, cube, train, test, **choice):
    """`sharing.shared_tokens` of a run that has its inputs and its vocabulary; `choice` as there."""
    run = runs.folder(params)
    tokenizer, kept = (
        encoders.load_tokenizer(params),
        np.load(run / "checkpoints" / "vocabulary.npy"),
    )
    pieces = dict(enumerate(tokenizer.convert_ids_to_tokens(kept.tolist())))
    special = {row for row, token in enumerate(kept) if token in tokenizer.all_special_ids}
    ids = [
        runs.read_inputs(run, split).set_index("uid")["input_ids"] for split in ("train", "test")
    ]
    tokens = [list(part.loc[frame["uid"]]) for part, frame in zip(ids, (train, test), strict=True)]
    return sharing.shared_tokens(
        cube, train, test, tokens, sharing.token_kinds(pieces, special), **choice
    )
