"""The C library's heap: freed memory kept for what comes next, or given back.

Whoever gives memory back gets it anew page by page, each cleared by the kernel.
"""

import ctypes
import os

#: malloc.h of glibc.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def without_huge_pages() -> None:
    """Have numpy, which is yet to be imported, ask for none: they are cleared whole each time.

    For a program of ours that runs no user's, not for a library: it is inherited. With
    :func:`keep_freed` a report of 10 million events takes 8 % less CPU.
    """
    os.environ.setdefault("NUMPY_MADVISE_HUGEPAGE", "0")


def keep_freed(size: int) -> None:
    """Keep freed memory, ``size`` bytes at the heap's end; where glibc is the C library.

    For a program of ours, not for a library.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_TRIM_THRESHOLD, size)
        libc.mallopt(_MMAP_THRESHOLD, size)


def give_back() -> None:
    """Give back what is free, also between what is used."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
