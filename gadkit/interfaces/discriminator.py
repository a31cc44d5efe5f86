"""Discriminators: video to logits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gadkit.interfaces.spec import VideoSpec
from gadkit.randomness import Noise

#: What a discriminator returns: logits `(B, K)`, or named heads of them.
Logits = Tensor | Mapping[str, Tensor]


class Discriminator(nn.Module, ABC):
    """Tells real videos from generated ones.

    A subclass takes the video's spec first and its settings as keyword-only arguments; what it cannot look at it
    refuses with `gadkit.ConfigError`.

    Attributes:
        memory_format: The layout of weights that suits it best, such as `torch.channels_last`.
        logits: K, the number of logits a clip, of every head, or by head where they differ; a loss may ask for a
            certain number.
        head_weights: The weight of each head in the loss, for discriminators that return named heads.
    """

    memory_format: torch.memory_format = torch.preserve_format
    logits: int | Mapping[str, int] = 1
    head_weights: Mapping[str, float] = {}

    def __init__(self, video: VideoSpec) -> None:
        super().__init__()
        self.video = video

    def times(self, noise: Noise) -> Tensor | None:
        """Which frames of each clip it wants to see: the others are neither generated nor loaded.

        Args:
            noise: Draws for the B clips, on the CPU.

        Returns:
            int64 `(B, N)` on the CPU, ascending frame numbers in [0, video.frames), or `None` for all frames of a clip.
        """
        return None

    @abstractmethod
    def features(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Tensor:
        """The trunk's output, before the last linear map; arguments as for `forward`.

        Returns:
            `(B, F)`, the features of each clip.
        """

    @abstractmethod
    def forward(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Logits:
        """Judges clips.

        Args:
            video: `(B, N, C, H, W)` in [-1, 1].
            labels: int64 `(B,)`, another judgement for each class; `None` where the data have no classes.
            times: int64 `(B, N)`, the frame number of each frame within its clip; `None` for 0, 1, ... N-1.

        Returns:
            Logits `(B, K)`, larger for more real, or `{head: (B, K)}`; unbounded, in floating point.
        """


def logit_count(discriminator: Discriminator, head: str) -> int:
    """K, the number of logits a clip that a head of a discriminator gives."""
    logits = discriminator.logits
    return logits if isinstance(logits, int) else logits[head]
