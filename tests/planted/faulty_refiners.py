"""Refiners that break one promise each."""

from __future__ import annotations

import torch
from torch import Tensor

from gadkit import Noise, Refiner, Score
from gadkit_plugins.gad.proximal import Proximal
from planted.table import planter

plant = planter("refiner")


@plant("the setting `steps` is missing", "has the setting `steps`", "add one, an integer of at least 0")
class NoSetting(Proximal):
    def __init__(self) -> None:
        super().__init__()


@plant("the setting `steps` is not kept", "is the setting `steps`", "keep the argument in self.steps")
class IgnoresSetting(Proximal):
    def __init__(self, *, steps: int = 3) -> None:
        super().__init__(steps=3)


@plant("not the identity at 0 steps", "with no steps leaves latents as they are", "return what was handed over")
class StepsAnyway(Proximal):
    def refine(self, score: Score, start: Tensor, noise: Noise) -> Tensor:
        return Proximal(steps=self.steps + 1).refine(score, start, noise)


@plant("float32 given up", "is torch.float32", "cast nothing")
class LosesType(Proximal):
    def refine(self, score: Score, start: Tensor, noise: Noise) -> Tensor:
        return super().refine(score, start.double(), noise)


@plant("latents on a graph", "gives latents without a graph", "detach them")
class KeepsGraph(Proximal):
    def refine(self, score: Score, start: Tensor, noise: Noise) -> Tensor:
        return super().refine(score, start, noise).requires_grad_()


@plant("in-place change of its input", "leaves its inputs as they are", "work on a copy")
class ChangesStart(Proximal):
    def refine(self, score: Score, start: Tensor, noise: Noise) -> Tensor:
        refined = super().refine(score, start, noise)
        return start.copy_(refined)


@plant("infinite where the score is steep", "is finite", "an overflow")
class Overflows(Proximal):
    def refine(self, score: Score, start: Tensor, noise: Noise) -> Tensor:
        refined = super().refine(score, start, noise)
        large = score(start).detach().square().exp()[:, None]
        return (refined * large).to(start.dtype) if self.steps else refined


@plant("other draws at every call", "same latents for the same noise", "remember nothing from call to call")
class DrawsAnew(Proximal):
    drawn = 0

    def refine(self, score: Score, start: Tensor, noise: Noise) -> Tensor:
        type(self).drawn += 1
        step = noise.normal(f"step {self.drawn}", start.shape[1]).to(start)
        return super().refine(score, start + step if self.steps else start, noise)


@plant("hidden global randomness", "PyTorch's global generator", "draw from the noise")
class DrawsFromTorch(Proximal):
    def refine(self, score: Score, start: Tensor, noise: Noise) -> Tensor:
        return super().refine(score, start + torch.randn_like(start) * bool(self.steps), noise)


@plant("depends on batch neighbours", "does not depend on those beside it", "compute nothing over the batch")
class SharesSteps(Proximal):
    """One step size for the batch."""

    def refine(self, score: Score, start: Tensor, noise: Noise) -> Tensor:
        refined = super().refine(score, start, noise)
        return start + (refined - start) / len(start)


@plant("wrong sign: away from what is real", "along the gradient of the score", "climb: larger scores are more real")
class Descends(Proximal):
    def refine(self, score: Score, start: Tensor, noise: Noise) -> Tensor:
        return 2 * start - super().refine(score, start, noise)


@plant("reads on the host", "reads nothing on the host", "choose between samples with torch.where")
class ReadsScores(Proximal):
    def refine(self, score: Score, start: Tensor, noise: Noise) -> Tensor:
        return super().refine(score, start, noise) if float(score(start).detach().sum()) < 1e30 else start


@plant("gradients left on the nets", "leaves the nets behind the score as they are", "in place of backward()")
class LeavesSlopes(Proximal):
    def refine(self, score: Score, start: Tensor, noise: Noise) -> Tensor:
        with torch.enable_grad():
            score(start).sum().backward()
        return super().refine(score, start, noise)


class Ascent(Refiner):
    """Sound: steps along the gradient, of a hundredth of its length.

    Args:
        steps: How many.
    """

    def __init__(self, *, steps: int = 1) -> None:
        self.steps = steps

    def refine(self, score: Score, start: Tensor, noise: Noise) -> Tensor:
        with torch.enable_grad():
            return self.climb(score, start)

    def climb(self, score: Score, start: Tensor) -> Tensor:
        latents = start.detach()
        for _ in range(self.steps):
            leaf = latents.clone().requires_grad_()
            (slope,) = torch.autograd.grad(score(leaf).sum(), leaf)
            latents = latents + slope / 100
        return latents


@plant("needs gradients switched on", "works inside torch.no_grad()", "use `with torch.enable_grad():`")
class NeedsGradients(Ascent):
    def refine(self, score: Score, start: Tensor, noise: Noise) -> Tensor:
        return self.climb(score, start)


@plant("gradients switched on for all", "switched on or off as it found them", "in place of torch.set_grad_enabled")
class SwitchesOn(Ascent):
    def refine(self, score: Score, start: Tensor, noise: Noise) -> Tensor:
        torch.set_grad_enabled(True)
        return self.climb(score, start)


@plant(
    "the mean of scores in place of their sum", "does not depend on those beside it", "compute nothing over the batch"
)
class OfTheMean(Ascent):
    def refine(self, score: Score, start: Tensor, noise: Noise) -> Tensor:
        return super().refine(lambda latents: score(latents) / len(latents), start, noise)
