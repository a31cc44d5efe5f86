"""Data that cannot be reached, told from data that are damaged; and files that are tried again for a while."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from time import sleep
from typing import TypeVar

from gadkit.errors import UnavailableError

T = TypeVar("T")

#: What an operating system says where a file, its folder or its disk is not there, or may not be read (any more).
GONE = frozenset(
    getattr(errno, name)
    for name in (
        *("EACCES", "EHOSTDOWN", "EIO", "ENODEV", "ENOENT", "ENOTCONN", "ENOTDIR", "ENXIO", "EPERM", "EREMOTEIO"),
        *("ESHUTDOWN", "ESTALE", "ETIMEDOUT"),
    )
    if hasattr(errno, name)
)
#: Seconds between attempts to reach a file: a share that drops out for a moment costs no training.
PAUSES = (0.5, 1.0, 2.0, 4.0)
#: What a user does about it.
ADVICE = "bring it back, and go on with `gadkit train --resume`"

_SHARED = frozenset(
    [
        *("9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "davfs", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs"),
        *("nfs", "nfs4", "ocfs2", "orangefs", "prl_fs", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs", "webdav"),
    ]
)


def unreachable(error: BaseException, files: Iterable[Path] = ()) -> OSError | None:
    """The reason why data cannot be reached, where that is behind an error; `None` where they are damaged.

    Args:
        error: What reading them raised.
        files: Where they come from: each is looked at as well.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in GONE:
            return cause
        cause = cause.__cause__
    for file in files:
        try:
            file.stat()
        except OSError as found:
            return found
    return None


def patiently(attempt: Callable[[], T], name: str, files: Iterable[Path] = ()) -> T:
    """What `attempt` gives; where its data cannot be reached, it is repeated after pauses.

    What a server holds is repeated where it is asked (its errors have no such cause), and not here a second time.

    Args:
        attempt: Reads something.
        name: What it reads, for the message.
        files: Where that comes from.

    Raises:
        UnavailableError: The data could not be reached at any attempt.
        BaseException: Whatever else `attempt` raises, at once.
    """
    files = tuple(files)
    for pause in (*PAUSES, None):
        try:
            return attempt()
        except Exception as error:
            reason = unreachable(error, files)
            if reason is None or (pause is None and isinstance(error, UnavailableError)):
                raise
            if pause is None:
                raise UnavailableError(
                    f"{place(name, files)} cannot be reached any more: {words(reason)} ({len(PAUSES) + 1} times); "
                    f"{ADVICE}."
                ) from error
        sleep(pause)
    raise AssertionError("the last attempt returns or raises")


def place(name: str, files: Sequence[Path]) -> str:
    """What cannot be reached: the file that is missing, the only file, or the video by its name."""
    missing = next((file for file in files if not os.path.exists(file)), None)
    return str(missing or (files[0] if len(files) == 1 else name))


def words(reason: OSError) -> str:
    """An operating system's reason."""
    return reason.strerror or (os.strerror(reason.errno) if reason.errno else str(reason)) or type(reason).__name__


def changed_since(moment: float, files: Iterable[Path]) -> Path | None:
    """A file whose content or rights have changed since a moment, in seconds since 1970; `None` where none has."""
    for file in files:
        with contextlib.suppress(OSError):
            status = file.stat()
            if max(status.st_mtime, status.st_ctime) > moment:
                return file
    return None


def is_shared(path: Path) -> bool:
    """Whether a file lies on a network share, or on what another program serves (FUSE): such a place can go away."""
    import psutil  # listings do without it

    real = os.path.realpath(path)
    kinds: dict[str, str] = {}
    with contextlib.suppress(OSError, RuntimeError):  # where that is not told, as in some sandboxes
        kinds = {each.mountpoint: f"{each.fstype},{each.opts}" for each in psutil.disk_partitions(all=True)}
    while real not in kinds and real != os.path.dirname(real):
        real = os.path.dirname(real)
    kind, _, options = kinds.get(real, "").partition(",")
    return kind in _SHARED or kind.partition(".")[0] in {"fuse", "fuseblk", "macfuse", "osxfuse"} or "remote" in options
