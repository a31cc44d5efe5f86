"""MoCoGAN's two discriminators as one: a net for single frames and a net for clips."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from gadkit import ConfigError, Discriminator, VideoSpec
from gadkit_plugins.mocogan.patches import Patches, halvings, mean

_SPAN = 4  # frames of a kernel, where the clip is long enough
_SHORTEST = 4


class DualDiscriminator(Discriminator):
    """An image discriminator and a video discriminator, each with patches of its own (Tulyakov et al. 2018).

    Heads `image` and `clip`, one logit a patch. Both nets halve the frame in every layer, down to 3 to 5 patches along
    its shorter side, with channels that double. The image net's convolutions are 2D; the clip net's are 3D, span 4
    frames, keep the rate of frames and do without padding in time, so a 64x64 clip of 16 frames has 4x4x4 patches. A
    clip that is too short for that, below 13 frames at 64x64, is spanned whole by narrower kernels, the widest of them
    first. Frames have at least 12 pixels a side, clips at least 4 frames.

    Different from the paper: its image net judges one frame drawn at random from each clip. A discriminator here is a
    function of the clip, and its clip net needs all frames, so the image net looks at `frames` of them, evenly spaced
    over the clip. The noise that the published system adds before each layer is left out for the
    same reason. With classes, each net adds `<embedding(label), features>` to its logits (Miyato & Koyama 2018), the
    features being the mean over the patches.

    Args:
        video: What to look at.
        width: Channels of the image net's first layer; they double at each halving of the frame.
        clip_width: The same for the clip net.
        max_width: The most channels of any layer.
        norm: `"batch"`, or `"none"` for gradient penalties and losses that compare samples.
        frames: How many frames of a clip the image net looks at; 0 for all.
        image_weight: Weight of the image net's logits in the loss; the clip net's have 1.
    """

    def __init__(
        self,
        video: VideoSpec,
        *,
        width: Annotated[int, Field(gt=0)] = 64,
        clip_width: Annotated[int, Field(gt=0)] = 64,
        max_width: Annotated[int, Field(gt=0)] = 512,
        norm: Literal["batch", "none"] = "batch",
        frames: Annotated[int, Field(ge=0)] = 4,
        image_weight: Annotated[float, Field(gt=0)] = 1.0,
    ) -> None:
        super().__init__(video)
        n = halvings(video.height, video.width)
        if n < 2:
            raise ConfigError(
                f"size: found {video.height}x{video.width} (height x width), but the dual discriminator looks at "
                "frames of at least 12 pixels a side; use larger frames."
            )
        if video.frames < _SHORTEST:
            raise ConfigError(
                f"frames: found {video.frames}, but the dual discriminator looks at clips of at least {_SHORTEST} "
                "frames; train on longer clips, or use a discriminator of single frames, such as dcgan-frame."
            )
        if frames > video.frames:
            raise ConfigError(
                f"discriminator.frames: found {frames}, but a clip has {video.frames} frames; use at most "
                f"{video.frames}, or 0 for all."
            )
        self.frames = frames or video.frames
        spans = _spans(n, video.frames)
        spanned = 1 + sum(span - 1 for span in spans)
        self.least = max(self.frames, spanned)
        batch_norm = norm == "batch"
        self.image = Patches([video.channels, *_widths(n, width, max_width)], (), batch_norm, video.classes)
        self.clip = Patches([video.channels, *_widths(n, clip_width, max_width)], spans, batch_norm, video.classes)
        patches = (video.height >> n) * (video.width >> n)
        self.logits = {"image": self.frames * patches, "clip": (video.frames - spanned + 1) * patches}
        self.head_weights = {"image": image_weight, "clip": 1.0}

    def looked_at(self, length: int) -> slice:
        """The frames that the image net sees of a clip of `length` frames, evenly spaced."""
        last = self.frames - 1
        step = max(1, min((2 * length + self.frames) // (2 * self.frames), (length - 1) // max(1, last)))
        first = (length - 1 - step * last) // 2
        return slice(first, first + step * last + 1, step)

    def _views(self, video: Tensor) -> tuple[Tensor, Tensor]:
        """Images `(B * frames, C, H, W)`, channels last in memory, and clips `(B, C, N, H, W)`."""
        length = video.shape[1]
        if length < self.least:
            raise ConfigError(
                f"frames: found a clip of {length} frames, but this dual discriminator needs {self.least} of them for "
                "its kernels and for its images; give it longer clips."
            )
        images = video[:, self.looked_at(length)].permute(0, 1, 3, 4, 2).flatten(0, 1).permute(0, 3, 1, 2)
        return images, video.transpose(1, 2)

    def features(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Tensor:
        """Both nets' last hidden feature maps, their means over patches, frames and time, side by side: `(B, F)`."""
        images, clips = self._views(video)
        framewise = mean(self.image.maps(images)).unflatten(0, (len(video), -1))
        return torch.cat((framewise.mean(dim=1), mean(self.clip.maps(clips))), dim=1)

    def forward(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> dict[str, Tensor]:
        """Video `(B, N, C, H, W)` to logits by head, one a patch; see `gadkit.Discriminator.forward`.

        Raises:
            ConfigError: The clip is too short, or labels are missing.
        """
        if self.video.classes and labels is None:
            raise ConfigError(
                f"labels: found none, but this dual discriminator tells {self.video.classes} classes apart; give a "
                f"class number in [0, {self.video.classes}) for every video."
            )
        images, clips = self._views(video)
        each = None if labels is None else labels.repeat_interleave(self.frames)
        return {"image": self.image(images, each).reshape(len(video), -1), "clip": self.clip(clips, labels)}


def _widths(n: int, width: int, max_width: int) -> list[int]:
    """Channels of the hidden layers of a net that halves the frame n times."""
    return [min(width << layer, max_width) for layer in range(n - 1)]


def _spans(n: int, frames: int) -> list[int]:
    """How many frames the kernels of n layers span: 4, or what a shorter clip has, shared out."""
    spare = min((_SPAN - 1) * n, frames - 1)
    return [1 + spare // n + (layer < spare % n) for layer in range(n)]
