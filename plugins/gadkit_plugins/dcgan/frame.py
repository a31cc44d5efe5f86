"""The discriminator of Radford et al. 2016, applied to single frames."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from gadkit import VideoSpec
from gadkit_plugins.dcgan.framewise import Framewise
from gadkit_plugins.dcgan.layout import (
    SLOPE,
    halvings,
    initialise,
    widths,
)


class FrameDiscriminator(Framewise):
    """Strided convolutions from a frame to a logit (Radford et al. 2016).

    Judges each frame on its own: logits `(B, N)`, one a frame that it looks at. At 64x64 it is the network of PyTorch's
    DCGAN example, layer for layer, without the sigmoid. With classes, the projection of Miyato & Koyama 2018 adds
    `<embedding(label), features>` to the logit.

    Args:
        video: What to look at.
        width: Channels of the first layer; they double at each halving of the frame.
        max_width: The most channels of any layer.
        norm: `"batch"`, or `"none"` for gradient penalties and losses that compare samples.
        frames: How many frames of a clip it looks at, drawn anew each time; 0 for all.
    """

    def __init__(
        self,
        video: VideoSpec,
        *,
        width: Annotated[int, Field(gt=0)] = 64,
        max_width: Annotated[int, Field(gt=0)] = 512,
        norm: Literal["batch", "none"] = "batch",
        frames: Annotated[int, Field(ge=0)] = 1,
    ) -> None:
        super().__init__(video, frames)
        n, *base = halvings(video)
        channels = widths(n, width, max_width)
        bias = norm == "none"
        layers: list[nn.Module] = []
        for index, (before, after) in enumerate(zip([video.channels, *channels], channels, strict=False)):
            layers.append(nn.Conv2d(before, after, 4, 2, 1, bias=bias))
            if norm == "batch" and index > 0:
                layers.append(nn.BatchNorm2d(after))
            layers.append(nn.LeakyReLU(SLOPE, inplace=True))
        self.trunk = nn.Sequential(*layers)
        self.last = nn.Conv2d(channels[-1], 1, (base[0], base[1]), 1, 0, bias=bias)
        initialise(self, norm, last=self.last)
        self.embedding: nn.Embedding | None = None
        if video.classes:
            self.embedding = nn.Embedding(video.classes, self.last.weight.numel())
            # the embedding is the label's own part of the last layer, so it begins at that layer's scale
            with torch.no_grad():
                nn.init.normal_(self.embedding.weight).mul_(self.last.weight.std())

    def judge(self, features: Tensor) -> Tensor:
        """The last convolution, as the dense layer that it is on its whole input."""
        return nn.functional.linear(features, self.last.weight.flatten(1), self.last.bias)
