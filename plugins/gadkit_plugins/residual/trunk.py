"""What the residual discriminators share: their first convolution, their stages, and the way to logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gadkit import Discriminator, VideoSpec
from gadkit_plugins.residual.convolution import Convolution
from gadkit_plugins.residual.layout import Design
from gadkit_plugins.residual.resampling import halved_in_time


class ResidualDiscriminator(Discriminator):
    """A discriminator of residual blocks without normalisation (Huang et al. 2024, R3GAN).

    Args:
        video: What to look at.
        patch: Pixels a side between the places of the first convolution: 1 for a 1x1 convolution, as R3GAN has it; 2 or
            4 for one of twice as many a side, and blocks from a half or a quarter of the resolution on. A discriminator
            without the resolution of the pixels costs about a third.
        width: Channels of the highest resolution with blocks; they double at each halving.
        max_width: The most channels of any resolution.
        depth: Spatial blocks at each resolution.
        expansion: How many times as wide a block is inside.
        group_channels: Channels in a group of the inner convolutions; 0 for all in one.
        checkpointing: Computes activations inside blocks anew in the backward pass: less memory, more time.
    """

    memory_format = torch.channels_last


def first_convolution(video: VideoSpec, design: Design) -> Convolution:
    """From colours to the channels of level 0, `patch` pixels a step, each seen by neighbouring steps as well."""
    if design.patch == 1:
        return Convolution(video.channels, design.width, 1, bias=False)
    return Convolution(video.channels, design.width, 2 * design.patch, design.patch, design.patch // 2, bias=False)


class Trunk(nn.Module):
    """Stages of blocks, each but the lowest of all followed by half the resolution.

    Args:
        design: What they are made of.
        sizes: Height and width of every level of the network.
        levels: Those that this part of it has.
        temporal: At how many of the lowest levels a block over time stands, after which time is halved as well.
    """

    def __init__(self, design: Design, sizes: list[tuple[int, int]], levels: range, temporal: int = 0) -> None:
        super().__init__()
        self.stages = nn.ModuleList(design.stage(level, over_time=len(sizes) - level <= temporal) for level in levels)
        self.resamplings = nn.ModuleList(design.down(level, sizes[level]) for level in levels if level < len(sizes) - 1)

    def forward(self, maps: Tensor, frames: int) -> tuple[Tensor, int]:
        """`(B * T, C, H, W)` and T to `(B * T', C', H', W')` and T'."""
        for index, stage in enumerate(self.stages):
            maps = stage(maps, frames)
            if index < len(self.resamplings):
                maps = self.resamplings[index](maps)
                if stage.temporal:
                    maps, frames = halved_in_time(maps, frames), (frames + 1) // 2
        return maps, frames


class Head(nn.Module):
    """The end of a discriminator: feature maps to features, and features to logits.

    A learned weight for every channel and place sums each feature map to one feature; a linear map of the features is
    the logit, to which the label's own linear map adds (Miyato & Koyama 2018). All in float32 or float64.

    Args:
        channels: Of the feature maps, F.
        size: Their height and width.
        classes: Number of classes; 0 without.
    """

    def __init__(self, channels: int, size: tuple[int, int], classes: int) -> None:
        super().__init__()
        # scales keep the mean square, as the weights of other layers do
        self.basis = nn.Parameter(torch.randn(channels, *size) / (size[0] * size[1]) ** 0.5)
        self.last = nn.Linear(channels, 1)
        self.embedding = nn.Embedding(classes, channels) if classes else None
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight, 0.0, channels**-0.5)

    def features(self, maps: Tensor) -> Tensor:
        """Feature maps `(B, F, h, w)` to features `(B, F)`."""
        with torch.autocast(maps.device.type, enabled=False):
            return (maps.to(torch.promote_types(maps.dtype, torch.float32)) * self.basis).sum(dim=(2, 3))

    def forward(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """Features `(B, F)` to logits `(B, 1)`."""
        with torch.autocast(features.device.type, enabled=False):
            logits: Tensor = self.last(features)
            if self.embedding is not None and labels is not None:
                logits = logits + (self.embedding(labels) * features).sum(dim=1, keepdim=True)
        return logits
