"""Penalties on the discriminator's gradient with respect to its input.

Squared norms are sums over every number of a clip, time included, and means over the samples.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from gadkit import ConfigError, Critic, Noise, Penalty, Scheduled

_CLIP_DIMS = (1, 2, 3, 4)
#: The discriminator's output has 8 significant bits in bf16: smaller perturbations drown in its rounding.
_LEAST_BF16_SIGMA = 0.05


def _full(x: Tensor) -> Tensor:
    """float32 for half types: a sum of a hundred thousand squares needs it."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def _squared_norm(gradient: Tensor) -> Tensor:
    """The mean over samples of the squared norm over everything else."""
    return _full(gradient).square().sum() / len(gradient)


class R1(Penalty):
    """(gamma / 2) E |grad D(x)|^2 at real clips x (Mescheder et al. 2018, equation 9).

    Args:
        gamma: Weight. It grows with the number of pixels a clip: about .0002 times that, over the batch size.
    """

    def __init__(self, *, gamma: Annotated[Scheduled, Field(ge=0)] = 1.0) -> None:
        self.gamma = gamma

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor, noise: Noise) -> Tensor:
        """The penalty, a scalar; see `gadkit.Penalty`."""
        (gradient,) = torch.autograd.grad(critic(real).sum(), real, create_graph=True)
        return self.gamma / 2 * _squared_norm(gradient)


class R1R2(Penalty):
    """(gamma / 2) (E |grad D(x)|^2 + E |grad D(y)|^2) at real clips x and generated clips y (Mescheder et al. 2018).

    Args:
        gamma: Weight. It grows with the number of pixels a clip: about .0002 times that, over the batch size.
    """

    def __init__(self, *, gamma: Annotated[Scheduled, Field(ge=0)] = 1.0) -> None:
        self.gamma = gamma

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor, noise: Noise) -> Tensor:
        """The penalty, a scalar; see `gadkit.Penalty`."""
        total = critic(real).sum() + critic(fake).sum()
        at_real, at_fake = torch.autograd.grad(total, (real, fake), create_graph=True)
        return self.gamma / 2 * (_squared_norm(at_real) + _squared_norm(at_fake))


class ApproximateR1R2(Penalty):
    """`r1r2` by finite differences (Lin et al. 2025, Seaweed-APT): nothing is differentiated twice.

    (gamma / 2) / sigma^2 (E (D(x) - D(x + sigma e))^2 + E (D(y) - D(y + sigma e'))^2), e and e' standard normal. The
    mean over e of (D(x) - D(x + sigma e))^2 is sigma^2 |grad D(x)|^2 up to terms of order sigma^4, so gamma means what
    it means in `r1r2`. It goes with compiled networks, fused attention and sharded training.

    Each sample's noise depends on that sample alone, so it is the same however a batch is split. Where `noise` draws
    on the CPU it comes from PyTorch's CPU generator, seeded for each sample by `noise` (60 times faster than Philox
    there, and the same on every device); elsewhere from `noise` itself, without a read by the host.

    Args:
        gamma: Weight, as for `r1r2`.
        sigma: The perturbation's size, in units of the pixels' range [-1, 1]; at least .05 in bf16.
    """

    double_backward = False

    def __init__(
        self, *, gamma: Annotated[Scheduled, Field(ge=0)] = 1.0, sigma: Annotated[float, Field(gt=0)] = 0.1
    ) -> None:
        self.gamma = gamma
        self.sigma = sigma

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor, noise: Noise) -> Tensor:
        """The penalty, a scalar; see `gadkit.Penalty`."""
        kind = real.device.type
        bf16 = torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == torch.bfloat16
        if (bf16 or real.dtype == torch.bfloat16) and self.sigma < _LEAST_BF16_SIGMA:
            raise ConfigError(
                f"penalty.sigma: found {self.sigma}, but in bf16 the discriminator's rounding hides perturbations "
                f"below {_LEAST_BF16_SIGMA}; use at least {_LEAST_BF16_SIGMA}, or train in fp32."
            )
        total = self._squared_difference(critic, real, noise.fold("real"))
        total = total + self._squared_difference(critic, fake, noise.fold("fake"))
        return self.gamma / 2 / self.sigma**2 * total

    def _squared_difference(self, critic: Critic, clips: Tensor, noise: Noise) -> Tensor:
        moved = clips.detach() + self.sigma * _perturbation(noise, clips)
        return _full(critic(clips) - critic(moved)).square().mean()


def _perturbation(noise: Noise, clips: Tensor) -> Tensor:
    """Standard normals in the shape, type, layout and place of `clips`; sample i's from `noise` of sample i alone."""
    batch, frames, channels, height, width = clips.shape
    shape = (frames, height, width, channels)  # the order in which clips lie in memory
    if noise.samples.device.type == "cpu":
        seeds = Noise(noise.key, noise.samples, device="cpu").integers("perturbation", 2**31).tolist()
        dtype = torch.float64 if clips.dtype == torch.float64 else torch.float32
        flat = torch.empty((batch, *shape), dtype=dtype)
        for row, seed in zip(flat, seeds, strict=True):
            row.normal_(generator=torch.Generator().manual_seed(seed))
    else:
        flat = noise.normal("perturbation", frames * height * width * channels).reshape(batch, *shape)
    return flat.to(clips.device, clips.dtype, non_blocking=True).permute(0, 1, 4, 2, 3)


class WassersteinGradient(Penalty):
    """weight E (|grad D(m)| - 1)^2 at mixtures m of real and generated clips (Gulrajani et al. 2017, equation 3).

    m = x + u (y - x), u uniform in [0, 1), drawn anew for each pair.

    Args:
        weight: lambda of the paper.
    """

    def __init__(self, *, weight: Annotated[Scheduled, Field(ge=0)] = 10.0) -> None:
        self.weight = weight

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor, noise: Noise) -> Tensor:
        """The penalty, a scalar; see `gadkit.Penalty`."""
        share = noise.uniform("mixture", 1).to(real.device, real.dtype).reshape(-1, 1, 1, 1, 1)
        mixed = torch.lerp(real.detach(), fake.detach(), share).requires_grad_()
        (gradient,) = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
        norm = torch.linalg.vector_norm(_full(gradient), dim=_CLIP_DIMS)
        penalty: Tensor = self.weight * (norm - 1).square().mean()
        return penalty
