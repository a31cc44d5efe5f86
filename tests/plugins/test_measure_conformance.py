"""Every registered feature network and metric keeps its promises, and the kit catches those that do not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gadkit import Features, UnavailableError, VideoMetric
from gadkit.errors import DataError
from gadkit.registry import Entry, get_registry
from gadkit.testing import check_features, check_metric


def registered(kind: str) -> list[Any]:
    return [pytest.param(entry, id=entry.qualified) for entry in get_registry().entries(kind)]


@pytest.mark.parametrize("entry", registered("features"))
def test_registered_networks_conform(entry: Entry) -> None:
    try:
        check_features(entry.load())
    except UnavailableError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("entry", registered("metric"))
def test_registered_metrics_conform(entry: Entry) -> None:
    check_metric(entry.load(), **({"subset_size": 20} if entry.name == "kid" else {}))


# Planted faults: each breaks one promise of a component that otherwise keeps them all.


class Small(Features):
    """A network that conforms: the mean over time, four by four."""

    def __init__(self) -> None:
        super().__init__()
        self.dim = 48
        self.scale = nn.Parameter(torch.full((48,), 1 / 255))

    def forward(self, video: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(video.float().mean(1), 4).flatten(1) * self.scale


class Neighbours(Small):
    def forward(self, video: Tensor) -> Tensor:
        rows = super().forward(video)
        return rows - rows.mean(0) / 2


class Restless(Small):
    def forward(self, video: Tensor) -> Tensor:
        return super().forward(video) + torch.rand(())


class AnotherEveryTime(Small):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(48))


class Blind(Small):
    def forward(self, video: Tensor) -> Tensor:
        return torch.zeros(len(video), 48)


class WrongShape(Small):
    def forward(self, video: Tensor) -> Tensor:
        return super().forward(video)[:, :7]


class Writes(Small):
    def forward(self, video: Tensor) -> Tensor:
        rows = super().forward(video)
        video[:, 0] = 0
        return rows


def test_a_network_that_conforms_passes() -> None:
    check_features(Small)


@pytest.mark.parametrize(
    ("cls", "promise"),
    [
        (Neighbours, "by itself"),
        (Restless, "global generator"),
        (AnotherEveryTime, "same tensors every time"),
        (Blind, "tells clips apart"),
        (WrongShape, "of shape"),
        (Writes, "leaves its inputs"),
    ],
)
def test_the_kit_catches_faulty_networks(cls: type[Features], promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        check_features(cls)


class Means(VideoMetric):
    """A metric that conforms: the squared distance of the means."""

    best = {"means": "lowest"}

    def __init__(self, features: nn.Module | None = None, **kwargs: Any) -> None:
        super().__init__(features, **kwargs)
        for side in ("real", "generated"):
            self.add_state(f"{side}_sum", torch.zeros(6, dtype=torch.float64), dist_reduce_fx="sum")
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


class Unnamed(Means):
    def compute(self) -> dict[str, Tensor]:
        return {"other": super().compute()["means"]}


class Single(Means):
    def compute(self) -> dict[str, Tensor]:
        return {"means": super().compute()["means"].float()}


class OfTheLastBatch(Means):
    def update(self, x: Tensor, real: bool, training: bool = False) -> None:
        side = "real" if real else "generated"
        setattr(self, f"{side}_sum", x.double().sum(0))
        setattr(self, f"{side}_count", torch.tensor(float(len(x)), dtype=torch.float64))


class OfTheFirstClip(Means):
    def update(self, x: Tensor, real: bool, training: bool = False) -> None:
        super().update(x + x[0], real)


class OfNothing(Means):
    def compute(self) -> dict[str, Tensor]:
        if not self.real_count:
            return {"means": torch.zeros((), dtype=torch.float64)}
        return super().compute()


def test_a_metric_that_conforms_passes() -> None:
    check_metric(Means)


@pytest.mark.parametrize(
    ("cls", "promise"),
    [
        (Unnamed, "that `best` names"),
        (Single, "float64"),
        (OfTheFirstClip, "the order of clips"),
        (OfTheLastBatch, "batches"),
        (OfNothing, "refuses to compute without clips"),
    ],
)
def test_the_kit_catches_faulty_metrics(cls: type[VideoMetric], promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        check_metric(cls)
