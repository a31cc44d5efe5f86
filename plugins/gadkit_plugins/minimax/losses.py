"""Adversarial losses, each written so that no finite logit overflows it.

In the formulas D(x) is the discriminator's logit, sigma the logistic function, x a real and y a generated clip;
softplus(t) = log(1 + e^t) = -log sigma(-t).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import relu, softplus

from gadkit import Loss


class Minimax(Loss):
    """The value function of Goodfellow et al. 2014 (equation 1), which the GAD article uses. Zero-sum.

    V(D, G) = E log sigma(D(x)) + E log(1 - sigma(D(y))); the discriminator maximises V, the generator minimises it. So
    the discriminator's loss here is -V and the generator's is its part of V. The article prints L_D = V and L_G = -V as
    losses: minimised literally, both players would move the wrong way. What it means is V, and that is taken here.
    """

    zero_sum = True

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """-E log sigma(D(x)) - E log(1 - sigma(D(y)))."""
        return softplus(-real).mean() + softplus(fake).mean()

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        """E log(1 - sigma(D(y)))."""
        return -softplus(fake).mean()


class NonSaturating(Loss):
    """Goodfellow et al. 2014, section 3: `minimax` with -log D(G(z)) for the generator: bad samples teach it too."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """-E log sigma(D(x)) - E log(1 - sigma(D(y)))."""
        return softplus(-real).mean() + softplus(fake).mean()

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        """-E log sigma(D(y))."""
        return softplus(-fake).mean()


class Hinge(Loss):
    """Lim & Ye 2017: the discriminator is content with real clips above 1 and generated ones below -1."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """E max(0, 1 - D(x)) + E max(0, 1 + D(y))."""
        return relu(1 - real).mean() + relu(1 + fake).mean()

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        """-E D(y)."""
        return -fake.mean()


class LeastSquares(Loss):
    """Mao et al. 2017, equation 9: least squares to 1 for real and 0 for generated clips, 1 for the generator."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """E (D(x) - 1)^2 / 2 + E D(y)^2 / 2."""
        return ((real - 1).square().mean() + fake.square().mean()) / 2

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        """E (D(y) - 1)^2 / 2."""
        return (fake - 1).square().mean() / 2


class Wasserstein(Loss):
    """Arjovsky et al. 2017: the difference of means; needs a penalty such as `wgan-gp` to be a distance. Zero-sum."""

    zero_sum = True

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """E D(y) - E D(x)."""
        return fake.mean() - real.mean()

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        """-E D(y)."""
        return -fake.mean()


class RelativisticPairing(Loss):
    """Jolicoeur-Martineau 2018, as R3GAN uses it: each generated clip is judged against one real clip.

    With the `r1r2` penalty the game converges locally and covers more modes than losses that judge clips one by one
    (Sun et al. 2020; Huang et al. 2024).
    """

    generator_needs_real = True

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """E softplus(-(D(x) - D(y)))."""
        return softplus(fake - real).mean()

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        """E softplus(-(D(y) - D(x)))."""
        if real is None:
            raise TypeError("rpgan compares generated with real clips: generator() was called without real logits.")
        return softplus(real - fake).mean()
