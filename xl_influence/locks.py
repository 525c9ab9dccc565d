"""File locks, also on file systems whose own locks are unreliable.

Processes that share a run protect their work with `flock`, which the system releases when a process
dies. Some file systems refuse it, and some lock on one node only: NFS mounted with `nolock`, Lustre
mounted without `flock`. There we say so once, and the existence of a file is the lock. A killed
process leaves such a file behind. On its own node the next process removes it. From another node we
cannot tell whether its owner is still running, so a process that waits says which file it is.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import tempfile
from pathlib import Path

import filelock
import psutil

NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)
_WEAKNESS: dict[int, str] = {}  # device → why its locks do not hold


def make(path: Path) -> filelock.BaseFileLock:
    """Return a lock that holds on the file system of `path`; nothing is locked yet.

    Parameters
    ----------
    path
        The lock's file, in a folder that exists.
    """
    device = path.parent.stat().st_dev
    if device not in _WEAKNESS:
        _WEAKNESS[device] = find_weakness(path.parent)
        if _WEAKNESS[device]:
            _warn(path.parent, _WEAKNESS[device])
    return filelock.SoftFileLock(path) if _WEAKNESS[device] else filelock.FileLock(path)


def describe_holder(path: Path) -> str:
    """Say who holds a lock, in words that can end a message; empty if the lock does not say.

    Parameters
    ----------
    path
        The lock's file.
    """
    try:
        process, host, *_ = path.read_text().splitlines()
    except (OSError, ValueError):
        return ""
    return f": process {process} on {host}. If that process no longer runs, remove {path}"


def _warn(folder: Path, weakness: str) -> None:
    """Warn that the locks of a folder are unreliable, and say what we do about it."""
    print(
        f"{folder}: {weakness}; we use lock files instead. A process that is killed on another "
        "node leaves its file, and whoever waits for it says which",
        file=sys.stderr,
        flush=True,
    )


def find_weakness(folder: Path) -> str:
    """Say why `flock` does not protect a folder against processes on other nodes.

    Parameters
    ----------
    folder
        A folder that exists.

    Returns
    -------
    str
        The reason, or an empty string if `flock` works as far as one node can tell.
    """
    kind, options = find_mount(folder)
    if kind.startswith("nfs") and options & {"nolock", "local_lock=all", "local_lock=flock"}:
        return "this NFS folder is mounted so that locks hold on one node only"
    if kind == "lustre" and "flock" not in options:
        return "this Lustre folder is mounted without flock, so locks do not hold between nodes"
    with tempfile.TemporaryFile(dir=folder) as probe:
        try:
            fcntl.flock(probe.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in NO_LOCKS:
                return f"this file system has no locks ({os.strerror(error.errno)})"
            raise
    return ""


def find_mount(folder: Path) -> tuple[str, set[str]]:
    """Return the kind of a folder's file system and its mount options."""
    place = folder.resolve()
    mounts = [
        part for part in psutil.disk_partitions(all=True) if place.is_relative_to(part.mountpoint)
    ]
    if not mounts:
        return "", set()
    nearest = max(reversed(mounts), key=lambda part: len(Path(part.mountpoint).parts))
    return nearest.fstype, set(nearest.opts.split(","))
