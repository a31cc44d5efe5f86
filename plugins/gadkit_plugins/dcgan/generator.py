"""The generator of Radford et al. 2016, applied frame by frame."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

import gadkit
from gadkit import ConfigError, VideoSpec
from gadkit_plugins.dcgan.layout import SLOPE, check_labels, halvings, initialise, widths


class Projection(nn.ConvTranspose2d):
    """A transposed convolution of single pixels, computed as the matrix product that it is.

    `(N, Z, 1, 1)` to `(N, C, h, w)` for a kernel of h x w, in channels-last order without a copy.
    """

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """The layer's output; `output_size` is the kernel's."""
        height, width = self.weight.shape[2:]
        maps = input.flatten(1) @ self.weight.permute(0, 2, 3, 1).flatten(1)
        maps = maps.view(-1, height, width, self.out_channels).permute(0, 3, 1, 2)
        return maps if self.bias is None else maps + self.bias[:, None, None]


class Generator(gadkit.Generator):
    """Transposed convolutions from a code to a frame (Radford et al. 2016, figure 1).

    Every frame is a function of its own code. Makes sizes of `base * 2^n` pixels a side: the powers of two from 8 to
    512, and rectangles such as 64x96 whose shorter base is 3 to 7. At 64x64 with 100 entries a code it is the network
    of PyTorch's DCGAN example, layer for layer. With classes, a learned embedding of the label joins the code.

    Args:
        video: What to generate.
        latent_dim: Entries of a code.
        motion_dim: How many of them, at the end, change over time; 0 for all.
        width: Channels of the last hidden layer; they double towards the low resolutions.
        max_width: The most channels of any layer.
        norm: `"batch"`, or `"none"` for losses whose gradient penalty or pairing does not go with batch statistics.
        label_dim: Size of the embedding of a label.
    """

    memory_format = torch.channels_last

    def __init__(
        self,
        video: VideoSpec,
        *,
        latent_dim: Annotated[int, Field(gt=0)] = 128,
        motion_dim: Annotated[int, Field(ge=0)] = 32,
        width: Annotated[int, Field(gt=0)] = 64,
        max_width: Annotated[int, Field(gt=0)] = 512,
        norm: Literal["batch", "none"] = "batch",
        label_dim: Annotated[int, Field(gt=0)] = 32,
    ) -> None:
        super().__init__(video)
        if motion_dim > latent_dim:
            raise ConfigError(
                f"generator.motion_dim: found {motion_dim}, but a code has {latent_dim} entries "
                f"(generator.latent_dim); use at most {latent_dim}, or 0 for all."
            )
        self.latent_dim = latent_dim
        self.motion_dim = motion_dim
        self.embedding = nn.Embedding(video.classes, label_dim) if video.classes else None
        n, *base = halvings(video)
        channels = widths(n, width, max_width)[::-1]
        entries = latent_dim + (label_dim if video.classes else 0)
        bias = norm == "none"
        layers: list[nn.Module] = [Projection(entries, channels[0], (base[0], base[1]), bias=bias)]
        for before, after in zip(channels, [*channels[1:], video.channels], strict=True):
            if norm == "batch":
                layers += [nn.BatchNorm2d(before), nn.ReLU(inplace=True)]
            else:
                layers.append(nn.LeakyReLU(SLOPE, inplace=True))
            layers += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=bias)]
        initialise(nn.ModuleList(layers), norm, last=layers[-1])
        self.layers = nn.Sequential(*layers, nn.Tanh())

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Codes `(B, T, Z)` to video `(B, T, C, H, W)` in [-1, 1]; see `gadkit.Generator.forward`."""
        labels = check_labels(self.video, labels)
        if self.embedding is not None and labels is not None:
            embedded = self.embedding(labels).unsqueeze(1).expand(-1, codes.shape[1], -1)
            codes = torch.cat((codes, embedded.to(codes.dtype)), dim=2)
        frames: Tensor = self.layers(codes.flatten(0, 1)[:, :, None, None])
        return frames.view(*codes.shape[:2], *frames.shape[1:])
