"""Generators that break one promise each."""

from __future__ import annotations

import os
import random
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gadkit import VideoSpec
from gadkit.testing.small import SmallGenerator
from planted.table import planter

plant = planter("generator")


@plant("wrong layout", "'s video has the shape (2, 6, 3, 32, 32)", "return (B, T, C, H, W)")
class ChannelsBeforeTime(SmallGenerator):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(codes, labels).transpose(1, 2)


@plant("height and width exchanged", "'s video has the shape (2, 7, 3, 28, 20)", "return (B, T, C, H, W)")
class Turned(SmallGenerator):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(codes, labels).transpose(3, 4)


@plant("output out of range", "'s video lies in [-1, 1]", "end with tanh, or clamp")
class FromZeroToTwo(SmallGenerator):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(codes, labels) + 1


@plant("output without bounds, small at first", "parameters twice as large", "end with tanh, or clamp")
class WithoutTanh(SmallGenerator):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        shade = self.shade(torch.zeros(len(codes), dtype=torch.int64) if labels is None else labels)
        frames = (self.frame(codes) + shade[:, None]) / 8
        return frames.unflatten(2, (self.video.channels, self.video.height, self.video.width))


@plant("nan for large codes of zero", "'s video is finite", "division by zero")
class DividesByLength(SmallGenerator):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        video = super().forward(codes, labels)
        return video / (video - video).norm()


@plant("length ignored", "has the shape (3, 9, 3, 32, 32)", "a frame for every code")
class ItsOwnLength(SmallGenerator):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(codes[:, : self.video.frames], labels)


@plant("context misdeclared: earlier codes", "declares context 0", "declare the true context, or 'fixed'")
class SumsCodes(SmallGenerator):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(codes.cumsum(1), labels)


@plant("context misdeclared: the last code", "declares context 0", "declare the true context, or 'fixed'")
class LooksAtTheEnd(SmallGenerator):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(codes - codes[:, -1:] / 2, labels)


@plant("context misdeclared: wider than it says", "declares context 4", "declare the true context, or 'fixed'")
class LooksFurther(SmallGenerator):
    context = 4

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        padded = functional.pad(codes.transpose(1, 2), (5, 5), mode="replicate")
        return super().forward(functional.avg_pool1d(padded, 11, 1).transpose(1, 2), labels)


@plant("counts frames", "not on its number in the block", "use no frame number")
class CountsFrames(SmallGenerator):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(codes + torch.arange(codes.shape[1])[:, None] / 10, labels)


@plant("hidden global randomness", "PyTorch's global generator", "draw from the noise or the codes")
class DrawsGlobally(SmallGenerator):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(codes + torch.randn(codes.shape).to(codes), labels)


@plant("randomness of NumPy", "Python's `random` or NumPy's", "gadkit.randomness: those two are seeded by nobody")
class DrawsFromNumPy(SmallGenerator):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(codes + np.random.randn(), labels)


@plant("a choice by Python's generator at building", "Python's `random`", "gadkit.randomness")
class ChoosesAtBuilding(SmallGenerator):
    def __init__(self, video: VideoSpec) -> None:
        super().__init__(video)
        self.sign = random.choice([-1, 1])

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.sign * super().forward(codes, labels)


@plant("in-place change of its input", "leaves its inputs as they are", "work on a copy")
class ScalesCodes(SmallGenerator):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        if not codes.requires_grad:
            codes.mul_(2)
        return super().forward(codes, labels)


@plant("in-place change of the labels", "leaves its inputs as they are", "work on a copy")
class ScalesLabels(SmallGenerator):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(codes, None if labels is None else labels.clamp_(max=1))


@plant("needs codes that are contiguous", "not depend on the codes' layout in memory", "reshape")
class ReadsMemory(SmallGenerator):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(torch.as_strided(codes, codes.shape, torch.empty(codes.shape).stride()), labels)


@plant("depends on batch neighbours", "not depend on the videos beside it", "compute nothing over the batch")
class CentresTheBatch(SmallGenerator):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(codes - codes.mean(0), labels)


