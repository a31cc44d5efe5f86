"""The settings that change during a run, kept in the components at what they are at each step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from gadkit.config import RunConfig
from gadkit.errors import PluginError
from gadkit.schedules import schedules_in, value_at

if TYPE_CHECKING:
    from gadkit.interfaces.training import Training

#: What the names of such settings begin with in the log.
LOGGED = "setting/"


class Scheduling:
    """Every setting of a run that changes, found by the configuration: nothing is known of single components.

    Args:
        config: The run's.
        parts: The built components, by kind.

    Raises:
        PluginError: A component does not keep such a setting as the attribute that a course could set.
    """

    def __init__(self, config: RunConfig, parts: Mapping[str, Any]) -> None:
        self._steps = config.run.steps
        self._parts = parts
        self._found = [
            (kind, name, value)
            for kind, part in config.parts.items()
            if kind in parts
            for name, value in part.schedules.items()
        ]
        for kind, name, value in self._found:
            label = f"{kind} {config.parts[kind].entry.component.name!r}"
            _check_kept(parts[kind], label, name, value_at(value, 0, self._steps))

    def settle(self, step: int, training: Training) -> None:
        """Sets every such setting to its value once `step` steps are made.

        So are the other nets of a component's class, which were built with its settings: the averaged ones that
        samples are made with, and what `Session.another` gave, a net of the training or within one.

        Args:
            step: How many steps were made.
            training: Where these nets are.
        """
        for kind, name, value in self._found:
            part, now = self._parts[kind], value_at(value, step, self._steps)
            setattr(part, name, now)
            if isinstance(part, nn.Module):
                for net in (*training.nets.values(), *training.models.values()):
                    for module in net.modules():
                        if type(module) is type(part):
                            setattr(module, name, now)

    def values(self, step: int) -> dict[str, float]:
        """What there is to log of a step: `setting/trainer.generator_lr` for the number `trainer.generator_lr`."""
        return {
            f"{LOGGED}{key}": schedule.at(step, self._steps)
            for kind, name, value in self._found
            for key, schedule in schedules_in(value, f"{kind}.{name}").items()
        }

    def facts(self) -> list[tuple[str, str]]:
        """What a plan says of them: a name, and the schedule in words."""
        return [
            ("schedule", f"{key} {schedule.text(self._steps)}")
            for kind, name, value in self._found
            for key, schedule in schedules_in(value, f"{kind}.{name}").items()
        ]


def _check_kept(part: Any, label: str, name: str, value: Any) -> None:
    try:
        kept = getattr(part, name) == value
        setattr(part, name, value)
    except Exception:  # none, a property, a buffer, something that does not compare
        kept = False
    if kept is not True:
        raise PluginError(
            f"{label} does not keep its setting {name} as it is in an attribute of that name, so it cannot change "
            f"during a run; give {name} a number, or ask its author for self.{name} = {name}."
        )
