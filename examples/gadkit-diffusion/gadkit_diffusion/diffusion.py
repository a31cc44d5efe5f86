"""Diffusion-GAN: clips with the noise of a forward diffusion, at a level drawn for each of them."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from gadkit import Augmentation, Noise, Scheduled


class Diffusion(Augmentation):
    """Clips after t steps of a forward diffusion, t drawn for each of them (Wang et al. 2023, arXiv:2206.02262).

    A clip x becomes

        y = sqrt(a_t) x + sqrt(1 - a_t) sigma e,    a_t = (1 - b_1) ... (1 - b_t),    e normal,

    where b rises linearly from `beta_first` to `beta_last` over `steps` steps. t is 0, the clip as it is, with the
    probability `undisturbed`, and else one of 1 ... T, all equally likely (`uniform`) or in proportion to t
    (`priority`, equation 11): a mixture of Gaussians at all levels of noise. T = `strength * steps`: the paper moves it
    with E[sign(D - 1/2)], which `target` and `ramp` do here for the pairs that gadkit compares.

    Three things differ from the paper, because an augmentation is seen through by every discriminator alike. It is not
    told t; the authors describe this variant too, in the README of their code. All frames of a clip get one picture of
    noise, so that their order does not matter: a discriminator of single frames meets what the paper has, while one of
    motion can take it out by differences. And b belongs to its step, where the authors' code spreads it over 1 ... T.

    Args:
        sigma: Standard deviation of the noise, in units of half the range of a pixel.
        steps: Length of the longest chain, at a strength of 1, where next to nothing is left of the clip.
        beta_first: b_1.
        beta_last: b of the last of all steps.
        mixture: How t is drawn from 1 ... T.
        undisturbed: Probability of a clip to be left as it is.
        strength: T's share of `steps`; with `target`, the most that it reaches.
        target: Where an adaptive strength, which begins at 0, drives E[sign(D(x) - D(y))] over pairs of a real and a
            generated clip: twice the logged `accuracy`, less 1. By default the strength is not adaptive.
        ramp: Clips during which an adaptive strength goes from 0 to 1 at the fastest.
    """

    def __init__(
        self,
        *,
        sigma: Annotated[Scheduled, Field(gt=0)] = 0.05,
        steps: Annotated[int, Field(gt=0, le=100_000)] = 1000,
        beta_first: Annotated[float, Field(ge=0, lt=1)] = 1e-4,
        beta_last: Annotated[float, Field(gt=0, lt=1)] = 0.02,
        mixture: Literal["priority", "uniform"] = "priority",
        undisturbed: Annotated[Scheduled, Field(ge=0, lt=1)] = 0.5,
        strength: Annotated[Scheduled, Field(ge=0, le=1)] = 0.5,
        target: Annotated[float, Field(gt=-1, lt=1)] | None = None,
        ramp: Annotated[float, Field(gt=0)] = 20_000.0,
    ) -> None:
        self.sigma = sigma
        self.steps = steps
        self.beta_first = beta_first
        self.beta_last = beta_last
        self.mixture = mixture
        self.undisturbed = undisturbed
        self.strength = strength
        self.target = target
        self.ramp = ramp

    def __call__(self, video: Tensor, noise: Noise, strength: Tensor) -> Tensor:
        """See `gadkit.Augmentation.__call__`; affine in the video."""
        signal, level = (part.to(video.dtype).view(-1, 1, 1, 1, 1) for part in self.levels(self.times(noise, strength)))
        picture = noise.normal("diffusion", video[0, 0].numel()).view(-1, 1, *video.shape[2:])
        return signal * video + level * picture.to(video)

    def times(self, noise: Noise, strength: Tensor) -> Tensor:
        """t of every clip.

        Args:
            noise: Draws for the B clips.
            strength: A scalar in [0, 1].

        Returns:
            int64 `(B,)` in [0, T].
        """
        whether, which = noise.uniform("diffusion", 2).float().unbind(1)
        longest = torch.round(strength.float() * self.steps)
        if self.mixture == "uniform":
            drawn = which * longest
        else:  # P(t' <= t) = t (t + 1) / (T (T + 1)), solved for t
            drawn = (torch.sqrt(1 + 4 * which * longest * (longest + 1)) - 1) / 2
        times = torch.minimum(torch.floor(drawn) + 1, longest)
        return torch.where(whether < self.undisturbed, 0, times).long()

    def levels(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """What clips and noise of deviation 1 are multiplied by after t steps: sqrt(a_t) and sqrt(1 - a_t) sigma.

        Args:
            times: t, int64 of any shape, in [0, steps].

        Returns:
            Two float32 tensors of that shape; exactly 1 and 0 where t is 0.
        """
        betas = torch.linspace(self.beta_first, self.beta_last, self.steps, device=times.device)
        logarithm = torch.cat((betas.new_zeros(1), torch.log1p(-betas).cumsum(0)))[times]
        return torch.exp(logarithm / 2), torch.sqrt(-torch.expm1(logarithm)) * self.sigma
