"""Extragradient steps: the gradient is taken at a point ahead."""

from __future__ import annotations

import torch

from gadkit import Direction, Game
from gadkit_plugins.gad.simultaneous import gradients_of_both


class Extragradient(Direction):
    """Both players look ahead by a step, and step from where they were along the gradients they find there.

    omega' = omega - eta v(omega), then omega -= eta v(omega'), each by the player's optimiser: with Adam, ExtraAdam
    (Gidel, Berard, Vignoud, Vincent & Lacoste-Julien 2019, algorithm 4), whose moments move on in both halves.

    A step costs about two alternating ones. It converges where simultaneous steps turn around the equilibrium.

    In fp16 a half whose gradients overflow is left out for its player alone. Without the first half it does not look
    ahead, and steps along its gradient where it is; without the second it ends where the step began.

    Args:
        fresh: Whether the second half takes a batch of its own, as in the paper. Otherwise both halves share one.
    """

    copies = 1

    def __init__(self, *, fresh: bool = False) -> None:
        self.draws = 2 if fresh else 1

    def step(self, game: Game) -> None:
        """Two gradients and two updates of each player, of which the second counts."""
        players = game.discriminator, game.generator
        with torch.no_grad():
            starts = [[parameter.clone() for parameter in player.parameters] for player in players]
        for player, gradients in zip(players, gradients_of_both(game), strict=True):
            player.update(gradients)
        ahead = gradients_of_both(game, self.draws - 1)
        for player, start, gradients in zip(players, starts, ahead, strict=True):
            with torch.no_grad():
                torch._foreach_copy_(list(player.parameters), start)
            player.update(gradients)
