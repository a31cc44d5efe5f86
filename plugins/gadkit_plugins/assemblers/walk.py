"""A smooth random walk through the codes."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from gadkit import ConfigError, Noise, VideoAssembler, VideoSpec

_REACH = 4  # anchors that a cubic B-spline is made of at any time


class Walk(VideoAssembler):
    """Moves every video's code along a smooth random path without end.

    z(t) = sum_k w(t/d - k) a_k / sqrt(sum_k w(t/d - k)^2), with the cubic B-spline w, independent standard normal
    anchors a_k at every integer k and the spacing d in frames. The division makes the code exactly standard normal at
    every t, so a generator never sees a code of another norm. The path has two continuous derivatives, depends on four
    anchors at a time and does not repeat. Codes d frames apart correlate by about 1/2, 2d by 1/20, from 4d on not at
    all.

    Only the last `motion_dim` entries move (all where that is 0); the others are drawn once a video.

    Args:
        video: What is generated.
        latent_dim: Entries of a code.
        motion_dim: How many of them move.
        spacing: d, frames from one anchor to the next: smaller moves faster.
        period: For a video that loops: frames until the path closes, a multiple of `spacing`, at least four times it.
    """

    continuous = True

    def __init__(
        self,
        video: VideoSpec,
        latent_dim: int,
        motion_dim: int,
        *,
        spacing: Annotated[float, Field(gt=0)] = 8.0,
        period: Annotated[float, Field(gt=0)] | None = None,
    ) -> None:
        super().__init__(video, latent_dim, motion_dim)
        self.spacing = spacing
        self.period = period
        self._loop: int | None = None
        if period is not None:
            self._loop = round(period / spacing)
            if abs(self._loop * spacing - period) > 1e-6 * period or self._loop < _REACH:
                near = max(_REACH, self._loop) * spacing
                raise ConfigError(
                    f"assembler.period: found {period:g}, but a loop is a multiple of assembler.spacing ({spacing:g} "
                    f"frames), and at least {_REACH} times it; use {near:g}, or a spacing that divides the period."
                )

    def codes(self, noise: Noise, times: Tensor, labels: Tensor | None = None, state: Any = None) -> tuple[Tensor, Any]:
        """Codes `(B, N, Z)` at `times` `(B, N)`, and no state; see `gadkit.VideoAssembler.codes`."""
        # anchors are drawn where the noise draws, so the little arithmetic on times happens there as well
        scaled = times.to(noise.samples.device, torch.float64) / self.spacing
        before = scaled.floor()
        weights = _weights(scaled - before).to(noise.device, noise.dtype)
        motion = torch.zeros((), dtype=noise.dtype, device=noise.device)
        for weight, anchor in zip(weights.unbind(-1), self._anchors(noise, before.to(torch.int64) - 1), strict=True):
            motion = motion + weight.unsqueeze(-1) * anchor
        return self.with_content(noise, motion), None

    def _anchors(self, noise: Noise, first: Tensor) -> list[Tensor]:
        """The anchors `first`, `first + 1`, ... of every time: `_REACH` tensors `(B, N, moving)`."""
        lowest = first.amin(dim=1, keepdim=True)
        span = int((first - lowest).max()) + _REACH
        if span <= _REACH * first.shape[1]:  # times lie close together and share anchors: draw each once
            places, index = lowest + torch.arange(span, device=first.device), first - lowest
        else:
            places = (first.unsqueeze(-1) + torch.arange(_REACH, device=first.device)).flatten(1)
            index = torch.arange(0, places.shape[1], _REACH, device=first.device).expand_as(first)
        if self._loop is not None:
            places = places % self._loop
        drawn = noise.normal("motion", self.moving, places)
        rows = torch.arange(len(first), device=drawn.device).unsqueeze(1)
        index = index.to(drawn.device)
        return [drawn[rows, index + i] for i in range(_REACH)]


def _weights(u: Tensor) -> Tensor:
    """The four cubic B-splines at a fraction u in [0, 1) between anchors, over their root sum of squares, `(*, 4)`."""
    v = 1 - u
    splines = torch.stack((v**3, 3 * u**3 - 6 * u**2 + 4, 3 * v**3 - 6 * v**2 + 4, u**3), dim=-1)
    weights: Tensor = splines / torch.linalg.vector_norm(splines, dim=-1, keepdim=True)
    return weights
