"""Convolutions whose gradients' gradients are convolutions of the same shapes.

A convolution, the gradient of its input and the gradient of its weight are the three sides of one trilinear form
<g, w * x>: each is linear in two of g, w and x, and its own gradients are the other two. So three functions are closed
under differentiation, to any order. PyTorch's own second derivative of a convolution exchanges the batch with the
channels and convolves with kernels as large as the image instead: that takes a gradient penalty on a CPU 1.3 to 2 times
as long for each of these layers, and in bf16 (PyTorch 2.13) there are shapes at which it ends the process.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function


class _Shape(NamedTuple):
    """What a convolution is apart from its numbers; the dilation is 1."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    groups: int


def _shape(layer: nn.Conv2d) -> _Shape:
    (down, right), (top, left) = layer.stride, (int(layer.padding[0]), int(layer.padding[1]))
    return _Shape((down, right), (top, left), layer.groups)


class Convolution(nn.Conv2d):
    """`nn.Conv2d` with a dilation of 1: the same numbers, and second derivatives that are as fast as the first."""

    def forward(self, input: Tensor) -> Tensor:
        """`(N, C, H, W)` to `(N, C', H', W')`, in the autocast type where there is one."""
        out: Tensor = _Forward.apply(*_cast(input, self.weight, self.bias), _shape(self))  # type: ignore[no-untyped-call]
        return out


class Transposed(nn.Conv2d):
    """The transpose of `Convolution(channels, before, 2 * stride, stride, stride // 2)`, without a bias.

    Args:
        before: Channels of the input.
        channels: Of the output.
        stride: How many times the input's height and width the output has, an even number.
    """

    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__(channels, before, 2 * stride, stride, stride // 2, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """`(N, before, H, W)` to `(N, channels, stride H, stride W)`, in the autocast type where there is one."""
        x, weight, _ = _cast(input, self.weight, None)
        height, width = (side * stride for side, stride in zip(x.shape[2:], self.stride, strict=True))
        size = torch.Size((len(x), self.in_channels, height, width))
        out: Tensor = _InputGradient.apply(x, weight, size, _shape(self))  # type: ignore[no-untyped-call]
        return out


def _cast(x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """The autocast type, where there is one: PyTorch casts for its own operations alone."""
    kind = x.device.type
    if not torch.is_autocast_enabled(kind):
        return x, weight, bias
    dtype = torch.get_autocast_dtype(kind)
    return x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)


class _Forward(Function):
    """y = w * x + b."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, shape: _Shape) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.shape = shape
        return nn.functional.conv2d(x, weight, bias, shape.stride, shape.padding, 1, shape.groups)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        wants_x, wants_weight, wants_bias, _ = ctx.needs_input_grad
        at_x = at_weight = at_bias = None
        if wants_x:
            at_x = _InputGradient.apply(slope, weight, x.shape, ctx.shape)  # type: ignore[no-untyped-call]
        if wants_weight or wants_bias:
            at_weight, at_bias = _WeightGradient.apply(slope, x, weight.shape, wants_bias, ctx.shape)  # type: ignore[no-untyped-call]
        return at_x, at_weight, at_bias, None


class _InputGradient(Function):
    """The gradient of <g, w * x> in x: the transposed convolution of g."""

    @staticmethod
    def forward(ctx: Any, slope: Tensor, weight: Tensor, size: torch.Size, shape: _Shape) -> Tensor:
        ctx.save_for_backward(slope, weight)
        ctx.shape = shape
        x = slope.new_empty(size).contiguous(memory_format=torch.channels_last)  # its size matters, not its numbers
        gradient: Tensor = _gradients(slope, x, weight, shape, (True, False, False))[0]
        return gradient

    @staticmethod
    def backward(ctx: Any, back: Tensor) -> tuple[Tensor | None, ...]:
        slope, weight = ctx.saved_tensors
        at_slope = at_weight = None
        if ctx.needs_input_grad[0]:
            at_slope = _Forward.apply(back, weight, None, ctx.shape)  # type: ignore[no-untyped-call]
        if ctx.needs_input_grad[1]:
            at_weight, _ = _WeightGradient.apply(slope, back, weight.shape, False, ctx.shape)  # type: ignore[no-untyped-call]
        return at_slope, at_weight, None, None


class _WeightGradient(Function):
    """The gradients of <g, w * x + b> in w and, where it is wanted, in b."""

    @staticmethod
    def forward(
        ctx: Any, slope: Tensor, x: Tensor, size: torch.Size, with_bias: bool, shape: _Shape
    ) -> tuple[Tensor, Tensor | None]:
        ctx.save_for_backward(slope, x)
        ctx.shape = shape
        weight = slope.new_empty(size).contiguous(memory_format=torch.channels_last)
        _, at_weight, at_bias = _gradients(slope, x, weight, shape, (False, True, with_bias))
        return at_weight, at_bias

    @staticmethod
    def backward(ctx: Any, weight: Tensor, bias: Tensor | None) -> tuple[Tensor | None, ...]:
        slope, x = ctx.saved_tensors
        at_slope = at_x = None
        if ctx.needs_input_grad[0]:
            at_slope = _Forward.apply(x, weight, bias, ctx.shape)  # type: ignore[no-untyped-call]
        if ctx.needs_input_grad[1]:
            at_x = _InputGradient.apply(slope, weight, x.shape, ctx.shape)  # type: ignore[no-untyped-call]
        return at_slope, at_x, None, None, None


def _gradients(slope: Tensor, x: Tensor, weight: Tensor, shape: _Shape, wanted: tuple[bool, bool, bool]) -> Any:
    """The gradients of <g, w * x + b> in x, w and b; `None` for those that are not wanted."""
    sizes = [weight.shape[0]] if wanted[2] else None
    return torch.ops.aten.convolution_backward(
        slope, x, weight, sizes, shape.stride, shape.padding, (1, 1), False, (0, 0), shape.groups, wanted
    )
