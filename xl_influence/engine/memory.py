"""Memory that was freed, kept for what comes next instead of going back to the operating system, in huge pages.

The engine frees and asks for gigabytes in every portion of training samples. On Linux the C library would return them each
time, and a page fault for every 4 KB taken anew makes forward and backward passes take up to twice as long.
"""

import contextlib
import ctypes
import platform

import psutil

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # of mallopt(3)
KEEP = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: -1, M_TOP_PAD: 1 << 28}  # -1: never
USUAL = {M_MMAP_MAX: 65536, M_TRIM_THRESHOLD: 1 << 17, M_TOP_PAD: 1 << 17}
MADV_HUGEPAGE, HUGE = 14, 1 << 21  # of madvise(2); bytes


@contextlib.contextmanager
def kept():
    """Inside, freed memory stays with the process; after, it goes back. Does nothing where the C library is not glibc."""
    libc = ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
    try:
        if libc:
            _set(libc, KEEP)
            _widen_pages(libc, psutil.virtual_memory().available // 2)
        yield
    finally:
        if libc:
            _set(libc, USUAL)
            libc.malloc_trim(0)


def _set(libc, options):
    for option, value in options.items():
        libc.mallopt(option, value)


def _widen_pages(libc, size):
    """Ask for pages of 2 MB in the next `size` bytes of the heap, none of which is used or taken by that."""
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    block = libc.malloc(size)
    if block:
        start = -(-block // HUGE) * HUGE
        libc.madvise(start, max(0, block + size - start) // HUGE * HUGE, MADV_HUGEPAGE)
        libc.free(block)
