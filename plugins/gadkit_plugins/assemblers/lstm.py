"""Motion by a recurrent net."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from gadkit import Noise, VideoAssembler, VideoSpec
from gadkit_plugins.assemblers.asked import Asked
from gadkit_plugins.assemblers.cells import GruCell, LstmCell
from gadkit_plugins.assemblers.layers import ClassVector, linear

_CELLS = {"lstm": LstmCell, "gru": GruCell}
_GROUP = 16  # frames whose inputs are projected together


@dataclass(frozen=True)
class _State:
    """Where every video stands.

    Attributes:
        frames: int64 `(B,)` on the CPU: the frame whose state this is; -1 before the first.
        parts: The parts of the cell's state, `(B, hidden)` each.
    """

    frames: Tensor
    parts: tuple[Tensor, ...]


class Lstm(VideoAssembler):
    """MoCoGAN's codes (Tulyakov et al. 2018, section 3): content that holds, and motion by a recurrent net.

    h_t = cell(e_t, h_{t-1}) with fresh standard normal e_t, as many as entries move; with classes, a learned vector of
    the class joins e_t. The state before the first frame is a learned linear map of noise that is drawn once a video,
    where MoCoGAN takes the noise itself: it begins with the spread that the later states have, so that the first frames
    are like the others. The motion is a linear map of h_t, whose rows divide by that spread, so that every entry begins
    with about unit variance, which is what generators expect. With as many hidden entries as entries that move it is
    h_t itself, as in MoCoGAN, over its spread.

    A time between two frames has the code of the frame before it. Frames that are left out are stepped through, in
    memory that does not grow with their number where no gradient is asked for. The recurrence computes every frame in
    the same way, however calls cut the time: inputs are projected in groups of 16 frames that begin at multiples of 16.
    So two courses of one video cannot part, not even where a trained cell is chaotic.

    Args:
        video: What is generated.
        latent_dim: Entries of a code.
        motion_dim: How many of them move.
        cell: `lstm`, or `gru`, which is MoCoGAN's.
        hidden: Entries of the hidden state; 0 for as many as entries that move.
        label_dim: Size of the vector of a class.
    """

    def __init__(
        self,
        video: VideoSpec,
        latent_dim: int,
        motion_dim: int,
        *,
        cell: Literal["lstm", "gru"] = "lstm",
        hidden: Annotated[int, Field(ge=0)] = 128,
        label_dim: Annotated[int, Field(gt=0)] = 16,
    ) -> None:
        super().__init__(video, latent_dim, motion_dim)
        self.hidden = hidden or self.moving
        self.label = ClassVector(video, label_dim)
        self.cell = _CELLS[cell](self.moving + self.label.size, self.hidden)
        self.initial = torch.nn.ModuleList(linear(self.moving, self.hidden, spread) for spread in self.cell.spreads)
        self._gain = 1 / self.cell.spreads[0]
        self.out = None if self.hidden == self.moving else linear(self.hidden, self.moving, self._gain)

    def codes(self, noise: Noise, times: Tensor, labels: Tensor | None = None, state: Any = None) -> tuple[Tensor, Any]:
        """Codes `(B, N, Z)` at `times` `(B, N)`, and the state to go on from; see `gadkit.VideoAssembler.codes`.

        Raises:
            ValueError: Times decrease, or lie before the state.
            ConfigError: There are classes, and no labels.
        """
        at: _State = state or self._beginning(noise)
        asked = Asked.at(times, at.frames.clamp(min=0))
        parts, hidden = at.parts, []
        since = int(at.frames.min())
        together = bool((at.frames == since).all()) and bool((asked.last == asked.frames[-1]).all())
        wanted = iter(asked.frames)
        frame = next(wanted)
        if frame == since:  # the state stands on what is asked for first
            hidden.append(parts[0])
            frame = next(wanted, -1)
        projected: tuple[Tensor, ...] = ()
        for number in range(since + 1, asked.frames[-1] + 1):
            place = number % _GROUP
            if place == 0 or not projected:
                projected = self._projected(noise, number - place, labels).unbind(1)
            stepped = self.cell(projected[place], parts)
            if not together:
                goes = (number > at.frames) & (number <= asked.last)
                here = goes.to(parts[0].device).unsqueeze(1)
                stepped = tuple(torch.where(here, new, old) for new, old in zip(stepped, parts, strict=True))
            parts = stepped
            if number == frame:
                hidden.append(parts[0])
                frame = next(wanted, -1)
        motion = asked.pick(hidden)
        motion = motion * self._gain if self.out is None else self.out(motion)
        return self.with_content(noise, motion.to(noise.dtype)), _State(asked.last, parts)

    def _beginning(self, noise: Noise) -> _State:
        """Before the first frame."""
        drawn = noise.normal("initial", self.moving).to(self.cell.recur.weight.dtype)
        return _State(torch.full((len(noise),), -1), tuple(part(drawn) for part in self.initial))

    def _projected(self, noise: Noise, start: int, labels: Tensor | None) -> Tensor:
        """The inputs' share of the gates of the group that begins with frame `start`, `(B, _GROUP, gates * hidden)`."""
        drawn = noise.normal("motion", self.moving, torch.arange(start, start + _GROUP))
        drawn = drawn.to(self.cell.recur.weight.dtype)
        label = self.label(labels, len(noise), drawn).unsqueeze(1).expand(-1, _GROUP, -1)
        projected: Tensor = self.cell.project(torch.cat((drawn, label), dim=2))
        return projected
