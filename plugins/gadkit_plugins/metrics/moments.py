"""Mean and covariance of rows, and the Fréchet distance between two of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

#: Rows that are added at a time: bounds the memory beside a long batch's own.
_BLOCK = 4096


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of any number of rows.

    The covariance is held as a root: a matrix R with Rᵀ R = Σ (x − mean)(x − mean)ᵀ, at first the centred rows
    themselves, later reduced to D of them by a QR decomposition. Squaring it would halve its digits. Means and roots
    of parts are merged by the formula of Chan, Golub & LeVeque 1979, in which
    Rᵀ R = R₁ᵀ R₁ + R₂ᵀ R₂ + n₁ n₂ / (n₁ + n₂) · δ δᵀ, δ the difference of the means, is one more row of the root.

    Attributes:
        count: Rows, n, int64 scalar.
        origin: The first row, from which means are measured so that a large offset costs no digits; float64 `(D,)`,
            `(0,)` where there is no row.
        mean: The mean minus `origin`, float64, of the same shape.
        root: R, float64 `(K, D)`, K at most 2 D.
    """

    keyed: ClassVar[bool] = False

    count: Tensor
    origin: Tensor
    mean: Tensor
    root: Tensor

    @classmethod
    def empty(cls) -> Self:
        """The moments of no row."""
        return cls(
            count=torch.tensor(0, device="cpu"),
            origin=torch.empty(0, dtype=torch.float64, device="cpu"),
            mean=torch.empty(0, dtype=torch.float64, device="cpu"),
            root=torch.empty(0, 0, dtype=torch.float64, device="cpu"),
        )

    def add(self, rows: Tensor, keys: Tensor) -> Self:
        """With more rows, float64 `(N, D)`.

        Raises:
            ValueError: D is another than before.
        """
        whole = self
        for block in rows.split(_BLOCK):
            whole = whole.merge(whole._of(block)) if len(block) else whole
        return whole

    def merge(self, other: Self) -> Self:
        """As if the other's rows had been added too.

        Raises:
            ValueError: The two are of different D.
        """
        if not int(other.count):
            return self
        if not int(self.count):
            return other
        if len(self.mean) != len(other.mean):
            raise ValueError(f"found vectors of {len(other.mean)} numbers, expected {len(self.mean)} as before")
        n, others = int(self.count), int(other.count)
        between = (other.origin - self.origin) + (other.mean - self.mean)
        step = between * math.sqrt(n * others / (n + others))
        return type(self)(
            count=self.count + other.count,
            origin=self.origin,
            mean=self.mean + between * (others / (n + others)),
            root=reduced(torch.cat([self.root, other.root, step[None]]), most=2 * len(step)),
        )

    def _of(self, rows: Tensor) -> Self:
        origin = self.origin if len(self.origin) == rows.shape[1] else rows[0]
        mean = (rows - origin).mean(0)
        centred = (rows - origin) - mean
        root = reduced(centred if len(rows) > 1 else centred[:0], most=2 * rows.shape[1])
        return type(self)(count=torch.tensor(len(rows), device=rows.device), origin=origin, mean=mean, root=root)


def reduced(root: Tensor, most: int) -> Tensor:
    """A root of the same covariance, with at most D rows where it has more than `most`."""
    return torch.linalg.qr(root, mode="r").R if len(root) > max(most, root.shape[1]) else root


def frechet(one: Moments, other: Moments, *, unbiased: bool) -> Tensor:
    """The squared Fréchet (2-Wasserstein) distance of two Gaussians.

    ‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½), Dowson & Landau 1982, in the form
    ‖μ₁ − μ₂‖² + min over orthogonal U of ‖A − U B‖², where Aᵀ A = Σ₁ and Bᵀ B = Σ₂: the trace of the square root is
    the nuclear norm of A Bᵀ = P S Qᵀ, and U = P Qᵀ reaches the minimum. No covariance is formed, none is inverted and
    no matrix square root is taken, so that singular covariances are as good as others; a sum of squares is never
    negative, and keeps its digits where the two are nearly equal, as the difference of traces does not.

    Args:
        one: The first's moments.
        other: The second's, of the same D.
        unbiased: Whether covariances are divided by n − 1, or by n.

    Returns:
        float64 scalar.

    Raises:
        ValueError: The two are of different D.
    """
    if len(one.mean) != len(other.mean):
        raise ValueError(f"found vectors of {len(one.mean)} and of {len(other.mean)} numbers: expected as many")
    roots = []
    for side in (one, other):
        root = reduced(side.root, most=len(side.mean))
        roots.append(root / math.sqrt(int(side.count) - unbiased))
    size = max(map(len, roots))
    a, b = (torch.cat([root, root.new_zeros(size - len(root), root.shape[1])]) for root in roots)
    p, _, q = torch.linalg.svd(a @ b.T)
    turned: Tensor = (p @ q) @ b
    mean = (one.origin - other.origin) + (one.mean - other.mean)
    return mean.square().sum() + (a - turned).square().sum()
