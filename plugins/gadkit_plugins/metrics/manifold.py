"""Precision, recall, density and coverage."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from torch import Tensor, nn

from gadkit import VideoMetric

from .distances import nearest, within
from .reservoir import LIMIT, Reservoir


class PrecisionRecallDensityCoverage(VideoMetric):
    """How much of the generated clips is like real ones, and how much of the real ones is generated.

    A clip's ball reaches to its k-th nearest neighbour of its own side, itself not counted, border included. With m
    real and n generated clips' vectors `(N, D)`:

    - `precision`: the generated clips that lie in the ball of any real one, as a share of n (Kynkäänniemi et al. 2019,
      arXiv:1904.06991, eq. 1 and 2);
    - `recall`: the real clips that lie in the ball of any generated one, as a share of m (the same);
    - `density`: how many balls of real clips a generated one lies in, on average, divided by k (Naeem et al. 2020,
      arXiv:2002.09797, section 3); it may exceed 1, and a single outlier among the real clips does not inflate it;
    - `coverage`: the real clips whose ball holds any generated one, as a share of m (the same).

    Higher is better for all four. They depend on the number of clips and on k, balls shrinking with the number, and
    are comparable for equal ones alone. Where both sides are of one distribution the expectation of density is 1, and
    that of coverage 1 − Π_{i=1..k} (m − i) / (m + n − i), about 1 − 2⁻ᵏ for m = n.

    All clips are compared where there are no more than `limit` a side, otherwise a uniform sample of as many, chosen by
    a hash of their content: the order of clips and the number of processes change no bit.
    """

    best = {"precision": "highest", "recall": "highest", "density": "highest", "coverage": "highest"}

    def __init__(
        self,
        features: nn.Module | None = None,
        *,
        nearest_k: Annotated[int, Field(ge=1)] = 5,
        limit: Annotated[int, Field(ge=2)] = LIMIT,
        **kwargs: Any,
    ) -> None:
        """An empty metric.

        Args:
            features: As for `gadkit.VideoMetric`.
            nearest_k: k; 5 as in Naeem et al., while Kynkäänniemi et al. take 3.
            limit: Clips of a side that are kept at most.
            **kwargs: As for `torchmetrics.Metric`.
        """
        super().__init__(features, **kwargs)
        if nearest_k >= limit:
            raise ValueError(f"nearest_k: found {nearest_k}, expected less than {limit}, the limit of kept clips")
        self.nearest_k = nearest_k
        self.add_summary("real", Reservoir.empty(limit))
        self.add_summary("generated", Reservoir.empty(limit))

    def compute(self) -> dict[str, Tensor]:
        """`precision`, `recall`, `density` and `coverage`, float64 scalars.

        Raises:
            DataError: A side has no more clips than `nearest_k`.
        """
        self.enough(self.nearest_k + 1)
        real, generated = (self.summary(side, Reservoir).rows for side in ("real", "generated"))
        k = self.nearest_k
        balls = within(generated, real, nearest(real, k))
        back = within(real, generated, nearest(generated, k))
        return {
            "precision": (balls.each > 0).double().mean(),
            "recall": (back.each > 0).double().mean(),
            "density": balls.each.double().mean() / k,
            "coverage": (balls.held > 0).double().mean(),
        }
