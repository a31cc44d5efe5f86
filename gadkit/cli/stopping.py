"""What signals do to a training: the first asks for an end with a checkpoint, the second ends at once."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import typer

from gadkit.cli.console import say

if TYPE_CHECKING:
    from gadkit.cli.progress import ConsoleReporter

#: Signal to exit code. SIGUSR1 is what schedulers send as a warning; SIGHUP comes when a terminal or connection closes.
_CODES = {"SIGINT": 130, "SIGTERM": 143, "SIGUSR1": 143, "SIGHUP": 129}
#: `torchrun` passes a signal on that its processes may have had from the terminal already: within so many seconds, it
#: is one.
_ECHO = 5.0


class _Early(KeyboardInterrupt):
    """A signal came before training began."""


class Stop(threading.Event):
    """Set when a training is asked to end.

    Attributes:
        code: The exit code that goes with whoever asked; 0 while nobody has.
    """

    code = 0


@contextmanager
def stopping(reporter: ConsoleReporter) -> Iterator[Stop]:
    """A block in which signals end a training: the first after the step under way, the second at once.

    At once is safe at every moment: what is on the disk is whole. Before training begins, the first one ends the block
    with the exit code that goes with it.
    """
    stop = Stop()
    main = os.environ.get("RANK", "0") == "0"
    terminals = [stream for stream in (1, 2) if os.isatty(stream)]

    def ask(number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if name == "SIGHUP":  # the terminal is gone, and writing to it fails
            for stream in terminals:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        if stop.code:
            return
        stop.code = _CODES[name]
        stop.set()
        if not reporter.training:
            raise _Early
        if main:
            reporter.stopping()

    with _at_once(reporter):
        before = {}
        for name in _CODES:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # nohup asks to ignore SIGHUP
                before[number] = signal.signal(number, ask)
        try:
            yield stop
        except _Early:
            say("gadkit: stopped before training began")
            raise typer.Exit(stop.code) from None
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def _at_once(reporter: ConsoleReporter) -> Iterator[None]:
    """A block in which a second signal ends the process.

    A thread waits for it: Python's own handlers wait until the main thread is back from whatever it computes.
    """
    told, told_of = socket.socketpair()
    told_of.setblocking(False)
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1

    def wait() -> None:
        asked: float | None = None
        while numbers := told.recv(1):  # the interpreter writes the number of every signal that has a handler
            code, now = _CODES.get(signal.Signals(numbers[0]).name), time.monotonic()
            if code is None:
                continue
            if asked is None:
                asked = now
            elif not several or now - asked > _ECHO:
                reporter.abandoned()
                os._exit(code)

    before = signal.set_wakeup_fd(told_of.fileno(), warn_on_full_buffer=False)
    thread = threading.Thread(target=wait, name="gadkit-signals", daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        told_of.close()
        thread.join()
        told.close()
