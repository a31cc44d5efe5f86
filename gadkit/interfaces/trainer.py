"""Trainers: the owners of the training loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from gadkit.errors import ConfigError
from gadkit.interfaces.footprint import Footprint

if TYPE_CHECKING:
    from gadkit.runs.session import Session


class Trainer(ABC):
    """Owns the training loop. Settings are the keyword-only arguments of `__init__`.

    The loop is a `for` over the steps that `Session.course` gives: it begins where the run was left, logs, samples and
    saves between two steps, goes back where numbers are no longer finite, and ends where the run does:

        course = session.course(training)
        for step in course:
            ...  # one step; `step` of them were made before it
        return course.ended

    Attributes:
        needs: The kinds of component that it needs built.
        takes: The kinds that it can use and can do without.
        batch_size: Clips a step, over all processes.
        accumulate: Micro-batches that a process cuts its share into; a trainer that can has it as a setting.
        group: A micro-batch holds a multiple of so many clips.
        regroups: Whether a new run may choose another group with its cut (`cut`).
        judges: Whether the discriminator, where it is used, learns to tell real clips from generated ones, so that
            samples can be refined along its gradient.
    """

    needs: tuple[str, ...] = ("generator", "assembler")
    takes: tuple[str, ...] = ()
    batch_size: Annotated[int, Field(gt=0)]
    accumulate: int = 1
    group: int = 1
    regroups: bool = False
    judges: bool = True

    @abstractmethod
    def fit(self, session: Session) -> str:
        """Trains to the end of the course.

        Args:
            session: Parts, clips, engine and the course of the run.

        Returns:
            How it ended: `Course.ended`.
        """

    def footprint(self, session: Session) -> Footprint | None:
        """What the training takes of this process's device; `None` where that is not known.

        Called before `fit`, of which nothing may remain but memory.

        Args:
            session: As for `fit`.
        """
        return None

    def cut(self, session: Session, accumulate: int) -> dict[str, Any]:
        """Turns to a number of micro-batches, for `--auto-batch`; called before `fit`.

        Args:
            session: As for `fit`.
            accumulate: How many micro-batches a process cuts its share into.

        Returns:
            The settings that are others now.
        """
        self.accumulate = accumulate
        return {"accumulate": accumulate}

    def rehearse(self, session: Session, accumulate: int) -> None:
        """Takes the memory of one step with a number of micro-batches, and gives it back, for `--auto-batch` on GPUs.

        Called before `fit`. Nothing may remain, and no process may wait for another.

        Args:
            session: As for `fit`.
            accumulate: As for `cut`.

        Raises:
            ConfigError: The trainer cannot try a step, as by default.
            Exception: There is not enough, as the library says it.
        """
        raise ConfigError(f"--auto-batch: trainer {type(self).__name__} cannot try a step; set the batch by hand.")
