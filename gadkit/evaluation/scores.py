"""From rows to numbers: the value, its spread over resamplings, and the floor between real clips."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from gadkit import randomness
from gadkit.interfaces.metric import VideoMetric
from gadkit.randomness import Key

#: With fewer videos than this, halves are drawn among clips, not among videos.
FEWEST_VIDEOS = 8


@dataclass(frozen=True, kw_only=True)
class Score:
    """One number.

    Attributes:
        value: It, or its mean over resamplings.
        std: Its standard deviation over resamplings; `None` where it was taken once.
        floor: The same between disjoint real clips, where that was measured.
        floor_std: Its standard deviation.
        best: Whether the `lowest` or the `highest` is best.
        literature: The published network that it is measured in; empty where it is comparable with nothing published.
        clips: How many clips of each side a single number was taken of: generated, real.
    """

    value: float
    std: float | None = None
    floor: float | None = None
    floor_std: float | None = None
    best: str | None = None
    literature: str = ""
    clips: tuple[int, int] = (0, 0)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; what is not finite is `None`."""
        values = {**asdict(self), "clips": list(self.clips)}
        return {
            key: None if isinstance(each, float) and not math.isfinite(each) else each for key, each in values.items()
        }


@dataclass(frozen=True)
class Side:
    """The rows of one side.

    Attributes:
        rows: `(N, D)` or `(N, T, D)`.
        videos: int64 `(N,)`: the video that each clip is of.
    """

    rows: Tensor
    videos: Tensor

    def halves(self, key: Key, count: int) -> tuple[Tensor, Tensor]:
        """Two disjoint sets of clips, drawn by `key`, at most `count` each; of different videos where these are many.

        Returns:
            The numbers of the first and of the second half's clips.
        """
        names, group = self.videos.unique(return_inverse=True)
        if len(names) < FEWEST_VIDEOS:
            order = randomness.permutation(key, len(self.videos))
            return order[:count], order[count : 2 * count]
        rank = torch.empty(len(names), dtype=torch.int64)
        rank[randomness.permutation(key, len(names))] = torch.arange(len(names))
        order = torch.argsort(rank[group], stable=True)
        first = order[:count]
        rest = order[count:]
        return first, rest[group[rest] != group[first[-1]]][:count]

    @property
    def half(self) -> int:
        """The most clips that two disjoint halves can surely have each."""
        _, counts = self.videos.unique(return_counts=True)
        largest = int(counts.max()) if len(counts) >= FEWEST_VIDEOS else 1
        return (len(self.videos) - largest + 1) // 2


def score(
    make: Callable[[], VideoMetric],
    generated: Side,
    real: Side | None,
    training: Tensor | None,
    *,
    resamplings: int,
    floor: bool,
    seed: int,
) -> dict[str, Score]:
    """The values of a metric.

    Args:
        make: An empty metric.
        generated: What is judged.
        real: What it is judged against, for metrics that need it.
        training: The rows of the training clips, for metrics that need them.
        resamplings: How many pairs of halves are taken; 0 takes all clips once.
        floor: Whether the halves of the real clips are measured against each other.
        seed: What the halves depend on.
    """
    best = make().best
    if not resamplings or training is not None:
        found = _once(make(), generated.rows, None if real is None else real.rows, training)
        sizes = len(generated.rows), 0 if real is None else len(real.rows)
        return {name: Score(value=value, best=best.get(name), clips=sizes) for name, value in found.items()}
    half = min(side.half for side in (generated, real) if side is not None)
    values: dict[str, list[float]] = {}
    floors: dict[str, list[float]] = {}
    for number in range(resamplings):
        key = Key.of(seed, "evaluation", "halves", number)
        mine, _ = generated.halves(key.fold("generated"), half)
        theirs, others = (None, None) if real is None else real.halves(key.fold("real"), half)
        _add(values, _once(make(), generated.rows[mine], _rows(real, theirs), None))
        if floor and real is not None and others is not None:
            _add(floors, _once(make(), real.rows[others], _rows(real, theirs), None))
    return {
        name: Score(
            value=statistics.fmean(found),
            std=_spread(found),
            floor=statistics.fmean(floors[name]) if name in floors else None,
            floor_std=_spread(floors[name]) if name in floors else None,
            best=best.get(name),
            clips=(half, 0 if real is None else half),
        )
        for name, found in values.items()
    }


def _rows(side: Side | None, which: Tensor | None) -> Tensor | None:
    return None if side is None or which is None else side.rows[which]


def _once(metric: VideoMetric, generated: Tensor, real: Tensor | None, training: Tensor | None) -> dict[str, float]:
    metric.update(generated, real=False)
    if real is not None and metric.needs_real:
        metric.update(real, real=True)
    if training is not None and metric.needs_training:
        metric.update(training, real=True, training=True)
    return {name: float(value) for name, value in metric.compute().items()}


def _add(found: dict[str, list[float]], values: Mapping[str, float]) -> None:
    for name, value in values.items():
        found.setdefault(name, []).append(value)


def _spread(values: list[float]) -> float | None:
    if len(values) < 2:
        return None
    return statistics.stdev(values) if all(map(math.isfinite, values)) else math.nan
