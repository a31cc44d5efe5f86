"""How the networks compute: on frames of one size, in the types of their tensors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


@contextlib.contextmanager
def as_stated(device: torch.device) -> Iterator[None]:
    """A block without gradients, without autocast, and in which float32 is multiplied as float32.

    PyTorch lets convolutions on CUDA use TF32 by default, and products of matrices where somebody asked for it; here
    both are switched off, and afterwards are what they were.
    """
    backends: Any = torch.backends
    switches = [backends.cudnn.conv, backends.cuda.matmul] if device.type == "cuda" else []
    if device.type == "cpu":
        switches = [backends.mkldnn.conv, backends.mkldnn.matmul]
    before = [switch.fp32_precision for switch in switches]
    try:
        for switch in switches:
            switch.fp32_precision = "ieee"
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            yield
    finally:
        for switch, precision in zip(switches, before, strict=True):
            switch.fp32_precision = precision


def stretch(frames: Tensor, size: int) -> Tensor:
    """Frames of one square size: bilinear, pixel centres aligned (`align_corners=False`), without antialiasing.

    Args:
        frames: `(N, C, H, W)`, any type.
        size: The new height and width.

    Returns:
        float32 `(N, C, size, size)` in the same range, channels last in memory.
    """
    frames = frames.to(torch.float32, memory_format=torch.channels_last)
    return F.interpolate(frames, size=(size, size), mode="bilinear", align_corners=False, antialias=False)
