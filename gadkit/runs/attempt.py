"""Tries of a run: what changes when it goes back to a checkpoint because its numbers were no longer finite.

A run that repeated exactly what it did would fail exactly as it did. So every try has a number, which is part of the
random keys, and from the second time that the same trouble is met the learning rates are lowered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gadkit.sections import RunSettings

_MOST = 1 << 53


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One try.

    Attributes:
        number: How often the run has gone back so far.
        rate: What the learning rates are multiplied by.
        tries: How often it went back since it last got past the trouble.
        trouble: The step at which the trouble was, 0 without one.
    """

    number: int = 0
    rate: float = 1.0
    tries: int = 0
    trouble: int = 0

    def __post_init__(self) -> None:
        """Raises `ValueError` where it is none that could have been: it may have been read from a file."""
        counts = {"number": self.number, "tries": self.tries, "trouble": self.trouble}
        for name, count in counts.items():
            if type(count) is not int or not 0 <= count <= _MOST:
                raise ValueError(f"{name} is {count!r:.80}, and must be an integer from 0 on")
        if type(self.rate) not in (int, float) or not 0 < self.rate <= 1:
            raise ValueError(f"rate is {self.rate!r:.80}, and must be a number in (0, 1]")

    def next(self, trouble: int, settings: RunSettings) -> Attempt | None:
        """The try after this one, which met trouble at a step; `None` where it is time to give up."""
        tries = self.tries + 1
        if tries > settings.rollbacks:
            return None
        rate = self.rate if tries == 1 else self.rate * settings.rollback_rate
        return Attempt(number=self.number + 1, rate=rate, tries=tries, trouble=max(trouble, self.trouble))

    def after(self, step: int) -> Attempt:
        """The same try, once a checkpoint of a step was kept: beyond the trouble, the count begins anew."""
        return self if step <= self.trouble else Attempt(number=self.number, rate=self.rate)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as the log and checkpoints have them."""
        return asdict(self)


#: The events of the log that have an attempt, the one that follows upon them: the run went back, or was given up.
ROLLBACK = "rollback"
GIVEN_UP = "given up"


def attempt_at(step: int, saved: Attempt, log: Sequence[Mapping[str, Any]]) -> Attempt:
    """The try in which a run goes on from a checkpoint, which may have been gone back to since it was written.

    Args:
        step: The checkpoint's step.
        saved: The try in which it was written.
        log: The lines of the run's log.
    """
    found = saved
    for line in log:
        if "attempt" in line and line["step"] == step and line["attempt"]["number"] >= found.number:
            found = Attempt(**line["attempt"])
    return found


def was_abandoned(step: int, saved: Attempt, log: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the run has gone back behind a checkpoint since it was written; arguments as for `attempt_at`."""
    return any(line["step"] < step and line["attempt"]["number"] > saved.number for line in log if "attempt" in line)


def rewound(log: Sequence[Mapping[str, Any]], step: int, attempt: Attempt) -> list[Mapping[str, Any]]:
    """The lines that stay when a run goes on from a checkpoint: those up to its step, and what led to this try."""
    return [
        line
        for line in log
        if (line["attempt"]["number"] <= attempt.number if "attempt" in line else line["step"] <= step)
    ]
