"""The two-player game of one training: batches, losses and gradients as functions of (step, draw)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from gadkit import ConfigError, Discriminator, Loss, Session
from gadkit.engine import Augmenter, Batch, Batches, BoundCritic, BoundPlayer, Cut, Meter

Heads = dict[str, Tensor]


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
        self._discriminator: Discriminator = session.discriminator
        self._objective: Loss = session.loss
        self._penalty = session.penalty
        self._cut = cut
        self._views: dict[tuple[int, int], Callable[[Tensor], Tensor] | None] = {}
        self._kept: tuple[tuple[int, int], Batch, Tensor] | None = None
        self.meter = Meter()
        engine = session.engine
        self.augmenter = Augmenter(session.augmentation, engine, cut.batch_size)
        self._batches = Batches(engine, session.clips, cut, draws, self._discriminator.times)
        making = [*session.generator.parameters(), *session.assembler.parameters()]
        judging = list(self._discriminator.parameters())
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
        self.augmenter.begin()
        self._kept = None
        self._views = {}

    def end(self) -> None:
        """Ends a step: what the next one depends on, and follows from this one. All processes call it together."""
        if self._session.augmentation is not None:
            self.meter.add("augmentation/strength", self.augmenter.strength)
        self.augmenter.end()

    @property
    def zero_sum(self) -> bool:
        """Whether the losses are; the penalty is the discriminator's own."""
        return self._objective.zero_sum

    def average_(self, tensors: Sequence[Tensor]) -> None:
        """See `gadkit.Game.average_`."""
        self._session.engine.average_(tensors)

    def losses(self, draw: int) -> tuple[Tensor, Tensor]:
        """See `gadkit.Game.losses`."""
        batch = self._batches(draw, 0)
        fake = self._fake(batch)
        if self._penalty is not None and self._penalty.double_backward:
            batch.real.requires_grad_()
        critic = self._critic(batch, draw, 0)
        with self._session.engine.autocast():
            judged = self._judge_discriminator(critic, batch, fake)
            return self._judge_generator(critic, batch, fake), judged

    def _discriminator_loss(self, draw: int, piece: int, again: bool) -> Tensor:
        batch = self._batches(draw, piece)
        if again and self._cut.pieces == 1:  # the generator's step asks for these fakes next
            made = self._fake(batch)
            self._kept = ((draw, piece), batch, made)
            fake = made.detach()
        else:
            with torch.no_grad():
                fake = self._fake(batch)
        if self._penalty is not None and self._penalty.double_backward:
            batch.real.requires_grad_()
            fake.requires_grad_()
        with self._session.engine.autocast():
            return self._judge_discriminator(self._critic(batch, draw, piece), batch, fake)

    def _critic(self, batch: Batch, draw: int, piece: int) -> BoundCritic:
        """The discriminator as both players meet it: what it sees of a pair of clips is changed in one way.

        How is a function of (step, draw), as the clips and the noise are, for one game has one value function: losses
        of a zero-sum game add up to 0, and a step ahead sees the game that the step itself does. Real and generated
        clip share the change, as they share the label: the difference of their logits is then of the clips alone.
        """
        if (draw, piece) not in self._views:
            self._views[draw, piece] = self.augmenter.bind(batch.noise)
        return BoundCritic(self._discriminator, batch.labels, batch.times, self._views[draw, piece])

    def _judge_discriminator(self, critic: BoundCritic, batch: Batch, fake: Tensor) -> Tensor:
        real_heads, fake_heads = critic.heads(batch.real), critic.heads(fake)
        loss = self._weigh({h: self._objective.discriminator(real_heads[h], fake_heads[h]) for h in real_heads})
        self._see_loss("loss/discriminator", loss)
        self.augmenter.see(real_heads, fake_heads)
        self._measure(batch.real, fake, real_heads, fake_heads)
        if self._penalty is not None:
            if fake.grad_fn is not None:  # on one graph with the generator, of which the penalty is no part
                fake = fake.detach().requires_grad_(self._penalty.double_backward)
            penalty = self._penalise(critic, batch, fake)
            self._see_loss("penalty", penalty)
            loss = loss + penalty
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
    def _measure(self, real_video: Tensor, fake_video: Tensor, real_heads: Heads, fake_heads: Heads) -> None:
        """What tells how the game stands: see `gadkit.runs.health`."""
        real, made = (torch.cat([x.flatten() for x in heads.values()]) for heads in (real_heads, fake_heads))
        self.meter.add("logits/real", real.mean())
        self.meter.add("logits/fake", made.mean())
        self.meter.add("logits/spread", (real.abs().mean() + made.abs().mean()) / 2)
        self.meter.add("accuracy", (real > made).to(real.dtype).mean())
        for name, video in (("real", real_video), ("fake", fake_video)):
            pairs = len(video) // 2
            if pairs:  # neighbours, on every fourth pixel: a glance is enough
                few = video[: 2 * pairs, :, :, ::4, ::4]
                self.meter.add(f"difference/{name}", (few[0::2] - few[1::2]).abs().mean())

    def _penalise(self, critic: BoundCritic, batch: Batch, fake: Tensor) -> Tensor:
        assert self._penalty is not None
        noise = batch.noise.fold("penalty")
        if self._session.engine.precision != "fp16":
            return self._penalty(critic, batch.real, fake, noise)
        # In fp16 the gradients inside a double backward underflow: the penalty is taken in float32.
        with self._session.engine.full_precision():
            return self._penalty(critic.anew(), batch.real, fake, noise)

    def _generator_loss(self, draw: int, piece: int, again: bool) -> Tensor:
        if self._kept is not None and self._kept[0] == (draw, piece):
            _, batch, fake = self._kept
            self._kept = None
        else:
            batch = self._batches(draw, piece)
            fake = self._fake(batch)
        critic = self._critic(batch, draw, piece)
        with self._session.engine.autocast():
            if self._objective.generator_needs_real:
                with torch.no_grad():  # the generator moves nothing about the real clips
                    critic.heads(batch.real)
            return self._judge_generator(critic, batch, fake)

    def _judge_generator(self, critic: BoundCritic, batch: Batch, fake: Tensor) -> Tensor:
        real_heads = critic.heads(batch.real) if self._objective.generator_needs_real else {}
        fake_heads = critic.heads(fake)
        loss = self._weigh({h: self._objective.generator(fake_heads[h], real_heads.get(h)) for h in fake_heads})
        self._see_loss("loss/generator", loss)
        return loss

    def _weigh(self, losses: dict[str, Tensor]) -> Tensor:
        weights = self._discriminator.head_weights
        return torch.stack([weights.get(head, 1.0) * loss for head, loss in losses.items()]).sum()

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
