"""Files that appear when they are whole."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from gadkit.errors import RunError


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file that appears when it is whole; raises `RunError` where it cannot be written."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunError(
            f"{path} cannot be written: {error.strerror or error}; check the free space and the rights of its folder."
        ) from error
