"""A generator of residual blocks."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from gadkit import ConfigError, Generator, VideoSpec
from gadkit_plugins.residual.blocks import initialise
from gadkit_plugins.residual.bounds import isru
from gadkit_plugins.residual.convolution import Convolution, Transposed
from gadkit_plugins.residual.layout import Design, Natural, Patch, Positive, use_labels


class ResidualGenerator(Generator):
    """Residual blocks from a code to a frame (Huang et al. 2024, R3GAN), and over time where that is wanted.

    A linear map of the code scales the channels of a learned base of 4x4 pixels; each resolution has `depth` blocks
    x + W3 f(W2 f(W1 x)), 1x1, grouped 3x3 and 1x1, without normalisation; between resolutions stand the filter
    [1, 2, 1] and, where the width changes, a 1x1 convolution; a last convolution makes the colours. R3GAN leaves these
    unbounded; here `bound` keeps them in [-1, 1], close to linear where training begins.

    Makes sizes of `base * 2^n` pixels a side: powers of two from 8 to 512, and rectangles such as 64x96 whose shorter
    base is 3 to 7. With classes, a learned embedding of the label joins the code.

    At 64x64, `patch=1, latent_dim=64, depth=2, max_width=2 * width` and widths of 64, 96, 128 and 192 are R3GAN's
    networks of base width 128 to 384, with .91, 1.79, 2.95 and 6.13 million parameters.

    Args:
        video: What to generate.
        latent_dim: Entries of a code.
        motion_dim: How many of them, at the end, change over time; 0 for all.
        patch: Pixels a side that the last convolution makes of each place: 1 with a 1x1 convolution, as R3GAN does; 2
            or 4 with a transposed one of twice as many a side, after blocks up to a half or a quarter of the
            resolution alone.
        width: Channels of the highest resolution with blocks; they double at each halving.
        max_width: The most channels of any resolution.
        depth: Blocks at each resolution.
        expansion: How many times as wide a block is inside.
        group_channels: Channels in a group of the inner convolutions; 0 for all in one.
        bound: What keeps colours in [-1, 1]: `isru`, x / sqrt(1 + x^2) (Carlile et al. 2017), whose slope falls with
            the cube of x, but not below .003 for a loss that wants x nearer to 0; or `tanh`, whose slope falls
            exponentially, so that a generator whose first steps overshoot into a background of pure black or white may
            learn nothing more.
        temporal: At how many of the lowest resolutions a block over time, of 3 frames, follows the others; a frame then
            depends on that many codes on each side (`context`). More than there are means all.
        checkpointing: Computes activations inside blocks anew in the backward pass: less memory, more time.
        label_dim: Size of the embedding of a label.
    """

    memory_format = torch.channels_last

    def __init__(
        self,
        video: VideoSpec,
        *,
        latent_dim: Positive = 128,
        motion_dim: Natural = 32,
        patch: Patch = 2,
        width: Positive = 32,
        max_width: Positive = 256,
        depth: Positive = 2,
        expansion: Positive = 2,
        group_channels: Natural = 16,
        bound: Literal["isru", "tanh"] = "isru",
        temporal: Natural = 0,
        checkpointing: bool = False,
        label_dim: Positive = 32,
    ) -> None:
        super().__init__(video)
        if motion_dim > latent_dim:
            raise ConfigError(
                f"generator.motion_dim: found {motion_dim}, more than the {latent_dim} entries of a code "
                "(generator.latent_dim); use no more than those, or 0 for all of them."
            )
        design = Design("generator", patch, width, max_width, depth, expansion, group_channels, checkpointing)
        sizes = design.sizes(video)
        self.latent_dim, self.motion_dim, self.bound = latent_dim, motion_dim, bound
        self.context = min(temporal, len(sizes))
        self.embedding = nn.Embedding(video.classes, label_dim) if video.classes else None
        levels = range(len(sizes) - 1, -1, -1)
        base = design.channels(levels[0])
        self.basis = nn.Parameter(torch.randn(base, *sizes[-1]))
        self.scale = nn.Linear(latent_dim + (label_dim if video.classes else 0), base, bias=False)
        self.stages = nn.ModuleList(
            design.stage(level, over_time=number < temporal) for number, level in enumerate(levels)
        )
        self.resamplings = nn.ModuleList(design.up(level, sizes[level]) for level in levels if level)
        self.colours = (
            Convolution(width, video.channels, 1, bias=False)
            if patch == 1
            else Transposed(width, video.channels, patch)
        )
        initialise(self)

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Codes `(B, T, Z)` to video `(B, T, C, H, W)` in [-1, 1]; see `gadkit.Generator.forward`."""
        frames = codes.shape[1]
        labels = use_labels(self.video, labels)
        if self.embedding is not None and labels is not None:
            label = self.embedding(labels).to(codes.dtype)
            codes = torch.cat((codes, label.unsqueeze(1).expand(-1, frames, -1)), dim=2)
        scale: Tensor = self.scale(codes.flatten(0, 1))
        # channels last in memory, as the convolutions want it
        maps = (scale[:, None, None] * self.basis.permute(1, 2, 0).to(scale.dtype)).permute(0, 3, 1, 2)
        for index, stage in enumerate(self.stages):
            maps = stage(maps if index == 0 else self.resamplings[index - 1](maps), frames)
        colours = self.colours(maps)
        pixels = torch.tanh(colours) if self.bound == "tanh" else isru(colours)
        return pixels.view(*codes.shape[:2], *pixels.shape[1:])
