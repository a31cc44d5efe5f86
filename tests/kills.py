"""Runs of the command line that are killed: each a child of a process that has imported everything already.

`Zygote` starts that process once; every `run` forks it, so that an attempt costs its steps alone. A `Kill` says when
a signal comes: after a time, or at a place. It is SIGKILL, which nothing can answer, or another.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from small_runs import environment, folder_of_clips

#: What the interpreter tells of before it happens, where it touches a file or folder.
_TOUCHES = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.listdir", "os.scandir", "shutil.rmtree"}


@dataclass(frozen=True)
class Kill:
    """When an attempt gets a signal.

    Attributes:
        place: `time`: after `at` seconds; or before something happens for the `at`-th time: `data`, they are opened;
            `touch`, the run's folder is touched; `sync`, a file is synced; `tear`, a file is synced, of which a
            part is lost first, as if the machine had failed with it; `step`, a step is over; `line`, a line is
            logged, half of which is written; `sample`, a file of samples, which is written, gets its name.
        at: Seconds, or a number from 1 on.
        signal: Its number.
        again: The number of a second one, which comes a moment later; until then the thread that is there hangs in a
            call that no signal ends. 0 for none.
    """

    place: str
    at: float
    signal: int = signal.SIGKILL
    again: int = 0

    def __str__(self) -> str:
        return f"{self.place} {self.at:.3g}"


@dataclass(frozen=True)
class Attempt:
    """What became of an attempt.

    Attributes:
        code: The exit code, negative for a signal.
        printed: Everything it printed.
        seconds: How long it took.
        counts: How often it came to each place of `Kill`; empty where it was killed.
    """

    code: int
    printed: str
    seconds: float
    counts: dict[str, int]


class Zygote:
    """A process that has imported gadkit, and forks for every attempt. A context manager.

    Args:
        folder: Where attempts run and what they print is kept.
        variables: The environment of all attempts.
    """

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            cwd=folder,
            env=variables,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> Zygote:
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()

    def run(self, *arguments: object, run: str, kill: Kill | None = None, ignored: int = 0) -> Attempt:
        """`gadkit` with arguments, in a process of its own.

        Args:
            *arguments: The command line.
            run: The run's folder, whose touches count.
            kill: When it is killed.
            ignored: The number of a signal that the process begins with ignoring; 0 for none.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"arguments": [str(each) for each in arguments], "run": str(self._folder / run), "ignored": ignored}
        order["kill"] = None if kill is None else asdict(kill)
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return Attempt(**json.loads(self._process.stdout.readline()))


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the videos `clips/` for attempts, in memory where there is one, so that syncs take no time."""
    if not hasattr(os, "fork"):
        pytest.skip("forks a process for every attempt")
    folder = tmp_path_factory.mktemp("kills")
    if os.access("/dev/shm", os.W_OK):
        folder = Path("/dev/shm") / f"{folder.parent.name}-{os.getpid()}-kills"
        folder.mkdir()
    folder_of_clips(folder / "clips")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def zygote(place: Path) -> Iterator[Zygote]:
    """Makes attempts in `place`."""
    with Zygote(place, environment()) as process:
        yield process


def kills_of(chance: random.Random, whole: Attempt) -> list[Kill]:
    """Kills of one run, one after the other: anywhere in a whole attempt, and often early in those that follow."""
    places = ["time", "time", "touch", "touch", "touch", "sync", "tear", "step", "line", "sample"]
    found = []
    for number in range(chance.choice([1, 1, 2, 2, 3, 5])):
        place = chance.choice(places)
        end = whole.seconds if place == "time" else whole.counts["sync" if place == "tear" else place]
        share = chance.random() * (chance.choice([0.15, 0.5, 1.0]) if number else 1.0)
        found.append(Kill(place, share * end if place == "time" else 1 + int(share * end)))
    return found


# --- the process that forks ------------------------------------------------------------------------------------------


def _serve() -> None:
    """Imports what an attempt needs, and makes the attempts that are ordered line by line."""
    import av  # noqa: F401
    import torch

    from gadkit.cli import app, progress  # noqa: F401
    from gadkit.registry import get_registry
    from gadkit.runs import training  # noqa: F401

    torch.set_num_threads(1)
    torch.empty(1, device="meta").normal_()  # which imports much
    for kind in ("generator", "assembler", "discriminator", "loss", "penalty", "direction", "trainer", "dataset"):
        for entry in get_registry().entries(kind):
            entry.load()
    get_registry.cache_clear()
    for line in sys.stdin:
        order = json.loads(line)
        output = Path(f"{order['run']}.output")
        counts = Path(f"{order['run']}.counts")
        counts.unlink(missing_ok=True)
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            _attempt(order, output, counts)
        kill = Kill(**order["kill"]) if order["kill"] else None
        if kill is not None and kill.place == "time":
            time.sleep(kill.at)
            os.kill(child, kill.signal)
        status = os.waitpid(child, 0)[1]
        answer = {
            "code": os.waitstatus_to_exitcode(status),
            "printed": output.read_text(errors="replace"),
            "seconds": time.monotonic() - began,
            "counts": json.loads(counts.read_text()) if counts.exists() else {},
        }
        print(json.dumps(answer), flush=True)


def _attempt(order: dict[str, Any], output: Path, counts: Path) -> None:
    """One attempt, in a process that was forked for it; never returns."""
    code = 1
    try:
        if order["ignored"]:
            signal.signal(order["ignored"], signal.SIG_IGN)
        opened = os.open(output, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o666)
        os.dup2(opened, 1)
        os.dup2(opened, 2)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115, as long as the process
        sys.argv = ["gadkit", *order["arguments"]]
        seen = _watch(Path(order["run"]), Kill(**order["kill"]) if order["kill"] else None)
        from gadkit.cli.app import app, run

        code = run(app)
        sys.stdout.flush()
        counts.write_text(json.dumps(seen))
    finally:
        os._exit(code)


def _watch(run: Path, kill: Kill | None) -> dict[str, int]:
    """Counts how often an attempt comes to each place, and sends the signal at one of them."""
    from gadkit.runs import training
    from gadkit.runs.course import Course
    from gadkit.runs.folder import Run

    seen = dict.fromkeys(("data", "touch", "sync", "step", "line", "sample"), 0)
    inside = f"{run}{os.sep}"
    safe: dict[int, int] = {}  # how many bytes of a file were synced already

    def arrive(place: str, tear: Callable[[], None] = lambda: None) -> None:
        seen[place] += 1
        if kill is None or seen[place] != kill.at or place != {"tear": "sync"}.get(kill.place, kill.place):
            return
        if kill.signal == signal.SIGKILL and kill.place in ("tear", "line"):
            tear()
        os.kill(os.getpid(), kill.signal)
        if kill.again:
            threading.Timer(0.3, os.kill, (os.getpid(), kill.again)).start()
            hang()

    def touched(event: str, arguments: tuple[Any, ...]) -> None:
        path = arguments[0] if event in _TOUCHES else None
        if isinstance(path, str | os.PathLike) and os.path.abspath(path).startswith(inside):
            arrive("touch")
            if event == "os.rename" and Path(arguments[1]).parent.name == "samples":
                arrive("sample")

    fsync, log, between, open_data = os.fsync, Run.log, Course._between, training.open_data

    def synced(descriptor: int) -> None:
        file = os.fstat(descriptor)

        def tear() -> None:
            with suppress(OSError):  # a folder
                keep = safe.get(file.st_ino, 0)
                os.ftruncate(descriptor, random.Random(kill.at).randrange(keep, file.st_size + 1))

        arrive("sync", tear)
        fsync(descriptor)
        safe[file.st_ino] = file.st_size

    def logged(self: Run, step: int, values: dict[str, Any]) -> None:
        def tear() -> None:
            line = json.dumps({"step": step, **values})
            with (self.path / "log.jsonl").open("a") as file:
                file.write(line[: len(line) // 2])

        arrive("line", tear)
        log(self, step, values)

    def made(self: Course, step: int) -> tuple[int, bool]:
        arrive("step")
        return between(self, step)

    def opened(*arguments: Any) -> Any:
        arrive("data")
        return open_data(*arguments)

    os.fsync, Run.log, Course._between, training.open_data = synced, logged, made, opened
    sys.addaudithook(touched)
    return seen


def hang() -> None:
    """Never returns, and no signal's handler runs meanwhile, as in a long computation."""
    system = ctypes.CDLL(None)
    mutex = ctypes.create_string_buffer(128)  # zeros are a mutex that nobody holds
    system.pthread_mutex_lock(mutex)
    system.pthread_mutex_lock(mutex)


if __name__ == "__main__":
    _serve()
