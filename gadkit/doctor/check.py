"""The record of one check."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """What one check found.

    Attributes:
        group: The part of the report that it belongs to.
        name: What was checked.
        status: `"ok"`; `"warn"`, gadkit works without it or slower; `"fail"`, gadkit does not work.
        text: What was found, one sentence or less.
        remedy: The command or the deed that mends it; empty where nothing is to be done.
        details: The same in numbers, for `--json`; plain JSON values.
    """

    group: str
    name: str
    status: Status
    text: str
    remedy: str = ""
    details: dict[str, Any] = field(default_factory=dict)
