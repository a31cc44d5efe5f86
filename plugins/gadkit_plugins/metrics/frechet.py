"""Fréchet video distance."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn

from gadkit import VideoMetric

from .moments import Moments, frechet


class FrechetVideoDistance(VideoMetric):
    """FVD, Unterthiner et al. 2018, arXiv:1812.01717 (eq. 2): the distance of two Gaussians.

    ‖μr − μg‖² + tr(Σr + Σg − 2 (Σr Σg)^½), with mean μ and covariance Σ of the real and of the generated clips'
    vectors `(N, D)`. One value, `fvd`: lower is better, 0 is the least. It is biased upwards, the more the fewer the
    clips: sets of different sizes are not comparable, and two halves of the real clips are the floor to compare with.

    The literature's numbers are those of I3D's Kinetics-400 logits (D = 400) for 2,048 clips a side.

    Memory is that of 2 D rows a side. Neither the order of clips nor the number of processes changes more than
    rounding, and neither singular covariances (fewer clips than D) nor large offsets cost digits.
    """

    wants_full_rank = True
    best = {"fvd": "lowest"}

    def __init__(self, features: nn.Module | None = None, *, divisor: Literal["n", "n-1"] = "n", **kwargs: Any) -> None:
        """An empty metric.

        Args:
            features: As for `gadkit.VideoMetric`.
            divisor: What the covariance of N clips is divided by: N as in StyleGAN-V and cd-fvd, or N − 1 as in DIGAN.
            **kwargs: As for `torchmetrics.Metric`.
        """
        super().__init__(features, **kwargs)
        if divisor not in ("n", "n-1"):
            raise ValueError(f"divisor: found {divisor!r}, expected 'n' or 'n-1'")
        self.divisor = divisor
        self.add_summary("real", Moments.empty())
        self.add_summary("generated", Moments.empty())

    def compute(self) -> dict[str, Tensor]:
        """`fvd`, a float64 scalar.

        Raises:
            DataError: A side has fewer than two clips.
        """
        self.enough()
        real, generated = (self.summary(side, Moments) for side in ("real", "generated"))
        return {"fvd": frechet(real, generated, unbiased=self.divisor == "n-1")}
