"""The minimax trainer: one loop for every generator, discriminator, loss, penalty and direction."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import nn

from gadkit import ConfigError, Footprint, Scheduled, Session, Trainer
from gadkit.engine import Average, Cut, commit_statistics, cut_batch, make_ready, passing, statistics_groups
from gadkit_plugins.minimax.game import MinimaxGame
from gadkit_plugins.minimax.memory import activations, parameters, take
from gadkit_plugins.minimax.twice import asked, differentiate_twice

Rate = Annotated[Scheduled, Field(gt=0)]
Beta = Annotated[Scheduled, Field(ge=0, lt=1)]


class MinimaxTrainer(Trainer):
    """Trains a generator and a discriminator against each other with Adam.

    Args:
        batch_size: Clips a step, over all processes.
        accumulate: Micro-batches that a process cuts its share into, to save memory; the result is the same.
        generator_lr: Adam's rate for the generator.
        discriminator_lr: Adam's rate for the discriminator.
        generator_betas: Adam's decay rates for the generator.
        discriminator_betas: Adam's decay rates for the discriminator.
        ema: Half-life in clips of the generator's averaged weights, from which samples are made; 0 for no average.
        norm_group: Clips that share batch statistics in nets with batch normalisation; by default the largest divisor
            of the batch up to 16. It must divide the clips of a forward pass, so that neither processes nor
            accumulation change the result.
    """

    needs = ("generator", "assembler", "discriminator", "loss", "direction")
    takes = ("penalty", "augmentation")

    def __init__(
        self,
        *,
        batch_size: Annotated[int, Field(gt=0, le=1_000_000)] = 16,
        accumulate: Annotated[int, Field(gt=0)] = 1,
        generator_lr: Rate = 2e-4,
        discriminator_lr: Rate = 2e-4,
        generator_betas: tuple[Beta, Beta] = (0.5, 0.999),
        discriminator_betas: tuple[Beta, Beta] = (0.5, 0.999),
        ema: Annotated[float, Field(ge=0)] = 5000.0,
        norm_group: Annotated[int, Field(gt=0)] | None = None,
    ) -> None:
        self.batch_size = batch_size
        self.accumulate = accumulate
        self.generator_lr = generator_lr
        self.discriminator_lr = discriminator_lr
        self.generator_betas = generator_betas
        self.discriminator_betas = discriminator_betas
        self.ema = ema
        self.norm_group = norm_group
        self.regroups = norm_group is None

    def fit(self, session: Session) -> str:
        """Trains; see `gadkit.Trainer.fit`."""
        training = MinimaxTraining(self, session)
        course = session.course(training)
        for step in course:
            training.advance(step)
        return course.ended

    def footprint(self, session: Session) -> Footprint:
        """An estimate from the graphs of two clips; see `gadkit.Trainer.footprint`."""
        with passing(session.engine, lambda: _nets(session)):
            game = self.prepare(session, clips=2)
            differentiate_twice(game, session)
            return Footprint(
                parts=parameters(game, session.direction), per_clip=activations(game, 2, session.direction)
            )

    def cut(self, session: Session, accumulate: int) -> dict[str, Any]:
        """See `gadkit.Trainer.cut`: batch statistics that nobody chose a group for are taken over smaller ones."""
        changed = super().cut(session, accumulate)
        clips = self.batch_size // (session.engine.world * accumulate)
        if clips % self.group:
            self.norm_group, _ = statistics_groups(clips, None, clips)
            changed["norm_group"] = self.norm_group
        return changed

    def rehearse(self, session: Session, accumulate: int) -> None:
        """See `gadkit.Trainer.rehearse`."""
        with passing(session.engine, lambda: _nets(session)):
            game = self.prepare(session, clips=self.batch_size // (session.engine.world * accumulate))
            take(game, session.direction, again=accumulate == 1)

    def prepare(self, session: Session, clips: int | None = None) -> MinimaxGame:
        """Moves the nets to the device and binds the game; with `clips`, one of that few clips, to measure it."""
        engine = session.engine
        cut = cut_batch(engine, self.batch_size, self.accumulate)
        own = cut.micro_batch
        if clips is not None:
            cut = Cut(batch_size=clips, world=1, rank=0, pieces=1)
        normalised = make_ready(engine, _nets(session))
        if normalised:
            self.group, groups = statistics_groups(self.batch_size, self.norm_group, own)
            for layer in normalised:
                layer.groups = groups if clips is None else 1
        if session.direction.needs_one_graph:  # then a process's share is one piece
            self.group, self.regroups = own, False
        return MinimaxGame(session, cut, session.direction.draws, self._optimiser)

    def _optimiser(self, player: str, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        if not parameters:
            raise ConfigError(f"{player}: has no parameters, so there is nothing to train.")
        fused = parameters[0].device.type in {"cpu", "cuda"}
        return torch.optim.Adam(parameters, **self.adam(player), fused=fused)

    def adam(self, player: str) -> dict[str, Any]:
        """Adam's rate and decay rates for a player, at the step that the trainer is at."""
        return {"lr": getattr(self, f"{player}_lr"), "betas": getattr(self, f"{player}_betas")}


def _nets(session: Session) -> list[nn.Module]:
    return [session.generator, session.assembler, session.discriminator]


class MinimaxTraining:
    """The state of a training: both players, the averaged generator, and what is not logged yet.

    Args:
        trainer: The settings.
        session: The parts.
    """

    def __init__(self, trainer: MinimaxTrainer, session: Session) -> None:
        self._trainer = trainer
        self._session = session
        self.game = trainer.prepare(session)
        self.average = Average({"generator": session.generator, "assembler": session.assembler}, trainer.ema)
        self.models = self.average.modules
        self.nets = {
            "generator": session.generator,
            "assembler": session.assembler,
            "discriminator": session.discriminator,
        }

    def advance(self, step: int) -> None:
        """One training step: the players' updates, then what follows from them."""
        self._settle()
        self.game.begin(step)
        with asked(self._session):
            self._session.direction.step(self.game)
        for net in self.nets.values():
            commit_statistics(net, self._session.engine)
        self.game.end()
        self.average.update((step + 1) * self._trainer.batch_size, self._trainer.batch_size)

    def _settle(self) -> None:
        """Sets both optimisers to the trainer's settings, which may be others in every step."""
        for name, player in (("generator", self.game.generator), ("discriminator", self.game.discriminator)):
            for group in player.optimiser.param_groups:
                group.update(self._trainer.adam(name))
            player.rate *= self._session.attempt.rate

    def read(self) -> dict[str, float]:
        """See `gadkit.Training.read`."""
        return self.game.meter.read(self._session.engine)

    def state(self) -> dict[str, Any]:
        """See `gadkit.Training.state`."""
        return {
            "generator": self.game.generator.state_dict(),
            "discriminator": self.game.discriminator.state_dict(),
            "direction": self._session.direction.state_dict(),
            "augmentation": self.game.adversary.augmenter.state_dict(),
            "meter": self.game.meter.state_dict(self._session.engine),
        }

    def load(self, state: dict[str, Any]) -> None:
        """See `gadkit.Training.load`."""
        for name, player in (("generator", self.game.generator), ("discriminator", self.game.discriminator)):
            player.load_state_dict(state[name])
        self._settle()
        self._session.direction.load_state_dict(state["direction"])
        self.game.adversary.augmenter.load_state_dict(state.get("augmentation", {}))  # checkpoints of old have none
        self.game.meter.load_state_dict(state["meter"], self._session.engine)