@plant("codes detached", "differentiable in the codes", "keep the codes on the graph")
class DetachesCodes(SmallGenerator):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(codes.detach(), labels)


@plant("labels ignored", "depends on the class", "refuse a spec with classes by gadkit.ConfigError")
class IgnoresLabels(SmallGenerator):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(codes, None)

    def __init__(self, video: VideoSpec) -> None:
        super().__init__(video)
        self.shade.requires_grad_(False)


@plant("parameters without gradient", "takes part in its output", "use it, drop it, or set requires_grad to False")
class HasIdleParameter(SmallGenerator):
    def __init__(self, video: VideoSpec) -> None:
        super().__init__(video)
        self.idle = nn.Parameter(torch.zeros(1))


@plant("state not saved", "the same after its state was saved and loaded", "register_buffer")
class HidesState(SmallGenerator):
    def __init__(self, video: VideoSpec) -> None:
        super().__init__(video)
        self.hidden = torch.randn(self.latent_dim)

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(codes + self.hidden.to(codes), labels)


@plant(
    "what training changes not saved", "that has been trained is the same after its state was saved", "register_buffer"
)
class RemembersTraining(SmallGenerator):
    def __init__(self, video: VideoSpec) -> None:
        super().__init__(video)
        self.seen = 0.0

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.training:
            self.seen = 0.9 * self.seen + 0.1
        return super().forward(codes * (1 + self.seen), labels)


@plant("a state of something else than tensors", "state_dict holds tensors alone", "make them buffers or settings")
class StoresWords(SmallGenerator):
    def get_extra_state(self) -> Any:
        return "words"

    def set_extra_state(self, state: Any) -> None:
        pass


@plant("initialisation from the time", "built twice from one seed", "initialise from PyTorch's global generator")
class SeededByTime(SmallGenerator):
    def __init__(self, video: VideoSpec) -> None:
        super().__init__(video)
        nn.init.constant_(self.frame.bias, time.perf_counter_ns() % 1000 / 1000)


@plant("initialisation from its own generator", "which the run seeds for it", "leave out `generator=`")
class SeededByItself(SmallGenerator):
    def __init__(self, video: VideoSpec) -> None:
        super().__init__(video)
        nn.init.normal_(self.frame.weight, generator=torch.Generator().manual_seed(7))


@plant("seed ignored", "another seed gives", "seed nothing yourself")
class SeedsTorch(SmallGenerator):
    def __init__(self, video: VideoSpec) -> None:
        torch.manual_seed(0)
        super().__init__(video)


_SHARED = nn.Parameter(torch.full((3,), 0.1))


@plant("two instances share a parameter", "has parameters and buffers of its own", "make them in __init__")
class SharesParameter(SmallGenerator):
    def __init__(self, video: VideoSpec) -> None:
        super().__init__(video)
        self.tint = _SHARED

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return torch.tanh(super().forward(codes, labels) + self.tint.to(codes)[:, None, None])


@plant("state on the class", "shares nothing that changes with another one", "keep it in `self`")
class RemembersOnTheClass(SmallGenerator):
    seen: list[int] = []

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        self.seen.append(codes.shape[1])
        return super().forward(codes, labels)


@plant("float64 kept out", "gives float64 for float64", "without `.float()`", sound=SmallGenerator)
class CastsToSingle(SmallGenerator):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(codes, labels).float()


@plant("float32 given up", "'s video is torch.float32", "cast nothing")
class CastsToDouble(SmallGenerator):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(codes, labels).double()


@plant("a tensor of a hard dtype breaks float64", "computes in float64", "`dtype=x.dtype`")
class AddsSingles(SmallGenerator):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(torch.bmm(codes, torch.eye(codes.shape[2]).expand(len(codes), -1, -1)), labels)


