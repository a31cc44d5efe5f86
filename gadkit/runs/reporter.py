"""What a run tells whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gadkit.transfer.report import Transfer


@dataclass(kw_only=True)
class Plan:
    """What a training chose, before it starts.

    Attributes:
        parts: Kind, name, provider and number of parameters (`None` for what has none) of each component.
        facts: Name and text of everything else worth knowing: device, precision, data, sizes, memory.
        warnings: Sentences.
        transfer: What a run that begins with an old model takes from it.
    """

    parts: list[tuple[str, str, str, int | None]] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    transfer: Transfer | None = None


class Reporter:
    """Watches a run and says nothing; the command line's reporter overrides what it shows."""

    def preparing(self, done: int, total: int, name: str) -> None:
        """A video was decoded into the cache.

        Args:
            done: Videos that are decoded.
            total: How many there are.
            name: The last one's.
        """

    def plan(self, plan: Plan) -> None:
        """The run is about to start.

        Args:
            plan: What it does, and what it takes.
        """

    def started(self, step: int, steps: int) -> None:
        """Training begins after `step` of `steps`."""

    def advanced(self, step: int) -> None:
        """A step was launched; called in every step, so it must be cheap."""

    def logged(self, step: int, values: dict[str, float]) -> None:
        """A line was logged.

        Args:
            step: The step that it belongs to.
            values: Name to number, as in `log.jsonl`.
        """

    def measured(self, step: int, values: dict[str, float], seconds: float) -> None:
        """The model was measured as it is; the values by name, and the seconds that it took.

        Args:
            step: The step after which it was.
            values: By name.
            seconds: What it took.
        """

    def warned(self, step: int, sentence: str) -> None:
        """Something happened that is worth knowing, between two steps.

        Args:
            step: The step before it.
            sentence: What happened.
        """

    def wrote(self, path: Path) -> None:
        """Samples or a checkpoint were written; called from a background thread.

        Args:
            path: The file or folder.
        """

    def ended(self, folder: Path, step: int, reason: str) -> None:
        """The run in `folder` ended, with its newest checkpoint at `step`: `finished`, `stopped` or `failed`.

        Args:
            folder: The run's.
            step: Of its newest checkpoint.
            reason: `finished`, `stopped` or `failed`.
        """
