"""Small parts for short trainings: whatever takes the place of one of them is tried with the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from gadkit.errors import ConfigError
from gadkit.interfaces.dataset import Dataset, Footage, Location, Source
from gadkit.interfaces.discriminator import Discriminator, Logits
from gadkit.interfaces.generator import Generator
from gadkit.interfaces.spec import VideoSpec
from gadkit.testing.inputs import SIZES

#: Codes of the small generator, and how many of their entries move.
LATENT, MOTION = 6, 2
#: Frames of a clip.
FRAMES = 4
#: Heights and widths tried in turn: whatever is tried is quick where clips are small.
SIDES = ((16, 16), *SIZES)
_SIDE = 32

Built = TypeVar("Built")


def first_fit(build: Callable[[VideoSpec], Built]) -> tuple[VideoSpec, Built]:
    """The smallest of a few videos that a net takes, of two classes where it knows classes, and the net.

    Args:
        build: Builds it; may refuse a size, or classes, with `ConfigError`.

    Raises:
        ConfigError: It refuses them all; the first refusal.
    """
    refusals = []
    for height, width in SIDES:
        for classes in (2, 0):
            video = VideoSpec(height=height, width=width, frames=FRAMES, fps=10.0, classes=classes)
            try:
                return video, build(video)
            except ConfigError as error:
                refusals.append(error)
    raise refusals[0]


class SmallGenerator(Generator):
    """One linear map from a code to a frame, and a shade a class."""

    def __init__(self, video: VideoSpec) -> None:
        super().__init__(video)
        self.latent_dim, self.motion_dim = LATENT, MOTION
        self.frame = nn.Linear(LATENT, video.channels * video.height * video.width)
        self.shade = nn.Embedding(max(video.classes, 1), 1)

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """See `gadkit.Generator.forward`."""
        video = self.video
        which = torch.zeros(len(codes), dtype=torch.int64, device=codes.device) if labels is None else labels
        pixels = torch.tanh(self.frame(codes) + self.shade(which).unsqueeze(1))
        return pixels.view(*codes.shape[:2], video.channels, video.height, video.width)


class SmallDiscriminator(Discriminator):
    """A layer of tanh over a few averages of a clip's frames, twice differentiable, and a linear map.

    Args:
        logits: K, the number of logits a clip.
    """

    def __init__(self, video: VideoSpec, *, logits: int = 1) -> None:
        super().__init__(video)
        self.logits = logits
        self.hidden = nn.Linear(video.channels * video.height * video.width, 8)
        self.shade = nn.Embedding(max(video.classes, 1), 8)
        self.judge = nn.Linear(8, logits)

    def features(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Tensor:
        """See `gadkit.Discriminator.features`."""
        which = torch.zeros(len(video), dtype=torch.int64, device=video.device) if labels is None else labels
        frames = torch.tanh(self.hidden(video.flatten(2)) + self.shade(which).unsqueeze(1))
        return frames.square().mean(dim=1)

    def forward(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Logits:
        """See `gadkit.Discriminator.forward`."""
        logits: Tensor = self.judge(self.features(video, labels, times))
        return logits


class SmallClips(Dataset):
    """Coloured squares that move over a plain ground, in two classes; every pixel a function of the video's number.

    Args:
        videos: How many.
        length: Frames of each.
    """

    def __init__(self, path: Location = Path(), *, videos: int = 8, length: int = 12) -> None:
        self.videos, self.length = videos, length

    def sources(self) -> list[Source]:
        """See `gadkit.Dataset.sources`."""
        return [Source(name=f"{number:03d}", label=("even", "odd")[number % 2]) for number in range(self.videos)]

    def open(self, source: Source) -> Footage:
        """See `gadkit.Dataset.open`."""
        number = int(source.name)

        def frames() -> Iterator[np.ndarray]:
            for time in range(self.length):
                frame = np.full((_SIDE, _SIDE, 3), 30 + 15 * (number % 8), np.uint8)
                left, top = (5 * number + 2 * time) % (_SIDE - 9), (7 * number + time) % (_SIDE - 9)
                frame[top : top + 10, left : left + 10, number % 3] = 240
                yield frame

        return Footage(fps=10.0, frames=frames())


#: What a part is tried with, by kind: classes, and names of what comes with gadkit.
PARTNERS: Mapping[str, Any] = {
    "generator": SmallGenerator,
    "assembler": "walk",
    "discriminator": SmallDiscriminator,
    "loss": "nonsaturating",
    "direction": "alternating",
    "trainer": "minimax",
}
