"""The variational trainer: an encoder learns beside the generator, which is its decoder."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import nn

from gadkit import ConfigError, Discriminator, Footprint, Scheduled, Session, Trainer
from gadkit.engine import (
    Average,
    Cut,
    commit_statistics,
    cut_batch,
    graph_bytes,
    make_ready,
    passing,
    refused,
    statistics_groups,
)
from gadkit.randomness import seeded
from gadkit_plugins.vae.autoencoder import Autoencoder, Weights
from gadkit_plugins.vae.encoder import Encoder
from gadkit_plugins.vae.objective import Density, Likelihood
from gadkit_plugins.vae.posterior import groups_of

Rate = Annotated[Scheduled, Field(gt=0)]
Beta = Annotated[Scheduled, Field(ge=0, lt=1)]


class VaeTrainer(Trainer):
    """Trains the generator as the decoder of a variational autoencoder (Kingma & Welling 2014) with Adam.

    The model's latent variables are the standard normals that the assembler draws for a clip: its content, its motion
    at every frame or anchor, whatever the assembler. An encoder, the discriminator's trunk and a linear map, infers
    mean and variance of each of them from the clip; draws of this posterior take the place of the prior's, and the
    evidence lower bound is maximised, the weighted sum of

        E log p(clip | draws) - beta KL(posterior || prior) - adversarial (the generator's loss in a game),

    the first two over the numbers of a clip, N C H W, so that weights mean the same at every size. Samples are drawn
    from the prior as with any other trainer. The encoder sees what the discriminator would: one of whole clips is what
    infers motion.

    With `adversarial`, a VAE-GAN (Larsen et al. 2016): the discriminator learns to tell clips from reconstructions and
    from samples of the prior, by the loss and the penalty of the run, and the encoder is a second one of its kind, with
    weights of its own. Unlike there, reconstructions are compared pixel by pixel, and the term moves the encoder too.

    Args:
        batch_size: Clips a step, over all processes.
        accumulate: Micro-batches that a process cuts its share into, to save memory; the result is the same.
        beta: Weight of the divergence; 1 is the evidence lower bound, more asks for draws that look like the prior's
            (Higgins et al. 2017), less for sharper reconstructions.
        free_bits: Nats of each entry of a draw, in the mean over its places and over clips, that cost nothing
            (Kingma et al. 2016): against a posterior that says nothing.
        density: Of pixels around the generated ones: `"gaussian"` or `"laplace"`, whose mode is the median.
        scale: Of that density, its standard or mean absolute deviation in pixels of [-1, 1]; `"optimal"` is the one
            that explains the batch before best (Rybkin et al. 2021). A smaller scale asks for sharper reconstructions.
        adversarial: Weight of the adversarial term in nats a number; 0 for none.
        generator_lr: Adam's rate for generator, assembler and encoder.
        generator_betas: Adam's decay rates for generator, assembler and encoder.
        discriminator_lr: Adam's rate for the discriminator of the adversarial term.
        discriminator_betas: Adam's decay rates for the discriminator.
        ema: Half-life in clips of the generator's averaged weights, from which samples are made; 0 for no average.
        norm_group: Clips that share batch statistics in nets with batch normalisation, and over which free bits are
            counted; by default the largest divisor of the batch up to 16. It must divide the clips of a forward pass,
            so that neither processes nor accumulation change the result.
    """

    needs = ("generator", "assembler", "discriminator")
    takes: tuple[str, ...] = ("loss", "penalty", "augmentation")

    def __init__(
        self,
        *,
        batch_size: Annotated[int, Field(gt=0, le=1_000_000)] = 16,
        accumulate: Annotated[int, Field(gt=0)] = 1,
        beta: Annotated[Scheduled, Field(ge=0)] = 1.0,
        free_bits: Annotated[float, Field(ge=0)] = 0.0,
        density: Density = "gaussian",
        scale: Annotated[float, Field(gt=0)] | Literal["optimal"] = "optimal",
        adversarial: Annotated[float, Field(ge=0)] = 0.0,
        generator_lr: Rate = 1e-3,
        generator_betas: tuple[Beta, Beta] = (0.9, 0.999),
        discriminator_lr: Rate = 2e-4,
        discriminator_betas: tuple[Beta, Beta] = (0.5, 0.999),
        ema: Annotated[float, Field(ge=0)] = 5000.0,
        norm_group: Annotated[int, Field(gt=0)] | None = None,
    ) -> None:
        self.batch_size, self.accumulate, self.norm_group = batch_size, accumulate, norm_group
        self.beta, self.free_bits, self.adversarial = beta, free_bits, adversarial
        self.density, self.scale = density, scale
        self.generator_lr, self.generator_betas = generator_lr, generator_betas
        self.discriminator_lr, self.discriminator_betas = discriminator_lr, discriminator_betas
        self.ema = ema
        self.regroups = norm_group is None
        self.judges = adversarial > 0
        if not self.judges:
            self.takes = ()

    def fit(self, session: Session) -> str:
        """Trains; see `gadkit.Trainer.fit`."""
        training = VaeTraining(self, session)
        course = session.course(training)
        for step in course:
            training.advance(step)
        return course.ended

    def footprint(self, session: Session) -> Footprint:
        """An estimate from the graphs of two clips; see `gadkit.Trainer.footprint`."""
        encoder = self.encoder(session)
        nets = self.nets(session, encoder)
        with passing(session.engine, nets.values):
            autoencoder = self.prepare(session, encoder, clips=2)
            with _differentiated_twice(session):
                autoencoder.take(again=False)
            parameters = [parameter for net in nets.values() for parameter in net.parameters()]
            per_clip = max(graph_bytes(graph, parameters) for graph in autoencoder.graphs()) / 2
        whole = _bytes(*nets.values())
        kept = {"weights": whole, "gradients": whole, "optimiser": 2 * whole}
        return Footprint(parts=kept | {"average": _bytes(session.generator, session.assembler)}, per_clip=per_clip)

    def cut(self, session: Session, accumulate: int) -> dict[str, Any]:
        """See `gadkit.Trainer.cut`: groups of clips that nobody chose become smaller where they must."""
        changed = super().cut(session, accumulate)
        own = cut_batch(session.engine, self.batch_size, accumulate).micro_batch
        if own % self.group:
            self.norm_group = changed["norm_group"] = statistics_groups(own, None, own)[0]
        return changed

    def rehearse(self, session: Session, accumulate: int) -> None:
        """See `gadkit.Trainer.rehearse`."""
        encoder = self.encoder(session)
        nets = self.nets(session, encoder)
        with passing(session.engine, nets.values):
            clips = self.batch_size // (session.engine.world * accumulate)
            autoencoder = self.prepare(session, encoder, clips=clips)
            parameters = [parameter for net in nets.values() for parameter in net.parameters()]
            held = [torch.zeros_like(parameter) for parameter in parameters * 3]  # Adam's moments and the average
            held += autoencoder.take(again=accumulate == 1)

    def weights(self) -> Weights:
        """The weights of the terms at the step that the trainer is at."""
        return Weights(beta=self.beta, free_bits=self.free_bits, adversarial=self.adversarial)

    def adam(self, player: str) -> dict[str, Any]:
        """Adam's rate and decay rates for a player, at the step that the trainer is at."""
        return {name: getattr(self, f"{player}_{name}") for name in ("lr", "betas")}

    def encoder(self, session: Session) -> Encoder:
        """The encoder as it is drawn: the same one however often."""
        trunk = session.another("discriminator", "encoder") if self.judges else session.discriminator
        assert isinstance(trunk, Discriminator)
        with seeded(session.root.fold("init", "posterior")):
            return Encoder(trunk, groups_of(session.assembler, session.generator))

    def prepare(self, session: Session, encoder: Encoder, clips: int | None = None) -> Autoencoder:
        """Moves the nets to the device and binds them; with `clips`, for that few clips, to measure it."""
        engine = session.engine
        cut = cut_batch(engine, self.batch_size, self.accumulate)
        own = cut.micro_batch
        layers = make_ready(engine, self.nets(session, encoder).values())
        groups = 1
        if layers or self.free_bits:
            self.group, groups = statistics_groups(self.batch_size, self.norm_group, own)
        if clips is not None:
            cut, groups = Cut(batch_size=clips, world=1, rank=0, pieces=1), 1
        for layer in layers:
            layer.groups = groups
        likelihood = Likelihood(self.density, self.scale, engine)
        return Autoencoder(session, encoder, likelihood, cut, groups, self.weights, self._optimiser)

    def nets(self, session: Session, encoder: Encoder) -> dict[str, nn.Module]:
        """What is trained, by name, what is nearest to the loss first."""
        nets = {"generator": session.generator, "assembler": session.assembler, "encoder": encoder}
        return nets | ({"discriminator": session.discriminator} if self.judges else {})

    def _optimiser(self, player: str, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        if not parameters:
            raise ConfigError(f"{player}: has no parameters to train; choose another one.")
        return torch.optim.Adam(parameters, fused=parameters[0].device.type in {"cpu", "cuda"}, **self.adam(player))


def _bytes(*nets: nn.Module) -> int:
    return sum(parameter.numel() * parameter.element_size() for net in nets for parameter in net.parameters())


def _differentiated_twice(session: Session) -> AbstractContextManager[None]:
    """A block in which the penalty of the adversarial term may differentiate a gradient."""
    penalty = session.penalty
    if penalty is None or not penalty.double_backward:
        return nullcontext()
    name = session.config.parts["penalty"].entry.component.name
    return refused({"penalty": f"penalty {name!r}"}, {"discriminator": session.discriminator})


class VaeTraining:
    """The state of a training: the nets, the averaged generator, and what is not logged yet.

    Args:
        trainer: The settings.
        session: The parts.
    """

    def __init__(self, trainer: VaeTrainer, session: Session) -> None:
        self._trainer = trainer
        self._session = session
        encoder = trainer.encoder(session)
        self.autoencoder = trainer.prepare(session, encoder)
        self.nets = trainer.nets(session, encoder)
        self.average = Average({name: self.nets[name] for name in ("generator", "assembler")}, trainer.ema)
        self.models = self.average.modules

    def advance(self, step: int) -> None:
        """One training step: the updates, then what follows from them."""
        for name, player in self.autoencoder.players.items():
            for group in player.optimiser.param_groups:
                group.update(self._trainer.adam(name))
            player.rate *= self._session.attempt.rate
        with _differentiated_twice(self._session):
            self.autoencoder.step(step)
        for net in self.nets.values():
            commit_statistics(net, self._session.engine)
        self.average.update((step + 1) * self._trainer.batch_size, self._trainer.batch_size)

    def read(self) -> dict[str, float]:
        """See `gadkit.Training.read`."""
        return self.autoencoder.meter.read(self._session.engine)

    def state(self) -> dict[str, Any]:
        """See `gadkit.Training.state`."""
        adversary = self.autoencoder.adversary
        return {
            "players": {name: player.state_dict() for name, player in self.autoencoder.players.items()},
            "scale": self.autoencoder.likelihood.scale,
            "augmentation": {} if adversary is None else adversary.augmenter.state_dict(),
            "meter": self.autoencoder.meter.state_dict(self._session.engine),
        }

    def load(self, state: dict[str, Any]) -> None:
        """See `gadkit.Training.load`."""
        for name, player in self.autoencoder.players.items():
            player.load_state_dict(state["players"][name])
        self.autoencoder.likelihood.resume(state["scale"])
        adversary = self.autoencoder.adversary
        if adversary is not None:
            adversary.augmenter.load_state_dict(state["augmentation"])
        self.autoencoder.meter.load_state_dict(state["meter"], self._session.engine)
