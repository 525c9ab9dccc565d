"""Which samples go through the model together."""

import numpy as np

from .products import even


def portions(batches, together):
    """Lists of batches with about `together` samples in all, at least one batch each; 0: one list."""
    portion, size = [], 0
    for rows in batches:
        if portion and together and size + len(rows) > together:
            yield portion
            portion, size = [], 0
        portion, size = [*portion, rows], size + len(rows)
    yield portion


def batches(samples, max_tokens, most=0):
    """Lists of row numbers: at most `most` (0: any number) samples of similar length, at most `max_tokens` tokens with
    padding (or one sample)."""
    order = np.argsort([len(sample["input_ids"]) for sample in samples], kind="stable")
    batch = []
    for row in order:
        while batch and (
            len(batch) == most or (len(batch) + 1) * len(samples[row]["input_ids"]) > max_tokens
        ):
            now = even(len(batch))
            yield batch[:now]
            batch = batch[now:]
        batch.append(int(row))
    if batch:
        yield batch
