"""What shows a run somewhere else while it goes on."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from typing import Any, ClassVar


class Tracker(ABC):  # noqa: B024  what it does is up to its hooks
    """An object with lifecycle hooks, which a run makes and registers for as long as it lasts.

    Its hooks are methods decorated with `gadkit.hookimpl`, of the names and arguments of the lifecycle hooks in
    `gadkit.hookspecs`, as many of them as it needs: `gadkit_run_started`, `gadkit_step_logged`, `gadkit_event_logged`,
    `gadkit_samples_written`, `gadkit_run_ended`.

    - They are called on the first process only, one after another and in the order in which things happened, in a
      thread that does nothing else: a slow one holds up no step.
    - One that raises is warned of, and the tracker is left out for the rest of the run, which goes on.
    - A run that goes on makes a new object and calls `gadkit_run_started` with the step it goes on from. What was told
      of later steps, by another process perhaps, has not happened: those steps are made again. The same holds for
      steps after that of an event `"rollback"` or `"given up"`.
    - `gadkit_run_ended` is the last call, after which everything is to be written, closed or sent; a process that is
      killed makes none.
    - Samples are written while training goes on, and may be of an earlier step than the values before them.

    `__init__` keeps settings and does no more: it is called in a dry run too, and in another thread. Its settings are
    its keyword-only arguments, as for every component; it raises `gadkit.ConfigError` for those that it cannot meet.

    Attributes:
        offline: Settings with which it reaches nobody, such as `{"mode": "offline"}`: what `gadkit.testing` builds it
            with, where its own would look for a network.
    """

    offline: ClassVar[Mapping[str, Any]] = {}


class Hooks:
    """The hooks of a tracker, as pluggy can hold them: not every tracker is hashable, no dataclass for one.

    Args:
        tracker: The tracker.
    """

    def __init__(self, tracker: object) -> None:
        for name in dir(tracker):
            if name.startswith("gadkit_"):
                setattr(self, name, getattr(tracker, name))
