"""Recurrent cells in plain tensor operations, which can be differentiated twice."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from gadkit_plugins.assemblers.layers import linear


class Cell(nn.Module, ABC):
    """One step of a recurrent net.

    The input's share of the gates has unit variance at the beginning for inputs of unit variance, and the recurrent
    weights of every gate are orthogonal, so the state's spread depends little on its size.

    Args:
        inputs: Entries of an input.
        hidden: Entries of the hidden state.

    Attributes:
        gates: How many vectors of the state's size a step computes from input and state.
        spreads: The standard deviation of each part of the state, the hidden state's first. Measured once the cell has
            run for 60 steps on independent standard normal inputs; from 8 to 512 entries they differ by 2 %.
    """

    gates: ClassVar[int]
    spreads: ClassVar[tuple[float, ...]]

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.project = linear(inputs, self.gates * hidden)
        self.recur = nn.Linear(hidden, self.gates * hidden)
        for gate in self.recur.weight.data.chunk(self.gates):
            nn.init.orthogonal_(gate)
        nn.init.zeros_(self.recur.bias)

    @abstractmethod
    def forward(self, projected: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The next state.

        Args:
            projected: What `project` made of the input, `(B, gates * hidden)`.
            state: The parts of the state, `(B, hidden)` each.
        """


class GruCell(Cell):
    """The gated recurrent unit (Cho et al. 2014), with the reset after the product, as PyTorch and cuDNN have it.

    r = s(x_r + U_r h), z = s(x_z + U_z h), n = tanh(x_n + r (U_n h + b)), h' = (1 - z) n + z h.
    """

    gates = 3
    spreads = (0.417,)

    def forward(self, projected: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """See `Cell.forward`."""
        (h,) = state
        size = 2 * h.shape[1]
        own = self.recur(h)
        r, z = torch.sigmoid(projected[:, :size] + own[:, :size]).chunk(2, dim=1)
        n = torch.tanh(projected[:, size:] + r * own[:, size:])
        return (n + z * (h - n),)


class LstmCell(Cell):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; Gers et al. 2000 for the forget gate).

    i, f, o = s(x + U h + b), g = tanh(x_g + U_g h + b_g), c' = f c + i g, h' = o tanh(c'). The forget gate's bias
    begins at 1 (Jozefowicz et al. 2015).
    """

    gates = 4
    spreads = (0.232, 0.522)

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden)
        nn.init.ones_(self.recur.bias.data[hidden : 2 * hidden])

    def forward(self, projected: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """See `Cell.forward`."""
        h, c = state
        size = h.shape[1]
        total = projected + self.recur(h)
        i, f = torch.sigmoid(total[:, : 2 * size]).chunk(2, dim=1)
        g, o = torch.tanh(total[:, 2 * size : 3 * size]), torch.sigmoid(total[:, 3 * size :])
        c = f * c + i * g
        return o * torch.tanh(c), c
