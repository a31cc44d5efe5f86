"""Penalties that break one promise each."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from gadkit import Critic, Noise, Scheduled
from gadkit_plugins.minimax.penalties import R1, ApproximateR1R2, WassersteinGradient
from planted.table import planter

plant = planter("penalty")


@plant("penalty with the wrong sign", "rises with the discriminator's slope", "turn its sign")
class Rewards(R1):
    def __call__(self, critic: Critic, real: Tensor, fake: Tensor, noise: Noise) -> Tensor:
        return -super().__call__(critic, real, fake, noise)


@plant("approximation with the wrong sign", "rises with the discriminator's slope", "turn its sign")
class RewardsDifferences(ApproximateR1R2):
    def __call__(self, critic: Critic, real: Tensor, fake: Tensor, noise: Noise) -> Tensor:
        return -super().__call__(critic, real, fake, noise)


@plant(
    "second derivative missing: no graph", "finite gradient with respect to the discriminator's", "create_graph=True"
)
class NoGraph(R1):
    def __call__(self, critic: Critic, real: Tensor, fake: Tensor, noise: Noise) -> Tensor:
        return super().__call__(critic, real, fake, noise).detach().requires_grad_()


@plant("a value without a graph", "is differentiable in the discriminator's parameters", "detach nothing that depends")
class Detached(R1):
    def __call__(self, critic: Critic, real: Tensor, fake: Tensor, noise: Noise) -> Tensor:
        return super().__call__(critic, real, fake, noise).detach()


@plant("half of the graph missing", "gradient is that of its value", "detach nothing that the value depends on")
class HalfGraph(ApproximateR1R2):
    def __call__(self, critic: Critic, real: Tensor, fake: Tensor, noise: Noise) -> Tensor:
        return super().__call__(lambda x: critic(x).detach() if x is real else critic(x), real, fake, noise)


@plant("draws that depend on the batch", "whose draws do not depend on the batch", "without the batch's size")
class DrawsByBatch(ApproximateR1R2):
    def __call__(self, critic: Critic, real: Tensor, fake: Tensor, noise: Noise) -> Tensor:
        return super().__call__(critic, real, fake, noise.fold(len(real)))


@plant("sum in place of mean", "is a mean over samples", "end with .mean()")
class Sums(R1):
    def __call__(self, critic: Critic, real: Tensor, fake: Tensor, noise: Noise) -> Tensor:
        return super().__call__(critic, real, fake, noise) * len(real)


@plant("double_backward denied", "says in double_backward", "set double_backward to True")
class SaysOnce(R1):
    double_backward = False


@plant("gradients left on parameters", "without gradients of their own", "in place of backward()")
class LeavesGradients(R1):
    def __call__(self, critic: Critic, real: Tensor, fake: Tensor, noise: Noise) -> Tensor:
        critic(real).sum().backward(retain_graph=True)
        real.grad = None
        return super().__call__(critic, real, fake, noise)


@plant("hidden global randomness", "PyTorch's global generator", "draw from the noise")
class MixesAtRandom(WassersteinGradient):
    def __call__(self, critic: Critic, real: Tensor, fake: Tensor, noise: Noise) -> Tensor:
        share = torch.rand(len(real), 1, 1, 1, 1).to(real)
        return super().__call__(critic, real, real + share * (fake - real), noise)


@plant("in-place change of its input", "leaves its inputs as they are", "work on a copy")
class ClampsInPlace(R1):
    def __call__(self, critic: Critic, real: Tensor, fake: Tensor, noise: Noise) -> Tensor:
        fake.data.mul_(0.5)
        return super().__call__(critic, real, fake, noise)


@plant("not a scalar", "has the shape ()", "return a scalar")
class OneAClip(R1):
    def __call__(self, critic: Critic, real: Tensor, fake: Tensor, noise: Noise) -> Tensor:
        return super().__call__(critic, real, fake, noise).expand(len(real))


@plant("float64 kept out", "is torch.float64", "make tensors in the type of the inputs")
class CastsToSingle(R1):
    def __call__(self, critic: Critic, real: Tensor, fake: Tensor, noise: Noise) -> Tensor:
        return super().__call__(critic, real, fake, noise).float()


@plant("a memory of its own", "is a function of the clips and the noise", "remember nothing from call to call")
class GrowsWithEveryCall(R1):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.calls = 0

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor, noise: Noise) -> Tensor:
        self.calls += 1
        return super().__call__(critic, real, fake, noise) * (1 + self.calls / 100)


@plant("a schedule without effect", "does what one built with it does", "and keep no copy of it")
class KeepsTheFirstWeight(R1):
    def __init__(self, *, gamma: Annotated[Scheduled, Field(ge=0)] = 1.0) -> None:
        super().__init__(gamma=gamma)
        self._built_with = R1(gamma=gamma)

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor, noise: Noise) -> Tensor:
        return self._built_with(critic, real, fake, noise)


@plant("nan where the slope is zero", "where the discriminator's slope is zero", "guard the root of a norm")
class RootOfTheSlope(WassersteinGradient):
    def __call__(self, critic: Critic, real: Tensor, fake: Tensor, noise: Noise) -> Tensor:
        (gradient,) = torch.autograd.grad(critic(real).sum(), real, create_graph=True)
        length = gradient.flatten(1).square().sum(1).sqrt()
        return self.weight * (length - 1).square().mean()
