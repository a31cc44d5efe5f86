"""Colours kept in [-1, 1], with a way back for those far beyond."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

#: The least slope towards 0. x / sqrt(1 + x^2) is within .011 of its bounds where its own slope is less.
WAY_BACK = 0.003


class _InverseSquareRoot(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        return (wide * torch.rsqrt(1 + wide.square())).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        # in at least float32: where a half-precision result is rounded to 1, its slope is not 0 yet
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        slope = (1 + wide.square()) ** -1.5
        inwards = wide * gradient > 0  # a descent moves x by -gradient
        moved: Tensor = gradient * torch.where(inwards, slope.clamp(min=WAY_BACK), slope).to(gradient.dtype)
        return moved


def isru(x: Tensor) -> Tensor:
    """x / sqrt(1 + x^2), the inverse square root unit of Carlile et al. 2017, of any shape, in the type of `x`.

    Its derivative is (1 + x^2)^(-3/2), but for a gradient whose descent brings x nearer to 0 it is never less than
    .003: a background of pure white may lie far beyond the bound, which makes the outlines before it sharp, and what a
    step has carried there by mistake comes back when the loss wants it so. A larger slope would pull at the background
    as well and make it foggy. The gradient can be differentiated itself.
    """
    bounded: Tensor = _InverseSquareRoot.apply(x)  # type: ignore[no-untyped-call]
    return bounded
