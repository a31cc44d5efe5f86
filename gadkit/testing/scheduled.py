"""The conformance kit for settings that may change during a run: does a component follow them?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor

from gadkit.errors import ConfigError
from gadkit.randomness import Key, seeded
from gadkit.signature import settings_of, validate
from gadkit.testing.probes import close
from gadkit.testing.promises import promise


def check_scheduled(
    cls: type[Any],
    settings: Mapping[str, Any],
    arguments: tuple[Any, ...] = (),
    outcome: Callable[[Any], Tensor] | None = None,
) -> None:
    """Checks that every `gadkit.Scheduled` setting of a class is an attribute, and is read where it is used.

    Args:
        cls: The component's class.
        settings: What it is built with.
        arguments: Its positional arguments.
        outcome: What a component makes of something fixed. With it, one whose attribute was set to another value must
            make what one built with that value makes.

    Raises:
        AssertionError: A broken promise.
    """

    def build(**other: Any) -> Any:
        with seeded(Key.of(0)):
            return cls(*arguments, **{**settings, **other})

    for name, setting in settings_of(cls).items():
        if not setting.scheduled:
            continue
        given = settings.get(name, setting.default)
        for value in (given, *_others(cls, settings, name, given)):
            built = build(**{name: value})
            kept = getattr(built, name, None)
            promise(
                kept == value,
                f"{cls.__name__} keeps {name}, which may change during a run, as it is in an attribute of that name",
                f"built with {value!r}, it has {kept!r}",
                f"set self.{name} = {name} in __init__",
            )
            if outcome is not None:
                moved = build()
                setattr(moved, name, value)
                with seeded(Key.of(1)):
                    found = outcome(moved)
                with seeded(Key.of(1)):
                    expected = outcome(built)
                told = f"{cls.__name__} with its attribute {name} set to {value!r} does what one built with it does"
                close(
                    found,
                    expected,
                    1e-6,
                    told,
                    relative=True,
                    mend=f"read self.{name} where it is used, and keep no copy of it",
                )


def _others(cls: type[Any], settings: Mapping[str, Any], name: str, given: Any) -> Iterator[Any]:
    """Another value of a setting, within its range; none where none is found."""
    for turn in (lambda x: x / 2 + 0.01, lambda x: 2 * x, lambda x: x + 1, lambda x: (x + 1) / 2):
        other = _turned(given, turn)
        try:
            validate(cls, {**settings, name: other}, cls.__name__)
        except ConfigError:
            continue
        if other != given:
            yield other
            return


def _turned(value: Any, turn: Callable[[float], float]) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_turned(part, turn) for part in value)
    return turn(value) if type(value) in (int, float) else value
