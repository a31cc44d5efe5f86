"""Worker processes that decode, one video a job: a file that hangs or crashes its decoder costs only itself.

The processes are `gadkit.data.worker`, which speaks in lines of JSON; nothing is pickled. Where a dataset cannot be
made anew in another process, threads of this process take their place, which cannot be given up.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from gadkit.data.blueprint import Blueprint
from gadkit.data.worker import call, pack_source
from gadkit.errors import RunError
from gadkit.interfaces.dataset import Dataset, Source

#: Seconds in which a process must have started and made its dataset.
_START = 120.0
#: Jobs under way or done ahead of the one that is waited for, for each worker: long videos hold up short ones.
_AHEAD = 8
#: How often a job is tried again whose process was ended from outside, by the system or a person.
_RETRIES = 2
_STOPPED = "the worker processes were stopped."


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        source: The video.
        value: What the function returned; `None` where the video cannot be used.
        reason: Then, why: one sentence.
    """

    source: Source
    value: dict[str, Any] | None
    reason: str = ""


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


class Workers:
    """A pool of workers, one a core; a context manager that leaves no process behind.

    Args:
        dataset: Where the videos come from.
        blueprint: How a process makes the dataset anew; `None` for threads of this process.
        count: How many jobs run at once; by default one a core.
        patience: Seconds without a sign of life after which a process is killed and its video given up.
    """

    def __init__(
        self, dataset: Dataset, blueprint: Blueprint | None, count: int | None = None, patience: float = 10.0
    ) -> None:
        self.count = count or cores()
        self.patience = patience
        self._dataset = dataset
        self._blueprint = blueprint if sys.executable else None
        self._lock = threading.Lock()
        self._children: set[_Child] = set()
        self._idle: list[_Child] = []
        self._closed = threading.Event()
        self._pool = ThreadPoolExecutor(self.count, thread_name_prefix="gadkit-worker")
        self._watchdog = threading.Thread(target=self._watch, name="gadkit-watchdog", daemon=True)

    def __enter__(self) -> Workers:
        self._watchdog.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._closed.set()
            children = list(self._children)
        for child in children:
            child.kill()
        self._pool.shutdown(wait=True, cancel_futures=True)
        for child in children:
            child.close()
        self._children.clear()
        self._watchdog.join()

    @property
    def processes(self) -> list[int]:
        """The numbers of the processes that there are."""
        with self._lock:
            return [child.process.pid for child in self._children]

    def run(self, target: str, jobs: Iterable[tuple[Source, dict[str, Any]]]) -> Iterator[Outcome]:
        """Runs jobs, a bounded number ahead of the one that is waited for.

        Args:
            target: `"module:function"`, the function `(dataset, source, arguments, beat) -> dict`. Arguments and result
                can be written as JSON; `beat()` after every frame says that it lives.
            jobs: Sources with their arguments.

        Returns:
            The outcomes, in the order of the jobs.

        Raises:
            RunError: A job says that going on makes no sense.
        """
        waiting: deque[Future[Outcome]] = deque()
        try:
            for source, arguments in jobs:
                waiting.append(self._pool.submit(self._job, target, source, arguments))
                if len(waiting) > _AHEAD * self.count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def _job(self, target: str, source: Source, arguments: dict[str, Any]) -> Outcome:
        """One job, from a thread of the pool."""
        reason = ""
        for _ in range(1 + _RETRIES):
            child = self._take()
            if child is None:
                return _outcome(source, call(self._dataset, source, target, arguments, lambda: None))
            answer = child.ask({"source": pack_source(source), "target": target, "arguments": arguments})
            if answer is not None:
                self._give(child)
                return _outcome(source, answer)
            self._drop(child)
            if child.given_up:
                return Outcome(source, None, f"{source.name} gave no frame for {self.patience:g} s and was given up.")
            reason = f"{source.name} cannot be read: {_death(child.process.returncode)}; repair or remove the file."
            if not _from_outside(child.process.returncode):
                break
        return Outcome(source, None, reason)

    def _take(self) -> _Child | None:
        """A process without a job, a new one where there is none; `None` where there can be none."""
        while True:
            with self._lock:
                if self._closed.is_set():
                    raise RunError(_STOPPED)
                if self._blueprint is None:
                    return None
                if not self._idle:
                    break
                child = self._idle.pop()
            if child.process.poll() is None:
                return child
            self._drop(child)
        return self._start(self._blueprint)

    def _start(self, blueprint: Blueprint) -> _Child | None:
        """A new process that has made its dataset; where it cannot, the pool uses threads from now on."""
        try:
            child = _Child(self.patience)
        except OSError:
            self._blueprint = None
            return None
        with self._lock:
            self._children.add(child)
            if self._closed.is_set():
                child.kill()
        first = child.ask({"path": sys.path, "blueprint": blueprint.to_json()}, _START)
        if first is not None and "ready" in first:
            return child
        self._drop(child)
        if self._closed.is_set():
            raise RunError(_STOPPED)
        self._blueprint = None
        return None

    def _give(self, child: _Child) -> None:
        with self._lock:
            self._idle.append(child)

    def _drop(self, child: _Child) -> None:
        child.kill()
        child.close()
        with self._lock:
            self._children.discard(child)

    def _watch(self) -> None:
        """Kills processes that are silent for too long."""
        last = time.monotonic()
        while not self._closed.wait(min(0.2, self.patience / 4)):
            now = time.monotonic()
            # Where this process was stopped for a while, its children were as well: that time does not count.
            passed, last = min(now - last, 1.0), now
            with self._lock:
                children = list(self._children)
            for child in children:
                child.grow_older(passed)


