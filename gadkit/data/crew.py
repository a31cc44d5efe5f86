"""Threads that work for a store, and never hold up the end of the process."""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
_Job = tuple["Future[Any]", Callable[..., Any], tuple[Any, ...]]


class Crew:
    """A pool of daemon threads.

    Python waits for the threads of a `ThreadPoolExecutor` before it ends, so one that hangs in a share that is gone
    would keep the process for ever, after all has been said and saved.

    Args:
        count: How many threads at most; they begin when there is work.
        name: What their names begin with.
    """

    def __init__(self, count: int, name: str) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._count, self._name = count, name
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        weakref.finalize(self, _dismiss, self._jobs, count).atexit = False

    def submit(self, function: Callable[..., T], *arguments: Any) -> Future[T]:
        """Has a thread call a function."""
        future: Future[T] = Future()
        self._jobs.put((future, function, arguments))
        with self._lock:
            if len(self._threads) < self._count:
                name = f"{self._name}-{len(self._threads)}"
                thread = threading.Thread(target=_work, args=(self._jobs,), name=name, daemon=True)
                self._threads.append(thread)
                thread.start()
        return future


def _dismiss(jobs: queue.SimpleQueue[_Job | None], count: int) -> None:
    for _ in range(count):
        jobs.put(None)


def _work(jobs: queue.SimpleQueue[_Job | None]) -> None:
    while (job := jobs.get()) is not None:
        _do(*job)
        del job  # what it was asked with must not live until the next one comes


def _do(future: Future[Any], function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = function(*arguments)
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
