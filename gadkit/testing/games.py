"""Two-player games whose answer is known, on which directions and refiners are tried in seconds.

They give a direction what a trainer gives it (`gadkit.Game`, `gadkit.Player`), and take a loss and a penalty as the
trainer does. Points of the plane are clips of one frame, two channels and one pixel, `(B, 1, 2, 1, 1)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gadkit.interfaces.direction import Direction
from gadkit.interfaces.loss import Loss
from gadkit.interfaces.penalty import Penalty
from gadkit.randomness import Key, Noise

#: Makes a player's optimiser from its parameters.
Optimiser = Callable[[list[nn.Parameter]], torch.optim.Optimizer]
#: The rate of a step, as a share of the first one, by the share of the steps that are done.
Schedule = Callable[[float], float]


def held_then_falling(done: float) -> float:
    """1 over the first half of the steps, then linearly down to .02.

    Args:
        done: The share of the steps that are done, in [0, 1].
    """
    return min(1.0, 1.0 - 0.98 * (2 * done - 1))


class SmallPlayer:
    """One side of a small game: what `gadkit.Player` promises, with any of PyTorch's optimisers.

    Args:
        parameters: What it moves.
        loss: Its loss on the batch of a draw, differentiable in its parameters.
        optimiser: Moves them.
    """

    def __init__(
        self, parameters: Sequence[nn.Parameter], loss: Callable[[int], Tensor], optimiser: torch.optim.Optimizer
    ) -> None:
        self.parameters = list(parameters)
        self.loss = loss
        self.optimiser = optimiser

    @property
    def rate(self) -> float:
        """See `gadkit.Player.rate`."""
        return float(self.optimiser.param_groups[0]["lr"])

    @rate.setter
    def rate(self, value: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = value

    def gradient(self, draw: int, *, again: bool = False) -> list[Tensor]:
        """See `gadkit.Player.gradient`."""
        return list(torch.autograd.grad(self.loss(draw), self.parameters, materialize_grads=True))

    def update(self, gradients: Sequence[Tensor]) -> bool:
        """See `gadkit.Player.update`."""
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        self.optimiser.step()
        for parameter in self.parameters:
            parameter.grad = None
        return True

    @torch.no_grad()
    def move(self, steps: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
        """See `gadkit.Player.move`."""
        for parameter, step in zip(self.parameters, steps, strict=True):
            parameter.add_(step)


class SmallGame:
    """Two nets against each other, in one process: what `gadkit.Game` promises.

    Args:
        generator: The generator's parameters.
        discriminator: The discriminator's parameters.
        batch: The real clips and the latents of a step and a draw.
        make: Latents to clips.
        judge: Clips `(B, 1, C, H, W)` to logits `(B, 1)`.
        loss: The two players' losses.
        penalty: Added to the discriminator's.
        optimiser: Makes each player's.
    """

    def __init__(
        self,
        *,
        generator: Sequence[nn.Parameter],
        discriminator: Sequence[nn.Parameter],
        batch: Callable[[int, int], tuple[Tensor, Tensor]],
        make: Callable[[Tensor], Tensor],
        judge: Callable[[Tensor], Tensor],
        loss: Loss,
        penalty: Penalty | None = None,
        optimiser: Optimiser,
    ) -> None:
        self._batch, self._make, self._judge = batch, make, judge
        self._loss, self._penalty = loss, penalty
        self._step = 0
        self.generator = SmallPlayer(generator, self._making, optimiser(list(generator)))
        self.discriminator = SmallPlayer(discriminator, self._judging, optimiser(list(discriminator)))

    @property
    def zero_sum(self) -> bool:
        """See `gadkit.Game.zero_sum`."""
        return self._loss.zero_sum

    def begin(self, step: int) -> None:
        """Turns to a step: its batches are a function of it."""
        self._step = step

    def losses(self, draw: int) -> tuple[Tensor, Tensor]:
        """See `gadkit.Game.losses`."""
        real, latents = self._batch(self._step, draw)
        made = self._make(latents)
        judged_real, judged = self._judge(real), self._judge(made)
        own = self._loss.discriminator(judged_real, judged) + self._cost(real, made.detach())
        return self._loss.generator(judged, judged_real if self._loss.generator_needs_real else None), own

    def average_(self, tensors: Sequence[Tensor]) -> None:
        """See `gadkit.Game.average_`: there is one process."""

    def play(
        self,
        direction: Direction,
        steps: int,
        *,
        schedule: Schedule | None = None,
        watch: Callable[[int], None] | None = None,
    ) -> None:
        """Steps 0 to `steps` - 1.

        Args:
            direction: Makes them.
            steps: How many.
            schedule: Of both players' rates, which are as they were afterwards; `None` holds them.
            watch: Called with a step's number after it.
        """
        players = (self.generator, self.discriminator)
        first = [player.rate for player in players]
        for step in range(steps):
            if schedule is not None:
                for player, rate in zip(players, first, strict=True):
                    player.rate = rate * schedule(step / steps)
            self.begin(step)
            direction.step(self)
            if watch is not None:
                watch(step)
        for player, rate in zip(players, first, strict=True):
            player.rate = rate

    def _making(self, draw: int) -> Tensor:
        real, latents = self._batch(self._step, draw)
        judged_real = None
        if self._loss.generator_needs_real:
            with torch.no_grad():
                judged_real = self._judge(real)
        return self._loss.generator(self._judge(self._make(latents)), judged_real)

    def _judging(self, draw: int) -> Tensor:
        real, latents = self._batch(self._step, draw)
        with torch.no_grad():
            made = self._make(latents)
        if self._penalty is None:
            return self._loss.discriminator(self._judge(real), self._judge(made))
        real, made = real.requires_grad_(), made.requires_grad_()
        critic = _Critic(self._judge)
        return self._loss.discriminator(critic.logits(real), critic.logits(made)) + self._penalised(critic, real, made)

    def _cost(self, real: Tensor, made: Tensor) -> Tensor | float:
        if self._penalty is None:
            return 0.0
        return self._penalised(_Critic(self._judge), real.detach().requires_grad_(), made.requires_grad_())

    def _penalised(self, critic: _Critic, real: Tensor, made: Tensor) -> Tensor:
        assert self._penalty is not None
        noise = Noise(Key.of(self._step, "penalty"), torch.arange(len(real)), dtype=real.dtype)
        return self._penalty(critic, real, made, noise)


class _Critic:
    """What `gadkit.Critic` promises: each tensor is judged once."""

    def __init__(self, judge: Callable[[Tensor], Tensor]) -> None:
        self._judge = judge
        self._known: list[tuple[Tensor, Tensor]] = []

    def logits(self, video: Tensor) -> Tensor:
        for known, logits in self._known:
            if known is video:
                return logits
        logits = self._judge(video)
        self._known.append((video, logits))
        return logits

    def __call__(self, video: Tensor) -> Tensor:
        return self.logits(video).sum(dim=1)


def dirac(
    loss: Loss, penalty: Penalty | None = None, *, start: tuple[float, float] = (1.0, 1.0), step: float = 0.1
) -> SmallGame:
    """The Dirac-GAN (Mescheder et al. 2018, section 2), float64: G(z) = theta, D(x) = psi x, data at 0, plain descent.

    With the `minimax` loss it is the zero-sum game of the paper for (theta, -psi):
    L_D = log 2 + log(1 + e^(psi theta)), and L_G is its second term, negated.

    Args:
        loss: The players' losses.
        penalty: The discriminator's.
        start: theta and psi.
        step: The rate h of `torch.optim.SGD`.
    """
    theta, psi = (nn.Parameter(torch.tensor(value, dtype=torch.float64)) for value in start)
    real = torch.zeros(1, 1, 1, 1, 1, dtype=torch.float64)
    return SmallGame(
        generator=[theta],
        discriminator=[psi],
        batch=lambda step, draw: (real.clone(), real),
        make=lambda latents: latents + theta,
        judge=lambda video: psi * video.flatten(1),
        loss=loss,
        penalty=penalty,
        optimiser=lambda parameters: torch.optim.SGD(parameters, lr=step),
    )


@dataclass(frozen=True)
class Mixture:
    """Equal Gaussians in the plane.

    Attributes:
        modes: Their means, `(M, 2)`.
        std: Their standard deviation along each axis.
    """

    modes: Tensor
    std: float

    @classmethod
    def ring(cls, count: int = 8, radius: float = 2.0, std: float = 0.05) -> Mixture:
        """A mixture with its modes on a circle.

        Args:
            count: How many.
            radius: Of the circle.
            std: Of each mode, in either direction.
        """
        angle = torch.arange(count) * (2 * torch.pi / count)
        return cls(radius * torch.stack((angle.cos(), angle.sin()), dim=1), std)

    @classmethod
    def grid(cls, side: int = 5, spacing: float = 2.0, std: float = 0.1) -> Mixture:
        """Modes on a square grid around 0.

        Args:
            side: Modes a side.
            spacing: Between two of them.
            std: Of each mode, in either direction.

        Returns:
            The mixture.
        """
        axis = (torch.arange(side) - (side - 1) / 2) * spacing
        return cls(torch.cartesian_prod(axis, axis), std)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Random points `(count, 2)`.

        Args:
            count: How many.
            generator: Where the random numbers come from.
        """
        which = torch.randint(len(self.modes), (count,), generator=generator)
        return self.modes[which] + self.std * torch.randn(count, 2, generator=generator)

    def counts(self, points: Tensor) -> Tensor:
        """How many of the points `(N, 2)` lie within 3 standard deviations of each mode, int64 `(M,)`.

        A point counts for the mode that is nearest.
        """
        distance = torch.cdist(points.to(self.modes), self.modes, compute_mode="donot_use_mm_for_euclid_dist")
        nearest, mode = distance.min(dim=1)
        return torch.bincount(mode[nearest <= 3 * self.std], minlength=len(self.modes))

    def quality(self, points: Tensor) -> tuple[int, float]:
        """How many modes have a point within 3 standard deviations, and the share of the points that lie so near one.

        Args:
            points: `(N, 2)`.
        """
        counts = self.counts(points)
        return int((counts > 0).sum()), int(counts.sum()) / len(points)


