"""The networks of the GAD article, with the Keras defaults of its day where it says nothing."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

import gadkit
from gadkit import ConfigError, VideoSpec
from gadkit_plugins.dcgan.framewise import Framewise
from gadkit_plugins.dcgan.layout import check_labels

_SLOPE = 0.3  # Keras' LeakyReLU


def _quarter(video: VideoSpec) -> tuple[int, int]:
    """A quarter of the height and of the width; 7x7 for the article's 28x28."""
    if video.height % 4 or video.width % 4 or min(video.height, video.width) < 8:
        near = [max(8, round(side / 4) * 4) for side in (video.height, video.width)]
        raise ConfigError(
            f"size: found {video.height}x{video.width} (height x width), but the dcgan-article networks halve both "
            f"sides twice and need multiples of 4, at least 8; use {near[0]}x{near[1]}."
        )
    return video.height // 4, video.width // 4


def _initialise(net: nn.Module) -> None:
    """Glorot's uniform weights and zero biases, as Keras draws them."""
    for module in net.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class ArticleGenerator(gadkit.Generator):
    """The article's generator: three dense layers, two transposed convolutions and one convolution.

    z -> 128 -> 1024 -> 7*7*256 -> ConvT 128 -> ConvT 256 -> Conv, LeakyReLU(.3) between, tanh at the end. Every frame
    is a function of its own code, all of whose entries may change over time. Other sizes than 28x28 change the 7x7
    alone. With classes, a learned embedding of the label joins the code.

    Args:
        video: What to generate; height and width are multiples of 4.
        latent_dim: Entries of a code.
        label_dim: Size of the embedding of a label.
    """

    memory_format = torch.channels_last

    def __init__(
        self,
        video: VideoSpec,
        *,
        latent_dim: Annotated[int, Field(gt=0)] = 100,
        label_dim: Annotated[int, Field(gt=0)] = 32,
    ) -> None:
        super().__init__(video)
        self.latent_dim = latent_dim
        self.embedding = nn.Embedding(video.classes, label_dim) if video.classes else None
        high, wide = _quarter(video)
        self.layers = nn.Sequential(
            nn.Linear(latent_dim + (label_dim if video.classes else 0), 128),
            nn.LeakyReLU(_SLOPE),
            nn.Linear(128, 1024),
            nn.LeakyReLU(_SLOPE),
            nn.Linear(1024, high * wide * 256),
            nn.LeakyReLU(_SLOPE),
            # Keras lays the dense layer's outputs out with the channels last
            nn.Unflatten(1, (high, wide, 256)),
            _ChannelsFirst(),
            nn.ConvTranspose2d(256, 128, 4, 2, 1),
            nn.LeakyReLU(_SLOPE),
            nn.ConvTranspose2d(128, 256, 4, 2, 1),
            nn.LeakyReLU(_SLOPE),
            nn.ZeroPad2d((1, 2, 1, 2)),  # "same" for an even kernel: one more after than before
            nn.Conv2d(256, video.channels, 4),
            nn.Tanh(),
        )
        _initialise(self)

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Codes `(B, T, Z)` to video `(B, T, C, H, W)` in [-1, 1]; see `gadkit.Generator.forward`."""
        labels = check_labels(self.video, labels)
        if self.embedding is not None and labels is not None:
            embedded = self.embedding(labels).unsqueeze(1).expand(-1, codes.shape[1], -1)
            codes = torch.cat((codes, embedded.to(codes.dtype)), dim=2)
        frames: Tensor = self.layers(codes.flatten(0, 1))
        return frames.view(*codes.shape[:2], *frames.shape[1:])


class _ChannelsFirst(nn.Module):
    """`(B, H, W, C)` to `(B, C, H, W)` without moving a number in memory."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 3, 1, 2)


class ArticleDiscriminator(Framewise):
    """The article's discriminator: two strided convolutions and two dense layers of one unit.

    Conv 256 -> Conv 512 -> flatten -> Dense 1 -> Dense 1, LeakyReLU(.3) after the convolutions. Judges each frame on
    its own: logits `(B, N)`, before the sigmoid. With classes, the projection of Miyato & Koyama 2018 joins the logit.

    Args:
        video: What to look at; height and width are multiples of 4.
        frames: How many frames of a clip it looks at, drawn anew each time; 0 for all.
    """

    def __init__(self, video: VideoSpec, *, frames: Annotated[int, Field(ge=0)] = 1) -> None:
        super().__init__(video, frames)
        high, wide = _quarter(video)
        self.trunk = nn.Sequential(
            nn.Conv2d(video.channels, 256, 4, 2, 1),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(256, 512, 4, 2, 1),
            nn.LeakyReLU(_SLOPE),
        )
        self.dense = nn.Sequential(nn.Linear(512 * high * wide, 1), nn.Linear(1, 1))
        _initialise(self)
        self.embedding: nn.Embedding | None = None
        if video.classes:
            self.embedding = nn.Embedding(video.classes, 512 * high * wide)
            nn.init.xavier_uniform_(self.embedding.weight)

    def judge(self, features: Tensor) -> Tensor:
        """The two dense layers."""
        logits: Tensor = self.dense(features)
        return logits
