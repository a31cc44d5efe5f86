"""A discriminator of single frames, of residual blocks."""

from __future__ import annotations

from torch import Tensor

from gadkit import Noise, VideoSpec
from gadkit_plugins.residual.blocks import initialise
from gadkit_plugins.residual.layout import Design, Natural, Patch, Positive, check_frames, use_labels
from gadkit_plugins.residual.trunk import Head, ResidualDiscriminator, Trunk, first_convolution


class ResidualFrameDiscriminator(ResidualDiscriminator):
    """Residual blocks from a frame to a logit: R3GAN's discriminator (Huang et al. 2024), on each frame alone.

    Logits `(B, N)`, one a frame that it looks at. With classes, the projection of Miyato & Koyama 2018 adds
    `<embedding(label), features>` to each.

    Args:
        frames: How many frames of a clip it looks at, drawn anew each time; 0 for all.
    """

    def __init__(
        self,
        video: VideoSpec,
        *,
        frames: Natural = 1,
        depth: Positive = 2,
        patch: Patch = 2,
        width: Positive = 32,
        max_width: Positive = 256,
        group_channels: Natural = 16,
        expansion: Positive = 2,
        checkpointing: bool = False,
    ) -> None:
        super().__init__(video)
        check_frames(video, frames, "or 0 for all of them")
        self.frames = frames
        self.logits = frames or video.frames
        design = Design("discriminator", patch, width, max_width, depth, expansion, group_channels, checkpointing)
        sizes = design.sizes(video)
        self.colours = first_convolution(video, design)
        self.trunk = Trunk(design, sizes, range(len(sizes)))
        self.head = Head(design.channels(len(sizes) - 1), sizes[-1], video.classes)
        initialise(self)

    def times(self, noise: Noise) -> Tensor | None:
        """`frames` distinct frame numbers a clip, int64 `(B, frames)`, ascending; `None` for all."""
        if self.logits == self.video.frames:
            return None
        order = noise.uniform("frames", self.video.frames).argsort(dim=1, stable=True)
        return order[:, : self.frames].sort(dim=1).values

    def _features(self, video: Tensor) -> Tensor:
        maps, _ = self.trunk(self.colours(video.flatten(0, 1)), 1)
        features: Tensor = self.head.features(maps)
        return features

    def features(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Tensor:
        """What the head sums from the last feature maps, its mean over the frames: `(B, F)`."""
        return self._features(video).view(*video.shape[:2], -1).mean(dim=1)

    def forward(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Tensor:
        """Video `(B, N, C, H, W)` to logits `(B, N)`, one a frame; see `gadkit.Discriminator.forward`."""
        labels = use_labels(self.video, labels)
        if labels is not None:
            labels = labels.repeat_interleave(video.shape[1])
        logits: Tensor = self.head(self._features(video), labels)
        return logits.view(video.shape[:2])
