"""Sizes, widths and settings of the residual networks, and what is made of them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from gadkit import ConfigError, VideoSpec
from gadkit_plugins.residual.blocks import Block, Stage
from gadkit_plugins.residual.resampling import Resample, doubling, halving

#: Types of settings: at least 1, at least 0, and how many pixels a side the outermost convolution steps.
Positive = Annotated[int, Field(gt=0)]
Natural = Annotated[int, Field(ge=0)]
Patch = Literal[1, 2, 4]

_BASES = range(3, 8)  # of the shorter side
_LONGEST = 16  # of the longer side's base
_MOST = 7  # halvings


def resolutions(video: VideoSpec) -> list[tuple[int, int]]:
    """Height and width at every resolution, from the pixels down to the base.

    Each is half of the one before. The base's shorter side is 3 to 7, its longer side at most 16; powers of two end
    at 4x4.

    Raises:
        ConfigError: The size is no such base doubled one to seven times; the message names the nearest that are.
    """
    for n in reversed(range(1, _MOST + 1)):
        high, wide = video.height >> n, video.width >> n
        if (high << n, wide << n) == (video.height, video.width) and _is_base(high, wide):
            return [(high << k, wide << k) for k in range(n, -1, -1)]

    def distance(size: tuple[int, int]) -> int:
        return (size[0] - video.height) ** 2 + (size[1] - video.width) ** 2

    bases = [base for base in itertools.product(range(3, _LONGEST + 1), repeat=2) if _is_base(*base)]
    if video.height == video.width:
        bases = [base for base in bases if base[0] == base[1]]
    sizes = {(high << n, wide << n) for high, wide in bases for n in range(1, _MOST + 1)}
    (first, second, *_) = sorted(sizes, key=distance)
    raise ConfigError(
        f"size: found {video.height}x{video.width} (height x width), but the residual networks halve both sides down "
        f"to a base of 3 to 7 pixels; use {first[0]}x{first[1]} or {second[0]}x{second[1]}."
    )


def _is_base(high: int, wide: int) -> bool:
    return min(high, wide) in _BASES and max(high, wide) <= _LONGEST


@dataclass(frozen=True)
class Design:
    """What the stages of a network are made of.

    Attributes:
        player: `"generator"` or `"discriminator"`: where its settings stand.
        patch: Pixels a side for each place of the first resolution with blocks.
        width: Channels there; they double at each halving.
        max_width: The most channels of any resolution.
        depth: Spatial blocks at each resolution.
        expansion: How many times as wide a block is inside.
        group_channels: Channels in a group of the inner convolutions; 0 for all in one.
        checkpointing: Whether activations inside blocks are computed anew in the backward pass.
    """

    player: Literal["generator", "discriminator"]
    patch: Patch
    width: int
    max_width: int
    depth: int
    expansion: int
    group_channels: int
    checkpointing: bool

    def sizes(self, video: VideoSpec) -> list[tuple[int, int]]:
        """Height and width of every resolution with blocks; its place in this list is its level."""
        every = resolutions(video)
        above = self.patch.bit_length() - 1
        if above >= len(every):
            raise ConfigError(
                f"{self.player}.patch: found {self.patch}, but {video.height}x{video.width} (height x width) can be "
                f"halved only {len(every) - 1} time{'s'[: len(every) - 2]}; use {2 ** (len(every) - 1)} or less, or "
                "larger videos."
            )
        return every[above:]

    def channels(self, level: int) -> int:
        """Channels at a level."""
        return min(self.width << level, self.max_width)

    def stage(self, level: int, *, over_time: bool = False) -> Stage:
        """The blocks of a level; a last one runs over time where that is wanted."""
        channels = self.channels(level)
        inner = channels * self.expansion
        size = min(self.group_channels or inner, inner)
        if inner % size:
            raise ConfigError(
                f"{self.player}.group_channels: found {size}, but blocks are {inner} channels wide inside (a width "
                f"times the expansion), which groups of {size} do not fill; use a divisor of {inner}, or 0 for one "
                "group."
            )
        kinds = [False] * self.depth + [True] * over_time
        return Stage([Block(channels, inner, inner // size, temporal=kind) for kind in kinds], self.checkpointing)

    def up(self, level: int, size: tuple[int, int]) -> Resample:
        """From a level of `size` to the next one nearer the pixels."""
        return Resample(self.channels(level), self.channels(level - 1), doubling(size[0]), doubling(size[1]))

    def down(self, level: int, size: tuple[int, int]) -> Resample:
        """From a level of `size` to the next one further from the pixels."""
        return Resample(self.channels(level), self.channels(level + 1), halving(size[0]), halving(size[1]))


def use_labels(video: VideoSpec, labels: Tensor | None) -> Tensor | None:
    """The labels where the data have classes, `None` where they have not; `ConfigError` where they are missing."""
    if video.classes and labels is None:
        raise ConfigError(
            f"labels: found none, but the network tells {video.classes} classes apart; give every video's class, a "
            f"number from 0 to {video.classes - 1}."
        )
    return labels if video.classes else None


def check_frames(video: VideoSpec, frames: int, way: str) -> None:
    """Refuses to look at more frames than a clip has; `way` is another way out than fewer."""
    if frames > video.frames:
        raise ConfigError(
            f"discriminator.frames: found {frames}, more than the {video.frames} frames of a clip; use no more than "
            f"those, {way}."
        )
