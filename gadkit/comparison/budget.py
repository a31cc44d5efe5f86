"""Budgets: what every training of a comparison gets, and how it is told when it has had it."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gadkit.config import RunConfig
from gadkit.errors import ConfigError, GadkitError
from gadkit.runs.facts import read_facts
from gadkit.runs.folder import Run
from gadkit.schedules import schedules_in
from gadkit.words import count_text, duration_text

#: The steps of a run that ends by the clock: more than any makes.
_ENDLESS = 1_000_000_000
#: Seconds that no run lasts: what takes the place of a recipe's own limit.
_FOREVER = 1e9
#: Seconds between two checkpoints at most, where the clock is the budget.
_INTERVAL = 1800.0
#: Clocks are written with three digits behind the point.
_ROUNDING = 0.005


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a training gets: one of three, the others `None`.

    Attributes:
        minutes: Of the clock, from the first step on.
        steps: Updates of the generator.
        samples: Clips that the generator was updated with: steps times batch size, rounded up to whole steps.
    """

    minutes: float | None = None
    steps: int | None = None
    samples: int | None = None

    def __post_init__(self) -> None:
        """Raises `ConfigError` where there is none, more than one, or one out of range."""
        given = {name: value for name, value in self.to_dict().items() if value is not None}
        if len(given) != 1:
            found = " and ".join(f"--{name}" for name in given) or "no budget"
            raise ConfigError(f"found {found}, expected one of --minutes, --steps and --samples: say what each gets.")
        ((name, value),) = given.items()
        if not (math.isfinite(value) and 0 < value < 1e12):
            raise ConfigError(f"--{name}: found {value:g}, expected a number above 0.")

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"minutes": self.minutes, "steps": self.steps, "samples": self.samples}

    def __str__(self) -> str:
        if self.minutes is not None:
            return f"{duration_text(self.minutes * 60)} of training"
        return count_text(self.steps, "step") if self.steps is not None else count_text(self.samples or 0, "sample")

    def told(self, steps: Collection[int]) -> str:
        """What trainings get, in words.

        Args:
            steps: Those that their configurations ask for, each of which ends one where the clock would too.
        """
        if self.minutes is None or not steps or max(steps) == _ENDLESS:
            return str(self)
        own = count_text(next(iter(steps)), "step") if len(set(steps)) == 1 else "steps of its own"
        return f"{own}, or {self}"

    def seconds_left(self, seconds: float) -> float | None:
        """Of the clock, after so many; `None` where that is not what ends a run."""
        return None if self.minutes is None else max(self.minutes * 60 - seconds, 1e-3)

    def check(self, config: RunConfig) -> None:
        """Refuses schedules over all of a run where the clock ends it: nobody knows how many steps that will be.

        Raises:
            ConfigError: Names the setting.
        """
        if self.minutes is None or config.run.steps != _ENDLESS:
            return
        for kind, part in config.parts.items():
            for name, value in part.schedules.items():
                for key, schedule in schedules_in(value, f"{kind}.{name}").items():
                    if schedule.steps is None:
                        raise ConfigError(
                            f"{key}: its schedule goes over all steps of the run, and --minutes does not say how many "
                            "there will be; give the schedule steps of its own, say --set NAME:run.steps=N for how "
                            "many to expect, or take --steps or --samples."
                        )

    def settings(self, config: RunConfig, points: int, own: int | None = None) -> dict[str, Any]:
        """The settings that give a run its budget, and at least so many checkpoints to draw a curve from.

        Args:
            config: The run's, so far.
            points: How many; 0 for none beside the last.
            own: Steps that it is to end after where the clock does not end it before: the points are spread over them.

        Raises:
            ConfigError: Samples were asked for, and the trainer does not say how large its batches are.
        """
        # A sample takes time that a training needs; they are made afterwards.
        quiet: dict[str, Any] = {"run.sample_every": _ENDLESS}
        if self.minutes is not None:
            seconds = self.minutes * 60
            return quiet | {
                "run.steps": _ENDLESS,
                "run.max_time": seconds,
                **(_by_clock(seconds, points) if own is None else _by_steps(own, points)),
            }
        steps = self.steps
        if steps is None:
            size = batch_size(config)
            if size is None:
                raise ConfigError(
                    f"--samples: trainer {config.parts['trainer'].entry.name!r} does not say how large its batches "
                    "are, so samples cannot be counted; take --steps or --minutes."
                )
            steps = -(-int(self.samples or 0) // size)
        return quiet | {"run.steps": steps, "run.max_time": _FOREVER, **_by_steps(steps, points)}


def _by_clock(seconds: float, points: int) -> dict[str, Any]:
    """When checkpoints are written in so many seconds, and that all are kept."""
    count = max(points, math.ceil(seconds / _INTERVAL), 1)
    return {"run.checkpoint_every": f"{max(seconds / count, 0.1):.1f}s", "run.keep": count + 2}


def _by_steps(steps: int, points: int) -> dict[str, Any]:
    """The same in so many steps."""
    count = max(points, 1)
    return {"run.checkpoint_every": -(-steps // count), "run.keep": count + 2}


def batch_size(config: RunConfig) -> int | None:
    """The clips of a step, where the trainer says so."""
    size = config.parts["trainer"].settings.get("batch_size")
    return size if isinstance(size, int) else None


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How far a run is, by its newest checkpoint.

    Attributes:
        step: The steps that were made.
        seconds: How long they took, those of earlier turns counted; what was lost with a turn is not.
        checkpoint: Where it lies; `None` where there is none.
    """

    step: int = 0
    seconds: float = 0.0
    checkpoint: Path | None = None

    def spent(self, budget: Budget, steps: int) -> bool:
        """Whether a run has had its budget.

        Args:
            budget: The budget.
            steps: The steps that its configuration asks for.
        """
        if budget.minutes is not None and self.seconds >= budget.minutes * 60 - _ROUNDING:
            return True
        return self.checkpoint is not None and self.step >= steps


def standing(folder: Path) -> Standing:
    """How far a run is; nothing where there is none yet, or none of its checkpoints can be read."""
    for checkpoint in reversed(Run(folder).checkpoints()):
        try:
            facts = read_facts(checkpoint)
        except GadkitError:  # a training that goes on says what is wrong with it
            continue
        return Standing(step=facts.step, seconds=facts.seconds, checkpoint=checkpoint)
    return Standing()
