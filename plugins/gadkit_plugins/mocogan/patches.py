"""Networks that judge patches: of single frames, or of clips with time as a third dimension."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

SLOPE = 0.2  # of every LeakyReLU
_SIDE = 4  # of every kernel in the frame
_LEAST = 3  # patches along the shorter side
_MOST = 8  # halvings


def halvings(height: int, width: int) -> int:
    """How often a frame is halved: down to 3 to 5 patches along its shorter side, at most 8 times.

    Sides that do not divide are cut to the whole number below: kernels of 4 with a margin of 1 see every pixel still.
    """
    return min((min(height, width) // _LEAST).bit_length() - 1, _MOST)


class Patches(nn.Module):
    """Strided convolutions from images or clips to one logit a patch (Isola et al. 2017).

    Every layer has kernels of 4x4 pixels and halves height and width; LeakyReLU between, and batch normalisation in all
    but the first and the last.

    Args:
        channels: Of the input, then of every hidden layer.
        spans: How many frames the kernels of each layer span, without padding in time; empty for single frames.
        batch_norm: Whether hidden layers are normalised.
        classes: Classes of the labels, 0 for none. With classes, the projection of Miyato & Koyama 2018 adds
            `<embedding(label), features>` to the logits of an item.
    """

    def __init__(self, channels: Sequence[int], spans: Sequence[int], batch_norm: bool, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index, (before, after) in enumerate(zip(channels, [*channels[1:], 1], strict=True)):
            layer: nn.Module
            if spans:
                kernel = (spans[index], _SIDE, _SIDE)
                layer = nn.Conv3d(before, after, kernel, (1, 2, 2), (0, 1, 1), bias=not batch_norm)
            else:
                layer = nn.Conv2d(before, after, _SIDE, 2, 1, bias=not batch_norm)
            layers.append(layer)
            if index < len(channels) - 1:
                if batch_norm and index > 0:
                    layers.append(nn.BatchNorm3d(after) if spans else nn.BatchNorm2d(after))
                layers.append(nn.LeakyReLU(SLOPE, inplace=True))
        self.trunk, self.last = nn.Sequential(*layers[:-1]), layers[-1]
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d):
                # Radford et al. 2016 with batch normalisation; without it the weights must keep the signal's size
                gain = 1.0 if module is self.last else nn.init.calculate_gain("leaky_relu", SLOPE)
                nn.init.normal_(module.weight, 0.0, 0.02 if batch_norm else gain / math.sqrt(module.weight[0].numel()))
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
                nn.init.normal_(module.weight, 1.0, 0.02)
        self.embedding: nn.Embedding | None = None
        if classes:
            self.embedding = nn.Embedding(classes, channels[-1])
            nn.init.normal_(self.embedding.weight, 0.0, 1 / math.sqrt(channels[-1]))
        self.to(memory_format=torch.channels_last_3d if spans else torch.channels_last)  # type: ignore[call-overload]

    def maps(self, items: Tensor) -> Tensor:
        """The last hidden feature maps, of images `(M, C, H, W)` or clips `(M, C, T, H, W)`."""
        maps: Tensor = self.trunk(items)
        return full_precision(maps)

    def forward(self, items: Tensor, labels: Tensor | None) -> Tensor:
        """Logits `(M, K)` of items with labels `(M,)`, one a patch, in float32 or float64."""
        maps = self.maps(items)
        with torch.autocast(maps.device.type, enabled=False):
            logits: Tensor = self.last(maps).flatten(1)
            if self.embedding is not None and labels is not None:
                logits = logits + (self.embedding(labels) * mean(maps)).sum(dim=1, keepdim=True)
        return logits


def mean(maps: Tensor) -> Tensor:
    """Feature maps `(M, F, ...)` to features `(M, F)`: their mean over the patches."""
    return maps.flatten(2).mean(dim=2)


def full_precision(x: Tensor) -> Tensor:
    """float32 for half types, anything else as it is: logits are computed and returned in full precision."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
