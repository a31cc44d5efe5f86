"""Losses that break one promise each."""

from __future__ import annotations

import random

import torch
from torch import Tensor

from gadkit_plugins.minimax.losses import Hinge, Minimax, NonSaturating, RelativisticPairing
from planted.table import planter

plant = planter("loss")


@plant("loss sign wrong: the article as printed", "larger logits are more real", "turn the sign of the one")
class ArticleAsPrinted(Minimax):
    zero_sum = False

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return -super().discriminator(real, fake)


@plant("loss sign wrong: the generator's", "larger logits are more real", "turn the sign of the one")
class HelpsTheOther(Hinge):
    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return -super().generator(fake, real)


@plant("real and generated exchanged", "larger logits are more real", "both losses are minimised")
class Exchanged(Hinge):
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return super().discriminator(fake, real)


@plant("nan at large logits", "at logits of size 10000 is finite", "an overflow")
class Overflows(NonSaturating):
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return -torch.log(torch.sigmoid(real)).mean() - torch.log(1 - torch.sigmoid(fake)).mean()


@plant("nan gradient at large logits", "has finite gradients", "softplus or logsigmoid")
class SlopeOverflows(NonSaturating):
    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return torch.where(-fake > 20, -fake, torch.log1p(torch.exp(-fake))).mean()


@plant("sum in place of mean", "is a mean over samples", "end with .mean()")
class Sums(Hinge):
    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return -fake.sum()


@plant("depends on batch neighbours", "is a mean over samples", "compare samples with nothing beside them")
class OfTheWorst(Hinge):
    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return super().generator(fake, real) - fake.min()


@plant("zero_sum false claim", ".zero_sum: the generator's gradient", "set zero_sum to False")
class ClaimsZeroSum(RelativisticPairing):
    zero_sum = True

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return 2 * super().generator(fake, real)


@plant("needs real logits without saying so", ".generator_needs_real says", "set it to True where they are used")
class SaysNothingOfReal(RelativisticPairing):
    generator_needs_real = False


@plant(
    "only for one logit a clip, and no word of it", ".logits says how many logits a clip", "set `logits` to the number"
)
class OneLogit(Hinge):
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return super().discriminator(real.view(len(real)), fake.view(len(fake)))


@plant("logits detached", "is differentiable in the logits", "without detach, no_grad or item()")
class Detaches(Hinge):
    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return super().generator(fake.detach(), real)


@plant("half of the logits detached", "has a gradient in all logits", "without detach or no_grad")
class DetachesReal(NonSaturating):
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return super().discriminator(real.detach(), fake)


@plant("not a scalar", ".generator at logits of size 1 has the shape ()", "return a scalar")
class OneAClip(NonSaturating):
    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return torch.nn.functional.softplus(-fake).mean(1)


@plant("float64 kept out", "is torch.float64", "make tensors in the type of the inputs")
class CastsToSingle(Hinge):
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return super().discriminator(real.float(), fake.float())


@plant("a memory that no checkpoint keeps", "is a function of its logits and its settings", "a loss has no state")
class Remembers(Hinge):
    def __init__(self) -> None:
        self.mean = 0.0

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        self.mean = 0.9 * self.mean + 0.1 * float(fake.detach().mean())
        return super().generator(fake - self.mean, real)


@plant("state shared by all instances", "shares nothing that changes with another one", "keep it in `self`")
class Counts(Hinge):
    calls = 0

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        type(self).calls += 1
        return super().generator(fake, real)


@plant("hidden global randomness", "PyTorch's global generator", "draw from the noise")
class SmoothsAtRandom(Hinge):
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return super().discriminator(real + 0.01 * torch.rand_like(real), fake)


@plant("hidden randomness of Python", "draws no number from Python's `random`", "gadkit.randomness")
class FlipsAtRandom(Hinge):
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return super().discriminator(real, fake) * random.uniform(0.99, 1.01)


@plant("in-place change of its input", "leaves its inputs as they are", "work on a copy")
class ClampsInPlace(Hinge):
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        real.data.clamp_(max=10.0).mul_(0.5)
        return super().discriminator(real, fake)


@plant("nan where all logits are equal", "at logits of size 0 is finite", "a division by zero")
class DividesBySpread(NonSaturating):
    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return super().generator(fake, real) * (1 + 0 * (fake / fake.std(unbiased=False)).mean())
