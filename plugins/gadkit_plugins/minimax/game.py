"""The two-player game of one training: batches, losses and gradients as functions of (step, draw)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from gadkit import ConfigError, Session
from gadkit.engine import Adversary, Batch, Batches, BoundCritic, BoundPlayer, Cut, Meter


class MinimaxGame:
    """Both players at one step: what `gadkit.Game` promises.

    Args:
        session: The parts, the clips and the engine.
        cut: How the batch is cut.
        draws: How many batches of real clips a step takes at most.
        optimiser: Makes the optimiser of a player from its name and parameters.
    """

    def __init__(
        self,
        session: Session,
        cut: Cut,
        draws: int,
        optimiser: Callable[[str, list[nn.Parameter]], torch.optim.Optimizer],
    ) -> None:
        self._session = session
        self._cut = cut
        self._kept: tuple[tuple[int, int], Batch, Tensor] | None = None
        self.meter = Meter()
        engine = session.engine
        self.adversary = Adversary(
            engine,
            session.discriminator,
            session.loss,
            session.penalty,
            session.augmentation,
            cut.batch_size,
            self.meter,
            self._see_loss,
        )
        self._batches = Batches(engine, session.clips, cut, draws, session.discriminator.times)
        making = [*session.generator.parameters(), *session.assembler.parameters()]
        judging = list(session.discriminator.parameters())
        see = self._see_gradients
        self.generator = BoundPlayer(
            making, optimiser("generator", making), engine, cut.pieces, self._generator_loss, see
        )
        self.discriminator = BoundPlayer(
            judging, optimiser("discriminator", judging), engine, cut.pieces, self._discriminator_loss, see
        )

    def begin(self, step: int) -> None:
        """Turns to a step: batches and noise are functions of it from here on."""
        self._batches.begin(step, self._session.key)
        self.adversary.begin()
        self._kept = None

    def end(self) -> None:
        """Ends a step; all processes call it together."""
        self.adversary.end()

    @property
    def zero_sum(self) -> bool:
        """Whether the losses are; the penalty is the discriminator's own."""
        return self._session.loss.zero_sum

    def average_(self, tensors: Sequence[Tensor]) -> None:
        """See `gadkit.Game.average_`."""
        self._session.engine.average_(tensors)

    def losses(self, draw: int) -> tuple[Tensor, Tensor]:
        """See `gadkit.Game.losses`."""
        batch = self._batches(draw, 0)
        fake = self._fake(batch)
        critic = self.adversary.critic(batch, (draw, 0))
        judged = self._judge(critic, batch, fake)
        return self.adversary.generator_loss(critic, batch, fake), judged

    def _discriminator_loss(self, draw: int, piece: int, again: bool) -> Tensor:
        batch = self._batches(draw, piece)
        if again and self._cut.pieces == 1:  # the generator's step asks for these fakes next
            made = self._fake(batch)
            self._kept = ((draw, piece), batch, made)
            fake = made.detach()
        else:
            with torch.no_grad():
                fake = self._fake(batch)
        return self._judge(self.adversary.critic(batch, (draw, piece)), batch, fake)

    def _judge(self, critic: BoundCritic, batch: Batch, fake: Tensor) -> Tensor:
        loss = self.adversary.discriminator_loss(critic, batch, fake)
        self._measure(batch.real, fake)
        return loss

    def _see_loss(self, name: str, value: Tensor) -> None:
        self.meter.add(name, value)
        if self._session.watch is not None:
            self._session.watch.losses({name: value})

    def _see_gradients(self, player: BoundPlayer, gradients: Sequence[Tensor]) -> None:
        if self._session.watch is not None:
            norm = self._session.watch.gradients(player.parameters, gradients)
            self.meter.add("gradient/generator" if player is self.generator else "gradient/discriminator", norm)

    @torch.no_grad()
    def _measure(self, real: Tensor, fake: Tensor) -> None:
        """How much the clips of a batch differ: see `gadkit.runs.health`."""
        for name, video in (("real", real), ("fake", fake)):
            pairs = len(video) // 2
            if pairs:  # neighbours, on every fourth pixel: a glance is enough
                few = video[: 2 * pairs, :, :, ::4, ::4]
                self.meter.add(f"difference/{name}", (few[0::2] - few[1::2]).abs().mean())

    def _generator_loss(self, draw: int, piece: int, again: bool) -> Tensor:
        if self._kept is not None and self._kept[0] == (draw, piece):
            _, batch, fake = self._kept
            self._kept = None
        else:
            batch = self._batches(draw, piece)
            fake = self._fake(batch)
        critic = self.adversary.critic(batch, (draw, piece))
        self.adversary.judge_real(critic, batch)
        return self.adversary.generator_loss(critic, batch, fake)

    def _fake(self, batch: Batch) -> Tensor:
        session = self._session
        noise = batch.noise.fold("codes")
        video = session.assembler.clip(
            session.generator, noise, batch.instants, batch.labels, forward=session.engine.autocast
        )
        if video.shape != batch.real.shape:
            raise ConfigError(
                f"generator: its video for {len(batch.real)} clips of {batch.real.shape[1]} frames has the shape "
                f"{tuple(video.shape)}, expected (B, T, C, H, W) = {tuple(batch.real.shape)}; mend the generator, or "
                "choose another one."
            )
        return video.to(session.engine.dtype)
