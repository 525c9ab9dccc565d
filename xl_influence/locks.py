"""File locks, also on file systems whose own locks are unreliable.

Processes that share a run protect their work with `flock`, which the system releases when a process
dies. Some file systems refuse it, and some lock on one node only: NFS mounted with `nolock`, Lustre
mounted without `flock`. There we say so once, and the existence of a file is the lock. A killed
process leaves such a file behind. On its own node the next process removes it. From another node we
cannot tell whether its owner is still running, so a process that waits says which file it is. A
process killed before it wrote its name leaves an empty file, which any process removes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
import tempfile
import time
from pathlib import Path

import filelock
import psutil

NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)
GRACE = 10.0  # seconds that a process may take between creating a lock's file and writing its name
_WEAKNESS: dict[int, str] = {}  # device → why its locks do not hold
_EMPTY: dict[tuple[str, int, int], float] = {}  # path, inode, change → when we first saw it empty


class LockFile(filelock.SoftFileLock):
    """A lock that is the existence of its file, also after a kill between creating and filling it.

    `filelock` takes an empty file for that of an old release, and waits for ever.
    """

    def _acquire(self) -> None:
        _remove_if_unfinished(Path(self.lock_file))
        super()._acquire()


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
    return LockFile(path) if _WEAKNESS[device] else filelock.FileLock(path)


def _remove_if_unfinished(path: Path) -> None:
    """Remove a lock's file that has been empty for longer than `GRACE`."""
    try:
        found = path.stat()
        first = _EMPTY.setdefault((str(path), found.st_ino, found.st_ctime_ns), time.monotonic())
        if found.st_size or time.monotonic() - first < GRACE:
            return
        aside = path.with_name(f"{path.name}.{os.getpid()}")
        path.rename(aside)
        if aside.stat().st_size:  # another process was faster, and this is its lock
            with contextlib.suppress(FileExistsError):
                os.link(aside, path)
        aside.unlink()
    except FileNotFoundError:  # its owner, or another process, has removed it
        return


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
