"""Augmentations that break one promise each."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from gadkit import Augmentation, Noise, Scheduled
from gadkit.testing.probes import once
from planted.table import planter

plant = planter("augmentation")


class Dim(Augmentation):
    """Sound: x (1 - strength u), some clips darker than others.

    Args:
        strength: How much darker, at most.
    """

    def __init__(self, *, strength: float = 1.0) -> None:
        self.strength = strength

    def __call__(self, video: Tensor, noise: Noise, strength: Tensor) -> Tensor:
        return video - self.change(video, noise) * strength

    def change(self, video: Tensor, noise: Noise) -> Tensor:
        return video * _factor(noise, video)


def _factor(noise: Noise, video: Tensor, purpose: str = "dim") -> Tensor:
    return noise.uniform(purpose, 1).to(video.dtype).view(-1, 1, 1, 1, 1)


@plant("the setting `strength` is missing", "has the setting `strength`", "add one, a number from 0 to 1")
class NoSetting(Dim):
    def __init__(self) -> None:
        super().__init__()


@plant("the setting `strength` is not kept", "is the setting `strength`", "keep the argument in self.strength")
class ForgetsSetting(Dim):
    def __init__(self, *, strength: float = 1.0) -> None:
        super().__init__()


@plant("a target that no sign reaches", "target between -1 and 1", "leave them to the base class")
class AimsTooHigh(Dim):
    target = 1.0


@plant("a ramp of no clips", "a ramp above 0", "leave them to the base class")
class TakesNoTime(Dim):
    ramp = 0.0


@plant("wrong layout: smaller clips", "has the shape (12, 3, 3, 8, 8)", "of the size that came")
class Crops(Dim):
    def change(self, video: Tensor, noise: Noise) -> Tensor:
        return super().change(video, noise)[..., 1:]

    def __call__(self, video: Tensor, noise: Noise, strength: Tensor) -> Tensor:
        return video[..., 1:] - self.change(video, noise) * strength


@plant("float64 kept out", "is torch.float64", "make tensors in the type of the inputs")
class LosesType(Dim):
    def __call__(self, video: Tensor, noise: Noise, strength: Tensor) -> Tensor:
        return super().__call__(video.float(), noise, strength.float())


@plant("in-place change of its input", "leaves its inputs as they are", "work on a copy")
class ChangesInPlace(Dim):
    def __call__(self, video: Tensor, noise: Noise, strength: Tensor) -> Tensor:
        return video.sub_(self.change(video, noise) * strength) if not video.requires_grad else video


@plant("hidden global randomness", "PyTorch's global generator", "draw from the noise")
class DrawsFromTorch(Dim):
    def change(self, video: Tensor, noise: Noise) -> Tensor:
        return video * torch.rand(len(video), 1, 1, 1, 1, dtype=video.dtype)


@plant("strength 0 is not quite nothing", "leaves them exactly as they are", "by rounding")
class Rounds(Dim):
    """The mean is taken away and added again: the identity up to rounding."""

    def __call__(self, video: Tensor, noise: Noise, strength: Tensor) -> Tensor:
        mean = video.mean(dim=(1, 2, 3, 4), keepdim=True)
        return mean + (1 - strength * _factor(noise, video)) * (video - mean)


@plant("strength 1 does nothing", "changes clips at a strength of 1", "use the strength that is handed over")
class IgnoresStrength(Dim):
    def __call__(self, video: Tensor, noise: Noise, strength: Tensor) -> Tensor:
        return video * 1


@plant("other draws at every call", "same clips for the same noise", "remember nothing from call to call")
class DrawsAnew(Dim):
    drawn = 0

    def change(self, video: Tensor, noise: Noise) -> Tensor:
        type(self).drawn += 1
        return video * _factor(noise, video, f"draw {self.drawn}")


@plant("reads the order of memory", "layout in memory", "read no strides")
class ReadsMemory(Dim):
    def change(self, video: Tensor, noise: Noise) -> Tensor:
        flat = torch.as_strided(video, video.shape, torch.empty(video.shape).stride())
        return flat * _factor(noise, video)


@plant("depends on batch neighbours", "function of it and its own noise", "compute nothing over the batch")
class LooksAside(Dim):
    def change(self, video: Tensor, noise: Noise) -> Tensor:
        return (video - video.mean(dim=0, keepdim=True)) * _factor(noise, video)


@plant("frames changed differently", "every frame of a clip in the same way", "draw once for a clip, without `at`")
class DrawsForFrames(Dim):
    def change(self, video: Tensor, noise: Noise) -> Tensor:
        draws = noise.uniform("dim", 1, torch.arange(video.shape[1]))
        return video * draws.to(video.dtype).view(*draws.shape[:2], 1, 1, 1)


@plant("frames changed by others", "every frame of a clip in the same way", "look at no frame beside")
class TurnsTime(Dim):
    def change(self, video: Tensor, noise: Noise) -> Tensor:
        return (video - video.flip(1)) * (_factor(noise, video) < 0.5)


@plant("video detached", "gradient in the video is that of its value", "detach nothing")
class NoGradient(Dim):
    def change(self, video: Tensor, noise: Noise) -> Tensor:
        return super().change(video.detach(), noise)


@plant("second derivative missing", "can be differentiated twice", "whose gradients have gradients")
class HalfSecondGradient(Dim):
    def change(self, video: Tensor, noise: Noise) -> Tensor:
        return super().change(once(video), noise)


@plant("reads on the host", "reads nothing on the host", "choose with torch.where")
class Reads(Dim):
    def __call__(self, video: Tensor, noise: Noise, strength: Tensor) -> Tensor:
        return super().__call__(video, noise, strength) if float(strength) else video.clone()


@plant("a schedule without effect", "depth set to", "keep no copy of it")
class Keeps(Dim):
    """Has a setting that may change during a run, and uses what it was at first."""

    def __init__(self, *, strength: float = 1.0, depth: Annotated[Scheduled, Field(ge=0, le=1)] = 0.5) -> None:
        super().__init__(strength=strength)
        self._built = self.depth = depth

    def change(self, video: Tensor, noise: Noise) -> Tensor:
        return self._built * super().change(video, noise)


@plant("float32 given up", "is torch.float32", "cast nothing")
class CastsToDouble(Dim):
    def __call__(self, video: Tensor, noise: Noise, strength: Tensor) -> Tensor:
        seen = super().__call__(video, noise, strength)
        return seen if video.dtype != torch.float32 else seen.double()


@plant("state shared by all instances", "shares nothing that changes with another one", "keep it in `self`")
class Counts(Dim):
    seen: dict[int, int] = {}

    def __call__(self, video: Tensor, noise: Noise, strength: Tensor) -> Tensor:
        self.seen[len(video)] = self.seen.get(len(video), 0) + 1
        return super().__call__(video, noise, strength)
