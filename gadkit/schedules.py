"""Settings that change during a run: the type for signatures, and values as functions of the step."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

from gadkit.errors import ConfigError, nearest

Shape = Literal["linear", "cosine", "exponential"]
_SHAPES: tuple[Shape, ...] = ("linear", "cosine", "exponential")
_KEYS = ("start", "end", "steps", "after", "shape")


class _Mark:
    """Says in a type that a number may be given as a schedule."""

    def __repr__(self) -> str:
        return "SCHEDULED"


_MARK = _Mark()

#: The type of a setting that may change during a run: a float for whoever reads it, a number or a table for whoever
#: sets it. `Annotated[Scheduled, Field(gt=0)]` has a range, which holds for both ends.
Scheduled = Annotated[float, _MARK]


@dataclass(frozen=True)
class Schedule:
    """A number as a function of the step.

    Attributes:
        start: Its value until `after` steps are made.
        end: Its value from `after + steps` steps on.
        steps: How many steps lie between; `None` for all that are left of the run.
        after: After how many steps it begins to change.
        shape: How it goes from one to the other, by the share p of `steps` that is over: `linear`, start + (end -
            start) p; `cosine`, end + (start - end) (1 + cos(pi p)) / 2, flat at both ends (Loshchilov & Hutter 2017,
            equation 5); `exponential`, start (end / start)^p, the same factor in every step.
    """

    start: float
    end: float
    steps: int | None = None
    after: int = 0
    shape: Shape = "linear"

    @classmethod
    def of(cls, table: Mapping[str, Any], key: str) -> Schedule:
        """The schedule that a table of a configuration describes.

        Args:
            table: Its keys: `start` and `end`, and any of `steps`, `after` and `shape`.
            key: The setting's, for messages.

        Raises:
            ConfigError: A key is unknown or missing, a value is none that it takes, or it goes through zero.
        """
        for name in table:
            if name not in _KEYS:
                raise ConfigError(
                    f"{key}: a schedule has no {name!r}.{nearest(str(name), _KEYS)} It has: {', '.join(_KEYS)}."
                )
        for name in ("start", "end"):
            if name not in table:
                raise ConfigError(
                    f"{key}: its schedule has no {name}; give both, such as {{start = 1.0, end = 0.1}}, or a number."
                )
        shape = table.get("shape", "linear")
        if shape not in _SHAPES:
            raise ConfigError(
                f"{key}: found shape = {shape!r:.80} in its schedule, expected 'linear', 'cosine' or 'exponential'."
            )
        start, end = _number(table, "start", key), _number(table, "end", key)
        if shape == "exponential" and not start * math.copysign(1.0, end) > 0 < abs(end):
            raise ConfigError(
                f"{key}: an exponential schedule cannot go from {start:g} to {end:g}, for no factor leads through zero "
                "or to it; give both ends one sign, or choose the shape 'linear' or 'cosine'."
            )
        return cls(
            start=start,
            end=end,
            steps=_count(table, "steps", 1, key) if "steps" in table else None,
            after=_count(table, "after", 0, key) if "after" in table else 0,
            shape=shape,
        )

    def at(self, step: int, steps: int) -> float:
        """Its value once `step` steps are made of a run of `steps`; between both ends, these included."""
        done, whole = step - self.after, steps - self.after if self.steps is None else self.steps
        if done <= 0:
            return self.start
        if done >= whole:
            return self.end
        share = done / whole
        if self.shape == "exponential":
            size = math.exp((1 - share) * math.log(abs(self.start)) + share * math.log(abs(self.end)))
            value = math.copysign(size, self.start)
        else:
            left = 1 - share if self.shape == "linear" else (1 + math.cos(math.pi * share)) / 2
            value = left * self.start + (1 - left) * self.end
        return min(max(value, min(self.start, self.end)), max(self.start, self.end))  # rounding leaves no range

    def over(self, steps: int) -> Schedule:
        """The same in a run of `steps`, said without the run."""
        return Schedule(
            self.start, self.end, steps - self.after if self.steps is None else self.steps, self.after, self.shape
        )

    def to_dict(self) -> dict[str, Any]:
        """The table, without what is at its default."""
        found: dict[str, Any] = {"start": self.start, "end": self.end}
        if self.steps is not None:
            found["steps"] = self.steps
        if self.after:
            found["after"] = self.after
        if self.shape != "linear":
            found["shape"] = self.shape
        return found

    def text(self, steps: int) -> str:
        """It in words, for a run of `steps`: `"0.0002 → 5e-05, cosine over steps 0 to 3000"`."""
        last = self.after + (self.over(steps).steps or 0)
        return f"{self.start:g} → {self.end:g}, {self.shape} over steps {self.after} to {last}"


def _number(table: Mapping[str, Any], name: str, key: str) -> float:
    value = table[name]
    plain = value.item() if callable(getattr(value, "item", None)) else value  # a NumPy number
    try:
        number = float(plain) if type(plain) in (int, float) else math.nan
    except OverflowError:
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(f"{key}: found {name} = {value!r:.80} in its schedule, expected a finite number.")
    return number


def _count(table: Mapping[str, Any], name: str, least: int, key: str) -> int:
    value = table[name]
    if type(value) is not int or value < least:
        raise ConfigError(f"{key}: found {name} = {value!r:.80} in its schedule, expected an integer from {least} on.")
    return value


# --- in the values of settings ---------------------------------------------------------------------------------------


#: How many places of a list are looked at for one that takes a schedule.
_PLACES = 8


class _Setting(Protocol):
    """What is asked of `gadkit.signature.Setting`."""

    @property
    def annotation(self) -> Any: ...

    @property
    def expected(self) -> str: ...


def schedulable(annotation: Any) -> bool:
    """Whether a value of a type may be a schedule, or hold some in the places of a list."""
    return is_scheduled(annotation) or any(schedulable(part) for part in typing.get_args(_bare(annotation)))


def is_scheduled(annotation: Any) -> bool:
    """Whether a value of a type may be a schedule itself: `Scheduled`, with or without a range or alternatives."""
    if _MARK in getattr(annotation, "__metadata__", ()):
        return True
    bare = _bare(annotation)
    return typing.get_origin(bare) in _UNIONS and any(is_scheduled(part) for part in typing.get_args(bare))


_UNIONS = (typing.Union, types.UnionType)


def _bare(annotation: Any) -> Any:
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is Annotated else annotation


@dataclass(frozen=True)
class Separated:
    """The values of settings, with what changes told apart.

    Attributes:
        starts: Setting to plain value: schedules by their starts.
        ends: The same by their ends.
        schedules: The settings among them that have schedules, these as they are.
    """

    starts: dict[str, Any]
    ends: dict[str, Any]
    schedules: dict[str, Any]


def separate(settings: Mapping[str, _Setting], values: Mapping[str, Any], where: str) -> Separated:
    """Takes the schedules out of the values of settings.

    Args:
        settings: What there is, by name.
        values: What was given, by name; nothing is checked of values without schedules.
        where: The section, for messages.

    Raises:
        ConfigError: A schedule is none, or stands where nothing may change during a run.
    """
    trees = {}
    for name, value in values.items():
        if name in settings:
            tree = _tree(settings[name].annotation, value, f"{where}.{name}", settings[name])
            if _holds(tree):
                trees[name] = tree
    return Separated(
        starts={**values, **{name: _turned(tree, lambda each: each.start) for name, tree in trees.items()}},
        ends={**values, **{name: _turned(tree, lambda each: each.end) for name, tree in trees.items()}},
        schedules=trees,
    )


def _tree(annotation: Any, value: Any, key: str, setting: _Setting) -> Any:
    """A value with its tables read as schedules, where they may be."""
    if isinstance(value, Mapping):
        if is_scheduled(annotation):
            return Schedule.of(value, key)
        if {"start", "end"} & value.keys() and not _takes_tables(annotation):
            if any(is_scheduled(_place(annotation, index)) for index in range(_PLACES)):
                raise ConfigError(
                    f"{key} takes schedules in its places, not in place of all of it; found {dict(value)!r:.200}, "
                    f"expected {setting.expected}, of which some can be such tables."
                )
            raise ConfigError(
                f"{key} cannot change during a run; found {dict(value)!r:.200}, expected {setting.expected}."
            )
        return value
    if isinstance(value, list | tuple):
        return [_tree(_place(annotation, index), part, f"{key}.{index}", setting) for index, part in enumerate(value)]
    return value


def _place(annotation: Any, index: int) -> Any:
    """The type of a place of a list; `Any` where that is not known."""
    bare = _bare(annotation)
    if typing.get_origin(bare) in _UNIONS:
        places = [place for part in typing.get_args(bare) if (place := _place(part, index)) is not Any]
        return next(iter(places), Any)
    if typing.get_origin(bare) not in (tuple, list, Sequence):
        return Any
    arguments = typing.get_args(bare)
    if len(arguments) == 1 or arguments[-1] is Ellipsis:
        return arguments[0]
    return arguments[index] if index < len(arguments) else Any


def _takes_tables(annotation: Any) -> bool:
    bare = _bare(annotation)
    if bare is Any or bare is dict or typing.get_origin(bare) in (dict, Mapping):
        return True
    return typing.get_origin(bare) in _UNIONS and any(_takes_tables(part) for part in typing.get_args(bare))


def _holds(tree: Any) -> bool:
    return isinstance(tree, Schedule) or (isinstance(tree, list) and any(map(_holds, tree)))


def _turned(tree: Any, turn: Callable[[Schedule], Any]) -> Any:
    """The same with something else in the place of each schedule."""
    if isinstance(tree, list | tuple):
        return type(tree)(_turned(part, turn) for part in tree)
    return turn(tree) if isinstance(tree, Schedule) else tree


def grafted(tree: Any, plain: Any) -> Any:
    """A validated value with the schedules of a tree in their places."""
    if isinstance(tree, list) and isinstance(plain, list | tuple):
        return type(plain)(grafted(each, part) for each, part in zip(tree, plain, strict=True))
    return tree if isinstance(tree, Schedule) else plain


def schedules_in(value: Any, key: str) -> dict[str, Schedule]:
    """The schedules in a setting's value by their keys: `trainer.generator_betas.1` is in the second place."""
    if isinstance(value, Schedule):
        return {key: value}
    found: dict[str, Schedule] = {}
    if isinstance(value, list | tuple):
        for index, part in enumerate(value):
            found |= schedules_in(part, f"{key}.{index}")
    return found


def value_at(value: Any, step: int, steps: int) -> Any:
    """A setting's value once `step` steps are made of a run of `steps`; plain values are what they are."""
    return _turned(value, lambda each: each.at(step, steps))


def spelled_out(value: Any, steps: int) -> Any:
    """A setting's value whose schedules say themselves what they take from a run of `steps`."""
    return _turned(value, lambda each: each.over(steps))
