"""What discriminators of single frames share."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from gadkit import Discriminator, Noise, VideoSpec
from gadkit_plugins.dcgan.layout import check_frames, check_labels, frame_times, full_precision, projection


class Framewise(Discriminator):
    """Judges each frame on its own: logits `(B, N)`, one a frame that it looks at.

    With classes, the projection of Miyato & Koyama 2018 adds `<embedding(label), features>` to the logit.

    Attributes:
        frames: How many frames of a clip it looks at; 0 for all.
        trunk: Frames `(M, C, H, W)` to feature maps.
        embedding: A vector of features for each class, or `None`.
    """

    memory_format = torch.channels_last
    trunk: nn.Module
    embedding: nn.Embedding | None

    def __init__(self, video: VideoSpec, frames: int) -> None:
        super().__init__(video)
        self.frames = frames
        self.logits = check_frames(video, frames)

    @abstractmethod
    def judge(self, features: Tensor) -> Tensor:
        """Features `(M, F)` to logits `(M, 1)`, both float32 or float64, without the label's part."""

    def times(self, noise: Noise) -> Tensor | None:
        """`frames` distinct frame numbers a clip, int64 `(B, frames)`, ascending; `None` for all."""
        return frame_times(self.video, self.frames, noise)

    def _features(self, video: Tensor) -> Tensor:
        maps: Tensor = self.trunk(video.flatten(0, 1))
        return full_precision(maps).flatten(1)

    def features(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Tensor:
        """The trunk's feature maps, flattened, their mean over the frames: `(B, F)`."""
        return self._features(video).view(*video.shape[:2], -1).mean(dim=1)

    def forward(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Tensor:
        """Video `(B, N, C, H, W)` to logits `(B, N)`, one a frame; see `gadkit.Discriminator.forward`."""
        labels = check_labels(self.video, labels)
        if labels is not None:
            labels = labels.repeat_interleave(video.shape[1])
        features = self._features(video)
        with torch.autocast(video.device.type, enabled=False):
            logits = self.judge(features) + projection(self.embedding, features, labels)
        return logits.reshape(video.shape[:2])
