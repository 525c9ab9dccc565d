"""Explain disk errors in plain words: full, read-only, or gone."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

KINDS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your quota is used up",
    errno.EFBIG: "the file would be larger than is allowed here",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "you have no permission there",
    errno.EPERM: "you have no permission there",
    errno.EIO: "the disk failed",
    errno.ESTALE: "the shared folder has gone",
}
# What libraries say that do not raise OSError
TORCH = ("failed writing file", "file write failed", "unexpected pos")
WORDS = {os.strerror(number): number for number in KINDS} | dict.fromkeys(TORCH, errno.ENOSPC)


def explain(error: BaseException) -> str:
    """Explain a disk error and what to do about it in one sentence; '' for other errors.

    Parameters
    ----------
    error
        What was raised, with the errors that led to it.
    """
    for cause in reversed([*_chain(error)]):  # the first cause knows the place
        number = getattr(cause, "errno", None)
        if number not in KINDS:
            number = next((kind for words, kind in WORDS.items() if words in str(cause)), None)
        if number is not None:
            place = getattr(cause, "filename", None)
            where = f"{place}: " if place else ""
            return f"{where}{KINDS[number]}. Fix that and start again: completed work is kept"
    return ""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
