"""Conjugate gradients for least squares, without a read by the host."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

#: A linear map of flat vectors.
Linear = Callable[[Tensor], Tensor]


def conjugate_gradients(
    forward: Linear, adjoint: Linear, target: Tensor, start: Tensor, *, iterations: int, tolerance: float
) -> tuple[Tensor, Tensor]:
    """The x that makes |M x - b| least, by conjugate gradients on M'M x = M'b (Hestenes & Stiefel 1952, section 10).

    The number of iterations is fixed, so that nothing is read from the device; once |M'(b - M x)| is at most
    `tolerance` times |b|, further ones change nothing. What is not finite stays so, for whoever watches.

    Args:
        forward: M, from `(N,)` to `(R,)`.
        adjoint: Its transpose, from `(R,)` to `(N,)`.
        target: b, `(R,)`.
        start: Where x begins, `(N,)`, times the number that brings it closest: never farther from b than 0 is.
        iterations: How many, at least 1. They take as many products with M, one more for the start, and as many with
            its transpose.
        tolerance: When it is near enough, at least 0.

    Returns:
        x, and b - M x.
    """
    image = forward(start)
    square = _inner(image, image)
    share = torch.where(square == 0, square, _inner(image, target) / square).to(start.dtype)
    solution, residual = start * share, torch.addcmul(target, image, -share)
    slope = adjoint(residual)
    way = slope.clone()
    left, enough = _inner(slope, slope), tolerance**2 * _inner(target, target)
    active = left > enough
    for number in range(iterations):
        image = forward(way)
        length = torch.where(active, left / _inner(image, image), 0).to(way.dtype)
        solution.addcmul_(way, length)
        residual.addcmul_(image, -length)
        if number + 1 < iterations:
            slope.addcmul_(adjoint(image), -length)  # not M'r anew, whose rounding would drive x away in the end
            found = _inner(slope, slope)
            way.mul_(torch.where(active, found / left, 0).to(way.dtype)).add_(slope)
            left, active = found, active & (found > enough)
    return solution, residual


def _inner(one: Tensor, other: Tensor) -> Tensor:
    """The inner product, summed in float64 where the device has it."""
    return (one * other).sum(dtype=torch.float32 if one.device.type == "mps" else torch.float64)
