"""Keeps freed memory in the process, in huge pages, instead of returning it to the system.

The engine frees and requests gigabytes for every training tile. On Linux, the C library would
return that memory each time, and a page fault for every 4 KB of fresh memory makes forward and
backward passes up to twice as slow.
"""

import contextlib
import ctypes
import platform
from collections.abc import Iterator

import psutil

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # of mallopt(3)
KEEP = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: -1, M_TOP_PAD: 1 << 28}  # -1: never
DEFAULTS = {M_MMAP_MAX: 65536, M_TRIM_THRESHOLD: 1 << 17, M_TOP_PAD: 1 << 17}  # glibc's own
MADV_HUGEPAGE = 14  # of madvise(2)
HUGE = 1 << 21  # bytes in a huge page


@contextlib.contextmanager
def keep_freed_memory() -> Iterator[None]:
    """Keep freed memory in the process inside this context, and return it to the system after.

    This changes malloc for the whole process, and only with glibc (elsewhere it does nothing):
    no allocation gets a mapping of its own, free memory at the top of the heap is not returned,
    and the heap grows by 256 MB at a time. mallopt(3) cannot read the values in force, so at the
    end we set those that glibc documents as its defaults: values that the process had set itself,
    or by `MALLOC_*` environment variables, are lost. glibc's automatic adjustment of its mmap
    threshold is off from then on.
    """
    libc = ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
    try:
        if libc:
            _set_options(libc, KEEP)
            _use_huge_pages(libc, psutil.virtual_memory().available // 2)
        yield
    finally:
        if libc:
            _set_options(libc, DEFAULTS)
            libc.malloc_trim(0)


def _set_options(libc: ctypes.CDLL, options: dict[int, int]) -> None:
    for option, value in options.items():
        libc.mallopt(option, value)


def _use_huge_pages(libc: ctypes.CDLL, size: int) -> None:
    """Request pages of 2 MB for the next `size` bytes of the heap, without touching any of them."""
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    address = libc.malloc(size)
    if address:
        start = -(-address // HUGE) * HUGE  # the first page boundary
        whole = max(0, address + size - start) // HUGE * HUGE  # bytes in whole pages
        libc.madvise(start, whole, MADV_HUGEPAGE)
        libc.free(address)
