"""The generator: codes to frames."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from gadkit import ConfigError, Generator, VideoSpec

_DOUBLINGS = 3  # of height and width, from the first layer to the last


class ShimmerGenerator(Generator):
    """Frames by resize-convolutions: nearest neighbours, then a convolution, which leaves no checkerboard.

    Odena et al. 2016, https://doi.org/10.23915/distill.00003.

    Args:
        video: What to make; height and width are multiples of 8.
        latent_dim: Z, entries of a code.
        width: Channels at the full size; each layer before has twice as many.
    """

    def __init__(
        self,
        video: VideoSpec,
        *,
        latent_dim: Annotated[int, Field(gt=0)] = 64,
        width: Annotated[int, Field(gt=0)] = 16,
    ) -> None:
        super().__init__(video)
        low = 2**_DOUBLINGS
        if video.height % low or video.width % low:
            raise ConfigError(
                "generator shimmer: "
                f"found a video of {video.height}x{video.width}, expected multiples of {low}; set --resolution."
            )
        self.latent_dim = latent_dim
        self.classes = nn.Embedding(video.classes, latent_dim) if video.classes else None
        channels = width * low
        first = (channels, video.height // low, video.width // low)
        layers: list[nn.Module] = [nn.Linear(latent_dim, first[0] * first[1] * first[2]), nn.Unflatten(1, first)]
        for _ in range(_DOUBLINGS):
            layers += [nn.LeakyReLU(0.2), nn.Upsample(scale_factor=2), nn.Conv2d(channels, channels // 2, 3, padding=1)]
            channels //= 2
        self.net = nn.Sequential(
            *layers, nn.LeakyReLU(0.2), nn.Conv2d(channels, video.channels, 3, padding=1), nn.Tanh()
        )

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Codes `(B, T, Z)` to video `(B, T, C, H, W)` in [-1, 1]; see `gadkit.Generator`."""
        if self.classes is not None and labels is not None:
            codes = codes + self.classes(labels)[:, None]
        # Every frame on its own (`context` is 0), so that a video may have any length.
        frames: Tensor = self.net(codes.flatten(0, 1)).unflatten(0, codes.shape[:2])
        return frames
