"""Finite differences: are the gradients of a loss those of its values, and does a direction go downhill?"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gadkit.interfaces.direction import Direction
from gadkit.interfaces.loss import Loss
from gadkit.testing.games import SmallPlayer
from gadkit.testing.probes import noise_of
from gadkit.testing.promises import promise
from gadkit.testing.subjects import Trial

_STEP = 1e-6
_CLOSE = 1e-6
_RATE = 1e-3
_STEPS = 6


def check_slopes(trial: Trial) -> None:
    """Checks the gradients of a loss, or the steps of a direction, by finite differences.

    Raises:
        AssertionError: A broken promise.
    """
    if trial.kind == "loss":
        check_loss_slopes(trial.load(), **trial.settings)
    else:
        check_descent(trial.load(), **trial.settings)


def check_loss_slopes(cls: type[Loss], **settings: Any) -> None:
    """Checks that the gradients of both players' losses are those of their values.

    In float64, at logits where the discriminator is right, wrong and undecided, along random directions: central
    differences of the value against the gradient, and of the gradient against its own gradient, which directions with
    mixed second derivatives use.

    Raises:
        AssertionError: A broken promise.
    """
    loss = cls(**settings)
    size, name = loss.logits or 2, cls.__name__
    for scale, shift in ((0.3, 0.0), (1.0, 2.0), (1.0, -2.0)):
        draws = noise_of(5).normal("logits", 2 * size).double()
        real = (draws[:, :size] * scale + shift).requires_grad_()
        fake = (draws[:, size:] * scale - shift).requires_grad_()
        _compare(partial(_judging_real, loss, fake), real, f"{name}.discriminator in D(real)")
        _compare(partial(loss.discriminator, real), fake, f"{name}.discriminator in D(fake)")
        _compare(partial(_making, loss, real), fake, f"{name}.generator in D(fake)")


def _judging_real(loss: Loss, fake: Tensor, real: Tensor) -> Tensor:
    return loss.discriminator(real, fake)


def _making(loss: Loss, real: Tensor, fake: Tensor) -> Tensor:
    return loss.generator(fake, real if loss.generator_needs_real else None)


def _compare(value: Callable[[Tensor], Tensor], at: Tensor, what: str) -> None:
    along = noise_of(len(at), seed=1).normal("along", at.shape[1]).double()
    (slope,) = torch.autograd.grad(value(at), at, create_graph=True)
    ends = [at.detach() + sign * _STEP * along for sign in (1, -1)]
    with torch.no_grad():
        measured = float((value(ends[0]) - value(ends[1])) / (2 * _STEP))
    stated = float((slope * along).sum().detach())
    promise(
        abs(stated - measured) <= _CLOSE * max(1.0, abs(measured)),
        f"the gradient of {what} is that of its value",
        f"along a direction it is {stated:.6g}, and finite differences give {measured:.6g}",
        "detach nothing that the value depends on, and check a backward of your own",
    )
    if not slope.requires_grad:  # piecewise linear, as hinge losses are
        return
    (second,) = torch.autograd.grad((slope * along).sum(), at, allow_unused=True)
    curved = 0.0 if second is None else float((second * along).sum())
    slopes = []
    for end in ends:
        (there,) = torch.autograd.grad(value(end.requires_grad_()), end)
        slopes.append(float((there * along).sum()))
    measured = (slopes[0] - slopes[1]) / (2 * _STEP)
    promise(
        abs(curved - measured) <= 1e-4 * max(1.0, abs(measured)),
        f"the second derivative of {what} is that of its gradient",
        f"along a direction it is {curved:.6g}, and finite differences give {measured:.6g}",
        "write it with operations whose gradients have gradients",
    )


class _Apart:
    """Two players who do not meet: each has a bowl of its own, so that every rule has to go downhill.

    The bowls are sums of c x^2 / 2 with several c, moved by plain descent at a small rate.
    """

    zero_sum = True

    def __init__(self) -> None:
        draws = noise_of(2).normal("bowls", 6).double()
        self.curvature = torch.linspace(0.5, 2.0, 6, dtype=torch.float64)
        self._parameters = [nn.Parameter(row.clone()) for row in draws]
        self.generator, self.discriminator = (
            SmallPlayer([each], lambda draw, each=each: self._height(each), torch.optim.SGD([each], lr=_RATE))  # type: ignore[misc]
            for each in self._parameters
        )

    def _height(self, parameter: Tensor) -> Tensor:
        return (self.curvature * parameter.square()).sum() / 2

    def losses(self, draw: int) -> tuple[Tensor, Tensor]:
        """See `gadkit.Game.losses`."""
        heights = [self._height(each) for each in self._parameters]
        return heights[0], heights[1]

    def average_(self, tensors: Any) -> None:
        """See `gadkit.Game.average_`: there is one process."""

    def heights(self) -> dict[str, float]:
        """Each player's loss."""
        values = (float(self._height(each).detach()) for each in self._parameters)
        return dict(zip(("generator", "discriminator"), values, strict=True))


def check_descent(cls: type[Direction], **settings: Any) -> None:
    """Checks that small steps of a direction lower both players' losses where the players do not meet.

    Whatever a rule makes of how the players turn around each other, without that it is a rule of descent.

    Raises:
        AssertionError: A broken promise.
    """
    direction, game = cls(**settings), _Apart()
    before = game.heights()
    for _ in range(_STEPS):
        direction.step(game)
    for player, height in game.heights().items():
        promise(
            height < before[player],
            f"{cls.__name__} lowers the {player}'s loss where the other player does not matter",
            f"{_STEPS} steps at a rate of {_RATE:g} took it from {before[player]:.6g} to {height:.6g}",
            "turn the sign: losses are minimised, and Player.update descends along what it is handed",
        )
