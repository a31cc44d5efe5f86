"""Which frames a call for codes asks for, for assemblers that compute every frame from those before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Asked:
    """The frames that times stand for: a time between two frames stands for the one before it.

    Attributes:
        frames: The numbers of all frames that any video asks for, ascending, each once.
        index: int64 `(B, N)` on the CPU: where in `frames` each time's frame is.
        last: int64 `(B,)` on the CPU: each video's last frame.
    """

    frames: list[int]
    index: Tensor
    last: Tensor

    @classmethod
    def at(cls, times: Tensor, since: Tensor | int) -> Asked:
        """The frames at certain times.

        Args:
            times: `(B, N)` on the CPU, in frames, not decreasing along N, N at least 1.
            since: The earliest frame that can be asked for, one number or int64 `(B,)` on the CPU.

        Raises:
            ValueError: Times decrease, or lie before that.
        """
        frames = times.floor().to(torch.int64) if times.is_floating_point() else times
        earliest = torch.as_tensor(since)
        if bool((frames[:, 0] < earliest).any()) or bool((frames.diff(dim=1) < 0).any()):
            raise ValueError(
                f"times: found {frames.tolist()}, expected frames that do not decrease, from {earliest.tolist()} on, "
                "where the state stands; go on in order, or begin again without a state"
            )
        wanted, index = torch.unique(frames, return_inverse=True)
        return cls(wanted.tolist(), index, frames[:, -1])

    def pick(self, found: Sequence[Tensor]) -> Tensor:
        """What was asked for.

        Args:
            found: Something of each of `frames`, `(B, K)` each.

        Returns:
            `(B, N, K)`.
        """
        stacked = torch.stack(tuple(found), dim=1)
        in_turn = torch.arange(len(self.frames))
        if self.index.shape[1] == len(in_turn) and bool((self.index == in_turn).all()):
            return stacked
        rows = torch.arange(len(stacked), device=stacked.device).unsqueeze(1)
        return stacked[rows, self.index.to(stacked.device)]
