"""Convolution, batch normalisation with fixed statistics, and activation, as one operation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gadkit import DataError

#: TensorFlow's epsilon of batch normalisation in the published networks.
EPSILON = 1e-3


def same_padding(length: int, kernel: int, stride: int) -> tuple[int, int]:
    """What TensorFlow's padding "SAME" adds before and after: as little as gives ceil(length / stride) outputs."""
    total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
    return total // 2, total - total // 2


def fold(weight: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """The convolution that does what one without a bias and the batch normalisation behind it do.

    With s = scale / sqrt(variance + `EPSILON`), the kernel of every output is multiplied by its s, and the bias becomes
    bias - mean s; computed in float64.

    Args:
        weight: `(out, in, ...)`.
        scale: `(out,)`, as the other three.
        bias: What normalisation adds.
        mean: Its fixed mean.
        variance: Its fixed variance.

    Returns:
        Kernel and bias, float64.
    """
    weight, scale, bias, mean, variance = (value.double() for value in (weight, scale, bias, mean, variance))
    factor = scale / torch.sqrt(variance + EPSILON)
    return weight * factor.view(-1, *[1] * (weight.dim() - 1)), bias - mean * factor


class Unit(nn.Module):
    """A convolution with padding "SAME", batch normalisation with fixed statistics, and an activation.

    Its tensors are those that were trained. The two linear parts are folded into one at the first use, in the type
    and the layout (channels last) of what comes in, and folded anew after the tensors were loaded or moved.

    Args:
        channels: Of the input.
        out: Of the output.
        kernel: Its size along each of the two or three dimensions.
        stride: Along each of them.
        groups: As many parts the channels are convolved in.
        activation: Applied last, may work in place; `None` for none.
        scaled: Whether normalisation multiplies by a scale of its own.
    """

    weight: Tensor
    bias: Tensor
    mean: Tensor
    variance: Tensor
    scale: Tensor | None

    def __init__(
        self,
        channels: int,
        out: int,
        kernel: Sequence[int],
        *,
        stride: int = 1,
        groups: int = 1,
        activation: Callable[[Tensor], Tensor] | None,
        scaled: bool = False,
    ) -> None:
        super().__init__()
        self._kernel, self._stride, self._groups, self._activation = tuple(kernel), stride, groups, activation
        self._folded: tuple[Tensor, Tensor] | None = None
        # Nothing may be measured with tensors that nobody loaded: NaN is found at the first use.
        self.register_buffer("weight", torch.full((out, channels // groups, *kernel), torch.nan))
        self.register_buffer("bias", torch.zeros(out))
        self.register_buffer("mean", torch.zeros(out))
        self.register_buffer("variance", torch.ones(out))
        self.register_buffer("scale", torch.ones(out) if scaled else None)
        self.register_load_state_dict_post_hook(_forget)  # type: ignore[no-untyped-call]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        self._folded = None
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

    def forward(self, x: Tensor) -> Tensor:
        """Convolves `(B, channels, ...)`, channels last in memory, to `(B, out, ...)`."""
        if self._folded is None or self._folded[0].dtype != x.dtype:
            self._folded = self._fold(x.dtype)
        weight, bias = self._folded
        y = self._convolve(x, weight, bias)
        return y if self._activation is None else self._activation(y)

    def _fold(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        if not bool(torch.isfinite(self.weight).all()):
            raise DataError("the network has no weights: build it with `gadkit.load_features`, which loads them.")
        scale = torch.ones_like(self.mean) if self.scale is None else self.scale
        weight, bias = fold(self.weight, scale, self.bias, self.mean, self.variance)
        if self._pointwise:
            return weight.flatten(1).to(dtype), bias.to(dtype)
        layout = torch.channels_last_3d if weight.dim() == 5 else torch.channels_last
        return weight.to(dtype).contiguous(memory_format=layout), bias.to(dtype)

    @property
    def _pointwise(self) -> bool:
        return set(self._kernel) == {1} and self._stride == 1 and self._groups == 1

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        if self._pointwise:  # a product of matrices, which PyTorch does faster than a convolution of this kernel
            return F.linear(x.movedim(1, -1), weight, bias).movedim(-1, 1)
        sides = [
            same_padding(length, kernel, self._stride) for length, kernel in zip(x.shape[2:], self._kernel, strict=True)
        ]
        if any(before != after for before, after in sides):
            x = F.pad(x, [side for pair in reversed(sides) for side in pair])
            sides = [(0, 0)] * len(sides)
        convolve = F.conv3d if len(sides) == 3 else F.conv2d
        padding = [before for before, _ in sides]
        return convolve(x, weight, bias, stride=self._stride, padding=padding, groups=self._groups)


def _forget(unit: nn.Module, _: object) -> None:
    """Drops what was folded: other tensors were loaded."""
    assert isinstance(unit, Unit)
    unit._folded = None
