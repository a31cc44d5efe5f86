"""What a direction remembers of the players from step to step: tensors like their parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gadkit import Direction, RunError

_SIDES = ("generator", "discriminator")


class Memory:
    """Tensors of the parameters' shapes, type, device and layout, for each player; zeros before the first step.

    A checkpoint has them contiguous on the CPU. They are copied into the parameters' layout before they are used, so
    that sums run over memory in one order, and a resumed run repeats the unbroken one bit for bit.

    Args:
        names: What is kept of each parameter.
    """

    def __init__(self, *names: str) -> None:
        self._names = names
        self._kept: dict[str, dict[str, list[Tensor]]] = {}
        self._given: dict[str, dict[str, list[Tensor]]] = {}

    def of(self, side: str, parameters: Sequence[Tensor]) -> list[list[Tensor]]:
        """What is kept of a player: for each name one tensor a parameter, to be changed in place.

        Args:
            side: `"generator"` or `"discriminator"`.
            parameters: The player's.

        Raises:
            RunError: A checkpoint gave others in number or shape.
        """
        if side not in self._kept:
            given = self._given.pop(side, None)
            self._kept[side] = {
                name: [torch.zeros_like(parameter) for parameter in parameters]
                if given is None
                else _placed(f"{side}.{name}", given[name], parameters)
                for name in self._names
            }
        return list(self._kept[side].values())

    def state_dict(self) -> dict[str, Any]:
        """The tensors by player and name; none before the first step."""
        return {**self._given, **self._kept}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes back what `state_dict` gave.

        Raises:
            ValueError: It is not of this kind.
        """
        if state and set(state) != set(_SIDES):
            raise ValueError(f"a direction remembers {', '.join(state):.80}, and must remember {' and '.join(_SIDES)}")
        for side, lists in state.items():
            if not isinstance(lists, Mapping) or set(lists) != set(self._names):
                raise ValueError(f"a direction's memory of the {side} must be a table of {', '.join(self._names)}")
            for name, tensors in lists.items():
                if not isinstance(tensors, list) or not all(isinstance(tensor, Tensor) for tensor in tensors):
                    raise ValueError(f"a direction's memory {side}.{name} must be a list of tensors")
        self._kept, self._given = {}, dict(state)


class RememberingDirection(Direction):
    """A direction with a `Memory`, which it sets as `memory`."""

    memory: Memory

    def state_dict(self) -> dict[str, Any]:
        """What it remembers of each player."""
        return self.memory.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave; `{}` begins anew."""
        self.memory.load_state_dict(state)


def _placed(name: str, given: Sequence[Tensor], parameters: Sequence[Tensor]) -> list[Tensor]:
    found, expected = [tuple(value.shape) for value in given], [tuple(value.shape) for value in parameters]
    if found != expected:
        raise RunError(
            f"direction: its memory {name} has tensors of the shapes {found!s:.200}, expected the parameters' "
            f"{expected!s:.200}; the checkpoint is of other networks, use one of these."
        )
    # Always a copy, as it is changed in place: what was given stays as it is.
    return [torch.empty_like(parameter).copy_(value) for parameter, value in zip(parameters, given, strict=True)]
