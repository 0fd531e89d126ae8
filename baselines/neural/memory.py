"""How the C library treats memory that large maps have freed."""

from __future__ import annotations

import ctypes
import sys

from bench.tools import is_own_process

# Parameters of mallopt (malloc.h): most free memory at the top of the heap, and most blocks that are mapped separately.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def keep_freed() -> None:
    """Make glibc keep the memory that this process frees, for reuse.

    Otherwise maps of tens of megabytes go back to the system after every layer, and getting new pages for the next
    layer takes longer than its arithmetic. Without glibc, or in a process that is not the suite's own (a user's Python
    session), nothing is changed.
    """
    if not is_own_process():
        return
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "gnu_get_libc_version"):
        library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        library.mallopt(_MMAP_MAX, 0)
