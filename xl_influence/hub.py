"""The Hugging Face hub: whether it answers, and its data sets, downloaded, cached or cloned."""

from __future__ import annotations

import functools
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from . import runs

if TYPE_CHECKING:
    import pandas as pd

TIMEOUT = 10  # seconds to wait for an answer
GONE = (401, 403, 404, 410)  # HTTP: the hub answers, but does not have it for us
CLONES = "set data_root to a folder with clones of the data sets"


class HubError(ValueError):
    """A data set cannot be read; the message says why."""


def read_split(source: str, config: str | None, split: str, withdrawn: str = "") -> pd.DataFrame:
    """Read one split of a data set, by `datasets`, without its progress bars.

    If the hub does not answer, or stops answering, we read what is cached.

    Parameters
    ----------
    source
        A repository of the hub, or a folder with a clone of one.
    config
        The configuration, None for the only one.
    split
        'train', 'validation' or 'test'.
    withdrawn
        What to say if the hub no longer has the data set.

    Raises
    ------
    HubError
        It cannot be read, or has no such configuration or split.
    """
    try:
        return _load(source, config, split)
    except Exception as error:  # network errors among them, which share no class
        if not (Path(source).is_absolute() or is_offline()) and _has_failed(error):
            _go_offline()
            return read_split(source, config, split, withdrawn)
        first = (str(error).strip().splitlines() or ["no message"])[0]
        if isinstance(error, ValueError) and first.startswith(("BuilderConfig", "Unknown split")):
            raise HubError(f"no such language or split: {error}") from error
        if _is_gone(error):
            reason = withdrawn or "it was removed, renamed or is open to some accounts only"
            raise HubError(
                f"the hub does not provide it ({first.rstrip('.')}): {reason}"
            ) from error
        raise HubError(
            f"cannot be read ({type(error).__name__}: {first.rstrip('.')}). "
            f"Without a connection to the hub, {CLONES}"
        ) from error


def _load(source: str, config: str | None, split: str) -> pd.DataFrame:
    import datasets

    bars = datasets.utils.logging.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    # Data cards without front matter, as MARC's, would each be a warning.
    logging.getLogger("huggingface_hub.repocard").setLevel(logging.ERROR)
    try:
        cache = _find_cache(source)
        return datasets.load_dataset(source, config, split=split, cache_dir=cache).to_pandas()
    finally:
        if bars:
            datasets.enable_progress_bars()


def _find_cache(source: str) -> str | None:
    """Return where `datasets` is to keep what it makes of a clone; None for its usual place.

    On its own it treats two clones as the same if their cards list the same files, even if the
    files have changed.
    """
    import datasets

    clone = Path(source)
    if not clone.is_absolute():
        return None
    states = [(str(path), path.stat()) for path in sorted(clone.rglob("*")) if path.is_file()]
    fingerprint = runs.hash_parts(
        [(name, state.st_size, state.st_mtime_ns) for name, state in states]
    )
    return str(Path(datasets.config.HF_DATASETS_CACHE) / "clones" / fingerprint)


def _causes(error: BaseException | None) -> list[BaseException]:
    """Return an error and those that led to it, the last one first."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _has_failed(error: BaseException) -> bool:
    """Whether the hub failed to answer: no connection, no answer in time, or 500 and above."""
    statuses = [_status(cause) for cause in _causes(error)]
    if any(status is not None for status in statuses):
        return any(status is not None and status >= 500 for status in statuses)
    transport = ("ConnectionError", "TransportError", "LocalEntryNotFoundError", "TimeoutException")
    return any(
        kind.__name__ in transport for cause in _causes(error) for kind in type(cause).__mro__
    )


def _is_gone(error: BaseException) -> bool:
    """Whether the hub answered that the data set does not exist, or is not open to us."""
    from datasets.exceptions import DatasetNotFoundError

    found = _causes(error)
    return any(isinstance(cause, DatasetNotFoundError) for cause in found) or any(
        _status(cause) in GONE for cause in found
    )


def _status(error: BaseException) -> int | None:
    """Return the HTTP status of an error, or None if it has none."""
    return getattr(getattr(error, "response", None), "status_code", None)


def is_offline() -> bool:
    """Whether we use only what is cached."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


@functools.cache
def go_offline_if_unreachable(kind: str, repository: str) -> None:
    """Ask the hub for a repository; if the hub does not answer, use only what is cached.

    Otherwise the hub's libraries try every file six times. That takes 23 s for every language and
    split, even if it is cached. A status of 500 or above, such as 503, counts as no answer.

    Parameters
    ----------
    kind
        'datasets' or 'models'.
    repository
        Its name. Each is asked for once per process.
    """
    from huggingface_hub import constants

    if is_offline():
        return
    hub, prefix = constants.ENDPOINT, "datasets/" if kind == "datasets" else ""
    addresses = (
        f"{hub}/api/{kind}/{repository}",
        f"{hub}/{prefix}{repository}/resolve/main/README.md",
    )
    try:
        for address in addresses:
            if _ask(address) >= 500:
                _go_offline()
                return
    except Exception:  # for whatever reason, there is no hub
        _go_offline()


def _ask(address: str) -> int:
    """Return the HTTP status of the hub's answer."""
    from huggingface_hub import get_session
    from huggingface_hub.utils import build_hf_headers

    return get_session().head(address, timeout=TIMEOUT, headers=build_hf_headers()).status_code


def _go_offline() -> None:
    import datasets
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = True
    datasets.config.HF_HUB_OFFLINE = True