@plant("bf16 broken by a hard dtype", "works in bf16 autocast", "where values of two layers meet")
class WritesByIndex(SmallGenerator):
    def __init__(self, video: VideoSpec) -> None:
        super().__init__(video)
        self.before = nn.Linear(self.latent_dim, self.latent_dim)

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        filled = torch.zeros_like(codes)
        filled[:, torch.arange(codes.shape[1])] = self.before(codes)  # which is bf16 there, while codes are not
        return super().forward(filled, labels)


@plant("sizes of its attributes missing", "sets latent_dim > 0", "set them in __init__ or on the class")
class NoLatents(SmallGenerator):
    def __init__(self, video: VideoSpec) -> None:
        super().__init__(video)
        self.motion_dim = self.latent_dim + 1


@plant("a size refused by a bare error", "or says by gadkit.ConfigError why not", "raise gadkit.ConfigError")
class NeedsASquare(SmallGenerator):
    def __init__(self, video: VideoSpec) -> None:
        super().__init__(video)
        if video.height != video.width:
            raise ValueError("squares only")


@plant("torch's default dtype changed", "torch's default dtype among it", "in place of torch.set_default_dtype")
class SetsDefaultType(SmallGenerator):
    def __init__(self, video: VideoSpec) -> None:
        torch.set_default_dtype(torch.float64)
        super().__init__(video)


@plant("the choice of kernels changed", "torch.backends.cudnn.benchmark among it", "leave the choice of kernels")
class SetsBenchmark(SmallGenerator):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark
        return super().forward(codes, labels)


@plant("gradients switched off for all", "whether gradients are recorded among it", "with torch.no_grad()")
class SwitchesGradientsOff(SmallGenerator):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        torch.set_grad_enabled(False)
        return super().forward(codes, labels)


@plant("an environment variable set", "the environment variables among it", "as a setting of the component")
class SetsEnvironment(SmallGenerator):
    def __init__(self, video: VideoSpec) -> None:
        os.environ["PLANTED_FAULT"] = "1"
        super().__init__(video)


@plant("the training length is something special", "not on how many there are", "treat every number of codes")
class KnowsTheTrainingLength(SmallGenerator):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        video = super().forward(codes, labels)
        return video * 0.9 if codes.shape[1] == self.video.frames else video


@plant("blocks of long videos are something special", "not on how many there are", "treat every number of codes")
class KnowsBlocks(SmallGenerator):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        video = super().forward(codes, labels)
        return video * 0.9 if codes.shape[1] > 12 else video


@plant("a video alone is something special", "not depend on the videos beside it", "compute nothing over the batch")
class KnowsWhenAlone(SmallGenerator):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(codes, labels) * (0.9 if len(codes) == 1 else 1)


@plant("every four hundredth call is another", "counts nothing in eval mode", "remember nothing from call to call")
class CountsCalls(SmallGenerator):
    calls = 0

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        self.calls += 1
        return super().forward(codes, labels) * (0.9 if self.calls % 400 == 0 else 1)


@plant("two of three classes", "depends on the class", "use `labels`")
class TwoOfThreeClasses(SmallGenerator):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(codes, None if labels is None else labels % 2)


@plant("another video without gradients", "with gradients recorded and without", "torch.is_grad_enabled()")
class KnowsGradients(SmallGenerator):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(codes, labels) * (1 if torch.is_grad_enabled() else 0.99)


@plant("randomness of Python in training alone", "draws no number from Python's `random`", "gadkit.randomness")
class DrawsInTraining(SmallGenerator):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(codes * random.uniform(0.9, 1.1) if self.training else codes, labels)


@plant("a gradient turned around", "points to where its value rises", "turn no gradient around")
class TurnsGradients(SmallGenerator):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        if codes.requires_grad:
            codes.register_hook(torch.neg)
        return super().forward(codes, labels)


@plant("in-place change of an assembler's codes", "leaves its inputs as they are", "work on a copy")
class ScalesCodesOnTheGraph(SmallGenerator):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        if not codes.is_leaf:
            codes.data.mul_(2)
        return super().forward(codes, labels)
