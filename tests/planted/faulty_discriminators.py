"""Discriminators that break one promise each."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from gadkit import Discriminator, Logits, Noise, VideoSpec
from gadkit.testing.small import SmallDiscriminator
from gadkit_plugins.dcgan.frame import FrameDiscriminator
from planted.table import planter

plant = planter("discriminator")


class TwoHeads(Discriminator):
    """Sound: one head for frames, and one of two logits for the clip."""

    def __init__(self, video: VideoSpec) -> None:
        super().__init__(video)
        self.logits = {"frame": 1, "clip": 2}
        self.head_weights = {"frame": 0.5, "clip": 1.0}
        self.frame, self.clip = SmallDiscriminator(video), SmallDiscriminator(video, logits=2)

    def features(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Tensor:
        return torch.cat([head.features(video, labels) for head in (self.frame, self.clip)], 1)

    def forward(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Logits:
        return {"frame": self.frame(video, labels), "clip": self.clip(video, labels)}


class SmallFrames(FrameDiscriminator):
    """Sound: looks at a few frames of each clip, of its own choice."""

    def __init__(self, video: VideoSpec) -> None:
        super().__init__(video, width=4, max_width=8, frames=2)


@plant("wrong layout", "logits '' has the shape (3, 1)", "return (B, K)")
class ForgetsLogits(SmallDiscriminator):
    def forward(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Logits:
        return super().forward(video, labels, times).squeeze(1)


@plant("more logits than it says", "logits '' has the shape (3, 1)", "as the attribute `logits` says")
class TwoLogits(SmallDiscriminator):
    def __init__(self, video: VideoSpec) -> None:
        super().__init__(video, logits=2)
        self.logits = 1


@plant("heads misnamed in head_weights", ".head_weights names heads that forward returns", "give both the same names")
class MisnamesWeights(TwoHeads):
    def __init__(self, video: VideoSpec) -> None:
        super().__init__(video)
        self.head_weights = {"frames": 0.5, "clip": 1.0}


@plant("heads misnamed in logits", ".logits, which counts the logits of each head", "give both the same names")
class MisnamesLogits(TwoHeads):
    def __init__(self, video: VideoSpec) -> None:
        super().__init__(video)
        self.logits = {"frames": 1, "clip": 2}


@plant("output out of range: probabilities", "of both signs and without bounds", "the loss applies the sigmoid")
class EndsWithSigmoid(SmallDiscriminator):
    def forward(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Logits:
        return super().forward(video, labels, times).sigmoid()


@plant("output out of range: no negative logits", "of both signs and without bounds", "end with a linear map")
class EndsWithSoftplus(SmallDiscriminator):
    def forward(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Logits:
        return nn.functional.softplus(super().forward(video, labels, times))


@plant("reads the order of memory", "do not depend on the clips' layout in memory", "read no strides")
class ReadsMemory(SmallDiscriminator):
    def features(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Tensor:
        return super().features(torch.as_strided(video, video.shape, torch.empty(video.shape).stride()), labels)


@plant("second derivative missing: a sign", "can be differentiated again", "use differentiable operations")
class LooksAtSigns(SmallDiscriminator):
    def features(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Tensor:
        return super().features(video.sign() + 0 * video, labels)


class _Halved(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x / 2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return slope / 2


@plant("second derivative missing: once_differentiable", "can be differentiated again", "once_differentiable")
class DifferentiableOnce(SmallDiscriminator):
    def features(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Tensor:
        return super().features(_Halved.apply(video), labels)


@plant("second derivative missing: detached features", "can be differentiated again", "without detach")
class DetachesClip(SmallDiscriminator):
    def features(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Tensor:
        return super().features(video.detach(), labels)


@plant("features detached", ".features are differentiable", "without detach or no_grad")
class DetachesFeatures(SmallDiscriminator):
    def features(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Tensor:
        return super().features(video, labels).detach()

    def forward(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Logits:
        return self.judge(super().features(video, labels))


@plant("times in no order", "ascending frame numbers", "sort distinct frame numbers")
class UnsortedTimes(SmallFrames):
    def times(self, noise: Noise) -> Tensor | None:
        return super().times(noise).flip(1)


@plant("times that depend on batch neighbours", "is a function of its own noise", "draw with the methods of `noise`")
class SharedTimes(SmallFrames):
    def times(self, noise: Noise) -> Tensor | None:
        start = noise.samples.sum() % (self.video.frames - 1)
        return (start + torch.arange(2)).expand(len(noise), 2)


@plant("times missing are other times", "takes no times for 0, 1, ... 5", "count from 0 where times is None")
class CountsFromOne(SmallDiscriminator):
    def features(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Tensor:
        found = super().features(video, labels)
        if times is None:
            times = torch.arange(1, 1 + video.shape[1]).expand(len(video), -1)
        return found * times.sum(1, keepdim=True).to(found)


@plant("labels ignored", "depends on the class", "refuse a spec with classes by gadkit.ConfigError")
class IgnoresLabels(SmallDiscriminator):
    def __init__(self, video: VideoSpec) -> None:
        super().__init__(video)
        self.shade.requires_grad_(False)

    def features(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Tensor:
        return super().features(video)


@plant("in-place change of its input", "leaves its inputs as they are", "work on a copy")
class CentresInPlace(SmallDiscriminator):
    def features(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Tensor:
        centred = video if video.requires_grad else video.sub_(0.1)
        return super().features(centred, labels)


@plant("hidden global randomness", "PyTorch's global generator", "let dropout rest in eval mode")
class AlwaysDropsOut(SmallDiscriminator):
    def features(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Tensor:
        return nn.functional.dropout(super().features(video, labels), 0.5, training=True)


@plant("parameters without gradient", "takes part in its output", "use it, drop it, or set requires_grad to False")
class IdleParameter(SmallDiscriminator):
    def __init__(self, video: VideoSpec) -> None:
        super().__init__(video)
        self.idle = nn.Linear(2, 2)


@plant(
    "what training changes not saved", "that has been trained is the same after its state was saved", "register_buffer"
)
class CountsSteps(SmallDiscriminator):
    def __init__(self, video: VideoSpec) -> None:
        super().__init__(video)
        self.steps = 0

    def forward(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Logits:
        self.steps += self.training
        return super().forward(video, labels, times) * (1 + 0.1 * self.steps)


@plant("float64 kept out", "gives float64 for float64", "without `.float()`")
class CastsToSingle(SmallDiscriminator):
    def forward(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Logits:
        return super().forward(video, labels, times).float()


@plant("bf16 broken by a hard dtype", "works in bf16 autocast", "where values of two layers meet")
class AddsInPlace(SmallDiscriminator):
    def forward(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Logits:
        total = torch.zeros(len(video), 1).to(video)
        total[torch.arange(len(video))] = super().forward(video, labels, times)  # which is bf16 there
        return total


@plant("seed ignored", "another seed gives", "seed nothing yourself")
class ConstantByHand(SmallDiscriminator):
    def __init__(self, video: VideoSpec) -> None:
        super().__init__(video)
        with torch.no_grad():
            for number, parameter in enumerate(self.parameters()):
                parameter.copy_(torch.sin(torch.arange(parameter.numel()) + number).view_as(parameter) / 10)


@plant("a gradient turned around", "points to where its value rises", "turn no gradient around")
class TurnsGradients(SmallDiscriminator):
    def features(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Tensor:
        if video.requires_grad:
            video.register_hook(torch.neg)
        return super().features(video, labels)


@plant("nan at a black clip", "judges a black clip", "add a small number below")
class DividesBySpread(SmallDiscriminator):
    def features(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Tensor:
        return super().features(video / video.flatten(1).std(1).view(-1, 1, 1, 1, 1), labels)


@plant("two of three classes", "depends on the class", "use `labels`")
class TwoOfThreeClasses(SmallDiscriminator):
    def features(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Tensor:
        return super().features(video, None if labels is None else labels % 2)
