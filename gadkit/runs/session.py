"""What a trainer is given: parts, clips, engine, and the run to write to."""

from __future__ import annotations

import copy
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from gadkit.config import RunConfig
from gadkit.engine.clips import Clips
from gadkit.engine.devices import Engine
from gadkit.interfaces.assembler import VideoAssembler
from gadkit.interfaces.direction import Direction
from gadkit.interfaces.discriminator import Discriminator
from gadkit.interfaces.generator import Generator
from gadkit.interfaces.loss import Loss
from gadkit.interfaces.penalty import Penalty
from gadkit.interfaces.spec import VideoSpec
from gadkit.randomness import Key
from gadkit.registry import Registry
from gadkit.runs.background import Background
from gadkit.runs.checkpoint import flatten, read_document, read_tensors, snapshot, unflatten, write_folder
from gadkit.runs.folder import Run
from gadkit.runs.model import DESCRIPTION, WEIGHTS, Model, model_document
from gadkit.runs.reporter import Reporter
from gadkit.video.encode import write_video


@dataclass(kw_only=True)
class Session:
    """One training, as its trainer sees it.

    Attributes:
        config: The run's configuration.
        engine: Device, processes and precision.
        video: The shape of the clips.
        key: The root of the run's random keys.
        clips: The data.
        parts: The built components by kind: those that the trainer needs, and those of the others that were chosen.
        stop: Set from outside to ask for an early end.
        run: The folder, in the process that writes; `None` in the others and in a dry run.
        checkpoint: The checkpoint to go on from; `None` at the start.
        reporter: Whoever watches.
        background: Where files are written while training goes on.
    """

    config: RunConfig
    registry: Registry
    engine: Engine
    video: VideoSpec
    key: Key
    clips: Clips
    parts: dict[str, Any]
    run: Run | None = None
    checkpoint: Path | None = None
    reporter: Reporter = field(default_factory=Reporter)
    stop: threading.Event = field(default_factory=threading.Event)
    background: Background = field(default_factory=Background)
    _began: float = field(default_factory=time.monotonic)
    _saved: int = -1

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
    def direction(self) -> Direction:
        """The direction, for trainers that need one."""
        return cast(Direction, self.parts["direction"])

    def restored_model(self, name: str) -> dict[str, Tensor]:
        """The weights of `generator` or `assembler` that `save` was given to sample from."""
        assert self.checkpoint is not None
        weights = read_tensors(self.checkpoint, WEIGHTS)
        return {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}

    def restore(self) -> dict[str, Any] | None:
        """The state that `save` was given at the checkpoint this run goes on from; `None` for a new run."""
        if self.checkpoint is None:
            return None
        document = read_document(self.checkpoint, "state.json")
        # Copies: what is read is mapped from the file, which training deletes when newer checkpoints are there.
        state = unflatten(document, snapshot(read_tensors(self.checkpoint, "training.safetensors")))
        assert isinstance(state, dict)
        return state

    def out_of_time(self, limit: float | None) -> bool:
        """Whether `limit` seconds have passed, a stop was asked for, or a pipe has come to its end, in this process."""
        late = limit is not None and time.monotonic() - self._began >= limit
        return late or self.stop.is_set() or self.clips.exhausted

    def log(self, step: int, values: dict[str, float]) -> None:
        """Logs numbers of a step: to the run's log, to whoever watches, to trackers.

        Raises:
            RunError: The log cannot be written, or what was handed to the background could not.
        """
        self.background.check()
        if self.run is not None:
            clocks = {"seconds": time.monotonic() - self._began, "waited": self.clips.waited}
            self.run.log(step, {**{name: round(clock, 3) for name, clock in clocks.items()}, **values})
            self.registry.notify("gadkit_step_logged", folder=self.run.path, step=step, values=dict(values))
        if self.engine.main:
            self.reporter.logged(step, values)

    def save(self, step: int, model: dict[str, nn.Module], state: dict[str, Any], keep: int) -> None:
        """Writes a checkpoint in the background, from a copy taken now.

        Args:
            step: Steps done.
            model: `generator` and `assembler` with the weights to sample from.
            state: Everything else that the next step depends on, for `restore`.
            keep: How many checkpoints stay.
        """
        if self.run is None or step == self._saved:
            return
        self._saved = step
        run = self.run
        weights = snapshot({f"{name}.{key}": v for name, m in model.items() for key, v in m.state_dict().items()})
        document, tensors = flatten(snapshot(state))
        description = model_document(self.config, self.video, self.clips.store.classes, step)

        def write() -> None:
            path = run.checkpoint_path(step)
            write_folder(
                path,
                {WEIGHTS: weights, "training.safetensors": tensors},
                {DESCRIPTION: description, "state.json": document},
                {},
            )
            run.prune(keep)
            self.reporter.wrote(path)

        self.background.submit(write)

    def sample(self, step: int, model: dict[str, nn.Module], count: int) -> None:
        """Renders and writes a grid of videos in the background, from a copy of the weights taken now."""
        if self.run is None:
            return
        run, frozen = self.run, {name: copy.deepcopy(module) for name, module in model.items()}
        generator, assembler = frozen["generator"], frozen["assembler"]
        assert isinstance(generator, Generator)
        assert isinstance(assembler, VideoAssembler)

        def write() -> None:
            shown = Model(generator.float(), assembler.float(), self.video, self.clips.store.classes)
            length = self.video.frames if generator.context == "fixed" else 2 * self.video.frames
            path = run.samples_path(step)
            with torch.no_grad():
                write_video(path, shown.grid(count, length, seed=self.config.seed), self.video.fps, length=length)
            self.registry.notify("gadkit_samples_written", folder=run.path, step=step, path=path)
            self.reporter.wrote(path)

        self.background.submit(write)
