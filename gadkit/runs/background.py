"""Work off the training's critical path: one thread that writes what was handed over between steps."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import torch


class Background:
    """Runs jobs one after another in a thread of its own.

    A job that failed makes the next `submit`, `check` or `wait`, or the end of the block, raise its error. At most
    `waiting` jobs stand in line: a disk slower than the training slows it down, instead of filling the memory.

    Leaving an outermost autocast context empties a cache of casts that all threads share, and a bf16 step under way
    would round its gradients in another way. So to PyTorch this thread stands inside of one for ever.
    """

    def __init__(self, waiting: int = 2) -> None:
        self._pool = ThreadPoolExecutor(
            max_workers=1, thread_name_prefix="gadkit-writer", initializer=torch.autocast_increment_nesting
        )
        self._jobs: list[Future[None]] = []
        self._waiting = waiting

    def submit(self, job: Callable[[], None]) -> None:
        """Hands over a job."""
        self.check()
        while len(self._jobs) > self._waiting:
            self._jobs.pop(0).result()
        self._jobs.append(self._pool.submit(job))

    def check(self) -> None:
        """Raises the error of a job that has failed, without waiting for one."""
        while self._jobs and self._jobs[0].done():
            self._jobs.pop(0).result()

    def wait(self) -> None:
        """Waits for every job; raises the first error."""
        while self._jobs:
            self._jobs.pop(0).result()

    def __enter__(self) -> Background:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.wait()
        finally:
            self._pool.shutdown(wait=True)
