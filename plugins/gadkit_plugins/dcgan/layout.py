"""What the networks of this plugin have in common: sizes, widths, initialisation, frames and labels."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor, nn

from gadkit import ConfigError, Noise, VideoSpec

SLOPE = 0.2  # of every LeakyReLU but the article's
_MAX_HALVINGS = 7
_SHORT_BASE = range(3, 8)
_LONG_BASE_END = 16


def halvings(video: VideoSpec) -> tuple[int, int, int]:
    """How often both sides can be halved, and what is left.

    Returns:
        n in 1..7, base height and base width: the size is `base * 2^n`, the shorter base 3 to 7, the longer at most
        16. Powers of two from 8 to 512 have base 4.

    Raises:
        ConfigError: No such n; the message names the nearest sizes that have one.
    """
    for n in range(_MAX_HALVINGS, 0, -1):
        if video.height % 2**n == 0 and video.width % 2**n == 0:
            base = video.height >> n, video.width >> n
            if min(base) in _SHORT_BASE and max(base) <= _LONG_BASE_END:
                return n, *base
    square = video.height == video.width
    sizes = [size for size in _sizes() if not square or size[0] == size[1]]
    near = sorted(sizes, key=lambda size: math.hypot(size[0] - video.height, size[1] - video.width))[:2]
    raise ConfigError(
        f"size: found {video.height}x{video.width} (height x width), but the dcgan networks halve both sides down to a "
        f"base of 3 to 7 pixels; use {near[0][0]}x{near[0][1]} or {near[1][0]}x{near[1][1]}."
    )


@cache
def _sizes() -> frozenset[tuple[int, int]]:
    bases = range(_SHORT_BASE.start, _LONG_BASE_END + 1)
    return frozenset(
        (high << n, wide << n)
        for n in range(1, _MAX_HALVINGS + 1)
        for high in bases
        for wide in bases
        if min(high, wide) in _SHORT_BASE
    )


def widths(n: int, width: int, max_width: int) -> list[int]:
    """Channels of n layers, from the layer next to the pixels on: `width`, doubled each time, at most `max_width`."""
    return [min(width * 2**layer, max_width) for layer in range(n)]


def check_labels(video: VideoSpec, labels: Tensor | None) -> Tensor | None:
    """The labels that a network is to use: `None` for data without classes, an error where they are missing."""
    if not video.classes:
        return None
    if labels is None:
        raise ConfigError(
            f"labels: found none, but the network was built for {video.classes} classes; give a class number in "
            f"[0, {video.classes}) for every video."
        )
    return labels


def frame_times(video: VideoSpec, frames: int, noise: Noise) -> Tensor | None:
    """`frames` distinct frame numbers of every clip, ascending, int64 `(B, frames)`; `None` where that is all of them.

    Every subset is equally likely: the places of the smallest of `video.frames` uniforms.
    """
    if frames in (0, video.frames):
        return None
    draws = noise.uniform("frames", video.frames)
    return draws.argsort(dim=1, stable=True)[:, :frames].sort(dim=1).values


def check_frames(video: VideoSpec, frames: int) -> int:
    """How many frames of a clip are looked at; 0 stands for all."""
    if frames > video.frames:
        raise ConfigError(
            f"discriminator.frames: found {frames}, but a clip has {video.frames} frames; use at most {video.frames}, "
            "or 0 for all."
        )
    return frames or video.frames


def projection(embedding: nn.Embedding | None, features: Tensor, labels: Tensor | None) -> Tensor | float:
    """The label's part of a logit, `<embedding(label), features>`, `(B, 1)` (Miyato & Koyama 2018)."""
    if embedding is None or labels is None:
        return 0.0
    logits: Tensor = (embedding(labels) * features).sum(dim=1, keepdim=True)
    return logits


def full_precision(x: Tensor) -> Tensor:
    """float32 for half types, anything else as it is: logits are computed and returned in full precision."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def initialise(net: nn.Module, norm: str, last: nn.Module) -> None:
    """Draws a network's weights.

    With batch normalisation as Radford et al. 2016 do: N(0, .02), the normalisation's scale N(1, .02). Without, the
    scale must come from the weights: He et al. 2015 for LeakyReLU, biases zero, and fan-in alone before the output.

    Args:
        net: The network.
        norm: `"batch"` or `"none"`.
        last: The layer before the output.
    """
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.Linear):
            if norm == "batch":
                std = 0.02
            else:
                gain = 1.0 if module is last else nn.init.calculate_gain("leaky_relu", SLOPE)
                std = gain / math.sqrt(_fan_in(module))
            nn.init.normal_(module.weight, 0.0, std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, 0.0, 1.0)


def _fan_in(layer: nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.Linear) -> float:
    """How many inputs an output is a weighted sum of."""
    if isinstance(layer, nn.Linear):
        return layer.in_features
    if isinstance(layer, nn.ConvTranspose2d):
        # with a stride, each output is reached by kernel / stride taps a side; the layer without one stands on a
        # single pixel, whose every output is reached by one tap
        stride = math.prod(layer.stride)
        return layer.in_channels * (math.prod(layer.kernel_size) / stride if stride > 1 else 1)
    return layer.in_channels * math.prod(layer.kernel_size)
