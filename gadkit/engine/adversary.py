"""What a discriminator has to do with a training: the losses of both players for real and generated clips."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gadkit.engine.augmenting import Augmenter
from gadkit.engine.averages import Meter
from gadkit.engine.batches import Batch
from gadkit.engine.devices import Engine
from gadkit.engine.judging import BoundCritic
from gadkit.interfaces.augmentation import Augmentation
from gadkit.interfaces.discriminator import Discriminator
from gadkit.interfaces.loss import Loss
from gadkit.interfaces.penalty import Penalty

Heads = dict[str, Tensor]
#: Draw and micro-batch of a step.
Place = tuple[int, int]


class Adversary:
    """A discriminator with its loss, its penalty and what it sees of clips, in any trainer.

    What it sees of a pair of clips is changed in one way for both players, as a function of (step, draw, sample), as
    the clips and the noise are: one game has one value function. Losses of a zero-sum game add up to 0, and a step
    ahead sees the game that the step itself does. Real and generated clip share the change, as they share the label:
    the difference of their logits is then of the clips alone.

    The trainer calls `begin` and `end` around a step.

    Args:
        engine: Device, processes and precision.
        discriminator: Judges.
        loss: Of its logits, head by head.
        penalty: Added to its loss, or `None`.
        augmentation: Changes what it sees, or `None`.
        batch_size: Clips a step, over all processes.
        meter: Takes what is logged.
        see_loss: Is told every loss by name.
    """

    def __init__(
        self,
        engine: Engine,
        discriminator: Discriminator,
        loss: Loss,
        penalty: Penalty | None,
        augmentation: Augmentation | None,
        batch_size: int,
        meter: Meter,
        see_loss: Callable[[str, Tensor], None],
    ) -> None:
        self._engine = engine
        self._discriminator = discriminator
        self._loss = loss
        self._penalty = penalty
        self._augmented = augmentation is not None
        self.augmenter = Augmenter(augmentation, engine, batch_size)
        self._meter = meter
        self._see_loss = see_loss
        self._views: dict[Place, Callable[[Tensor], Tensor] | None] = {}

    def begin(self) -> None:
        """Begins a step."""
        self.augmenter.begin()
        self._views = {}

    def end(self) -> None:
        """Ends a step: what the next one depends on, and follows from this one. All processes call it together."""
        if self._augmented:
            self._meter.add("augmentation/strength", self.augmenter.strength)
        self.augmenter.end()

    def critic(self, batch: Batch, place: Place) -> BoundCritic:
        """The discriminator as both players meet it at a place of the step, with nothing judged yet.

        Args:
            batch: Of that place.
            place: Draw and micro-batch.
        """
        if place not in self._views:
            self._views[place] = self.augmenter.bind(batch.noise)
        return BoundCritic(self._discriminator, batch.labels, batch.times, self._views[place])

    def discriminator_loss(self, critic: BoundCritic, batch: Batch, fake: Tensor) -> Tensor:
        """The discriminator's loss with its penalty, a scalar; under the trainer's autocast.

        Args:
            critic: Of the batch.
            batch: Its real clips take a gradient from here on where the penalty needs that.
            fake: Generated clips `(B, N, C, H, W)`; the same holds of them. With a graph to the generator, the penalty
                is no part of that graph.
        """
        slopes = self._penalty is not None and self._penalty.double_backward
        if slopes:
            batch.real.requires_grad_()
            if fake.grad_fn is None:
                fake.requires_grad_()
        with self._engine.autocast():
            real_heads, fake_heads = critic.heads(batch.real), critic.heads(fake)
            loss = self._weigh(
                {head: self._loss.discriminator(real_heads[head], fake_heads[head]) for head in real_heads}
            )
            self._see_loss("loss/discriminator", loss)
            self.augmenter.see(real_heads, fake_heads)
            self._measure(real_heads, fake_heads)
            if self._penalty is None:
                return loss
            if fake.grad_fn is not None:
                fake = fake.detach().requires_grad_(slopes)
            penalty = self._penalise(self._penalty, critic, batch, fake)
        self._see_loss("penalty", penalty)
        return loss + penalty

    def generator_loss(self, critic: BoundCritic, batch: Batch, fake: Tensor, name: str = "loss/generator") -> Tensor:
        """The generator's loss, a scalar; `fake` has its graph, and `name` is what the loss is logged as.

        Args:
            critic: Of the batch.
            batch: With the real clips.
            fake: Generated clips `(B, N, C, H, W)` with their graph.
            name: What the loss is logged as.
        """
        with self._engine.autocast():
            real_heads: Heads = {}
            if self._loss.generator_needs_real:
                real_heads = critic.heads(batch.real)
            fake_heads = critic.heads(fake)
            loss = self._weigh({h: self._loss.generator(fake_heads[h], real_heads.get(h)) for h in fake_heads})
        self._see_loss(name, loss)
        return loss

    def judge_real(self, critic: BoundCritic, batch: Batch) -> None:
        """Judges the real clips without a graph, for a generator's step alone: it moves nothing about them.

        Args:
            critic: Of the batch.
            batch: With the real clips.
        """
        if self._loss.generator_needs_real:
            with torch.no_grad(), self._engine.autocast():
                critic.heads(batch.real)

    def _weigh(self, losses: Heads) -> Tensor:
        weights = self._discriminator.head_weights
        return torch.stack([weights.get(head, 1.0) * loss for head, loss in losses.items()]).sum()

    def _penalise(self, penalty: Penalty, critic: BoundCritic, batch: Batch, fake: Tensor) -> Tensor:
        noise = batch.noise.fold("penalty")
        if self._engine.precision != "fp16":
            return penalty(critic, batch.real, fake, noise)
        # In fp16 the gradients inside a double backward underflow: the penalty is taken in float32.
        with self._engine.full_precision():
            return penalty(critic.anew(), batch.real, fake, noise)

    @torch.no_grad()
    def _measure(self, real_heads: Heads, fake_heads: Heads) -> None:
        """What tells how the game stands: see `gadkit.runs.health`."""
        real, made = (torch.cat([x.flatten() for x in heads.values()]) for heads in (real_heads, fake_heads))
        self._meter.add("logits/real", real.mean())
        self._meter.add("logits/fake", made.mean())
        self._meter.add("logits/spread", (real.abs().mean() + made.abs().mean()) / 2)
        self._meter.add("accuracy", (real > made).to(real.dtype).mean())
