"""A small game under watch: what a direction asks of it is written down, and what befalls runs can be brought about."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from gadkit.interfaces.loss import Loss
from gadkit.testing.games import Mixture, MixtureGame, SmallGame, SmallPlayer, dirac
from gadkit.testing.probes import once
from gadkit.testing.reads import HostReads

Name = Literal["generator", "discriminator"]
NAMES: tuple[Name, Name] = ("generator", "discriminator")


class ZeroSum(Loss):
    """The value function of Goodfellow et al. 2014, equation 1."""

    zero_sum = True

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """-E log sigma(D(x)) - E log(1 - sigma(D(y)))."""
        return softplus(-real).mean() + softplus(fake).mean()

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        """E log(1 - sigma(D(y)))."""
        return -softplus(fake).mean()


class GeneralSum(Loss):
    """Relativistic pairing (Jolicoeur-Martineau 2019, equation 3): neither loss is the other's negative."""

    generator_needs_real = True

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """E softplus(-(D(x) - D(y)))."""
        return softplus(fake - real).mean()

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        """E softplus(-(D(y) - D(x)))."""
        assert real is not None
        return softplus(real - fake).mean()


class DifferentiableOnce(Loss):
    """A loss whose gradients cannot be differentiated, as behind a compiled net.

    Args:
        loss: What it is otherwise.
    """

    def __init__(self, loss: Loss) -> None:
        self._loss = loss
        self.zero_sum, self.generator_needs_real = loss.zero_sum, loss.generator_needs_real

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """As the loss has it."""
        return self._loss.discriminator(once(real), once(fake))

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        """As the loss has it."""
        return self._loss.generator(once(fake), None if real is None else once(real))


def ring(loss: Loss) -> WatchedGame:
    """A ring of four Gaussians and two nets of a few parameters, moved by Adam; float64, the same every time."""
    return WatchedGame(MixtureGame(Mixture.ring(4), loss, latent_dim=3, width=5, batch_size=8, dtype=torch.float64))


def point(loss: Loss) -> WatchedGame:
    """The Dirac-GAN by plain descent, whose parameters are numbers without dimensions."""
    return WatchedGame(dirac(loss, start=(1.0, 0.5)))


@dataclass
class Conditions:
    """What happens in a step.

    Attributes:
        overflow: The players whose updates are not made.
        still: Whether all gradients are zero, as with a hinge loss that is content.
        reuse: Whether a player's gradients lie in the same memory at every call.
    """

    overflow: frozenset[Name] = frozenset()
    still: bool = False
    reuse: bool = False


@dataclass(frozen=True)
class Call:
    """What was asked for: a method, of a player or (`""`) of the game."""

    what: Literal["gradient", "update", "move", "rate", "losses", "average_"]
    player: Name | Literal[""] = ""
    draw: int = 0
    again: bool = False
    kept: bool = True  # whether the generator is as it was when `again` was said


@dataclass
class Record:
    """What a direction has asked for in the step under way."""

    calls: list[Call] = field(default_factory=list)
    announced: list[Tensor] | None = None  # the generator's parameters when `again` was said

    def of(self, what: str) -> list[Call]:
        """The calls of a method, of whichever player."""
        return [call for call in self.calls if call.what == what]


class WatchedPlayer:
    """A player that notes what it is asked for (see `gadkit.Player`)."""

    def __init__(self, name: Name, game: WatchedGame, player: SmallPlayer) -> None:
        self.name, self._game, self._player = name, game, player
        self._buffers: list[Tensor] | None = None

    @property
    def parameters(self) -> Sequence[nn.Parameter]:
        """See `gadkit.Player.parameters`."""
        return self._player.parameters

    @property
    def rate(self) -> float:
        """See `gadkit.Player.rate`."""
        self._game.record.calls.append(Call("rate", self.name))
        return self._player.rate

    def gradient(self, draw: int, *, again: bool = False) -> list[Tensor]:
        """See `gadkit.Player.gradient`."""
        game = self._game
        with game.reads.paused():
            made = game.inner.generator.parameters
            announced = game.record.announced
            kept = announced is None or all(torch.equal(a, b) for a, b in zip(announced, made, strict=True))
            game.record.calls.append(Call("gradient", self.name, draw, again, kept))
            game.record.announced = [parameter.detach().clone() for parameter in made] if again else None
            found = self._player.gradient(draw, again=again)
            if game.conditions.still:
                found = [torch.zeros_like(gradient) for gradient in found]
            if game.conditions.reuse:
                self._buffers = self._buffers or [torch.empty_like(gradient) for gradient in found]
                found = [buffer.copy_(gradient) for buffer, gradient in zip(self._buffers, found, strict=True)]
        return found

    def update(self, gradients: Sequence[Tensor]) -> bool:
        """See `gadkit.Player.update`."""
        self._game.record.calls.append(Call("update", self.name))
        if self.name in self._game.conditions.overflow:
            return False
        with self._game.reads.paused():
            return self._player.update(gradients)

    def move(self, steps: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
        """See `gadkit.Player.move`."""
        self._game.record.calls.append(Call("move", self.name))
        with self._game.reads.paused():
            self._player.move(steps, gradients)


class WatchedGame:
    """A game that notes what it is asked for (see `gadkit.Game`).

    Args:
        inner: The game that is played.
    """

    def __init__(self, inner: SmallGame) -> None:
        self.inner = inner
        self.conditions, self.record, self.reads = Conditions(), Record(), HostReads()
        self.generator = WatchedPlayer("generator", self, inner.generator)
        self.discriminator = WatchedPlayer("discriminator", self, inner.discriminator)

    @property
    def zero_sum(self) -> bool:
        """See `gadkit.Game.zero_sum`."""
        return self.inner.zero_sum

    def begin(self, step: int, conditions: Conditions | None = None) -> None:
        """Turns to a step, in which `conditions` hold."""
        self.inner.begin(step)
        self.conditions, self.record = conditions or Conditions(), Record()

    def losses(self, draw: int) -> tuple[Tensor, Tensor]:
        """See `gadkit.Game.losses`."""
        self.record.calls.append(Call("losses", draw=draw))
        with self.reads.paused():
            generator, discriminator = self.inner.losses(draw)
            if self.conditions.still:
                generator, discriminator = generator * 0, discriminator * 0
            return generator, discriminator

    def average_(self, tensors: Sequence[Tensor]) -> None:
        """See `gadkit.Game.average_`."""
        self.record.calls.append(Call("average_"))

    def player(self, name: Name) -> WatchedPlayer:
        """A player by its name."""
        return self.generator if name == "generator" else self.discriminator

    def parameters(self, name: Name) -> list[Tensor]:
        """A copy of a player's parameters."""
        return [parameter.detach().clone() for parameter in self.player(name).parameters]

    def take_over(self, other: WatchedGame) -> None:
        """Takes over another game's parameters and its optimisers' memory."""
        for name in NAMES:
            own, theirs = self.player(name)._player, other.player(name)._player
            with torch.no_grad():
                for parameter, value in zip(own.parameters, theirs.parameters, strict=True):
                    parameter.copy_(value)
            own.optimiser.load_state_dict(deepcopy(theirs.optimiser.state_dict()))  # which it would share
