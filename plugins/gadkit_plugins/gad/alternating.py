"""Alternating steps: the discriminator first."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gadkit import Direction, Game


class Alternating(Direction):
    """The discriminator's steps first, then the generator's against the new discriminator.

    Goodfellow et al. 2014, algorithm 1, with the number k of discriminator steps as a setting.

    Args:
        discriminator_steps: k, updates of the discriminator for one of the generator.
        fresh: Whether the generator's step takes a batch of its own. Otherwise it shares the noise and the clips of the
            discriminator's last step, and the videos are made once for both.
    """

    def __init__(self, *, discriminator_steps: Annotated[int, Field(gt=0, le=1000)] = 1, fresh: bool = False) -> None:
        self.discriminator_steps = discriminator_steps
        self.fresh = fresh
        self.draws = discriminator_steps + (1 if fresh else 0)

    def step(self, game: Game) -> None:
        """k steps of the discriminator and one of the generator."""
        for draw in range(self.discriminator_steps):
            shared = draw == self.draws - 1
            game.discriminator.update(game.discriminator.gradient(draw, again=shared))
        game.generator.update(game.generator.gradient(self.draws - 1))