class _Child:
    """One process, used by one thread at a time."""

    def __init__(self, patience: float) -> None:
        folder = str(Path(__file__).parents[2])
        paths = [folder, *filter(None, [os.environ.get("PYTHONPATH")])]
        # Every thread would otherwise get a heap of its own, and the memory limit count them all.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "MALLOC_ARENA_MAX": "2"}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "gadkit.data.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        self.given_up = False
        self._patience = patience
        self._left: float | None = None
        self._lock = threading.Lock()

    def ask(self, message: Any, patience: float | None = None) -> dict[str, Any] | None:
        """Sends a message and waits for the answer; `None` where the process ended before it came."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._wait(patience or self._patience)
        try:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()
            while line := self.process.stdout.readline():
                answer: dict[str, Any] = json.loads(line)
                if "beat" not in answer:
                    return answer
                self._wait(self._patience)
        except (OSError, ValueError):
            pass
        finally:
            self._wait(None)
        self.process.wait()
        return None

    def _wait(self, seconds: float | None) -> None:
        """Sets how long the process may stay silent from now on; `None` where nothing is asked of it."""
        with self._lock:
            self._left = seconds

    def grow_older(self, seconds: float) -> None:
        """Counts time without a sign of life, and kills a process that had too much of it."""
        with self._lock:
            if self._left is None:
                return
            self._left -= seconds
            if self._left <= 0:
                self.given_up = True
                self.kill()

    def kill(self) -> None:
        """Ends the process at once."""
        with contextlib.suppress(OSError):
            self.process.kill()

    def close(self) -> None:
        """Waits for the end of a process that was killed and closes its pipes."""
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _outcome(source: Source, answer: dict[str, Any]) -> Outcome:
    if "fatal" in answer:
        raise RunError(answer["fatal"])
    return Outcome(source, answer.get("value"), answer.get("reason", ""))


def _from_outside(code: int) -> bool:
    """Whether a process was ended by someone else, not by what it did."""
    names = ("SIGHUP", "SIGINT", "SIGKILL", "SIGTERM")
    return -code in [getattr(signal, name) for name in names if hasattr(signal, name)]


def _death(code: int) -> str:
    """How a process ended, in words."""
    if _from_outside(code):
        return f"its decoder was ended by the system (signal {-code}), which happens where memory runs out"
    return f"the decoder crashed (signal {-code})" if code < 0 else f"the decoder crashed (exit code {code})"
