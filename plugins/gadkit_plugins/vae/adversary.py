"""The adversarial term: a discriminator that tells clips from what the decoder makes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gadkit import ConfigError, Session
from gadkit.engine import Augmenter, Batch, BoundCritic, Meter


class Adversary:
    """The discriminator of a VAE-GAN (Larsen et al. 2016, arXiv:1512.09300), by the loss and penalty of the run.

    It judges reconstructions and samples of the prior alike: of the generated clips of a batch every second one is a
    reconstruction (those with even numbers in the run), the others are samples. So each real clip is judged once, and a
    penalty sees as many generated clips as real ones.

    Args:
        session: The parts.
        batch_size: Clips a step, over all processes.
        meter: Takes what is logged.
        see_loss: Takes losses by name.

    Raises:
        ConfigError: The run has no loss.
    """

    def __init__(
        self, session: Session, batch_size: int, meter: Meter, see_loss: Callable[[str, Tensor], None]
    ) -> None:
        if "loss" not in session.parts:
            raise ConfigError(
                "loss.use: found none, but with trainer.adversarial above 0 trainer 'vae' needs a loss for its "
                "discriminator: name one, such as nonsaturating, or set trainer.adversarial to 0."
            )
        self._engine = session.engine
        self._discriminator = session.discriminator
        self._loss = session.loss
        self._penalty = session.penalty
        self.augmenter = Augmenter(session.augmentation, session.engine, batch_size)
        self._augmented = session.augmentation is not None
        self._meter = meter
        self._see_loss = see_loss

    def end(self) -> None:
        """Ends a step; all processes together."""
        if self._augmented:
            self._meter.add("augmentation/strength", self.augmenter.strength)
        self.augmenter.end()

    @staticmethod
    def shown(batch: Batch, rebuilt: Tensor, sampled: Tensor) -> Tensor:
        """The generated clips that are judged: of both `(B, N, C, H, W)`, every second one."""
        odd = (batch.noise.samples % 2 == 1).to(rebuilt.device)
        return torch.where(odd[:, None, None, None, None], sampled, rebuilt)

    def _critic(self, batch: Batch) -> BoundCritic:
        view = self.augmenter.bind(batch.noise)
        return BoundCritic(self._discriminator, batch.labels, batch.times, view)

    def _sum(self, losses: dict[str, Tensor]) -> Tensor:
        weights = self._discriminator.head_weights
        return torch.stack([weights.get(head, 1.0) * loss for head, loss in losses.items()]).sum()

    def discriminator(self, batch: Batch, fake: Tensor) -> Tensor:
        """The discriminator's loss of a batch and what it is told from, with its penalty.

        Args:
            batch: Real clips.
            fake: Those that are `shown`.
        """
        twice = self._penalty is not None and self._penalty.double_backward
        real, fake = batch.real.detach().requires_grad_(twice), fake.detach().requires_grad_(twice)
        critic = self._critic(batch)
        with self._engine.autocast():
            judged = {head: (logits, critic.heads(fake)[head]) for head, logits in critic.heads(real).items()}
            loss = self._sum({head: self._loss.discriminator(*pair) for head, pair in judged.items()})
            self._see_loss("loss/discriminator", loss)
            self._measure(*(torch.cat([pair[side].detach().flatten() for pair in judged.values()]) for side in (0, 1)))
            self.augmenter.see(critic.heads(real), critic.heads(fake))
            if self._penalty is None:
                return loss
            noise = batch.noise.fold("penalty")
            if self._engine.precision == "fp16":  # gradients inside a double backward underflow
                with self._engine.full_precision():
                    penalty = self._penalty(critic.anew(), real, fake, noise)
            else:
                penalty = self._penalty(critic, real, fake, noise)
        self._see_loss("penalty", penalty)
        return loss + penalty

    def generator(self, batch: Batch, fake: Tensor) -> Tensor:
        """The decoder's adversarial loss of a batch; arguments as for `discriminator`, `fake` with its graph."""
        critic = self._critic(batch)
        real: dict[str, Tensor] = {}
        with self._engine.autocast():
            if self._loss.generator_needs_real:
                with torch.no_grad():
                    real = critic.heads(batch.real)
            made = critic.heads(fake)
            loss = self._sum({head: self._loss.generator(logits, real.get(head)) for head, logits in made.items()})
        self._see_loss("loss/adversarial", loss)
        return loss

    def _measure(self, real: Tensor, fake: Tensor) -> None:
        for name, value in (
            ("logits/real", real.mean()),
            ("logits/fake", fake.mean()),
            ("logits/spread", torch.cat((real, fake)).abs().mean()),
            ("accuracy", (real > fake).to(real.dtype).mean()),
        ):
            self._meter.add(name, value)
