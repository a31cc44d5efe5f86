"""Pixel values: bytes for storage, [-1, 1] for networks."""

from __future__ import annotations

import torch
from torch import Tensor

_HALF = 127.5


def to_float(frames: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Bytes to [-1, 1]: x / 127.5 - 1.

    Computed as (x - 127.5) / 127.5, whose difference is exact in every floating type of 8 bits of precision or more
    (bfloat16 has 8), so that the result is rounded once and 0 and 255 become exactly -1 and 1.

    Args:
        frames: uint8 `(B, N, H, W, C)`.
        dtype: A floating type.

    Returns:
        `(B, N, C, H, W)` in `dtype`, in [-1, 1]: a view of channels-last memory where `frames` is contiguous, so
        nothing is copied beyond the conversion.
    """
    # A 0-dimensional tensor decides the result's type, so the conversion and the difference are one kernel on a GPU.
    centred = torch.sub(frames, torch.tensor(_HALF, dtype=dtype))
    return centred.div_(_HALF).permute(0, 1, 4, 2, 3)


def to_uint8(video: Tensor) -> Tensor:
    """[-1, 1] to bytes: 127.5 x + 127.5, rounded and clamped to 0 and 255.

    Args:
        video: `(..., C, H, W)` in any floating type; half precision is widened to float32 first.

    Returns:
        uint8 of the same shape and memory layout.
    """
    wide = video if video.dtype == torch.float64 else video.float()
    half = torch.tensor(_HALF, dtype=wide.dtype)
    return torch.add(half, wide, alpha=_HALF).round_().clamp_(0, 255).to(torch.uint8)
