"""Kernel video distance."""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from gadkit import VideoMetric

from .reservoir import LIMIT, Reservoir

#: Rows of a block of the kernel matrix: bounds the memory.
_BLOCK = 512


class KernelVideoDistance(VideoMetric):
    """KVD, Unterthiner et al. 2018, arXiv:1812.01717: the squared maximum mean discrepancy of a polynomial kernel.

    Σ_{i≠j} k(xᵢ, xⱼ) / m(m−1) + Σ_{i≠j} k(yᵢ, yⱼ) / n(n−1) − 2 Σ_{i,j} k(xᵢ, yⱼ) / mn with k(x, y) = (γ x·y + c)³, of m
    real and n generated clips' vectors `(N, D)`: the estimator of Gretton et al. 2012 (eq. 3) with the kernel of
    Bińkowski et al. 2018, arXiv:1801.01401. One value, `kvd`: lower is better. It is unbiased, so that the number of
    clips changes its spread and not its mean; around 0 it is as often negative as positive.

    All clips are compared where there are no more than `limit` a side, otherwise a uniform sample of as many, chosen
    by a hash of their content: the order of clips and the number of processes change no bit. The kernel matrix
    is never held as a whole.
    """

    best = {"kvd": "lowest"}

    def __init__(
        self,
        features: nn.Module | None = None,
        *,
        degree: Annotated[int, Field(ge=1)] = 3,
        gamma: Annotated[float, Field(gt=0)] | None = None,
        coef0: Annotated[float, Field(ge=0)] = 1.0,
        limit: Annotated[int, Field(ge=2)] = LIMIT,
        **kwargs: Any,
    ) -> None:
        """An empty metric.

        Args:
            features: As for `gadkit.VideoMetric`.
            degree: The kernel's exponent.
            gamma: The kernel's γ; by default 1 / D.
            coef0: The kernel's c.
            limit: Clips of a side that are kept at most.
            **kwargs: As for `torchmetrics.Metric`.
        """
        super().__init__(features, **kwargs)
        self.degree, self.gamma, self.coef0 = degree, gamma, coef0
        self.add_summary("real", Reservoir.empty(limit))
        self.add_summary("generated", Reservoir.empty(limit))

    def compute(self) -> dict[str, Tensor]:
        """`kvd`, a float64 scalar.

        Raises:
            DataError: A side has fewer than two clips.
        """
        self.enough()
        real, generated = (self.summary(side, Reservoir).rows for side in ("real", "generated"))
        return {"kvd": mmd(real, generated, degree=self.degree, gamma=self.gamma, coef0=self.coef0)}


def mmd(x: Tensor, y: Tensor, *, degree: int = 3, gamma: float | None = None, coef0: float = 1.0) -> Tensor:
    """The unbiased squared maximum mean discrepancy of the kernel (γ x·y + c)^degree.

    With o the mean of all rows, x = o + x', the kernel's argument is a + p(x) + p(y) + s(x, y), where a = γ o·o + c,
    p(x) = γ o·x' and s = γ x'·y'. What depends on x or on y alone drops out of the estimator, and is left out here:
    far from the origin it would be all that float64 holds.

    Args:
        x: float64 `(M, D)`, M at least 2.
        y: float64 `(N, D)`, N at least 2.
        degree: At least 1.
        gamma: γ; by default 1 / D.
        coef0: c.

    Returns:
        float64 scalar.

    Raises:
        ValueError: The two are of different D, or the degree is less than 1.
    """
    if degree < 1:
        raise ValueError(f"degree: found {degree}, expected at least 1")
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"found vectors of {x.shape[1]} and of {y.shape[1]} numbers: expected as many")
    gamma = 1 / x.shape[1] if gamma is None else gamma
    first = x[0]  # the mean is reached in two steps, which keeps its digits far from the origin
    x, y = x - first, y - first
    centre = torch.cat([x, y]).mean(0)
    x, y, centre = x - centre, y - centre, centre + first
    a = float(gamma * centre.dot(centre) + coef0)
    p, q = gamma * (x @ centre), gamma * (y @ centre)

    def mean(one: Tensor, p: Tensor, other: Tensor, q: Tensor) -> Tensor:
        """Of the kernel's remainder over all pairs, but those of a row with itself."""
        whole, start = one.new_zeros(()), 0
        for rows, at in zip(one.split(_BLOCK), p.split(_BLOCK), strict=True):
            block = _remainder(gamma * (rows @ other.T), at[:, None], q, a, degree)
            whole = whole + block.sum() - (block[:, start:].trace() if one is other else 0)
            start += len(rows)
        return whole / (len(one) * (len(other) - (one is other)))

    return mean(x, p, x, p) + mean(y, q, y, q) - 2 * mean(x, p, y, q)


def _remainder(s: Tensor, p: Tensor, q: Tensor, a: float, n: int) -> Tensor:
    """(a + p + q + s)ⁿ − (a + p)ⁿ − (a + q)ⁿ + aⁿ, without its cancellation.

    With v = a + p + q that is Σ_{l≥1} C(n, l) v^(n−l) s^l, and of vⁿ the terms that hold both p and q.
    """
    v = a + p + q
    mixed = torch.ones_like(s)
    for degree in range(n - 1, 0, -1):
        mixed = mixed.mul_(s).add_(v ** (n - degree), alpha=math.comb(n, degree))
    whole = mixed.mul_(s)
    for j in range(1, n):
        terms = [math.comb(n, j + k) * math.comb(j + k, j) * a ** (n - j - k) * q**k for k in range(1, n - j + 1)]
        whole.addcmul_(p**j, torch.stack(terms).sum(0))
    return whole
