"""The components themselves, on gadkit's public names alone."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

import gadkit


class Shimmer(gadkit.Generator):
    """A linear map from a code to a frame.

    Args:
        video: What to generate.
        latent_dim: Entries of a code.
    """

    def __init__(self, video: gadkit.VideoSpec, *, latent_dim: Annotated[int, Field(gt=0)] = 16) -> None:
        super().__init__(video)
        self.latent_dim = latent_dim
        self.labels = nn.Embedding(video.classes, latent_dim) if video.classes else None
        self.frame = nn.Linear(latent_dim, video.channels * video.height * video.width)

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Codes `(B, T, Z)` to video `(B, T, C, H, W)`; see `gadkit.Generator.forward`."""
        if self.labels is not None and labels is not None:
            codes = codes + self.labels(labels)[:, None]
        shape = (self.video.channels, self.video.height, self.video.width)
        frames: Tensor = self.frame(codes).tanh().unflatten(2, shape)
        return frames


def log_cosh(x: Tensor) -> Tensor:
    """log cosh x without overflow: |x| + log(1 + exp(-2|x|)) - log 2."""
    return x.abs() + nn.functional.softplus(-2 * x.abs()) - math.log(2)


class LogCosh(gadkit.Loss):
    """Real logits to 1 and generated ones to 0, by log cosh: quadratic near the target, linear far from it."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """E log cosh(D(x) - 1) + E log cosh(D(y))."""
        return log_cosh(real - 1).mean() + log_cosh(fake).mean()

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        """E log cosh(D(y) - 1)."""
        return log_cosh(fake - 1).mean()
