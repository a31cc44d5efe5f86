"""The terms of the evidence lower bound: how well a clip is explained, and what its explanation costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from gadkit.engine import Engine
from gadkit_plugins.vae.posterior import Divergence

Density = Literal["gaussian", "laplace"]

#: The standard deviation of the rounding of pixels to 256 levels of [-1, 1]; no optimal scale is below it.
_ROUNDING = 2 / 255 / math.sqrt(12)


class Likelihood:
    """p(clip | video): independent densities of one scale around the generated pixels.

    The optimal scale of a density has a closed form: the root of the mean squared error of the Gaussian, the mean
    absolute error of the Laplacian (Rybkin et al. 2021, arXiv:2006.13202, section 4). Here it is taken over the whole
    batch of the step before, so that it does not depend on how a batch is cut, and is 1 in the first step.

    Args:
        density: `"gaussian"`, whose scale is the standard deviation, or `"laplace"`, whose scale is the mean absolute
            deviation.
        scale: In pixels of [-1, 1]; `"optimal"` for the one above.
        engine: Device, processes and type.
    """

    def __init__(self, density: Density, scale: float | Literal["optimal"], engine: Engine) -> None:
        self._density = density
        self._engine = engine
        self._optimal = scale == "optimal"
        first = 1.0 if scale == "optimal" else scale
        self.scale = torch.tensor(first, dtype=engine.dtype, device=engine.device)
        self._errors: list[Tensor] = []

    def nats(self, real: Tensor, made: Tensor) -> Tensor:
        """-log p(real | made), the mean over all numbers of all clips: a scalar, in nats.

        Args:
            real: `(B, N, C, H, W)`.
            made: The same shape.
        """
        if self._density == "gaussian":
            error = (real - made).square().mean()
            nats = error / (2 * self.scale.square()) + self.scale.log() + 0.5 * math.log(2 * math.pi)
        else:
            error = (real - made).abs().mean()
            nats = error / self.scale + self.scale.log() + math.log(2)
        self._errors.append(error.detach())
        return nats

    @torch.no_grad()
    def settle(self) -> None:
        """Turns to the scale that was optimal in this step; all processes together."""
        if self._optimal and self._errors:
            error = torch.stack(self._errors).mean()
            self._engine.average_([error])
            self.scale = (error.sqrt() if self._density == "gaussian" else error).clamp(min=_ROUNDING)
        self._errors.clear()

    def resume(self, scale: Tensor) -> None:
        """Goes on with the scale of a checkpoint where it is the optimal one; one that is set is what it is set to."""
        if self._optimal:
            self.scale = scale.to(self.scale)


def cost(divergences: Sequence[Divergence], free: float, groups: int) -> Tensor:
    """What the draws of a clip cost, in nats a clip: their divergence, in which the first nats are free.

    Sum over purposes and the S entries of a draw of P * max(free, mean KL), the mean over the P places of that
    purpose and the clips that share a minibatch (Kingma et al. 2016, arXiv:1606.04934, equation 15, an entry of a
    purpose being a group of theirs). Below `free` an entry has no gradient. Minibatches are equal consecutive parts of
    the batch, like those of batch statistics, so that the cost does not depend on how a batch is cut.

    Args:
        divergences: Of every purpose.
        free: Nats of a draw's entry that cost nothing, at least 0.
        groups: Minibatches in these B clips.

    Returns:
        A scalar, the mean over the minibatches.
    """
    found = []
    for divergence in divergences:
        if free == 0:
            found.append(divergence.total.mean())
            continue
        batch, places, size = divergence.nats.shape
        clips = batch // groups
        if divergence.asked is None:
            nats = divergence.nats.view(groups, clips * places, size).mean(dim=1)
            found.append(places * nats.clamp(min=free).sum(dim=1).mean())
            continue
        asked = divergence.asked.to(divergence.nats.dtype)
        drawn = asked.view(groups, -1).sum(dim=1, keepdim=True).clamp(min=1)
        nats = (divergence.nats * asked.unsqueeze(-1)).view(groups, clips * places, size).sum(dim=1) / drawn
        found.append((drawn / clips * nats.clamp(min=free)).sum(dim=1).mean())
    return torch.stack(found).sum()


@torch.no_grad()
def active(divergences: Sequence[Divergence], threshold: float = 0.01) -> Tensor:
    """The share of all numbers that were drawn whose divergence is above `threshold` nats, over all clips.

    Args:
        divergences: Of every purpose.
        threshold: In nats.

    Returns:
        A scalar in [0, 1]; near 0 the posterior has collapsed onto the prior, and the video depends on no clip.
    """
    found, drawn = [], []
    for divergence in divergences:
        took_part = torch.ones_like(divergence.nats)
        if divergence.asked is not None:
            took_part = took_part * divergence.asked.unsqueeze(-1)
        found.append(((divergence.nats > threshold) * took_part).sum())
        drawn.append(took_part.sum())
    return torch.stack(found).sum() / torch.stack(drawn).sum().clamp(min=1)
