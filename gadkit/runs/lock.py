"""The lock of a run's folder: two processes do not train one run."""

from __future__ import annotations

import errno
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from gadkit.errors import RunError
from gadkit.words import duration_text

_LOCK = ".lock"
#: Who holds it leaves word in this file, until the end.
OWNER = ".owner.json"
#: What a file system says that knows no locks.
_WITHOUT = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds a run's lock, which the operating system takes back when the process ends, however it does.

    On a file system that knows no locks, nothing is held.

    Raises:
        RunError: Another process holds it; the sentence says which, where it is known.
    """
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(
            f"{folder}: is being trained already{_owner(folder)}; wait until that has ended, or stop it, and try again."
        ) from None
    except NotImplementedError:
        yield
        return
    except OSError as error:
        if error.errno in _WITHOUT:
            yield
            return
        raise RunError(
            f"{folder / _LOCK}: cannot be written ({error.strerror}); mend the rights, or train another run."
        ) from error
    try:
        _sign(folder)
        yield
    finally:
        with suppress(OSError):
            (folder / OWNER).unlink(missing_ok=True)
        lock.release()


def _sign(folder: Path) -> None:
    """Leaves word of who holds the lock; for the message alone."""
    with suppress(OSError):
        owner = {"process": os.getpid(), "machine": platform.node(), "since": time.time()}
        (folder / OWNER).write_text(json.dumps(owner), encoding="utf-8")


def _owner(folder: Path) -> str:
    try:
        owner = json.loads((folder / OWNER).read_text(encoding="utf-8"))
        since = duration_text(max(1, round(time.time() - float(owner["since"]))))
        return f" by process {int(owner['process'])} on {owner['machine']}, for {since}"
    except (OSError, ValueError, TypeError, KeyError):
        return ""
