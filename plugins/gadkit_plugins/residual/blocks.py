"""Residual blocks without normalisation, and how their weights begin (after Huang et al. 2024, R3GAN)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gadkit_plugins.residual.convolution import Convolution, Transposed

SLOPE = 0.2  # of every LeakyReLU
#: Keeps the mean square of what passes a LeakyReLU: E f(x)^2 = (1 + slope^2) / 2 for standard normal x.
GAIN = math.sqrt(2 / (1 + SLOPE**2))


class Block(nn.Module):
    """x + W3 f(W2 f(W1 x)): a 1x1 convolution, a grouped one of 3 taps a side, a 1x1 convolution.

    f is a LeakyReLU of slope .2 after a bias; W3 has no bias.

    Args:
        channels: Of x.
        inner: Of the grouped convolution.
        groups: In which the grouped convolution falls.
        temporal: Whether it runs over time, with 3 taps, and not over height and width, with 3x3.
    """

    def __init__(self, channels: int, inner: int, groups: int, temporal: bool = False) -> None:
        super().__init__()
        self.temporal = temporal
        size, padding = ((3, 1), (1, 0)) if temporal else ((3, 3), (1, 1))
        self.widen = Convolution(channels, inner, 1)
        self.mix = Convolution(inner, inner, size, padding=padding, groups=groups)
        self.narrow = Convolution(inner, channels, 1, bias=False)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """`(B * T, C, H, W)` to the same shape; `frames` is T."""
        inner = nn.functional.leaky_relu_(self.widen(x), SLOPE)
        size = inner.shape
        if self.temporal:
            inner = _with_sides(inner, frames, size[2] * size[3])
        inner = nn.functional.leaky_relu_(self.mix(inner), SLOPE)
        if self.temporal:
            inner = _with_sides(inner, size[2], size[3])
        out: Tensor = self.narrow(inner)
        return out.add_(x)


def _with_sides(x: Tensor, height: int, width: int) -> Tensor:
    """The same numbers as images of other sides; a view where the channels are last in memory.

    With T and H * W in place of H and W, time runs down the images and their places lie side by side.
    """
    return x.permute(0, 2, 3, 1).reshape(-1, height, width, x.shape[1]).permute(0, 3, 1, 2)


class Stage(nn.Module):
    """The blocks of one resolution.

    Args:
        blocks: The blocks.
        checkpointing: Whether activations inside the blocks are computed anew in the backward pass.
    """

    def __init__(self, blocks: Sequence[Block], checkpointing: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.temporal = any(block.temporal for block in blocks)
        self.checkpointing = checkpointing

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """`(B * T, C, H, W)` to the same shape; `frames` is T."""
        anew = self.checkpointing and torch.is_grad_enabled()
        for block in self.blocks:
            if anew:
                x = checkpoint(block, x, frames, use_reentrant=False, preserve_rng_state=False)
            else:
                x = block(x, frames)
        return x


def initialise(net: nn.Module) -> None:
    """Draws the weights of a network whose signal and whose first steps keep their size whatever its depth.

    Of L blocks each begins as the identity, W3 = 0, so the size of the signal is that of the stem. W1 and W2 have the
    standard deviation g L^(-1/4) / sqrt(fan-in), g^2 = 2 / 1.04, so the inner signal h and the gradient of W3, which is
    proportional to it, have the size L^(-1/2): a gradient step on W3 moves a block's output by |h|^2, in proportion to
    1 / L, and all L together by what does not depend on L (Zhang et al. 2019, Fixup, for three layers a block). Other
    layers keep the mean square: 1 / sqrt(fan-in). Biases are zero.
    """
    blocks = [module for module in net.modules() if isinstance(module, Block)]
    for module in net.modules():
        if isinstance(module, Convolution | Transposed | nn.Linear):
            nn.init.normal_(module.weight, 0.0, _fan_in(module) ** -0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    with torch.no_grad():
        for block in blocks:
            for layer in (block.widen, block.mix):
                layer.weight.mul_(GAIN * len(blocks) ** -0.25)
            block.narrow.weight.zero_()


def _fan_in(layer: nn.Module) -> int:
    """How many inputs an output is a weighted sum of."""
    if isinstance(layer, Transposed):
        return layer.out_channels * 4  # what it transposes has kernels of twice the stride: two taps a side
    assert isinstance(layer, Convolution | nn.Linear)
    return layer.weight[0].numel()
