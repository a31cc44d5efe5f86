"""The page of a run that is under way: written now and then, at little cost, and never the end of the run."""

from __future__ import annotations

import time
from collections.abc import Callable

from gadkit.errors import GadkitError
from gadkit.report.page import write_report
from gadkit.runs.folder import Run


class LiveReport:
    """Writes a run's page when it is asked to and when it is time.

    Args:
        run: The run.
        warn: Told in a sentence, once, where the page cannot be written.
        every: Seconds between two pages at least; more where writing one takes long, so that it takes no more than a
            fiftieth of the time.
    """

    def __init__(self, run: Run, warn: Callable[[str], None], every: float = 30.0) -> None:
        self._run = run
        self._warn = warn
        self._every = every
        self._next = float("-inf")
        self._warned = False

    def refresh(self, ended: str | None = None) -> None:
        """Writes the page if it is time; raises nothing.

        Args:
            ended: How the run has ended: `finished`, `stopped` or `failed`. Then it is always time.
        """
        began = time.monotonic()
        if ended is None and began < self._next:
            return
        try:
            write_report(self._run, ended=ended)
        except Exception as error:  # nothing about a page is worth a training
            if not self._warned:
                why = str(error) if isinstance(error, GadkitError) else f"{type(error).__name__}: {error}"
                self._warn(f"the page of the run was not written: {' '.join(why.split())[:500]}")
            self._warned = True
        took = time.monotonic() - began
        self._next = time.monotonic() + max(self._every, 50 * took)
