"""The folders of the user that gadkit keeps things in."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Where gadkit keeps what it can make again: `$GADKIT_CACHE`, or the user's cache folder."""
    return _folder("GADKIT_CACHE", "user_cache_dir")


def config_folder() -> Path:
    """Where gadkit keeps what the user chose: `$GADKIT_CONFIG`, or the user's configuration folder."""
    return _folder("GADKIT_CONFIG", "user_config_dir")


def _folder(variable: str, function: str) -> Path:
    if given := os.environ.get(variable):
        return Path(given)
    import platformdirs  # takes milliseconds, which whoever says where does not pay

    return Path(getattr(platformdirs, function)("gadkit"))
