"""The conformance kit catches refiners that break a promise. The bundled: `test_conformance.py`."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gadkit import Noise, Refiner, Score
from gadkit.testing import check_refiner
from gadkit_plugins.gad.proximal import Proximal


class NoSetting(Proximal):
    def __init__(self) -> None:
        super().__init__()


class IgnoresSetting(Proximal):
    def __init__(self, *, steps: int = 3) -> None:
        super().__init__(steps=3)


class StepsAnyway(Proximal):
    def refine(self, score: Score, start: Tensor, noise: Noise) -> Tensor:
        return Proximal(steps=self.steps + 1).refine(score, start, noise)


class LosesType(Proximal):
    def refine(self, score: Score, start: Tensor, noise: Noise) -> Tensor:
        return super().refine(score, start.double(), noise)


class KeepsGraph(Proximal):
    def refine(self, score: Score, start: Tensor, noise: Noise) -> Tensor:
        return super().refine(score, start, noise).requires_grad_()


class ChangesStart(Proximal):
    def refine(self, score: Score, start: Tensor, noise: Noise) -> Tensor:
        refined = super().refine(score, start, noise)
        return start.copy_(refined)


class Overflows(Proximal):
    def refine(self, score: Score, start: Tensor, noise: Noise) -> Tensor:
        refined = super().refine(score, start, noise)
        large = score(start).detach().square().exp()[:, None]
        return (refined * large).to(start.dtype) if self.steps else refined


class DrawsAnew(Proximal):
    drawn = 0

    def refine(self, score: Score, start: Tensor, noise: Noise) -> Tensor:
        type(self).drawn += 1
        step = noise.normal(f"step {self.drawn}", start.shape[1]).to(start)
        return super().refine(score, start + step if self.steps else start, noise)


class DrawsFromTorch(Proximal):
    def refine(self, score: Score, start: Tensor, noise: Noise) -> Tensor:
        return super().refine(score, start + torch.randn_like(start) * bool(self.steps), noise)


class SharesSteps(Proximal):
    """One step size for the batch."""

    def refine(self, score: Score, start: Tensor, noise: Noise) -> Tensor:
        refined = super().refine(score, start, noise)
        return start + (refined - start) / len(start)


class Descends(Proximal):
    def refine(self, score: Score, start: Tensor, noise: Noise) -> Tensor:
        return 2 * start - super().refine(score, start, noise)


class ReadsScores(Proximal):
    def refine(self, score: Score, start: Tensor, noise: Noise) -> Tensor:
        return super().refine(score, start, noise) if float(score(start).detach().sum()) < 1e30 else start


class LeavesSlopes(Proximal):
    def refine(self, score: Score, start: Tensor, noise: Noise) -> Tensor:
        with torch.enable_grad():
            score(start).sum().backward()
        return super().refine(score, start, noise)


class NeedsGradients(Refiner):
    def __init__(self, *, steps: int = 1) -> None:
        self.steps = steps

    def refine(self, score: Score, start: Tensor, noise: Noise) -> Tensor:
        latents = start.clone().requires_grad_()
        (slope,) = torch.autograd.grad(score(latents).sum(), latents)
        return start + slope / 100 if self.steps else start


class SwitchesOn(NeedsGradients):
    def refine(self, score: Score, start: Tensor, noise: Noise) -> Tensor:
        torch.set_grad_enabled(True)
        return super().refine(score, start, noise)


@pytest.mark.parametrize(
    ("cls", "found"),
    [
        (NoSetting, "has the setting `steps`"),
        (IgnoresSetting, "is the setting `steps`"),
        (StepsAnyway, "no steps leaves latents as they are"),
        (LosesType, "is torch.float32"),
        (KeepsGraph, "without a graph"),
        (ChangesStart, "leaves its inputs as they are"),
        (Overflows, "is finite"),
        (DrawsAnew, "same latents for the same noise"),
        (DrawsFromTorch, "global generator"),
        (SharesSteps, "does not depend on those beside it"),
        (Descends, "along the gradient of the score"),
        (ReadsScores, "reads nothing on the host"),
        (LeavesSlopes, "without gradients"),
        (NeedsGradients, r"works inside torch.no_grad\(\)"),
        (SwitchesOn, "switched on or off as it found them"),
    ],
)
def test_faulty_refiners_are_caught(cls: type[Refiner], found: str) -> None:
    with pytest.raises(AssertionError, match=r"(?s)^Promised: .+\. Found: .+\. To mend it: .+\.$") as caught:
        check_refiner(cls)
    torch.set_grad_enabled(True)
    assert caught.match(found)
