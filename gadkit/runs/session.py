"""What a trainer is given: parts, clips, engine, and the course of the run."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from torch import nn

from gadkit.config import RunConfig
from gadkit.engine.clips import Clips
from gadkit.engine.devices import Engine
from gadkit.engine.watch import Watch
from gadkit.interfaces.assembler import VideoAssembler
from gadkit.interfaces.augmentation import Augmentation
from gadkit.interfaces.direction import Direction
from gadkit.interfaces.discriminator import Discriminator
from gadkit.interfaces.generator import Generator
from gadkit.interfaces.loss import Loss
from gadkit.interfaces.penalty import Penalty
from gadkit.interfaces.spec import VideoSpec
from gadkit.interfaces.training import Training
from gadkit.randomness import Key
from gadkit.registry import Registry
from gadkit.report.live import LiveReport
from gadkit.runs.attempt import Attempt
from gadkit.runs.background import Background
from gadkit.runs.course import Course
from gadkit.runs.folder import Run, step_of
from gadkit.runs.parts import build_part
from gadkit.runs.reporter import Reporter
from gadkit.runs.scheduling import Scheduling
from gadkit.runs.telling import Telling


class Evaluating(Protocol):
    """What measures a run while it goes on, such as `gadkit.evaluation.watching.Evaluator`."""

    @property
    def best(self) -> tuple[str | None, str]:
        """The value by which checkpoints are told apart, and whether its `lowest` or `highest` is best."""

    def measure(self, step: int, models: Mapping[str, nn.Module]) -> dict[str, float]:
        """The values of a step by name.

        Args:
            step: Steps done.
            models: `generator` and `assembler` with the weights to sample from.
        """


@dataclass(kw_only=True)
class Session:
    """One training, as its trainer sees it.

    Attributes:
        config: The run's configuration.
        engine: Device, processes and precision.
        video: The shape of the clips.
        root: What the run's random keys are made from.
        clips: The data.
        parts: The built components by kind: those that the trainer needs, and those of the others that were chosen.
        steps: The step at which the run ends.
        stop: Set from outside to ask for an early end.
        run: The folder, in the process that writes; `None` in the others and in a dry run.
        checkpoint: The checkpoint to go on from; `None` at the start.
        reporter: Whoever watches.
        background: Where files are written while training goes on.
        attempt: Which try of the run this is.
        page: What writes the run's page, in the process that writes.
        telling: What tells plugins and trackers of the run, in the process that writes.
        evaluator: What measures while the run goes on, where it asks for that.
        watch: What looks for numbers that are not finite, while a course is under way. A trainer that gives it its
            losses and gradients learns which was the first.
        scheduling: The settings that change during the run.
    """

    config: RunConfig
    registry: Registry
    engine: Engine
    video: VideoSpec
    root: Key
    clips: Clips
    parts: dict[str, Any]
    steps: int
    run: Run | None = None
    checkpoint: Path | None = None
    reporter: Reporter = field(default_factory=Reporter)
    stop: threading.Event = field(default_factory=threading.Event)
    background: Background = field(default_factory=Background)
    attempt: Attempt = field(default_factory=Attempt)
    page: LiveReport | None = None
    telling: Telling | None = None
    evaluator: Evaluating | None = None
    watch: Watch | None = None
    scheduling: Scheduling = field(init=False)

    def __post_init__(self) -> None:
        """Raises `PluginError` where a component cannot follow a setting that changes."""
        self.scheduling = Scheduling(self.config, self.parts)

    @property
    def key(self) -> Key:
        """What this try draws from."""
        return self.root.fold("attempt", self.attempt.number) if self.attempt.number else self.root

    @property
    def step(self) -> int:
        """The step that the training goes on after, 0 at the start."""
        return 0 if self.checkpoint is None else step_of(self.checkpoint)

    @property
    def generator(self) -> Generator:
        """The generator."""
        return cast(Generator, self.parts["generator"])

    @property
    def assembler(self) -> VideoAssembler:
        """The assembler; its parameters are trained with the generator's."""
        return cast(VideoAssembler, self.parts["assembler"])

    @property
    def discriminator(self) -> Discriminator:
        """The discriminator, for trainers that need one."""
        return cast(Discriminator, self.parts["discriminator"])

    @property
    def loss(self) -> Loss:
        """The loss, for trainers that need one."""
        return cast(Loss, self.parts["loss"])

    @property
    def penalty(self) -> Penalty | None:
        """The penalty, where one was chosen."""
        return cast("Penalty | None", self.parts.get("penalty"))

    @property
    def augmentation(self) -> Augmentation | None:
        """The augmentation, where one was chosen."""
        return cast("Augmentation | None", self.parts.get("augmentation"))

    @property
    def direction(self) -> Direction:
        """The direction, for trainers that need one."""
        return cast(Direction, self.parts["direction"])

    def another(self, kind: str, name: str) -> Any:
        """A further instance of a chosen component, as it is before the first step and the same in every call.

        Args:
            kind: Of component, such as `discriminator`.
            name: What it is for: its first weights are drawn for that.
        """
        return build_part(self.config, kind, self.root, self.video, self.parts, name)

    def tell(self, name: str, **values: Any) -> None:
        """Tells plugins and trackers of the run.

        Args:
            name: A lifecycle hook.
            **values: Its arguments but `folder`.
        """
        if self.telling is not None:
            self.telling.tell(name, **values)

    def begin(self, attempt: Attempt) -> None:
        """Turns to a try: noise and the order of clips are drawn for it from here on.

        Args:
            attempt: Which one, and at which share of the learning rates.
        """
        self.attempt = attempt
        self.clips.rekey(self.key.fold("clips"))

    def course(self, training: Training) -> Course:
        """The steps of the run, from where it was left; see `gadkit.Trainer`.

        Args:
            training: What has to be kept for the run to go on exactly.
        """
        return Course(self, training)
