"""The process's memory allocator, for programs that own their process."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h


def keep_pages() -> bool:
    """Tells glibc to keep freed memory instead of giving it back, step after step.

    The activations of a step are large blocks, which glibc maps anew each time, so that every page faults in again. It
    is a setting of the whole process: the command line makes it, the library does not.

    Returns:
        Whether the C library took it; elsewhere than on glibc nothing is done.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_THRESHOLD, 1 << 30) and mallopt(_TRIM_THRESHOLD, (1 << 31) - 1))
