"""Telling plugins and trackers of a run, in a thread of its own, so that none of them holds up a step."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gadkit.config import Part
from gadkit.errors import GadkitError, PluginError
from gadkit.registry import Registry
from gadkit.registry.entry import one_line

log = logging.getLogger("gadkit")

#: Calls that may wait for their turn; whoever falls behind further holds the run up, in place of filling the memory.
_WAITING = 1000
#: Seconds after which a call that does not return is given up, while the run goes on and at its end, when whatever was
#: held back may have to be sent.
_STUCK = 60.0
_ENDING = 600.0


class Telling:
    """Calls the lifecycle hooks of a run one after another, in the order in which they were told.

    Args:
        registry: Whose plugins and trackers are told.
        folder: The run's folder, which every hook is given.
    """

    def __init__(self, registry: Registry, folder: Path) -> None:
        self._registry, self._folder = registry, folder
        self._calls: queue.Queue[tuple[str, dict[str, Any]] | None] = queue.Queue(_WAITING)
        self._open = True
        # a daemon: a tracker that never returns does not keep the program from ending
        self._thread = threading.Thread(target=self._work, name="gadkit-trackers", daemon=True)
        self._thread.start()

    def tell(self, name: str, **values: Any) -> None:
        """Has a lifecycle hook called, soon.

        Args:
            name: The hook, such as `"gadkit_step_logged"`.
            **values: Its arguments but `folder`; they belong to the hook from here on.
        """
        self._put((name, values))

    def end(self) -> None:
        """Waits until all is told; nothing is told after it."""
        if self._put(None):
            self._thread.join(_ENDING)
            if self._thread.is_alive():
                log.warning("the trackers did not end within %g seconds: they are left to themselves", _ENDING)
        self._open = False

    def _put(self, call: tuple[str, dict[str, Any]] | None) -> bool:
        if not self._open:
            return False
        try:
            self._calls.put(call, timeout=_STUCK)
        except queue.Full:
            self._open = False
            log.warning(
                "a tracker has not returned for %g seconds, with %d calls waiting: from here on this run tells "
                "trackers nothing",
                _STUCK,
                _WAITING,
            )
        return self._open

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            name, values = call
            try:
                self._registry.notify(name, folder=self._folder, **values)
            except BaseException as error:  # a KeyboardInterrupt of its own: Ctrl-C comes to the main thread
                log.warning("telling trackers failed: %r", error)


def build_trackers(trackers: Mapping[str, Part]) -> dict[str, Any]:
    """The trackers of a configuration, by the same names.

    Raises:
        PluginError: One cannot be built; a `GadkitError` of its own is passed on.
    """
    built = {}
    for name, part in trackers.items():
        try:
            built[name] = part.entry.load()(**part.settings)
        except GadkitError:
            raise
        except Exception as error:
            raise PluginError(
                f"tracker {name!r} cannot be built with its settings ({one_line(error)}); mend them, or leave it out "
                "with --tracker none."
            ) from error
    return built
