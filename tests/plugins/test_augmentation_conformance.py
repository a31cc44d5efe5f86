"""The conformance kit catches augmentations that break a promise. The bundled: `test_conformance.py`."""

from __future__ import annotations

from typing import Annotated

import pytest
import torch
from pydantic import Field
from torch import Tensor

from gadkit import Augmentation, Noise, Scheduled
from gadkit.testing import check_augmentation
from gadkit.testing.probes import once


class Dim(Augmentation):
    """x (1 - strength u): some clips darker than others. It keeps every promise."""

    def __init__(self, *, strength: float = 1.0) -> None:
        self.strength = strength

    def __call__(self, video: Tensor, noise: Noise, strength: Tensor) -> Tensor:
        return video - self.change(video, noise) * strength

    def change(self, video: Tensor, noise: Noise) -> Tensor:
        return video * _factor(noise, video)


def _factor(noise: Noise, video: Tensor, purpose: str = "dim") -> Tensor:
    return noise.uniform(purpose, 1).to(video.dtype).view(-1, 1, 1, 1, 1)


class NoSetting(Dim):
    def __init__(self) -> None:
        super().__init__()


class ForgetsSetting(Dim):
    def __init__(self, *, strength: float = 1.0) -> None:
        super().__init__()


class AimsTooHigh(Dim):
    target = 1.0


class TakesNoTime(Dim):
    ramp = 0.0


class Crops(Dim):
    def change(self, video: Tensor, noise: Noise) -> Tensor:
        return super().change(video, noise)[..., 1:]

    def __call__(self, video: Tensor, noise: Noise, strength: Tensor) -> Tensor:
        return video[..., 1:] - self.change(video, noise) * strength


class LosesType(Dim):
    def __call__(self, video: Tensor, noise: Noise, strength: Tensor) -> Tensor:
        return super().__call__(video.float(), noise, strength.float())


class ChangesInPlace(Dim):
    def __call__(self, video: Tensor, noise: Noise, strength: Tensor) -> Tensor:
        return video.sub_(self.change(video, noise) * strength) if not video.requires_grad else video


class DrawsFromTorch(Dim):
    def change(self, video: Tensor, noise: Noise) -> Tensor:
        return video * torch.rand(len(video), 1, 1, 1, 1, dtype=video.dtype)


class Rounds(Dim):
    """The mean is taken away and added again: the identity up to rounding."""

    def __call__(self, video: Tensor, noise: Noise, strength: Tensor) -> Tensor:
        mean = video.mean(dim=(1, 2, 3, 4), keepdim=True)
        return mean + (1 - strength * _factor(noise, video)) * (video - mean)


class IgnoresStrength(Dim):
    def __call__(self, video: Tensor, noise: Noise, strength: Tensor) -> Tensor:
        return video * 1


class DrawsAnew(Dim):
    drawn = 0

    def change(self, video: Tensor, noise: Noise) -> Tensor:
        type(self).drawn += 1
        return video * _factor(noise, video, f"draw {self.drawn}")


class ReadsMemory(Dim):
    def change(self, video: Tensor, noise: Noise) -> Tensor:
        flat = torch.as_strided(video, video.shape, torch.empty(video.shape).stride())
        return flat * _factor(noise, video)


class LooksAside(Dim):
    def change(self, video: Tensor, noise: Noise) -> Tensor:
        return (video - video.mean(dim=0, keepdim=True)) * _factor(noise, video)


class DrawsForFrames(Dim):
    def change(self, video: Tensor, noise: Noise) -> Tensor:
        draws = noise.uniform("dim", 1, torch.arange(video.shape[1]))
        return video * draws.to(video.dtype).view(*draws.shape[:2], 1, 1, 1)


class TurnsTime(Dim):
    def change(self, video: Tensor, noise: Noise) -> Tensor:
        return (video - video.flip(1)) * (_factor(noise, video) < 0.5)


class NoGradient(Dim):
    def change(self, video: Tensor, noise: Noise) -> Tensor:
        return super().change(video.detach(), noise)


class HalfSecondGradient(Dim):
    def change(self, video: Tensor, noise: Noise) -> Tensor:
        return super().change(once(video), noise)


class Reads(Dim):
    def __call__(self, video: Tensor, noise: Noise, strength: Tensor) -> Tensor:
        return super().__call__(video, noise, strength) if float(strength) else video.clone()


class Keeps(Dim):
    """Has a setting that may change during a run, and uses what it was at first."""

    def __init__(self, *, strength: float = 1.0, depth: Annotated[Scheduled, Field(ge=0, le=1)] = 0.5) -> None:
        super().__init__(strength=strength)
        self._built = self.depth = depth

    def change(self, video: Tensor, noise: Noise) -> Tensor:
        return self._built * super().change(video, noise)


@pytest.mark.parametrize(
    ("cls", "found"),
    [
        (NoSetting, "has the setting `strength`"),
        (ForgetsSetting, "is the setting `strength`"),
        (AimsTooHigh, "target between -1 and 1"),
        (TakesNoTime, "ramp above 0"),
        (Crops, "has the shape"),
        (LosesType, "is torch.float64"),
        (ChangesInPlace, "leaves its inputs as they are"),
        (DrawsFromTorch, "global generator"),
        (Rounds, "leaves them exactly as they are"),
        (IgnoresStrength, "changes clips at a strength of 1"),
        (DrawsAnew, "same clips for the same noise"),
        (ReadsMemory, "layout in memory"),
        (LooksAside, "function of it and its own noise"),
        (DrawsForFrames, "every frame of a clip in the same way"),
        (TurnsTime, "every frame of a clip in the same way"),
        (NoGradient, "gradient in the video is that of its value"),
        (HalfSecondGradient, "can be differentiated twice"),
        (Reads, "reads nothing on the host"),
    ],
)
def test_faulty_augmentations_are_caught(cls: type[Augmentation], found: str) -> None:
    with pytest.raises(AssertionError, match=r"(?s)^Promised: .+\. Found: .+\. To mend it: .+\.$") as caught:
        check_augmentation(cls)
    assert caught.match(found)


def test_a_sound_one_passes() -> None:
    check_augmentation(Dim)


def test_settings_that_may_change_are_followed() -> None:
    with pytest.raises(AssertionError, match="depth set to"):
        check_augmentation(Keeps)
