"""Generators: codes to frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

from gadkit.interfaces.spec import VideoSpec


class Generator(nn.Module, ABC):
    """Turns the code of every frame into pixels.

    A subclass takes the video's spec first and its settings as keyword-only arguments; what it cannot make (a size
    that is no power of two, say) it refuses with `gadkit.ConfigError`.

    Attributes:
        memory_format: The layout of weights that suits it best, such as `torch.channels_last`.
        latent_dim: Z, the size of a code; set by `__init__`.
        motion_dim: The last `motion_dim` entries of a code change over time, the others are the video's content;
            0 leaves it to the assembler to vary all of them.
        context: How much a frame depends on other frames' codes: 0, on its own alone; n, on n codes on each
            side; `"fixed"`, the generator makes exactly `video.frames` frames and no other number.
    """

    memory_format: torch.memory_format = torch.preserve_format
    latent_dim: int
    motion_dim: int = 0
    context: int | Literal["fixed"] = 0

    def __init__(self, video: VideoSpec) -> None:
        super().__init__()
        self.video = video

    @abstractmethod
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Renders frames.

        Args:
            codes: `(B, T, Z)` floating point.
            labels: int64 `(B,)` in [0, video.classes), each class another video; `None` where the data have no classes.

        Returns:
            `(B, T, C, H, W)` in [-1, 1], in the codes' floating type or the autocast type.
        """