class MixtureGame(SmallGame):
    """A mixture in the plane, learned by two nets of two hidden layers of tanh.

    Args:
        mixture: The data.
        loss: The players' losses.
        penalty: The discriminator's.
        latent_dim: Entries of a latent.
        width: Of the hidden layers.
        batch_size: Points a batch.
        seed: Of the nets' weights and of all draws.
        optimiser: Makes each player's; by default Adam with a rate of 2e-3 and betas of 0 and .99.
        dtype: Of all numbers.
    """

    def __init__(
        self,
        mixture: Mixture,
        loss: Loss,
        penalty: Penalty | None = None,
        *,
        latent_dim: int = 4,
        width: int = 128,
        batch_size: int = 64,
        seed: int = 0,
        optimiser: Optimiser | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.mixture, self.latent_dim, self.seed, self.dtype = mixture, latent_dim, seed, dtype
        self._size = batch_size
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(Key.of(seed, "nets").seed)
            self.making = _net(latent_dim, 2, width).to(dtype)
            self.judging = _net(2, 1, width).to(dtype)
        super().__init__(
            generator=list(self.making.parameters()),
            discriminator=list(self.judging.parameters()),
            batch=self._draw,
            make=self.make,
            judge=lambda video: self.judging(video.flatten(1)),
            loss=loss,
            penalty=penalty,
            optimiser=optimiser or _adam,
        )

    def make(self, latents: Tensor) -> Tensor:
        """Points as clips.

        Args:
            latents: `(B, Z)`.

        Returns:
            `(B, 1, 2, 1, 1)`.
        """
        return torch.as_tensor(self.making(latents)).view(-1, 1, 2, 1, 1)

    def score(self, latents: Tensor) -> Tensor:
        """The discriminator's logits of what latents make, `(B,)`: what a refiner climbs."""
        return torch.as_tensor(self.judging(self.make(latents).flatten(1))).flatten()

    def latents(self, count: int, seed: int = 0) -> Tensor:
        """Latents `(count, Z)` to sample from, the same for equal arguments.

        Args:
            count: How many.
            seed: Of the draw.

        Returns:
            `(count, Z)`.
        """
        generator = torch.Generator().manual_seed(Key.of(self.seed, "sample", seed).seed)
        return torch.randn(count, self.latent_dim, generator=generator).to(self.dtype)

    @torch.no_grad()
    def points(self, latents: Tensor) -> Tensor:
        """What latents make, `(B, 2)`."""
        return self.make(latents).flatten(1)

    def _draw(self, step: int, draw: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(Key.of(self.seed, "batch", step, draw).seed)
        real = self.mixture.draw(self._size, generator).to(self.dtype).view(-1, 1, 2, 1, 1)
        return real, torch.randn(self._size, self.latent_dim, generator=generator).to(self.dtype)


def _adam(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=2e-3, betas=(0.0, 0.99), fused=True)


def _net(entries: int, results: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(entries, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, results)
    )
