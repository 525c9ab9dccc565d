"""Memory that was freed, kept for what comes next instead of going back to the operating system.

The engine frees and asks for gigabytes in every portion of training samples. On Linux the C library would return them each
time, and a page fault for every 4 KB taken anew makes forward and backward passes take up to twice as long.
"""

import contextlib
import ctypes
import platform

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # of mallopt(3)
KEEP = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 2**31 - 1, M_TOP_PAD: 1 << 28}
USUAL = {M_MMAP_MAX: 65536, M_TRIM_THRESHOLD: 1 << 17, M_TOP_PAD: 1 << 17}


@contextlib.contextmanager
def kept():
    """Inside, freed memory stays with the process; after, it goes back. Does nothing where the C library is not glibc."""
    libc = ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
    try:
        _set(libc, KEEP)
        yield
    finally:
        _set(libc, USUAL)
        if libc:
            libc.malloc_trim(0)


def _set(libc, options):
    for option, value in options.items() if libc else ():
        libc.mallopt(option, value)
