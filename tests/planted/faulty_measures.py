"""Feature networks and metrics that break one promise each."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gadkit import Features, VideoMetric
from gadkit.errors import DataError
from planted.table import planter

features, metric = planter("features"), planter("metric")


class Small(Features):
    """Sound: the mean over time, four by four."""

    def __init__(self) -> None:
        super().__init__()
        self.dim = 48
        self.scale = nn.Parameter(torch.full((48,), 1 / 255))

    def forward(self, video: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(video.float().mean(1), 4).flatten(1) * self.scale


@features("depends on batch neighbours", "looks at each clip by itself", "compute nothing over the batch")
class Neighbours(Small):
    def forward(self, video: Tensor) -> Tensor:
        rows = super().forward(video)
        return rows - rows.mean(0) / 2


@features("hidden global randomness", "PyTorch's global generator", "draw from the noise")
class Restless(Small):
    def forward(self, video: Tensor) -> Tensor:
        return super().forward(video) + torch.rand(())


@features("other tensors every time", "is built with the same tensors every time", "gadkit.randomness from a fixed key")
class AnotherEveryTime(Small):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(48))


@features("one vector for all clips", "tells clips apart", "look at the pixels")
class Blind(Small):
    def forward(self, video: Tensor) -> Tensor:
        return torch.zeros(len(video), 48)


@features("wrong layout", "gives finite float32 of shape (3, 48)", "return one vector for each clip, or frame")
class WrongShape(Small):
    def forward(self, video: Tensor) -> Tensor:
        return super().forward(video)[:, :7]


@features("in-place change of its input", "leaves its inputs as they are", "work on a copy")
class Writes(Small):
    def forward(self, video: Tensor) -> Tensor:
        rows = super().forward(video)
        video[:, 0] = 0
        return rows


class Frames(Features):
    """Sound: the mean colours of each frame."""

    of = "frame"

    def __init__(self) -> None:
        super().__init__()
        self.dim = 3

    def forward(self, video: Tensor) -> Tensor:
        return video.float().mean((3, 4)) / 255


@features("a frame described by its neighbours", "describes each frame by itself", "set `of` to 'clip'")
class Running(Frames):
    def forward(self, video: Tensor) -> Tensor:
        return super().forward(video).cumsum(1)


@features("wrong dtype", "gives finite float32", "in float32")
class Doubles(Small):
    def forward(self, video: Tensor) -> Tensor:
        return super().forward(video).double()


@features("a preparation that no manifest holds", ".preparation says in numbers and words", "keep text, numbers")
class StoresTensors(Small):
    preparation = {"mean": torch.zeros(3)}


@features("sizes of its attributes missing", "sets dim > 0", "set them in __init__ or on the class")
class NoSize(Small):
    def __init__(self) -> None:
        super().__init__()
        self.dim = 0


class Means(VideoMetric):
    """Sound: the squared distance of the means."""

    best = {"means": "lowest"}

    def __init__(self, features: nn.Module | None = None, **kwargs: Any) -> None:
        super().__init__(features, **kwargs)
        for side in ("real", "generated"):
            self.add_state(f"{side}_sum", torch.zeros(1, dtype=torch.float64), dist_reduce_fx="sum")
            self.add_state(f"{side}_count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, x: Tensor, real: bool, training: bool = False) -> None:
        side = "real" if real else "generated"
        setattr(self, f"{side}_sum", getattr(self, f"{side}_sum") + x.double().sum(0))
        setattr(self, f"{side}_count", getattr(self, f"{side}_count") + len(x))

    def compute(self) -> dict[str, Tensor]:
        if not (self.real_count and self.generated_count):
            raise DataError("too few clips")
        difference = self.real_sum / self.real_count - self.generated_sum / self.generated_count
        return {"means": difference.square().sum()}


@metric("values without a word of what is better", "gives the values that `best` names", "name every value in `best`")
class Unnamed(Means):
    def compute(self) -> dict[str, Tensor]:
        return {"other": super().compute()["means"]}


@metric("wrong dtype", "gives finite float64 scalars", "compute in float64")
class Single(Means):
    def compute(self) -> dict[str, Tensor]:
        return {"means": super().compute()["means"].float()}


@metric("forgets all but the last batch", "does not depend on batches", "keep sums and counts")
class OfTheLastBatch(Means):
    def update(self, x: Tensor, real: bool, training: bool = False) -> None:
        side = "real" if real else "generated"
        setattr(self, f"{side}_sum", x.double().sum(0))
        setattr(self, f"{side}_count", torch.tensor(float(len(x)), dtype=torch.float64))


@metric("value depends on update order", "does not depend on the order of clips", "keep sums and counts")
class OfTheFirstClip(Means):
    def update(self, x: Tensor, real: bool, training: bool = False) -> None:
        super().update(x + x[0], real)


@metric("a value of no clips", "refuses to compute without clips", "raise gadkit.DataError")
class OfNothing(Means):
    def compute(self) -> dict[str, Tensor]:
        if not self.real_count:
            return {"means": torch.zeros((), dtype=torch.float64)}
        return super().compute()


@metric(
    "not additive over processes",
    "can be put together from copies that saw a part of the clips each",
    "sums and counts",
)
class Keeps(Means):
    def __init__(self, features: nn.Module | None = None, **kwargs: Any) -> None:
        super().__init__(features, **kwargs)
        self.add_state("generated_mean", torch.zeros(1, dtype=torch.float64), dist_reduce_fx="mean")

    def update(self, x: Tensor, real: bool, training: bool = False) -> None:
        super().update(x, real)
        if not real:
            self.generated_mean = self.generated_sum / self.generated_count

    def compute(self) -> dict[str, Tensor]:
        super().compute()
        return {"means": (self.real_sum / self.real_count - self.generated_mean).square().sum()}


@metric("a state outside of its states", "forgets what it saw in reset()", "in states of add_state or add_summary")
class CountsByHand(Means):
    def __init__(self, features: nn.Module | None = None, **kwargs: Any) -> None:
        super().__init__(features, **kwargs)
        self.seen = 0

    def update(self, x: Tensor, real: bool, training: bool = False) -> None:
        super().update(x, real)
        self.seen += len(x)

    def compute(self) -> dict[str, Tensor]:
        return {"means": super().compute()["means"] * self.seen}


@metric("the wrong sign", "is better where it is lowest", "turn the value's sign")
class Similarity(Means):
    def compute(self) -> dict[str, Tensor]:
        return {"means": -super().compute()["means"]}


@metric("looks at nothing", "looks at the clips", "compute it from what update was given")
class Constant(Means):
    def compute(self) -> dict[str, Tensor]:
        return {"means": 0 * super().compute()["means"]}


@metric("hidden global randomness", "PyTorch's global generator", "draw from the noise")
class Resamples(Means):
    def compute(self) -> dict[str, Tensor]:
        return {"means": super().compute()["means"] * (1 + torch.rand((), dtype=torch.float64) / 1e12)}


@metric("in-place change of its input", "leaves its inputs as they are", "work on a copy")
class CentresInPlace(Means):
    def update(self, x: Tensor, real: bool, training: bool = False) -> None:
        super().update(x.clamp_(min=-1), real)


@metric(
    "values that change when they are asked for", "the same values when it is asked again", "in states of add_state"
)
class Consumes(Means):
    def compute(self) -> dict[str, Tensor]:
        values = super().compute()
        self.real_sum = self.real_sum * 2
        return values


@features("reads the order of memory", "do not depend on the clips' layout in memory", "read no strides")
class ReadsMemory(Small):
    def forward(self, video: Tensor) -> Tensor:
        return super().forward(torch.as_strided(video, video.shape, torch.empty(video.shape).stride()))
