"""What the checks of the conformance kit feed to a component: clips to make, labels, pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from gadkit.errors import ConfigError
from gadkit.interfaces.spec import VideoSpec
from gadkit.testing.probes import noise_of
from gadkit.testing.promises import promise, works
from gadkit.testing.surroundings import surroundings

#: Heights and widths tried in turn; a component may refuse some with `ConfigError`, and is checked on the first that it
#: takes, and on the first of another shape.
SIZES = ((32, 32), (28, 20), (28, 28), (32, 48), (64, 64), (64, 96), (128, 128), (256, 256))
FRAMES = 6
CLASSES = 3


def videos(build: Callable[[VideoSpec], Any], name: str) -> list[VideoSpec]:
    """The specs to check a component on: a size that it takes without classes, and another one with classes.

    Sides that differ come before a second square, so that height and width cannot be taken for one another.
    """
    taken: list[tuple[int, int]] = []
    refusals: list[str] = []
    for height, width in SIZES:
        try:
            with (
                surroundings(name),
                works(
                    f"{name} can be built for videos of {height}x{width}, or says by gadkit.ConfigError why not",
                    "give every setting a default, and raise gadkit.ConfigError where a size does not fit",
                ),
            ):
                build(VideoSpec(height=height, width=width, frames=FRAMES))
        except ConfigError as error:
            refusals.append(str(error))
        else:
            taken.append((height, width))
        if len(taken) == 2:
            break
    promise(
        bool(taken),
        f"{name} can be built for one of the usual sizes",
        f"it refused all of {SIZES} with {FRAMES} frames, the first time with: {refusals[:1]}",
        "accept at least one of them, or pass settings with which it does",
    )
    (height, width), (other_height, other_width) = taken[0], taken[-1]
    second = VideoSpec(height=other_height, width=other_width, frames=FRAMES + 1, classes=CLASSES)
    try:
        build(second)
    except ConfigError:  # it knows no classes
        second = replace(second, classes=0)
    return [VideoSpec(height=height, width=width, frames=FRAMES), second]


def labels_of(video: VideoSpec, batch: int) -> Tensor | None:
    return torch.arange(batch) % video.classes if video.classes else None


def pixels_of(video: VideoSpec, batch: int, frames: int, seed: int = 0) -> Tensor:
    """Random clips in [-1, 1), channels last in memory as the trainer hands them over."""
    size = frames * video.height * video.width * video.channels
    flat = noise_of(batch, seed=seed).uniform("pixels", size) * 2 - 1
    return flat.view(batch, frames, video.height, video.width, video.channels).permute(0, 1, 4, 2, 3)
