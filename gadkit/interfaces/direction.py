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

    @property
    def rate(self) -> float:
        """The learning rate of this step, for rules that make steps of their own."""

    def gradient(self, draw: int, *, again: bool = False) -> list[Tensor]:
        """The gradient of this player's loss at the current parameters, one tensor a parameter.

        Averaged over micro-batches and processes, unscaled, in the parameters' type and layout. The tensors are the
        player's own buffers and hold until the next call: clone what must last.

        Args:
            draw: Which batch of the step: equal numbers see the same samples and noise, whichever player asks.
            again: The other player is asked for this draw next, and the generator stays as it is until then: its
                videos are kept instead of being made twice.
        """

    def update(self, gradients: Sequence[Tensor]) -> bool:
        """One step of this player's optimiser along `gradients`.

        Returns:
            Whether it was made: not where fp16 gradients overflowed. Then the parameters and the optimiser's memory
            are as they were.
        """

    def move(self, steps: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
        """Adds `steps` to the parameters, past the optimiser; for directions that are not `scalable`.

        Args:
            steps: One tensor a parameter.
            gradients: Those that led to them, for whoever watches the run.
        """


class Game(Protocol):
    """Both players at one training step. Losses and gradients are functions of the parameters as they stand."""

    @property
    def generator(self) -> Player:
        """The player that makes videos."""

    @property
    def discriminator(self) -> Player:
        """The player that judges them."""

    @property
    def zero_sum(self) -> bool:
        """Whether the generator's loss is the negated discriminator's, up to terms that one player alone moves."""

    def losses(self, draw: int) -> tuple[Tensor, Tensor]:
        """The generator's and the discriminator's loss on one graph, differentiable in both players' parameters.

        For directions that need mixed second derivatives, which say so by `needs_one_graph`: the whole batch of this
        process, unscaled. A penalty is the discriminator's own: it is taken at the clips as they are, and no
        derivative leads from it to the generator.

        Args:
            draw: Which batch of the step, as for `Player.gradient`.
        """

    def average_(self, tensors: Sequence[Tensor]) -> None:
        """Replaces tensors of one type by their means over the processes, in place.

        For what a direction derives from `losses`, which are this process's alone.
        """


class Direction(ABC):
    """Makes one training step of a two-player game. Settings are the keyword-only arguments of `__init__`.

    Attributes:
        draws: How many batches a step takes: `draw` is asked for in [0, draws).
        needs_zero_sum: Whether the rule is only right for a zero-sum loss.
        needs_double_backward: Whether it differentiates gradients, of either player.
        needs_one_graph: Whether it asks for `Game.losses`, so that the batch cannot be cut into micro-batches.
        scalable: Whether every gradient is handed to `Player.update` once before the next is asked for, and nothing
            else moves parameters unless that was made; fp16, whose gradients are scaled, needs it.
        capturable: Whether a step reads nothing on the host, so that it can be captured in a CUDA graph.
        copies: How many tensors of every parameter's size it keeps while it works, for estimates of memory.
    """

    draws: int = 1
    needs_zero_sum: bool = False
    needs_double_backward: bool = False
    needs_one_graph: bool = False
    scalable: bool = True
    capturable: bool = True
    copies: int = 0

    @abstractmethod
    def step(self, game: Game) -> None:
        """One step: one update of the generator and as many of the discriminator as the rule asks for.

        Args:
            game: Both players at this step.
        """

    def state_dict(self) -> dict[str, Any]:
        """What the next step depends on, tensors and plain values; empty for rules without memory."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027, nothing to take back by default
        """Takes back what `state_dict` gave, of this or of an earlier step, also none at all (`{}`).

        The tensors lie on the CPU; a step brings them to the parameters' device and layout.

        Args:
            state: As `state_dict` gave it.

        Raises:
            KeyError, RuntimeError, TypeError, ValueError: It does not fit.
        """
