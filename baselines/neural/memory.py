"""Memory that large maps leave behind."""

from __future__ import annotations

import ctypes
import sys

from bench.tools import is_own_process

# Of malloc.h: most free memory kept at the top of the heap, and most blocks that are mapped on their own.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def keep_freed() -> None:
    """Have the C library keep what this process frees, for its next use, if the process is the suite's own.

    Without glibc, do nothing.

    Maps of tens of megabytes otherwise go back to the system after every layer, and the fresh pages of the next one
    take longer than its arithmetic.
    """
    if not is_own_process():
        return
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "gnu_get_libc_version"):
        library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        library.mallopt(_MMAP_MAX, 0)
