"""What a training sees at a step: clips, noise and times as functions of (step, draw, micro-batch)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gadkit.engine.clips import Clips
from gadkit.engine.devices import Engine
from gadkit.engine.feeder import Choice
from gadkit.randomness import Key, Noise

#: Batches that are read ahead.
_AHEAD = 3


@dataclass
class Batch:
    """One micro-batch of one process.

    Attributes:
        noise: Draws for the B samples.
        real: Clips `(B, N, C, H, W)` in [-1, 1].
        labels: int64 `(B,)`, or `None`.
        times: The frames of a clip that they are, int64 `(B, N)` on the device; `None` for all.
        instants: The same on the CPU, for the assembler.
    """

    noise: Noise
    real: Tensor
    labels: Tensor | None
    times: Tensor | None
    instants: Tensor | None


@dataclass(frozen=True, kw_only=True)
class Cut:
    """How the global batch is cut: every process takes a run of consecutive samples, in `pieces` micro-batches."""

    batch_size: int
    world: int
    rank: int
    pieces: int

    @property
    def micro_batch(self) -> int:
        """Samples of one forward pass."""
        return self.batch_size // (self.world * self.pieces)

    def positions(self, step: int, draw: int, draws: int, piece: int) -> Tensor:
        """The run's numbers of the samples of one micro-batch, int64 on the CPU.

        Args:
            step: Of the run.
            draw: Which batch of the step.
            draws: How many batches a step takes.
            piece: Which micro-batch of the process.
        """
        first = (step * draws + draw) * self.batch_size + (self.rank * self.pieces + piece) * self.micro_batch
        return torch.arange(first, first + self.micro_batch)


class Batches:
    """The micro-batches of a training.

    Args:
        engine: Device, processes and precision.
        clips: The data.
        cut: How the batch is cut.
        draws: How many batches of real clips a step takes at most.
        times: Which frames of each clip are wanted, as `gadkit.Discriminator.times` says it.
    """

    def __init__(
        self, engine: Engine, clips: Clips, cut: Cut, draws: int, times: Callable[[Noise], Tensor | None]
    ) -> None:
        self._engine = engine
        self._clips = clips
        self._cut = cut
        self._draws = draws
        self._times = times
        self._step = 0
        self._key = Key(0)
        self._asked: list[tuple[int, int]] = []
        self._usual: list[tuple[int, int]] = []

    def begin(self, step: int, key: Key) -> None:
        """Turns to a step: everything is a function of it, and of what the try draws from.

        Args:
            step: Its number.
            key: What the try draws from.
        """
        self._step = step
        self._key = key
        self._usual, self._asked = self._asked or self._usual, []

    def __call__(self, draw: int, piece: int) -> Batch:
        """Micro-batch `piece` of batch `draw` of the step."""
        positions, choice, times = self._wanted(self._step, draw, piece)
        self._asked.append((draw, piece))
        self._announce()
        device, dtype = self._engine.device, self._engine.dtype
        real, labels = self._clips.batch(choice, times, device, dtype)
        return Batch(
            noise=Noise(self._key.fold("noise"), positions, device=device, dtype=dtype),
            real=real,
            labels=labels,
            times=None if times is None else times.to(device),
            instants=times,
        )

    def _wanted(self, step: int, draw: int, piece: int) -> tuple[Tensor, Choice, Tensor | None]:
        """The samples' numbers, their clips and the frames of these.

        All of it is settled on the CPU, where the clips' numbers are: nothing waits for the device.
        """
        positions = self._cut.positions(step, draw, self._draws, piece)
        times = self._times(Noise(self._key.fold("times"), positions))
        return positions, self._clips.select(positions), times

    def _announce(self) -> None:
        """Begins to read the batches that come next, where steps go on asking for what the last one asked for."""
        if not self._usual or not self._clips.reads:
            return
        for number in range(len(self._asked), len(self._asked) + _AHEAD):
            steps, place = divmod(number, len(self._usual))
            _, choice, times = self._wanted(self._step + steps, *self._usual[place])
            self._clips.ahead(choice, times)
