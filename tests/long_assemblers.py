"""The assemblers for long videos, small, and noise to try them with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gadkit import Key, Noise, VideoAssembler, VideoSpec
from gadkit.randomness import seeded
from gadkit.registry import get_registry

VIDEO = VideoSpec(height=4, width=4, frames=8)
LABELLED = VideoSpec(height=4, width=4, frames=8, classes=3)
#: Entries of a code, and how many of them move.
LATENT, MOVING = 7, 4
#: Settings that make each small.
SMALL: dict[str, dict[str, Any]] = {
    "lstm": {"hidden": 6, "label_dim": 3},
    "transformer": {"window": 4, "layers": 2, "heads": 2, "width": 8},
    "motion-codes": {"spacing": 5.0, "width": 6, "waves": 3, "kernel": 3, "label_dim": 3},
}


def make(name: str, video: VideoSpec = VIDEO, seed: int = 0, moving: int = MOVING, **settings: Any) -> Any:
    """A small assembler whose weights are none of those that training begins with."""
    with seeded(Key.of(seed)):
        net = get_registry().find("assembler", name).load()(video, LATENT, moving, **(SMALL[name] | settings))
        for parameter in net.parameters():
            parameter.data.add_(0.2 * torch.randn(parameter.shape))
    return net


def noise(batch: int = 2, start: int = 0, dtype: torch.dtype = torch.float64) -> Noise:
    """Noise of videos from number `start` on."""
    return Noise(Key.of(1), torch.arange(start, start + batch), dtype=dtype)


def motion(
    net: VideoAssembler, times: Tensor | Sequence[float], draws: Noise | None = None, labels: Tensor | None = None
) -> Tensor:
    """The entries that move at certain times, one row of them or `(B, N)`."""
    draws = noise() if draws is None else draws
    at = torch.as_tensor(times, dtype=torch.float64)
    return net.codes(draws, at.expand(len(draws), at.shape[-1]), labels)[0][:, :, -net.moving :]


def in_pieces(net: VideoAssembler, pieces: Sequence[Tensor], draws: Noise, labels: Tensor | None = None) -> Tensor:
    """Codes at times `(B, N)` that are asked for piece by piece, each going on from the one before it."""
    state, parts = None, []
    for times in pieces:
        codes, state = net.codes(draws, times, labels, state)
        parts.append(codes)
    return torch.cat(parts, dim=1)


class Stretched(Noise):
    """Noise whose normals are multiplied by a tensor, so that derivatives in it can be taken."""

    def __init__(self, factor: Tensor) -> None:
        super().__init__(Key.of(1), torch.arange(2), dtype=factor.dtype)
        self.factor = factor

    def normal(self, purpose: str, size: int, at: Tensor | None = None) -> Tensor:
        drawn = super().normal(purpose, size, at)
        return drawn * self.factor.view(-1, *[1] * (drawn.dim() - 1))


class Altered(Noise):
    """Noise whose normals are others at one place, wherever that is among those that are drawn.

    Args:
        place: The frame, or the anchor.
    """

    def __init__(self, place: int) -> None:
        super().__init__(Key.of(1), torch.arange(2), dtype=torch.float64)
        self.place = place

    def normal(self, purpose: str, size: int, at: Tensor | None = None) -> Tensor:
        drawn = super().normal(purpose, size, at)
        return drawn if at is None else drawn + (at == self.place).unsqueeze(-1)


def check_second_derivatives(net: VideoAssembler, times: Sequence[float]) -> None:
    """Second derivatives in the noise of a net in float64 are those of finite differences and reach every parameter."""
    factor = torch.tensor([0.9, 1.1], dtype=torch.float64, requires_grad=True)

    def codes(factor: Tensor) -> Tensor:
        return motion(net, times, Stretched(factor))

    assert torch.autograd.gradcheck(codes, (factor,))
    assert torch.autograd.gradgradcheck(codes, (factor,))
    (slope,) = torch.autograd.grad(codes(factor).square().sum(), factor, create_graph=True)
    slope.square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name
