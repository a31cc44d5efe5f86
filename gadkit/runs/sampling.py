"""Which videos are made of a model: their noise, what they have in common, and at which times their frames lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import numpy as np
import torch
from torch import Tensor

from gadkit.errors import ConfigError
from gadkit.interfaces.assembler import VideoAssembler
from gadkit.interfaces.generator import Generator
from gadkit.randomness import ArcNoise, Key, Noise, ScaledNoise, SplitNoise
from gadkit.video.encode import tile
from gadkit.video.pixels import to_uint8


class Variation(TypedDict, total=False):
    """How videos are varied, by keyword; without any, each has the draws of its seed and number.

    Attributes:
        truncation: Psi in [0, 1], what the normals of the content are multiplied by (Brock et al. 2019; the form that
            shrinks): smaller for videos that are more alike and more like what training saw most. 1 changes no bit, 0
            gives all videos one content, the mean. Where the generator does not separate content from motion, it
            multiplies all normals.
        motion_truncation: The same for all draws but the content's, where the generator separates them; smaller for
            motion that is nearer to the mean one. 1 by default: truncation leaves the motion as it is.
        interpolate: A second seed. The first video is that of the seed, the last that of this one, bit for bit, and
            those between lie on the great circle from one to the other, so that their draws are standard normal too.
        same: `content` gives all videos the content of the first, `motion` its motion.
        class_grid: Whether `num` is the number of rows of a grid with a column for each class, or for each of
            `labels`; the videos of a row differ in their class alone. There are rows times columns videos, row by row.
        speed: Frames of training time from one frame to the next: .25 is four times slower. Only for assemblers whose
            time is continuous.
        start: The number of the first frame: the frames from there on of the video that begins at 0, bit for bit.
    """

    truncation: float
    motion_truncation: float
    interpolate: int | None
    same: Literal["content", "motion"] | None
    class_grid: bool
    speed: float
    start: int


_PLAIN: Variation = {
    "truncation": 1.0,
    "motion_truncation": 1.0,
    "interpolate": None,
    "same": None,
    "class_grid": False,
    "speed": 1.0,
    "start": 0,
}


@dataclass(frozen=True)
class Draw:
    """What one video is made from.

    Attributes:
        noise: Of one sample.
        label: Its class, where the model has any.
    """

    noise: Noise
    label: int | None


class Videos:
    """Videos that are determined and not rendered yet; each has the same pixels alone and among others.

    Args:
        generator: Renders them.
        assembler: Gives them their codes.
        draws: What each is made from.
        forward: Makes the context of a forward pass.
        start: The number of their first frame.
        classes: Those of the columns of a grid, where it has one for each class; otherwise it is nearly square.
    """

    def __init__(
        self,
        generator: Generator,
        assembler: VideoAssembler,
        draws: Sequence[Draw],
        forward: Callable[[], AbstractContextManager[Any]],
        start: int = 0,
        classes: Sequence[int] = (),
    ) -> None:
        self.classes = classes
        self._parts = generator, assembler
        self._draws = draws
        self._forward = forward
        self._start = start

    def __len__(self) -> int:
        return len(self._draws)

    def __getitem__(self, number: int) -> Videos:
        """One of them."""
        return Videos(*self._parts, [self._draws[number]], self._forward, self._start)

    @property
    def usual(self) -> int:
        """Frames of a video whose length nobody chose: the training length, or what is left of it at the start."""
        generator = self._parts[0]
        return max(1, generator.video.frames - (self._start if generator.context == "fixed" else 0))

    def stream(self, length: int, chunk: int = 16) -> Iterator[Tensor]:
        """Renders them piece by piece, in memory that does not grow with the length.

        Args:
            length: Frames of each.
            chunk: Frames at a time; the pixels do not depend on it.

        Yields:
            uint8 `(V, n, C, H, W)`, n = `chunk` but for the last.

        Raises:
            ConfigError: A number is out of range, or the generator cannot make that length.
        """
        for name, value in (("length", length), ("chunk", chunk)):
            if value < 1:
                raise ConfigError(f"{name}: found {value}, expected at least 1.")
        return self._rendered(length, chunk)

    def grid(self, length: int) -> Iterator[np.ndarray]:
        """Renders them side by side in one picture: chunks of uint8 `(n, rows * H, columns * W, C)`."""
        for piece in self.stream(length):
            yield tile(piece.permute(0, 1, 3, 4, 2), len(self.classes) or None)

    def _rendered(self, length: int, chunk: int) -> Iterator[Tensor]:
        generator, assembler = self._parts
        streams = []
        for draw in self._draws:
            label = None if draw.label is None else torch.tensor([draw.label], device=draw.noise.device)
            streams.append(assembler.stream(generator, draw.noise, length, label, self._start))
        held: list[Tensor] = []
        count = 0
        while True:
            with torch.no_grad(), self._forward():
                blocks = [next(stream, None) for stream in streams]  # one video at a time: its pixels are its own
            if blocks[0] is None:
                break
            block = to_uint8(torch.cat([b for b in blocks if b is not None]))
            held.append(block)
            count += block.shape[1]
            while count >= chunk:
                joined = torch.cat(held, dim=1)
                yield joined[:, :chunk]
                held, count = [joined[:, chunk:]], count - chunk
        if count:
            yield torch.cat(held, dim=1)


class ShapedAssembler(VideoAssembler):
    """An assembler whose normals are shrunk, and whose frames lie at other times.

    Args:
        assembler: Gives the codes.
        content: What the normals of the content are multiplied by.
        motion: What all others are multiplied by.
        speed: Frames of training time from one frame to the next.
        reach: Codes on each side that a frame depends on. They lie one frame of training time apart at every speed,
            for so the generator learnt to read them.
    """

    def __init__(
        self, assembler: VideoAssembler, content: float = 1.0, motion: float = 1.0, speed: float = 1.0, reach: int = 0
    ) -> None:
        super().__init__(assembler.video, assembler.latent_dim, assembler.motion_dim)
        self._parts = (assembler,)  # a tuple, for it is no part of this module
        self.factors = content, motion
        self.speed = speed
        self.reach = reach

    def codes(self, noise: Noise, times: Tensor, labels: Tensor | None = None, state: Any = None) -> tuple[Tensor, Any]:
        """Codes `(B, N, (2 reach + 1) Z)`: each with those around it; see `gadkit.VideoAssembler.codes`."""
        if self.factors != (1, 1):
            noise = SplitNoise(*(noise if factor == 1 else ScaledNoise(noise, factor) for factor in self.factors))
        offsets = range(-self.reach, self.reach + 1)
        states = [None] * len(offsets) if state is None else list(state)
        found = []
        for index, offset in enumerate(offsets):
            near = times if self.speed == 1 else (times.to(torch.float64) * self.speed + offset).clamp(min=0)
            codes, states[index] = self._parts[0].codes(noise, near, labels, states[index])
            found.append(codes)
        joined = found[0] if len(found) == 1 else torch.cat(found, dim=2)
        return joined, None if all(each is None for each in states) else states


class WindowedGenerator(Generator):
    """Renders each frame by itself, from its code and those around it, which stand side by side in one long code.

    Args:
        generator: One with a temporal context.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__(generator.video)
        assert generator.context != "fixed"
        self._parts = (generator,)
        self.around = 2 * generator.context + 1
        self.latent_dim = self.around * generator.latent_dim

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Codes `(B, T, around * Z)` to `(B, T, C, H, W)` in [-1, 1]."""
        windows = codes.flatten(0, 1).unflatten(1, (self.around, -1))
        labels = None if labels is None else labels.repeat_interleave(codes.shape[1])
        frames: Tensor = self._parts[0](windows, labels)[:, self.around // 2]
        return frames.view(*codes.shape[:2], *frames.shape[1:])


def settled(how: Variation, generator: Generator, assembler: VideoAssembler, refined: bool) -> Variation:
    """All settings, those that were not given at their defaults, after a look whether they fit together and the model.

    Args:
        how: What was asked for.
        generator: The model's.
        assembler: The model's.
        refined: Whether latents are refined.

    Raises:
        ConfigError: A value is out of range, or the model cannot do what was asked for.
        TypeError: A keyword is unknown.
    """
    if unknown := how.keys() - _PLAIN.keys():
        raise TypeError(f"got an unexpected keyword argument {min(unknown)!r}")
    chosen: Variation = {**_PLAIN, **how}
    separate = 0 < assembler.motion_dim < assembler.latent_dim
    for name, psi in (("truncation", chosen["truncation"]), ("motion_truncation", chosen["motion_truncation"])):
        if not 0 <= psi <= 1:
            raise ConfigError(f"{name}: found {psi:g}, expected a number from 0 to 1.")
    if chosen["motion_truncation"] != 1 and not separate:
        raise ConfigError(
            "motion_truncation: this generator does not separate motion from content; leave it out, and truncation "
            "shrinks all that is drawn."
        )
    if (same := chosen["same"]) is not None:
        if same not in ("content", "motion"):
            raise ConfigError(f"same: found {same!r}, expected content or motion.")
        if not separate:
            raise ConfigError(
                f"same: this generator does not separate motion from content, so videos cannot have the same {same}; "
                "train one that does, with generator.motion_dim above 0 and below generator.latent_dim."
            )
        if refined:
            raise ConfigError(
                f"same: latents are refined for each video by itself, so that its {same} would not stay the same; "
                "set refine to 0."
            )
    if chosen["start"] < 0:
        raise ConfigError(f"start: found {chosen['start']}, expected the number of a frame, 0 or more.")
    _check_speed(chosen["speed"], generator, assembler, refined)
    return chosen


def _check_speed(speed: float, generator: Generator, assembler: VideoAssembler, refined: bool) -> None:
    if not (math.isfinite(speed) and speed > 0):
        raise ConfigError(f"speed: found {speed:g}, expected a number above 0, such as 0.25 for slow motion.")
    if speed == 1:
        return
    name = type(assembler).__name__
    if not assembler.continuous:
        raise ConfigError(
            f"speed: found {speed:g}, but the assembler {name} has no codes between two frames; sample at speed 1, "
            "or train with an assembler of continuous time, such as walk or motion-codes."
        )
    if generator.context == "fixed":
        raise ConfigError(
            f"speed: found {speed:g}, but {type(generator).__name__} makes all frames of a clip at once, at the "
            "training speed; sample at speed 1."
        )
    if refined:
        raise ConfigError(
            f"speed: found {speed:g}, but the discriminator, by which samples are refined, judges clips at the "
            "training speed; sample at speed 1, or set refine to 0."
        )


def shaped(how: Variation, generator: Generator, assembler: VideoAssembler) -> tuple[Generator, VideoAssembler]:
    """What renders, and what gives the codes, at another speed or with truncated draws; otherwise the two as they are.

    Args:
        how: All settings.
        generator: The model's.
        assembler: The model's.
    """
    content, motion, speed = how["truncation"], how["motion_truncation"], how["speed"]
    if (content, motion, speed) == (1, 1, 1):
        return generator, assembler
    if not 0 < assembler.motion_dim < assembler.latent_dim:
        motion = content  # all draws are one thing
    reach = 0 if speed == 1 or generator.context == "fixed" else generator.context
    rendering = WindowedGenerator(generator) if reach else generator
    return rendering, ShapedAssembler(assembler, content, motion, speed, reach)


def noises(how: Variation, num: int, seed: int, first: int, device: torch.device) -> list[Noise]:
    """The noise of each of `num` videos.

    Args:
        how: All settings.
        num: How many.
        seed: With a number, all that the draws of a video depend on.
        first: The number of the first, 0 or more.
        device: Where draws are wanted.

    Raises:
        ConfigError: A number is out of range.
    """
    if num < 1:
        raise ConfigError(f"num: found {num}, expected at least 1.")
    if first < 0:
        raise ConfigError(f"first: found {first}, expected 0 or more.")

    def own(seed: int, number: int) -> Noise:
        return Noise(Key.of(seed, "sample"), torch.tensor([number]), device=device)

    found = [own(seed, first + index) for index in range(num)]
    if (second := how["interpolate"]) is not None:
        if num < 2:
            raise ConfigError(f"num: found {num}, but an interpolation has two ends; ask for at least 2 videos.")
        if second == seed:
            raise ConfigError(f"interpolate: found {second}, which is the seed that it begins at; name another one.")
        found = [ArcNoise(own(seed, first), own(second, first), index / (num - 1)) for index in range(num)]
    if how["same"] == "content":
        return [SplitNoise(found[0], noise) for noise in found]
    if how["same"] == "motion":
        return [SplitNoise(noise, found[0]) for noise in found]
    return found
