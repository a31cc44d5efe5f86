"""Lookahead-Minmax: steps forward, and back towards where they began, for both players together."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from gadkit import Direction, Game, Scheduled


class Lookahead(Direction):
    """Alternating steps; every k of them both players go back towards where they were (Chavdarova et al. 2021).

    Algorithm 1 of arXiv:2006.14567. With (theta, phi) the parameters of generator and discriminator and (theta', phi')
    the slow weights, those from which the last k steps set out,

        theta' += alpha (theta - theta'),    phi' += alpha (phi - phi'),

    and both players go on from there. Near an equilibrium k alternating steps are a linear map M^k, and with the way
    back they are (1 - alpha) I + alpha M^k: where a game turns around its equilibrium, M has an eigenvalue e^(i w) on
    the unit circle, and 1 - alpha + alpha e^(i w k) lies inside it. Both go back at once, for either alone would meet
    an opponent of another time.

    A step costs what an alternating one costs. The optimisers' memory (Adam's moments) goes on, as in the paper. Where
    fp16 gradients of either player overflow in the k-th step, both go back after the first later step that was made.

    Args:
        k: Steps forward.
        alpha: The share of the way that is kept; 1 for alternating steps alone.
    """

    copies = 1
    capturable = False  # for `taken`, a number of the host: a captured step would be the same one of the k for ever

    def __init__(
        self,
        *,
        k: Annotated[int, Field(gt=0)] = 5,
        alpha: Annotated[Scheduled, Field(gt=0, le=1)] = 0.5,
    ) -> None:
        self.k = k
        self.alpha = alpha
        self.taken = 0
        self.slow: dict[str, list[Tensor]] = {}

    def step(self, game: Game) -> None:
        """One step of each player, the discriminator first, and in every k-th the way back."""
        players = {"discriminator": game.discriminator, "generator": game.generator}
        if not self.taken:
            self.slow = {side: [value.detach().clone() for value in players[side].parameters] for side in players}
        judging = game.discriminator.update(game.discriminator.gradient(0, again=True))
        making = game.generator.update(game.generator.gradient(0))
        self.taken += 1
        if self.taken < self.k or not (judging and making):
            return
        with torch.no_grad():
            for side, player in players.items():
                for fast, slow in zip(player.parameters, self.slow[side], strict=True):
                    fast.copy_(torch.lerp(slow.to(fast), fast, self.alpha))  # on the CPU after a checkpoint
        self.taken, self.slow = 0, {}

    def state_dict(self) -> dict[str, Any]:
        """The steps taken since both were back, and the slow weights by player; none where both are back."""
        return {"taken": self.taken, "slow": dict(self.slow)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave; `{}` begins anew.

        Raises:
            KeyError: It is another direction's.
        """
        self.taken, self.slow = (state["taken"], dict(state["slow"])) if state else (0, {})
