"""Frames as functions of the coordinates of their pixels."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu

from gadkit import ConfigError, Generator, VideoSpec

Positive = Annotated[int, Field(gt=0)]


class Modulated(nn.Module):
    """A linear layer over points whose weights a style modulates: factorised multiplicative modulation.

    W = W_s * 2 sigma(A B / sqrt(r)), entry by entry, sigma the logistic function. A `(out, r)`, B `(r, in)` and the
    bias are linear in the style: few numbers for many weights, as r is far below the width.
    """

    def __init__(self, style: int, before: int, after: int, rank: int) -> None:
        super().__init__()
        self.shapes = ((after, rank), (rank, before), (after, 1))
        self.weight = nn.Parameter(torch.randn(after, before) / before**0.5)
        self.factors = nn.Linear(style, sum(rows * columns for rows, columns in self.shapes))
        nn.init.normal_(self.factors.weight, std=style**-0.5)
        nn.init.zeros_(self.factors.bias)

    def modulate(self, style: Tensor) -> tuple[Tensor, Tensor]:
        """Styles `(N, S)` to weights `(N, out, in)` and biases `(N, out, 1)`."""
        parts = self.factors(style).split([rows * columns for rows, columns in self.shapes], dim=1)
        left, right, bias = (part.unflatten(1, shape) for part, shape in zip(parts, self.shapes, strict=True))
        return self.weight * (2 * torch.sigmoid(left @ right / left.shape[2] ** 0.5)), 0.1 * bias

    def forward(self, points: Tensor, style: Tensor) -> Tensor:
        """Features `(N, in, P)` of P points to `(N, out, P)`."""
        weight, bias = self.modulate(style)
        return weight @ points + bias


class ImplicitGenerator(Generator):
    """A network from a pixel's coordinates to its colour, whose weights the code modulates (INR-GAN).

    Skorokhodov, Ignatyev & Elhoseiny 2021, arXiv:2011.12026. A point p of the plane comes in as Fourier features
    sin(2 pi F p) and cos(2 pi F p) with learned F, and `Modulated` layers with leaky rectifiers make it a colour. The
    first layers see a coarse grid of points; their features join those of the coordinates on the next finer grid, from
    the nearest point (multi-scale INRs there). No layer mixes points of a grid, so any size can be made, and a frame is
    a function of its own code. With classes, a learned embedding of the label joins the code.

    Args:
        video: What to generate.
        latent_dim: Entries of a code.
        motion_dim: How many of them, at the end, change over time; 0 for all.
        width: Features of a point of the finest grid; twice as many on each coarser one, and no more than `style_dim`.
        style_dim: Entries of what the code is mapped to, in which the modulation is linear.
        levels: Grids besides the finest, each of half as many points a side; 0 for the finest alone.
        depth: Layers at each grid.
        rank: r, of the modulation.
        frequencies: Rows of F at each grid.
        bandwidth: Standard deviation of the first F, in periods over the shorter side of a frame.
        coordinates: Whether pixels are `square`, so that only the shorter side is -1 to 1, or `stretched`: both are.
    """

    def __init__(
        self,
        video: VideoSpec,
        *,
        latent_dim: Positive = 128,
        motion_dim: Annotated[int, Field(ge=0)] = 32,
        width: Positive = 32,
        style_dim: Positive = 128,
        levels: Annotated[int, Field(ge=0, le=8)] = 2,
        depth: Positive = 2,
        rank: Positive = 3,
        frequencies: Positive = 32,
        bandwidth: Annotated[float, Field(gt=0)] = 2.0,
        coordinates: Literal["square", "stretched"] = "square",
    ) -> None:
        super().__init__(video)
        if motion_dim > latent_dim:
            found = f"generator.motion_dim: found {motion_dim}, more than generator.latent_dim, {latent_dim}"
            raise ConfigError(f"{found}; use at most {latent_dim}, or 0 for all entries of a code.")
        self.latent_dim, self.motion_dim, self.coordinates = latent_dim, motion_dim, coordinates
        self.embedding = nn.Embedding(video.classes, latent_dim) if video.classes else None
        entries = latent_dim * (2 if video.classes else 1)
        self.mapping = nn.Sequential(nn.Linear(entries, style_dim), nn.LeakyReLU(0.2), nn.Linear(style_dim, style_dim))
        self.depth, self.layers, features = depth, nn.ModuleList(), 0
        for level in reversed(range(levels + 1)):
            sizes = [features + 2 * frequencies, *[min(width << level, style_dim)] * depth]
            self.layers.extend(Modulated(style_dim, *pair, rank) for pair in pairwise(sizes))
            features = sizes[-1]
        self.periods = nn.Parameter(torch.randn(levels + 1, frequencies, 2) * (bandwidth / 2))
        self.colours = Modulated(style_dim, features, video.channels, rank)

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Codes `(B, T, Z)` to video `(B, T, C, H, W)` in [-1, 1]; see `gadkit.Generator.forward`."""
        return self.render(codes, labels, (self.video.height, self.video.width))

    def render(self, codes: Tensor, labels: Tensor | None, size: tuple[int, int], extent: float = 1.0) -> Tensor:
        """Frames of any height and width, `(B, T, C, *size)`; with an `extent` of 2 they show as much again around."""
        if self.embedding is not None:
            if labels is None:
                raise ConfigError(f"labels: found none, expected a class in [0, {self.video.classes}) for every video.")
            codes = torch.cat((codes, self.embedding(labels).to(codes).unsqueeze(1).expand_as(codes)), dim=2)
        style, maps = self.mapping(codes.flatten(0, 1)), None
        for level, periods in enumerate(self.periods):
            step = 2 ** (len(self.periods) - 1 - level)
            grid = tuple(-(-side // step) for side in size)
            angles = 2 * torch.pi * periods @ self.points(grid, extent, codes)
            features = torch.cat((angles.sin(), angles.cos())).expand(len(style), -1, -1)
            if maps is not None:
                features = torch.cat((interpolate(maps, grid).flatten(2), features), dim=1)
            for layer in self.layers[level * self.depth : (level + 1) * self.depth]:
                features = leaky_relu(layer(features, style), 0.2) * 2**0.5
            maps = features.unflatten(2, grid)
        return torch.tanh(self.colours(features, style)).view(*codes.shape[:2], -1, *size)

    def points(self, grid: tuple[int, ...], extent: float, like: Tensor) -> Tensor:
        """Rows and columns of the middles of a grid's pixels, `(2, H W)`, where `like` is and in its type."""
        sides = self.video.height, self.video.width
        ratios = [side / min(sides) if self.coordinates == "square" else 1.0 for side in sides]
        axes = [
            (torch.arange(count).to(like) + 0.5).div(count).mul(2).sub(1) * (extent * ratio)
            for count, ratio in zip(grid, ratios, strict=True)
        ]
        return torch.stack(torch.meshgrid(axes, indexing="ij")).flatten(1)
