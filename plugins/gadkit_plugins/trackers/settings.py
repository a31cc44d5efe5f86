"""A run's configuration, as it may be shown to others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_ADDRESS = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*://)(?:[^/\s?#@]*@)?([^\s?#]*)[?#]?\S*")


def shown(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as one table of dotted keys; of addresses neither names and passwords nor queries.

    Args:
        config: As `gadkit_run_started` has it.
    """
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            found |= {f"{key}.{name}": inner for name, inner in shown(value).items()}
        else:
            found[key] = _harmless(value)
    return found


def _harmless(value: Any) -> Any:
    if isinstance(value, str):
        return _ADDRESS.sub(r"\1\2", value)
    if isinstance(value, list):
        return [shown(each) if isinstance(each, Mapping) else _harmless(each) for each in value]
    return value
