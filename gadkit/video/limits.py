"""What a file may ask for before it is refused."""

from __future__ import annotations

from pathlib import Path

from gadkit.errors import DataError

#: The most pixels a frame may have: 8,192×8,192. A header of a few bytes can declare any size.
MAX_PIXELS = 1 << 26


def check_size(path: Path, height: int, width: int) -> None:
    """Raises `DataError` where a frame of `path` would have more than `MAX_PIXELS` pixels; called before it is made."""
    if height * width > MAX_PIXELS:
        raise DataError(
            f"{path} has frames of {width}×{height} pixels, and at most {MAX_PIXELS:,} pixels are taken; make it "
            "smaller, or remove it."
        )
