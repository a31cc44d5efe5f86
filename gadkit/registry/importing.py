"""What surrounds the import of code that gadkit did not write: its output, its time, and whether it comes to an end."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from gadkit.folders import cache_folder
from gadkit.words import printable

log = logging.getLogger("gadkit")

#: Seconds after which an import that has not come to its end is spoken of.
PATIENCE = 5.0
_LONGEST = 500


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """A block whose output goes to standard error: Python's, and what is written to the descriptor by others.

    Standard output is the caller's: under `--json` nothing else may stand in it.
    """
    with ExitStack() as undo:
        with contextlib.suppress(OSError, ValueError, AttributeError):  # either may be closed, or no file at all
            sys.stdout.flush()
            kept = os.dup(1)
            undo.callback(os.close, kept)
            os.dup2(2, 1, inheritable=True)
            undo.callback(os.dup2, kept, 1)
        undo.enter_context(contextlib.redirect_stdout(sys.stderr))
        yield


class ImportWatch:
    """Watches over the imports of other people's plugins, for as long as its block lasts.

    An import that takes longer than `PATIENCE` is named on standard error while it goes on. One that ends the process
    (`os._exit`, a crash) can be named only by the next process: a small file in the cache says which import is under
    way, locked for as long as the process lives, and removed at the end of the block. Both cost nothing to speak of,
    and nothing at all before the first `begin`.
    """

    def __init__(self) -> None:
        self._undo = ExitStack()
        self._note: IO[str] | None = None
        self._current: tuple[str, float] | None = None
        self._over = threading.Event()

    def __enter__(self) -> ImportWatch:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._undo.close()

    def begin(self, plugin: str, switch: str) -> None:
        """The import of a plugin begins; the one before it has come to its end.

        Args:
            plugin: The plugin, for people, on one line.
            switch: What `gadkit plugins disable` calls it.
        """
        text = f"{plugin}\t{switch}"
        if self._current is None:
            folder = cache_folder() / "importing"
            _tell_of_ended(folder)
            with contextlib.suppress(OSError):
                self._note = self._undo.enter_context(_note(folder))
        self._current, first = (text, time.monotonic()), self._current is None
        if first:
            threading.Thread(target=self._wait, name="gadkit-imports", daemon=True).start()
        if self._note is not None:
            with contextlib.suppress(OSError):
                self._note.write(f"{text}\n")
                self._note.flush()

    def _wait(self) -> None:
        told, pause = None, PATIENCE
        while not self._over.wait(pause):
            current = self._current
            assert current is not None  # the thread starts with the first import
            left = current[1] + PATIENCE - time.monotonic()
            pause = left if left > 0 else PATIENCE
            if left <= 0 and current is not told:
                told = current
                plugin, _, switch = current[0].partition("\t")
                log.warning(
                    "gadkit: %s has been importing for %.0f s; if it never ends: gadkit plugins disable %s",
                    plugin,
                    PATIENCE,
                    switch,
                )


@contextlib.contextmanager
def _note(folder: Path) -> Iterator[IO[str]]:
    """A new file in `folder`, locked where the system can, and removed at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{os.getpid()}-{secrets.token_hex(4)}"
    try:
        with path.open("x", encoding="utf-8", errors="backslashreplace") as file:
            _lock(file)
            yield file
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def _lock(file: IO[str]) -> None:
    """Locks a file without waiting; `OSError` where another process holds it.

    Windows needs no lock: there a file that a process holds open cannot be removed.
    """
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _tell_of_ended(folder: Path) -> None:
    """Names the plugins whose import some process did not survive; each once."""
    with contextlib.suppress(OSError):
        for path in sorted(folder.iterdir()):
            with contextlib.suppress(OSError):
                with path.open(encoding="utf-8", errors="replace") as file:
                    _lock(file)
                    lines = file.read().splitlines()
                path.unlink()
                if lines:
                    plugin, _, switch = lines[-1][:_LONGEST].partition("\t")
                    log.warning(
                        "gadkit: a process of gadkit ended while it imported %s; if it happens again: gadkit plugins "
                        "disable %s",
                        printable(plugin),
                        printable(switch),
                    )
