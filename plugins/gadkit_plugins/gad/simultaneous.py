"""Simultaneous steps: both players move from the same point."""

from __future__ import annotations

from torch import Tensor

from gadkit import Direction, Game


def gradients_of_both(game: Game, draw: int = 0) -> tuple[list[Tensor], list[Tensor]]:
    """The discriminator's and the generator's gradient at the parameters as they stand, on one batch.

    Neither player may move between the two; the generator's videos are made once for both.
    """
    judging = game.discriminator.gradient(draw, again=True)
    return judging, game.generator.gradient(draw)


class Simultaneous(Direction):
    """Both players step along their gradients at the same point.

    omega -= eta v(omega), v = (grad_G L_G, grad_D L_D): Mescheder, Nowozin & Geiger 2017, algorithm 1, with the
    optimisers' preconditioners. It costs what an alternating step costs. On its own it turns around an equilibrium that
    it should reach, and moves away from it (Mescheder et al. 2018, section 2): a penalty must hold it. It is the
    rule that the others of this family mend.
    """

    def step(self, game: Game) -> None:
        """Both gradients, then both updates."""
        judging, making = gradients_of_both(game)
        game.discriminator.update(judging)
        game.generator.update(making)
