"""A discriminator of clips, of residual blocks."""

from __future__ import annotations

from torch import Tensor

from gadkit import ConfigError, VideoSpec
from gadkit_plugins.residual.blocks import initialise
from gadkit_plugins.residual.layout import Design, Natural, Patch, Positive, use_labels
from gadkit_plugins.residual.trunk import Head, ResidualDiscriminator, Trunk, first_convolution


class ResidualClipDiscriminator(ResidualDiscriminator):
    """Residual blocks from a clip to one logit: the generator's design in mirror image, with (2+1)D convolutions.

    At each resolution `depth` blocks over height and width (Huang et al. 2024, R3GAN); at the lowest `temporal` of
    them a block over time, of 3 frames, follows (the factorisation of Tran et al. 2018), and between two of those time
    is halved as well, with the same filter [1, 2, 1]. At the end a learned weight for every channel and place sums the
    feature maps, and what is left of time is averaged. With classes, the projection of Miyato & Koyama 2018 adds
    `<embedding(label), features>` to the logit. Clips have at least 2 frames.

    Args:
        temporal: At how many of the lowest resolutions frames are compared; more than there are means all.
    """

    def __init__(
        self,
        video: VideoSpec,
        *,
        patch: Patch = 2,
        width: Positive = 16,
        max_width: Positive = 256,
        temporal: Positive = 3,
        depth: Positive = 1,
        expansion: Positive = 2,
        group_channels: Natural = 16,
        checkpointing: bool = False,
    ) -> None:
        super().__init__(video)
        if video.frames < 2:
            raise ConfigError(
                f"frames: found {video.frames}, but the residual-clip discriminator compares frames and needs 2 or "
                "more; train on longer clips, or use the discriminator residual-frame."
            )
        design = Design("discriminator", patch, width, max_width, depth, expansion, group_channels, checkpointing)
        sizes = design.sizes(video)
        self.colours = first_convolution(video, design)
        self.trunk = Trunk(design, sizes, range(len(sizes)), temporal)
        self.head = Head(design.channels(len(sizes) - 1), sizes[-1], video.classes)
        initialise(self)

    def features(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Tensor:
        """What the head sums from the last feature maps, its mean over what is left of time: `(B, F)`."""
        maps, frames = self.trunk(self.colours(video.flatten(0, 1)), video.shape[1])
        features: Tensor = self.head.features(maps)
        return features.view(-1, frames, features.shape[1]).mean(dim=1)

    def forward(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Tensor:
        """Video `(B, N, C, H, W)` to logits `(B, 1)`; see `gadkit.Discriminator.forward`."""
        logits: Tensor = self.head(self.features(video), use_labels(self.video, labels))
        return logits
