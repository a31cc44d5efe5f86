"""Frames brought to a protocol's size after they were decoded, by the filters that other systems use."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from gadkit.evaluation.protocol import ProtocolSettings
from gadkit.interfaces.dataset import Footage
from gadkit.video.geometry import Geometry


def resize(video: Tensor, side: int, settings: ProtocolSettings) -> Tensor:
    """Scales the shorter side to `side` and cuts the centre out, or stretches.

    Args:
        video: uint8 `(B, T, 3, H, W)`.
        side: Pixels.
        settings: Filter, rounding and fit; `letterbox` is among the fits of `lanczos` alone.

    Returns:
        uint8 `(B, T, 3, side, side)`.
    """
    batch, frames, channels, height, width = video.shape
    if (height, width) == (side, side):
        return video
    if settings.resize == "lanczos":
        return _decoded(video, Geometry(height=side, width=side, fit=settings.fit))
    target = (side, side)
    if settings.fit == "crop":
        scale = side / min(height, width)
        target = (side, math.ceil(width * scale)) if height < width else (math.ceil(height * scale), side)
    mode, _, antialias = settings.resize.partition("-")
    flat = video.reshape(batch * frames, channels, height, width).float() / 255
    scaled = interpolate(flat, size=target, mode=mode, align_corners=False, antialias=bool(antialias)).clamp(0, 1)
    top, left = (target[0] - side) // 2, (target[1] - side) // 2
    cut = scaled[:, :, top : top + side, left : left + side] * 255
    whole = cut.floor() if settings.rounding == "down" else cut.round()
    return whole.to(torch.uint8).view(batch, frames, channels, side, side)


def _decoded(video: Tensor, geometry: Geometry) -> Tensor:
    """Frames as the decoder would give them, were they footage."""
    batch, frames = video.shape[:2]
    pixels = video.permute(0, 1, 3, 4, 2).flatten(0, 1).contiguous().numpy()
    made = torch.from_numpy(np.stack(list(geometry.frames(Footage(fps=1.0, frames=iter(pixels))))))
    return made.view(batch, frames, *made.shape[1:]).permute(0, 1, 4, 2, 3)
