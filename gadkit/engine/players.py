"""One side of a game: gradients over micro-batches and processes, and the optimiser's steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gadkit.engine.devices import Engine
from gadkit.engine.optimisers import laid_out_like, load_optimiser_state, optimiser_state


class BoundPlayer:
    """One side of the game: what `gadkit.Player` promises, over micro-batches, processes and fp16 scaling.

    Args:
        parameters: What is trained.
        optimiser: Of these.
        engine: Device, processes and precision.
        pieces: Micro-batches of a process.
        loss: The loss of `(draw, piece, again)`, with its graph; see `gadkit.Player.gradient`.
        see: Is told of every gradient that a step is made of.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        optimiser: torch.optim.Optimizer,
        engine: Engine,
        pieces: int,
        loss: Callable[[int, int, bool], Tensor],
        see: Callable[[BoundPlayer, Sequence[Tensor]], None],
    ) -> None:
        self._see = see
        self.parameters = parameters
        self.optimiser = optimiser
        self._engine = engine
        self._scaler = engine.scaler()
        self._pieces = pieces
        self.loss = loss

    def gradient(self, draw: int, *, again: bool = False) -> list[Tensor]:
        """The gradient at the current parameters, over every micro-batch of every process; see `gadkit.Player`."""
        summed: list[Tensor] = []
        for piece in range(self._pieces):
            loss = self.loss(draw, piece, again)
            if self._scaler is not None:
                loss = self._scaler.scale(loss)
            found = [
                laid_out_like(parameter, gradient)
                for parameter, gradient in zip(
                    self.parameters,
                    torch.autograd.grad(loss, self.parameters, materialize_grads=True),
                    strict=True,
                )
            ]
            if summed:
                torch._foreach_add_(summed, found)
            else:
                summed = found
        if self._pieces > 1:
            torch._foreach_div_(summed, self._pieces)
        self._engine.average_(summed)
        if self._scaler is not None:
            self._assign(summed)
            self._scaler.unscale_(self.optimiser)
        return summed

    @property
    def rate(self) -> float:
        """The optimiser's learning rate."""
        return float(self.optimiser.param_groups[0]["lr"])

    @rate.setter
    def rate(self, value: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = value

    def update(self, gradients: Sequence[Tensor]) -> bool:
        """One step of the optimiser along `gradients`; whether it was made."""
        self._assign(gradients)
        made = True
        if self._scaler is None:  # which skips what overflowed
            self._see(self, gradients)
            self.optimiser.step()
        else:
            scale = self._scaler.get_scale()
            self._scaler.step(self.optimiser)
            self._scaler.update()
            made = self._scaler.get_scale() >= scale  # it falls after an overflow, and then alone
        for parameter in self.parameters:
            parameter.grad = None
        return made

    @torch.no_grad()
    def move(self, steps: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
        """Adds `steps` to the parameters, past the optimiser; see `gadkit.Player`."""
        self._see(self, gradients)
        torch._foreach_add_(list(self.parameters), list(steps))

    def _assign(self, gradients: Sequence[Tensor]) -> None:
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient

    def state_dict(self) -> dict[str, Any]:
        """The optimiser's and the scaler's memory."""
        scaler = None if self._scaler is None else self._scaler.state_dict()
        return {"optimiser": optimiser_state(self.optimiser), "scaler": scaler}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave.

        Args:
            state: As `state_dict` gave it.
        """
        load_optimiser_state(self.optimiser, state["optimiser"])
        if self._scaler is not None and state["scaler"] is not None:
            self._scaler.load_state_dict(state["scaler"])
