"""Conjugate directions: steepest descent plus a share of the direction before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from gadkit import Game, Player
from gadkit_plugins.gad.memory import Memory, RememberingDirection
from gadkit_plugins.gad.simultaneous import gradients_of_both

Rule = Literal["FR", "PRP", "HS", "DY", "HZ", "FR_PRP", "HS_DY"]


class Conjugate(RememberingDirection):
    """Nonlinear conjugate gradients for each player, with the learning rate for a line search.

    omega += eta d_t, d_t = -g_t + beta_t d_(t-1): Naganuma & Iiduka 2023. Both gradients are taken at the
    same point; each player has one beta, from inner products over all of its parameters, with y = g_t - g_(t-1):

    - FR: |g_t|^2 / |g_(t-1)|^2 (Fletcher-Reeves)
    - PRP: <g_t, y> / |g_(t-1)|^2 (Polak-Ribiere-Polyak)
    - HS: <g_t, y> / <d_(t-1), y> (Hestenes-Stiefel)
    - DY: |g_t|^2 / <d_(t-1), y> (Dai-Yuan)
    - HZ: HS - 2 |y|^2 <g_t, d_(t-1)> / <d_(t-1), y>^2 (Hager-Zhang)
    - FR_PRP: max(0, min(PRP, FR)); HS_DY: max(0, min(HS, DY))

    Experimental, for comparisons: no gain is known. The steps are plain multiples of the learning rate, past Adam,
    which the paper does not use, and want a rate chosen for that. A game's gradients belong to no one function, so the
    betas lose their meaning: with a step of .5 the rule moves away from the Dirac-GAN's equilibrium, where optimistic
    and extragradient steps reach it, and it fails on a ring of eight Gaussians.

    A step costs what an alternating one costs and a few passes over the parameters. fp16 cannot be used, as a step
    follows from two gradients.

    Args:
        beta: The rule.
        cap: The largest size of beta of either sign; 0 gives plain descent.
    """

    scalable = False
    capturable = False  # the learning rate is a number of the host, which a captured step would keep for ever
    copies = 4

    def __init__(self, *, beta: Rule = "FR_PRP", cap: Annotated[float, Field(ge=0)] = 0.5) -> None:
        self.beta: Rule = beta
        self.cap = cap
        self.memory = Memory("gradient", "direction")

    def step(self, game: Game) -> None:
        """Both gradients, then both steps."""
        judging, making = gradients_of_both(game)
        self._move("discriminator", game.discriminator, judging)
        self._move("generator", game.generator, making)

    @torch.no_grad()
    def _move(self, side: str, player: Player, gradients: Sequence[Tensor]) -> None:
        before, direction = self.memory.of(side, player.parameters)
        share = self._share(list(gradients), before, direction).clamp(-self.cap, self.cap)
        torch._foreach_mul_(direction, share)
        torch._foreach_sub_(direction, list(gradients))
        torch._foreach_copy_(before, list(gradients))
        player.move(torch._foreach_mul(direction, player.rate), gradients)

    def _share(self, now: list[Tensor], before: list[Tensor], direction: list[Tensor]) -> Tensor:
        """The beta of the rule, a scalar on the device; 0 where its denominator is, as in the first step."""
        if self.beta == "FR":
            return _ratio(_inner(now, now), _inner(before, before))
        change = list(torch._foreach_sub(now, before))
        if self.beta in ("PRP", "FR_PRP"):
            size = _inner(before, before)
            found = _ratio(_inner(now, change), size)
            return found if self.beta == "PRP" else _hybrid(found, _ratio(_inner(now, now), size))
        slope = _inner(direction, change)
        if self.beta == "DY":
            return _ratio(_inner(now, now), slope)
        found = _ratio(_inner(now, change), slope)
        if self.beta == "HS_DY":
            return _hybrid(found, _ratio(_inner(now, now), slope))
        if self.beta == "HZ":
            return found - 2 * _ratio(_ratio(_inner(change, change), slope) * _inner(now, direction), slope)
        return found


def _inner(one: list[Tensor], other: list[Tensor]) -> Tensor:
    """The inner product over all tensors, in float32 or finer."""
    finest = max((x.dtype for x in one), key=lambda dtype: dtype.itemsize)
    wide = torch.promote_types(finest, torch.float32)
    return torch.stack([(x.to(wide) * y).sum() for x, y in zip(one, other, strict=True)]).sum()


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    """Their quotient, and 0 for one by 0."""
    none = below == 0
    return torch.where(none, 0.0, above / torch.where(none, 1.0, below))


def _hybrid(one: Tensor, other: Tensor) -> Tensor:
    return torch.minimum(one, other).clamp(min=0)
