"""How much memory something takes, in a process that has done nothing else: what others left behind hides it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any


def peak(action: Callable[..., Any], *arguments: Any, **more: Any) -> int:
    """Bytes of main memory that a call takes at the most, by what Linux tells of a new process that makes it.

    Args:
        action: A function of a module.
        *arguments: What it is called with.
        **more: The same.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measured, action, arguments, more).result()


def _measured(action: Callable[..., Any], arguments: Sequence[Any], more: Mapping[str, Any]) -> int:
    gc.collect()
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before = _memory("VmRSS")
    kept = action(*arguments, **more)
    taken = _memory("VmHWM") - before
    del kept  # not before its memory was read
    return taken


def _memory(name: str) -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith(name))
