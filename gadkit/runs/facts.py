"""What a run's files say of how it went, once it is what it should be: they may come from anywhere."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gadkit.checkpoints.store import read_document
from gadkit.errors import RunError
from gadkit.runs.attempt import Attempt
from gadkit.runs.folder import ENVIRONMENT, step_of
from gadkit.runs.state import STATE

_Count = Annotated[int, Field(ge=0, le=1 << 53)]
_STRICT = ConfigDict(strict=True, allow_inf_nan=False)


class _Best(BaseModel):
    model_config = _STRICT

    step: _Count | None
    metric: str
    value: float
    logged: _Count


class _Data(BaseModel):
    model_config = _STRICT

    videos: _Count
    content: str


class _State(BaseModel):
    model_config = _STRICT

    step: _Count
    seconds: Annotated[float, Field(ge=0)]
    attempt: dict[str, Any]
    best: _Best | None
    data: _Data
    nets: dict[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a checkpoint's state says besides what it is for the trainer to read.

    Attributes:
        step: The steps that were made until it.
        seconds: How long they took.
        attempt: The try in which it was written.
        best: The best checkpoint by then: `step`, `metric`, `value` and `logged`; `None` without one.
        videos: How many videos it was trained with.
        content: What tells these from others.
    """

    step: int
    seconds: float
    attempt: Attempt
    best: dict[str, Any] | None
    videos: int
    content: str


def read_facts(checkpoint: Path) -> Facts:
    """The facts in a checkpoint's `state.json`; raises what `facts_of` and `read_document` do."""
    return facts_of(checkpoint, read_document(checkpoint, STATE))


def facts_of(checkpoint: Path, state: Any) -> Facts:
    """The facts in the state of a checkpoint, with its tensors or without.

    Raises:
        RunError: One is missing, of another type or out of range, or it is the state of another step.
    """
    try:
        found = _State.model_validate(state)
        attempt = Attempt(**found.attempt)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"])) or "all of it"
        raise _foreign(checkpoint, f"{place}: {first['msg']}") from error
    except (TypeError, ValueError) as error:
        raise _foreign(checkpoint, f"attempt: {error}") from error
    if found.step != step_of(checkpoint):
        raise _foreign(checkpoint, f"it is that of step {found.step}")
    return Facts(
        step=found.step,
        seconds=found.seconds,
        attempt=attempt,
        best=None if found.best is None else found.best.model_dump(),
        videos=found.data.videos,
        content=found.data.content,
    )


def _foreign(checkpoint: Path, why: str) -> RunError:
    return RunError(
        f"{checkpoint / STATE}: is no state of a training that this gadkit knows ({why}); take the version of gadkit "
        f"that {ENVIRONMENT} names, or begin a new run with --init-from."
    )


def values_of(line: Mapping[str, Any]) -> dict[str, float]:
    """The values in a line of the log that can be reckoned with."""
    numbers = {name: value for name, value in line.items() if type(value) in (int, float)}
    return {name: float(value) for name, value in numbers.items() if -1e300 < value < 1e300 and math.isfinite(value)}
