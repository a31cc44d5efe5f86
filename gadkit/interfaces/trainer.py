"""Trainers: the owners of the training loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

if TYPE_CHECKING:
    from gadkit.runs.session import Session


class Trainer(ABC):
    """Owns the training loop. Settings are the keyword-only arguments of `__init__`.

    A trainer takes `steps`, `batch_size`, `max_time`, `sample_every`, `checkpoint_every` and `log_every`: the command
    line has flags for them.

    Attributes:
        needs: The kinds of component that it needs built.
        takes: The kinds that it can use and can do without.
        steps: Updates of the generator in the whole run.
        batch_size: Clips a step, over all processes.
    """

    needs: tuple[str, ...] = ("generator", "assembler")
    takes: tuple[str, ...] = ()
    steps: Annotated[int, Field(gt=0)]
    batch_size: Annotated[int, Field(gt=0)]

    @abstractmethod
    def fit(self, session: Session) -> str:
        """Trains until the run's last step, the time limit or a request to stop.

        Returns:
            `"finished"`, or `"stopped"` where the time limit or a request came first; a checkpoint was saved then.
        """

    def memory(self, session: Session) -> float:
        """An estimate of the device memory that a step takes, in bytes; 0 where there is none."""
        return 0.0
