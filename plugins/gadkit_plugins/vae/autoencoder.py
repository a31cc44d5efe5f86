"""The autoencoder of one training: batches, losses and gradients as functions of the step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from gadkit import ConfigError, Noise, Session
from gadkit.engine import Adversary, Batch, Batches, BoundPlayer, Cut, Meter
from gadkit_plugins.vae.encoder import Encoder
from gadkit_plugins.vae.objective import Likelihood, active, cost
from gadkit_plugins.vae.posterior import Divergence


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The weights of the terms at a step.

    Attributes:
        beta: Of the divergence.
        free_bits: Nats of every entry of a draw that cost nothing.
        adversarial: Of the adversarial term.
    """

    beta: float
    free_bits: float
    adversarial: float


@dataclass
class _Made:
    """What the decoder made of a batch.

    Attributes:
        batch: Of it.
        rebuilt: The reconstructions, `(B, N, C, H, W)`.
        divergences: Of the posterior that they were drawn from.
        shown: What a discriminator is shown; the reconstructions where there is none.
    """

    batch: Batch
    rebuilt: Tensor
    divergences: list[Divergence]
    shown: Tensor


class Autoencoder:
    """Encoder, decoder and perhaps a discriminator at one step.

    Args:
        session: The parts, the clips and the engine.
        encoder: Infers the draws.
        likelihood: Of a clip given a reconstruction.
        cut: How the batch is cut.
        groups: Minibatches of a forward pass, over which free bits are counted.
        weights: Gives the weights of the terms as they are set at the time.
        optimiser: Makes the optimiser of a player from its name and parameters.
    """

    def __init__(
        self,
        session: Session,
        encoder: Encoder,
        likelihood: Likelihood,
        cut: Cut,
        groups: int,
        weights: Callable[[], Weights],
        optimiser: Callable[[str, list[nn.Parameter]], torch.optim.Optimizer],
    ) -> None:
        self._session = session
        self._encoder = encoder
        self.likelihood = likelihood
        self._cut = cut
        self._groups = groups
        self._weights = weights
        self._kept: tuple[int, _Made] | None = None
        self.meter = Meter()
        engine = session.engine
        self._batches = Batches(engine, session.clips, cut, 1, encoder.trunk.times)
        making = [*session.generator.parameters(), *session.assembler.parameters(), *encoder.parameters()]
        self.generator = BoundPlayer(
            making, optimiser("generator", making), engine, cut.pieces, self._generator_loss, self._see_gradients
        )
        self.adversary: Adversary | None = None
        self.discriminator: BoundPlayer | None = None
        if weights().adversarial:
            self.adversary = _adversary(session, cut.batch_size, self.meter, self._see_loss)
            judging = list(session.discriminator.parameters())
            self.discriminator = BoundPlayer(
                judging,
                optimiser("discriminator", judging),
                engine,
                cut.pieces,
                self._discriminator_loss,
                self._see_gradients,
            )

    def step(self, step: int) -> None:
        """The updates of one training step: the discriminator's, where there is one, then the autoencoder's."""
        self.begin(step)
        for player in self.players.values():
            player.update(player.gradient(0, again=True))
        self.likelihood.settle()
        if self.adversary is not None:
            self.adversary.end()

    def begin(self, step: int) -> None:
        """Turns to a step: clips and noise are functions of it from here on."""
        self._batches.begin(step, self._session.key)
        self._kept = None
        if self.adversary is not None:
            self.adversary.begin()

    @property
    def players(self) -> dict[str, BoundPlayer]:
        """By name, in the order of their steps."""
        found = {"discriminator": self.discriminator, "generator": self.generator}
        return {name: player for name, player in found.items() if player is not None}

    def graphs(self) -> list[Callable[[], Tensor]]:
        """What builds the graph of each player's loss, as of step 0."""

        def build(player: BoundPlayer) -> Tensor:
            self.begin(0)
            return player.loss(0, 0, True)

        return [partial(build, player) for player in self.players.values()]

    def take(self, again: bool) -> list[Tensor]:
        """The gradients of step 0: takes the memory of a step.

        Args:
            again: Whether what is generated is kept from one player's step to the other's.
        """
        self.begin(0)
        held: list[Tensor] = []
        for player in self.players.values():
            loss = player.loss(0, 0, again)
            held += torch.autograd.grad(loss, player.parameters, materialize_grads=True)
        return held

    def _make(self, piece: int) -> _Made:
        """Everything that is generated of a micro-batch, on one graph."""
        session, batch = self._session, self._batches(0, piece)
        posterior = self._encoder(batch.real, batch.labels, batch.times, session.engine)
        rebuilt = self._render(batch, posterior.noise(batch.noise.fold("codes")))
        shown = rebuilt
        if self.adversary is not None:
            shown = _shown(batch, rebuilt, self._render(batch, batch.noise.fold("prior")))
        return _Made(batch, rebuilt, posterior.divergences(), shown)

    def _render(self, batch: Batch, noise: Noise) -> Tensor:
        session = self._session
        made = session.assembler.clip(
            session.generator, noise, batch.instants, batch.labels, forward=session.engine.autocast
        )
        if made.shape != batch.real.shape:
            raise ConfigError(
                f"generator: it makes {tuple(made.shape)} of clips {tuple(batch.real.shape)}, which should be equal; "
                "mend the generator, or choose another one."
            )
        return made.to(session.engine.dtype)

    def _discriminator_loss(self, draw: int, piece: int, again: bool) -> Tensor:
        assert self.adversary is not None
        if again and self._cut.pieces == 1:  # the autoencoder's step asks for these clips next
            made = self._make(piece)
            self._kept = (piece, made)
        else:
            with torch.no_grad():
                made = self._make(piece)
        critic = self.adversary.critic(made.batch, (draw, piece))
        return self.adversary.discriminator_loss(critic, made.batch, made.shown.detach())

    def _generator_loss(self, draw: int, piece: int, again: bool) -> Tensor:
        """The loss in nats a number: -log p(clip | draws) and beta times the cost of the draws, over the numbers of a
        clip, and the adversarial term."""
        made = self._kept[1] if self._kept is not None and self._kept[0] == piece else self._make(piece)
        self._kept = None
        weights, numbers = self._weights(), made.rebuilt[0].numel()
        reconstruction = self.likelihood.nats(made.batch.real, made.rebuilt)
        divergence = cost(made.divergences, weights.free_bits, self._groups)
        loss = reconstruction + weights.beta / numbers * divergence
        self._measure(made, reconstruction, numbers)
        if self.adversary is not None:
            critic = self.adversary.critic(made.batch, (draw, piece))
            self.adversary.judge_real(critic, made.batch)
            told = self.adversary.generator_loss(critic, made.batch, made.shown, "loss/adversarial")
            loss = loss + weights.adversarial * told
        self._see_loss("loss/generator", loss)
        return loss

    @torch.no_grad()
    def _measure(self, made: _Made, reconstruction: Tensor, numbers: int) -> None:
        nats = {f"kl/{divergence.name}": divergence.total.mean() for divergence in made.divergences}
        whole = torch.stack(list(nats.values())).sum()
        self._see_loss("loss/reconstruction", reconstruction)
        self._see_loss("kl/total", whole)
        for name, value in (
            *nats.items(),
            ("elbo", -(reconstruction + whole / numbers)),
            ("active", active(made.divergences)),
            ("error", (made.batch.real - made.rebuilt).abs().mean()),
        ):
            self.meter.add(name, value)

    def _see_loss(self, name: str, value: Tensor) -> None:
        self.meter.add(name, value)
        if self._session.watch is not None:
            self._session.watch.losses({name: value})

    def _see_gradients(self, player: BoundPlayer, gradients: Sequence[Tensor]) -> None:
        watch = self._session.watch
        if watch is not None:
            name = "generator" if player is self.generator else "discriminator"
            self.meter.add(f"gradient/{name}", watch.gradients(player.parameters, gradients))


def _adversary(session: Session, batch_size: int, meter: Meter, see_loss: Callable[[str, Tensor], None]) -> Adversary:
    """The discriminator of a VAE-GAN, by the loss and penalty of the run."""
    if "loss" not in session.parts:
        raise ConfigError(
            "loss.use: found none, but with trainer.adversarial above 0 trainer 'vae' needs a loss for its "
            "discriminator: name one, such as nonsaturating, or set trainer.adversarial to 0."
        )
    parts = session.discriminator, session.loss, session.penalty, session.augmentation
    return Adversary(session.engine, *parts, batch_size, meter, see_loss)


def _shown(batch: Batch, rebuilt: Tensor, sampled: Tensor) -> Tensor:
    """The generated clips that are judged: reconstructions of even numbers in the run, and samples of odd ones.

    So each real clip is judged once, and a penalty sees as many generated clips as real ones.
    """
    odd = (batch.noise.samples % 2 == 1).to(rebuilt.device)
    return torch.where(odd[:, None, None, None, None], sampled, rebuilt)
