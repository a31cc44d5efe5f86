"""Distances and scores of single frames, as torchmetrics defines them."""

from __future__ import annotations

import warnings
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torchmetrics.image.inception import InceptionScore as ImageInceptionScore

from gadkit import DataError, VideoMetric

from .kernel import mmd
from .moments import Moments, frechet
from .reservoir import LIMIT, Reservoir


class FrameFrechetDistance(VideoMetric):
    """FID, Heusel et al. 2017, arXiv:1706.08500 (eq. 6), over the frames of all clips.

    The number of `torchmetrics.image.FrechetInceptionDistance` over the same vectors, `(B, T, D)` or `(N, D)`: the
    covariance is divided by N − 1. It is worked out as `FrechetVideoDistance` is, because torchmetrics sums squares
    around the origin and takes eigenvalues of Σr Σg, and so loses digits far from the origin and where a covariance is
    singular. One value, `fid`: lower is better. It is biased upwards, the more the fewer the frames. It is blind to the
    order of frames. The literature's numbers are those of Inception-v3 for images.
    """

    of = "frame"
    wants_full_rank = True
    best = {"fid": "lowest"}

    def __init__(self, features: nn.Module | None = None, **kwargs: Any) -> None:
        """An empty metric.

        Args:
            features: A `gadkit.Features` of frames, or any module from uint8 video to `(B, T, D)`.
            **kwargs: As for `torchmetrics.Metric`.
        """
        super().__init__(features, **kwargs)
        self.add_summary("real", Moments.empty())
        self.add_summary("generated", Moments.empty())

    def compute(self) -> dict[str, Tensor]:
        """`fid`, a float64 scalar.

        Raises:
            DataError: A side has fewer than two frames.
        """
        self.enough()
        real, generated = (self.summary(side, Moments) for side in ("real", "generated"))
        return {"fid": frechet(real, generated, unbiased=True)}


class FrameKernelDistance(VideoMetric):
    """KID, Bińkowski et al. 2018, arXiv:1801.01401 (section 4): `KernelVideoDistance` over subsets of the frames.

    The number of `torchmetrics.image.KernelInceptionDistance` over the same vectors, `(B, T, D)` or `(N, D)`: the mean,
    `kid`, and the standard deviation (that of the population), `kid_std`, of the unbiased squared maximum mean
    discrepancy over `subsets` pairs of random subsets. The distance keeps its digits far from the origin. Lower is
    better; unbiased. Subsets are drawn by `seed` from the frames sorted by a hash of their content: the order of clips
    and the number of processes change no bit.
    """

    of = "frame"
    best = {"kid": "lowest", "kid_std": None}

    def __init__(
        self,
        features: nn.Module | None = None,
        *,
        subsets: Annotated[int, Field(ge=1)] = 100,
        subset_size: Annotated[int, Field(ge=2)] = 1000,
        limit: Annotated[int, Field(ge=2)] = LIMIT,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """An empty metric.

        Args:
            features: A `gadkit.Features` of frames, or any module from uint8 video to `(B, T, D)`.
            subsets: Pairs of subsets.
            subset_size: Frames of a subset, at most `limit`.
            limit: Frames of a side that are kept at most, a uniform sample.
            seed: Of the subsets.
            **kwargs: As for `torchmetrics.Metric`.
        """
        super().__init__(features, **kwargs)
        if subset_size > limit:
            raise ValueError(f"subset_size: found {subset_size}, expected at most {limit}, the limit of kept frames")
        self.subsets, self.subset_size, self.seed = subsets, subset_size, seed
        self.add_summary("real", Reservoir.empty(limit))
        self.add_summary("generated", Reservoir.empty(limit))

    def compute(self) -> dict[str, Tensor]:
        """`kid` and `kid_std`, float64 scalars.

        Raises:
            DataError: A side has fewer frames than a subset.
        """
        try:
            self.enough(self.subset_size)
        except DataError as error:
            raise DataError(f"{error} Or set a smaller subset_size.") from None
        sides = [self.summary(side, Reservoir).rows for side in ("real", "generated")]
        generator = torch.Generator().manual_seed(self.seed)
        distances = []
        for _ in range(self.subsets):
            real, generated = (
                rows[torch.randperm(len(rows), generator=generator)[: self.subset_size].to(rows.device)]
                for rows in sides
            )
            distances.append(mmd(real, generated))
        found = torch.stack(distances)
        return {"kid": found.mean(), "kid_std": found.std(unbiased=False)}


class InceptionScore(VideoMetric):
    """IS, Salimans et al. 2016, arXiv:1606.03498 (section 4): `torchmetrics.image.InceptionScore` of class scores.

    exp E KL(p(y|x) ‖ p(y)) with p(y|x) the softmax of a network's K logits, `(B, K)`, `(B, T, K)` or `(N, K)`: for
    frames, or for clips where the network sees clips. Mean `is` and standard deviation `is_std` over `splits` parts of
    the generated ones; real ones are passed over. From 1 to K, higher is better: each sure of its class, and all
    classes there. It is biased downwards, the more the fewer there are in a part, and says nothing of the real clips.
    Parts are drawn by `seed` from rows sorted by a hash of their content: their order changes no bit.
    """

    of = "any"
    rows_from = "logits"
    needs_real = False
    best = {"is": "highest", "is_std": None}

    def __init__(
        self,
        features: nn.Module | None = None,
        *,
        splits: Annotated[int, Field(ge=1)] = 10,
        limit: Annotated[int, Field(ge=2)] = LIMIT,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """An empty metric.

        Args:
            features: A `gadkit.Features` with `logits`.
            splits: Parts, each of at least one frame or clip; with one part `is_std` is 0.
            limit: Frames or clips that are kept at most, a uniform sample.
            seed: Of the parts.
            **kwargs: As for `torchmetrics.Metric`.
        """
        super().__init__(features, **kwargs)
        if splits > limit:
            raise ValueError(f"splits: found {splits}, expected at most {limit}, the limit of kept frames or clips")
        self.splits, self.seed = splits, seed
        self.add_summary("generated", Reservoir.empty(limit))

    def compute(self) -> dict[str, Tensor]:
        """`is` and `is_std`, float64 scalars.

        Raises:
            DataError: There are fewer frames or clips than parts, or fewer than two.
        """
        self.enough(max(self.splits, self.fewest))
        rows = self.summary("generated", Reservoir).rows.log_softmax(1).clamp(min=-700)  # whose exp is not yet 0
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore", UserWarning)  # about the memory that it keeps, and the deviation of one
            torch.default_generator.manual_seed(self.seed)
            score = ImageInceptionScore(nn.Identity(), splits=self.splits, sync_on_compute=False)
            score.update(rows)
            mean, deviation = score.compute()
        return {"is": mean, "is_std": deviation if self.splits > 1 else torch.zeros_like(mean)}
