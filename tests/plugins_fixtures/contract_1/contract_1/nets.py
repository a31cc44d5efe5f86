"""A generator, an assembler and a discriminator of contract 1."""

from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from gadkit import Discriminator, Generator, VideoAssembler, VideoSpec


class Frames(Generator):
    """One linear map a frame.

    Args:
        latent_dim: Entries of a code.
    """

    def __init__(self, video: VideoSpec, *, latent_dim: Annotated[int, Field(gt=0)] = 6) -> None:
        super().__init__(video)
        self.latent_dim, self.motion_dim = latent_dim, 2
        self.net = nn.Linear(latent_dim, video.channels * video.height * video.width)

    def forward(self, codes, labels=None):
        video = self.video
        return torch.tanh(self.net(codes)).view(*codes.shape[:2], video.channels, video.height, video.width)


class Walk(VideoAssembler):
    """Content that stays, and motion that turns at a speed of its own.

    Args:
        speed: Radians a frame.
    """

    def __init__(self, video, latent_dim, motion_dim, *, speed: float = 0.3) -> None:
        super().__init__(video, latent_dim, motion_dim)
        self.speed = speed
        self.gain = nn.Parameter(torch.ones(()))

    def codes(self, noise, times, labels=None, state=None):
        content = noise.normal("content", self.latent_dim - self.moving)
        start = noise.normal("start", self.moving)
        turned = torch.cos(start[:, None] + self.speed * times[..., None].to(start))
        parts = [content[:, None].expand(-1, times.shape[1], -1), self.gain * turned]
        return torch.cat(parts, dim=-1), state


class Judge(Discriminator):
    """One linear map of a clip's mean frame.

    Args:
        width: Entries of the features.
    """

    logits = 1

    def __init__(self, video: VideoSpec, *, width: int = 8) -> None:
        super().__init__(video)
        self.trunk = nn.Linear(video.channels * video.height * video.width, width)
        self.head = nn.Linear(width, 1)

    def features(self, video, labels=None, times=None):
        return torch.sin(self.trunk(video.mean(1).flatten(1)))

    def forward(self, video, labels=None, times=None):
        return self.head(self.features(video, labels, times)).float()
