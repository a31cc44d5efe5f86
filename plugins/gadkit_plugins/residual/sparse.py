"""A discriminator of a few frames and the times between them."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from gadkit import ConfigError, Noise, VideoSpec
from gadkit_plugins.residual.blocks import initialise
from gadkit_plugins.residual.convolution import Convolution
from gadkit_plugins.residual.layout import Design, Natural, Patch, Positive, check_frames, use_labels
from gadkit_plugins.residual.trunk import Head, ResidualDiscriminator, Trunk, first_convolution

_JOINT = 16  # pixels of the longer side from which frames are seen together
_FREQUENCIES = 8


class SparseDiscriminator(ResidualDiscriminator):
    """Looks at a few frames of a clip at once, and at the times between them (Skorokhodov et al. 2022, StyleGAN-V).

    Residual blocks see each frame alone down to 16 pixels a side; there the frames' feature maps are joined along the
    channels, and further blocks see them together. To a linear map of the features comes their product with a learned
    embedding of the distances of the frames, so the same frames are judged by how far apart they are. With classes,
    the projection of Miyato & Koyama 2018 adds to the logit too.

    It costs as much as its frames, whatever the length of a clip: for long or large videos.

    Args:
        frames: k, how many frames of a clip it looks at.
        max_span: The greatest distance between the first of them and the last, in frames, at least k - 1; each time it
            is drawn anew, every one from k - 1 to this (or to the end of the clip) equally likely, and so are the
            places of the frames within it.
    """

    def __init__(
        self,
        video: VideoSpec,
        *,
        frames: Annotated[int, Field(ge=2)] = 3,
        max_span: Positive = 32,
        patch: Patch = 2,
        width: Positive = 32,
        max_width: Positive = 256,
        expansion: Positive = 2,
        depth: Positive = 2,
        group_channels: Natural = 16,
        checkpointing: bool = False,
    ) -> None:
        super().__init__(video)
        check_frames(video, frames, "or train on longer clips")
        if max_span < frames - 1:
            raise ConfigError(
                f"discriminator.max_span: found {max_span}, but {frames} frames (discriminator.frames) lie at least "
                f"{frames - 1} apart from first to last; use {frames - 1} or more."
            )
        self.frames = frames
        self.max_span = min(max_span, video.frames - 1)
        design = Design("discriminator", patch, width, max_width, depth, expansion, group_channels, checkpointing)
        sizes = design.sizes(video)
        lowest = len(sizes) - 1
        meeting = next((level for level, size in enumerate(sizes) if max(size) <= _JOINT), lowest)
        joint = design.channels(meeting)
        self.colours = first_convolution(video, design)
        self.alone = Trunk(design, sizes, range(meeting))
        self.join = Convolution(frames * joint, joint, 1, bias=False)
        self.together = Trunk(design, sizes, range(meeting, lowest + 1))
        channels = design.channels(lowest)
        self.head = Head(channels, sizes[-1], video.classes)
        self.distances = Distances(frames, self.max_span, channels)
        initialise(self)
        self.distances.initialise()

    def times(self, noise: Noise) -> Tensor:
        """`frames` distinct frame numbers a clip, int64 `(B, frames)`, ascending."""
        least = self.frames - 1
        span = least + noise.integers("span", self.max_span - least + 1)
        start = (noise.uniform("start", 1)[:, 0].double() * (self.video.frames - span)).long()
        # the first and the last, and between them the places of the smallest of span - 1 uniforms
        draws = noise.uniform("places", self.max_span)
        place = torch.arange(self.max_span, device=draws.device)
        outside = (place == 0) | (place >= span.unsqueeze(1))
        inner = draws.masked_fill(outside, 2.0).argsort(dim=1, stable=True)[:, : least - 1].sort(dim=1).values
        ends = torch.stack((torch.zeros_like(span), span), dim=1)
        return start.unsqueeze(1) + torch.cat((ends[:, :1], inner, ends[:, 1:]), dim=1)

    def features(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Tensor:
        """What the head sums from the joint feature maps: `(B, F)`; it does not depend on the times."""
        batch, frames = video.shape[:2]
        if frames != self.frames:
            raise ConfigError(
                f"discriminator.frames: found clips of {frames} frames, but this sparse discriminator looks at "
                f"{self.frames}; give it the frames that its `times` asks for."
            )
        maps, _ = self.alone(self.colours(video.flatten(0, 1)), 1)
        # of each place, the channels of the first frame, then of the second, ...
        each = maps.permute(0, 2, 3, 1).unflatten(0, (batch, frames))
        maps, _ = self.together(self.join(each.permute(0, 1, 4, 2, 3).flatten(1, 2)), 1)
        features: Tensor = self.head.features(maps)
        return features

    def forward(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Tensor:
        """Video `(B, k, C, H, W)` and times `(B, k)` to logits `(B, 1)`; see `gadkit.Discriminator.forward`."""
        labels = use_labels(self.video, labels)
        features = self.features(video)
        if times is None:
            times = torch.arange(self.frames, device=video.device).expand(len(video), -1)
        logits: Tensor = self.head(features, labels)
        with torch.autocast(video.device.type, enabled=False):
            embedded = self.distances(times.to(video.device), features.dtype)
            logits = logits + (embedded * features).sum(dim=1, keepdim=True)
        return logits


class Distances(nn.Module):
    """A linear map of sinusoids of the distances between neighbouring frames.

    Their periods are spaced evenly in the logarithm, from 4 frames, so that 1 and 2 differ most, to 4 times the span,
    so that the slowest does not return within it.

    Args:
        frames: k, of which there are k - 1 distances.
        max_span: The greatest distance, in frames.
        channels: Of the features, F.
    """

    frequencies: Tensor

    def __init__(self, frames: int, max_span: int, channels: int) -> None:
        super().__init__()
        periods = 4 * max_span ** torch.linspace(0, 1, _FREQUENCIES, dtype=torch.float64)
        self.register_buffer("frequencies", (2 * math.pi / periods).float(), persistent=False)
        self.linear = nn.Linear(2 * _FREQUENCIES * (frames - 1), channels, bias=False)

    def initialise(self) -> None:
        """The products with the features begin at the scale of the linear map that they add to."""
        inputs, channels = self.linear.in_features, self.linear.out_features
        # of a sine and the cosine beside it, the squares add to 1
        nn.init.normal_(self.linear.weight, 0.0, (2 / (inputs * channels)) ** 0.5)

    def forward(self, times: Tensor, dtype: torch.dtype) -> Tensor:
        """Times `(B, k)` in frames to `(B, F)` in `dtype`."""
        angles = times.diff(dim=1).to(dtype).unsqueeze(2) * self.frequencies.to(dtype)
        waves = torch.cat((angles.sin(), angles.cos()), dim=2)
        embedded: Tensor = self.linear(waves.flatten(1))
        return embedded
