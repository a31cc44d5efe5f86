"""A discriminator of whole clips: DCGAN's with time as a third dimension."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from gadkit import ConfigError, Discriminator, VideoSpec
from gadkit_plugins.dcgan.layout import (
    SLOPE,
    check_labels,
    full_precision,
    halvings,
    initialise,
    projection,
    widths,
)


class ClipDiscriminator(Discriminator):
    """Strided 3D convolutions from a clip to one logit (Vondrick et al. 2016).

    Each layer halves height and width; the last layers halve time as well, as often as the clip's length allows, the
    others keep it. What is left of time is averaged. With classes, the projection of Miyato & Koyama 2018 adds
    `<embedding(label), features>` to the logit. Clips have at least 4 frames.

    Args:
        video: What to look at.
        width: Channels of the first layer; they double at each halving of the frame.
        max_width: The most channels of any layer.
        norm: `"none"`, which goes with gradient penalties, or `"batch"`.
        factorised: A spatial and then a temporal convolution in place of each 3D one (Tran et al. 2018): about 40 % of
            the parameters, twice the layers, and slower on CPUs.
    """

    memory_format = torch.channels_last_3d

    def __init__(
        self,
        video: VideoSpec,
        *,
        width: Annotated[int, Field(gt=0)] = 32,
        max_width: Annotated[int, Field(gt=0)] = 512,
        norm: Literal["batch", "none"] = "none",
        factorised: bool = False,
    ) -> None:
        super().__init__(video)
        if video.frames < 4:
            raise ConfigError(
                f"frames: found {video.frames}, but the dcgan-clip discriminator looks at clips of at least 4 frames; "
                "train on longer clips, or use the discriminator dcgan-frame."
            )
        n, *base = halvings(video)
        channels = widths(n, width, max_width)
        # halving time late keeps the motion's detail where it is cheap to keep; 2^k frames allow k halvings
        self.time_halvings = min(n, video.frames.bit_length() - 1)
        layers: list[nn.Module] = []
        for index, (before, after) in enumerate(zip([video.channels, *channels], channels, strict=False)):
            halve = index >= n - self.time_halvings
            size, stride = (4, 2) if halve else (3, 1)
            first = index == 0
            if factorised:
                layers += self._layer(before, after, (1, 4, 4), (1, 2, 2), (0, 1, 1), norm, first)
                layers += self._layer(after, after, (size, 1, 1), (stride, 1, 1), (1, 0, 0), norm, False)
            else:
                layers += self._layer(before, after, (size, 4, 4), (stride, 2, 2), (1, 1, 1), norm, first)
        self.trunk = nn.Sequential(*layers)
        self.last = nn.Linear(channels[-1] * base[0] * base[1], 1, bias=norm == "none")
        initialise(self, norm, last=self.last)
        self.embedding: nn.Embedding | None = None
        if video.classes:
            self.embedding = nn.Embedding(video.classes, self.last.in_features)
            # the embedding is the label's own part of the last layer, so it begins at that layer's scale
            with torch.no_grad():
                nn.init.normal_(self.embedding.weight).mul_(self.last.weight.std())

    @staticmethod
    def _layer(
        before: int,
        after: int,
        kernel: tuple[int, int, int],
        stride: tuple[int, int, int],
        padding: tuple[int, int, int],
        norm: str,
        first: bool,
    ) -> list[nn.Module]:
        layers: list[nn.Module] = [nn.Conv3d(before, after, kernel, stride, padding, bias=norm == "none")]
        if norm == "batch" and not first:
            layers.append(nn.BatchNorm3d(after))
        return [*layers, nn.LeakyReLU(SLOPE, inplace=True)]

    def features(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Tensor:
        """The last feature maps, their mean over what is left of time, flattened: `(B, F)`."""
        if video.shape[1] < 2**self.time_halvings:
            raise ConfigError(
                f"frames: found a clip of {video.shape[1]} frames, but this dcgan-clip discriminator halves time "
                f"{self.time_halvings} times; give it at least {2**self.time_halvings} frames."
            )
        maps: Tensor = self.trunk(video.transpose(1, 2))
        return full_precision(maps).mean(dim=2).flatten(1)

    def forward(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Tensor:
        """Video `(B, N, C, H, W)` to logits `(B, 1)`; see `gadkit.Discriminator.forward`."""
        labels = check_labels(self.video, labels)
        features = self.features(video)
        with torch.autocast(video.device.type, enabled=False):
            logits: Tensor = self.last(features) + projection(self.embedding, features, labels)
        return logits
