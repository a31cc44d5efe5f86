"""Whether a run's folder holds its files itself: whoever goes on with it writes there, and nowhere else."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from gadkit.errors import RunError


def check_inside(folder: Path) -> None:
    """Refuses to go on with a run in whose folder a link leads out, or something is neither a file nor a folder.

    The folder itself may be reached by links. What lies in a checkpoint is checked where it is read.

    Raises:
        RunError: Names the first of them.
    """
    home = os.path.realpath(folder)
    try:
        for path in _entries(folder):
            if path.is_symlink() and os.path.commonpath([home, os.path.realpath(path)]) != home:
                raise RunError(
                    f"{path}: is a link that leads out of the run's folder, and a run goes on only where all of it "
                    "lies in one folder; put what it stands for in its place, or link to the whole run."
                )
            kind = path.stat().st_mode if path.exists() else stat.S_IFREG  # a link within the folder to nothing
            if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
                raise RunError(f"{path}: is neither a file nor a folder, and a run has nothing else; remove it.")
    except OSError as error:
        raise RunError(f"{folder}: cannot be read ({error.strerror or error}); mend that, and try again.") from error


def _entries(folder: Path) -> Iterator[Path]:
    """What lies in a folder, and in the folders in it."""
    for path in sorted(folder.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from sorted(path.iterdir())
