"""Motion statistics."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from gadkit import VideoMetric

from .motion_rows import FROZEN_BELOW, KINDS, MOTION, ORDER, SPECTRUM, STILL, WIDTH, kinds, motion_rows

#: Bins of a histogram: of motion, 64 a grey level from 0 on; of the order score, 256 a standard deviation from −32 on.
_BINS = 1 << 14
_LEVEL, _SIGMA, _LOWEST = 64, 256, -32
#: Added to the spectra, in squared grey levels: below this, a power counts as none.
_FLOOR = 1e-3


class MotionStatistics(VideoMetric):
    """How clips move: which stand still, flicker, are shuffled or loop; how much and how fast they move.

    A clip is judged by itself (`gadkit_plugins.metrics.motion_rows`), with thresholds that are the same for all data,
    and it may be of several kinds. Real clips can stand still, blink or loop as well, so each share is to be read
    beside that of the real clips; a share below the real one is no fault. Values:

    - `frozen`, `flickering`, `shuffled`, `looping`: the shares of such clips among the generated, and, with `_real`,
      among the real ones.
    - `disorder`: the probability that a generated clip's frames are less ordered than a real one's (the area under the
      curve of `order_score`, without a threshold): .5 where they are as ordered, 1 where all are less so. Clips that
      stand still have no order and are left out; .5 where no others are left.
    - `motion`: the Wasserstein-1 distance between the clips' amounts of motion (mean absolute difference of consecutive
      frames), in grey levels; to 1/64. The amounts' means are `motion_generated` and `motion_real`.
    - `spectrum`: the log-spectral distance in dB between the mean power spectra over time of frame differences, at
      frequencies of 0 to ½ cycle a frame; 0 where they are equal, 3 where one has twice the power throughout.

    Memory does not grow with the clips; their order and the number of processes change nothing beyond rounding. Clips
    have 8 frames or more, and both sides equally many; errors are rarer the more.
    """

    rows_from = "pixels"
    best = {
        "spectrum": "lowest",
        **dict.fromkeys(KINDS, "lowest"),
        **{f"{kind}_real": None for kind in KINDS},
        "disorder": "lowest",
        "motion": "lowest",
        "motion_generated": None,
        "motion_real": None,
    }

    def __init__(self, **kwargs: Any) -> None:
        """An empty metric.

        Args:
            **kwargs: As for `torchmetrics.Metric`.
        """
        super().__init__(None, **kwargs)
        self.add_summary("real", Motions.empty())
        self.add_summary("generated", Motions.empty())

    def rows(self, video: Tensor) -> Tensor:
        """`motion_rows`: uint8 `(B, T, 3, H, W)`, T at least 8, to float64 `(B, 14)`."""
        return motion_rows(video)

    def compute(self) -> dict[str, Tensor]:
        """The values, float64 scalars.

        Raises:
            DataError: A side has fewer than two clips.
        """
        self.enough()
        generated, real = self.summary("generated", Motions), self.summary("real", Motions)
        values = {}
        for number, kind in enumerate(KINDS):
            values[kind] = generated.kinds[number] / generated.count.double()
            values[kind + "_real"] = real.kinds[number] / real.count.double()
        return values | {
            "disorder": _greater(generated.orders, real.orders),
            "motion": _wasserstein(generated.motions, real.motions) / _LEVEL,
            "motion_generated": generated.total[MOTION] / generated.count,
            "motion_real": real.total[MOTION] / real.count,
            "spectrum": _decibels(*(side.total[SPECTRUM:] / side.count for side in (generated, real))),
        }


@dataclass(frozen=True)
class Motions:
    """What is remembered of the clips of a side.

    Attributes:
        count: How many there were, int64 scalar.
        kinds: How many of each kind, int64 `(4,)`.
        orders: Histogram of the order scores of those that move, int64.
        motions: Histogram of the amounts of motion, int64.
        total: The sum of the rows, float64 `(14,)`.
    """

    keyed: ClassVar[bool] = False

    count: Tensor
    kinds: Tensor
    orders: Tensor
    motions: Tensor
    total: Tensor

    @classmethod
    def empty(cls) -> Self:
        """Of no clip."""
        count, several, bins = (
            torch.zeros(shape, dtype=torch.int64, device="cpu") for shape in ((), (len(KINDS),), (_BINS,))
        )
        return cls(count, several, bins, bins.clone(), torch.zeros(WIDTH, dtype=torch.float64, device="cpu"))

    def add(self, rows: Tensor, keys: Tensor) -> Self:
        """With the rows of more clips, float64 `(N, 14)`.

        Raises:
            ValueError: They are not rows of `motion_rows`.
        """
        if rows.shape[1] != len(self.total):
            raise ValueError(f"found vectors of {rows.shape[1]} numbers, expected the {len(self.total)} of motion_rows")
        moving = rows[rows[:, STILL] >= FROZEN_BELOW]
        more = Motions(
            count=torch.tensor(len(rows), device=rows.device),
            kinds=kinds(rows).sum(0),
            orders=_histogram((moving[:, ORDER] - _LOWEST) * _SIGMA),
            motions=_histogram(rows[:, MOTION] * _LEVEL),
            total=rows.sum(0),
        )
        return self.merge(more)

    def merge(self, other: Motions) -> Self:
        """As if the other's clips had been added too."""
        return type(self)(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))


def _histogram(bins: Tensor) -> Tensor:
    """How many of some numbers, counted in bins, fall into each; those beyond fall into the outermost."""
    return torch.bincount(bins.floor().long().clamp(0, _BINS - 1), minlength=_BINS)


def _greater(one: Tensor, other: Tensor) -> Tensor:
    """P(x > y) + ½ P(x = y) of draws from two histograms; ½ where one is empty."""
    if not (one.any() and other.any()):
        return torch.tensor(0.5, dtype=torch.float64, device=one.device)
    x, y = (side.double() / side.sum() for side in (one, other))
    below = y.cumsum(0) - y
    return (x * (below + y / 2)).sum()


def _wasserstein(one: Tensor, other: Tensor) -> Tensor:
    """The Wasserstein-1 distance of two histograms, in bins."""
    x, y = (side.double() / side.sum() for side in (one, other))
    return (x - y).cumsum(0).abs().sum()


def _decibels(one: Tensor, other: Tensor) -> Tensor:
    """The root mean square over frequencies of the ratio of two power spectra in dB."""
    return (10 * torch.log10((one + _FLOOR) / (other + _FLOOR))).square().mean().sqrt()
