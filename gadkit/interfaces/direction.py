"""Directions: how the two players' gradients become steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor, nn


class Player(Protocol):
    """One side of the game: its parameters, its loss and its optimiser."""

    @property
    def parameters(self) -> Sequence[nn.Parameter]:
        """The parameters that this player moves; the assembler's are the generator's."""

    def gradient(self, draw: int, *, again: bool = False) -> list[Tensor]:
        """The gradient of this player's loss at the current parameters, one tensor a parameter.

        Averaged over micro-batches and processes, unscaled, in the parameters' type. The tensors are the player's own
        buffers and hold until the next call: clone what must last.

        Args:
            draw: Which batch of the step: equal numbers see the same samples and noise, whichever player asks.
            again: The other player is asked for this draw next, and the generator stays as it is until then: its
                videos are kept instead of being made twice.
        """

    def update(self, gradients: Sequence[Tensor]) -> None:
        """One step of this player's optimiser along `gradients`; skipped where fp16 gradients overflowed."""


class Game(Protocol):
    """Both players at one training step. Losses and gradients are functions of the parameters as they stand."""

    @property
    def generator(self) -> Player:
        """The player that makes videos."""

    @property
    def discriminator(self) -> Player:
        """The player that judges them."""

    def losses(self, draw: int) -> tuple[Tensor, Tensor]:
        """The generator's and the discriminator's loss on one graph, differentiable in both players' parameters.

        For directions that need mixed second derivatives. One process, without accumulation and scaling.
        """


class Direction(ABC):
    """Makes one training step of a two-player game. Settings are the keyword-only arguments of `__init__`.

    Attributes:
        draws: How many batches a step takes: `draw` is asked for in [0, draws).
        needs_zero_sum: Whether the rule is only right for a zero-sum loss.
        needs_double_backward: Whether it differentiates gradients, of either player.
        capturable: Whether a step reads nothing on the host, so that it can be captured in a CUDA graph.
    """

    draws: int = 1
    needs_zero_sum: bool = False
    needs_double_backward: bool = False
    capturable: bool = True

    @abstractmethod
    def step(self, game: Game) -> None:
        """One step: one update of the generator and as many of the discriminator as the rule asks for."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values that the next step depends on; empty for rules without memory."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027, nothing to take back by default
        """Takes back what `state_dict` gave."""
