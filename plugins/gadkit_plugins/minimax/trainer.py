"""The minimax trainer: one loop for every generator, discriminator, loss, penalty and direction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import nn

from gadkit import ConfigError, RunError, Session, Trainer
from gadkit.engine import Average, Engine, GroupedBatchNorm, commit_statistics, group_batchnorm, statistics_groups
from gadkit_plugins.minimax.game import Cut, MinimaxGame
from gadkit_plugins.minimax.memory import activations, parameters, release

Rate = Annotated[float, Field(gt=0)]
Beta = Annotated[float, Field(ge=0, lt=1)]


class MinimaxTrainer(Trainer):
    """Trains a generator and a discriminator against each other with Adam.

    Args:
        steps: Updates of the generator in the whole run.
        batch_size: Clips a step, over all processes.
        accumulate: Micro-batches that a process cuts its share into, to save memory; the result is the same.
        max_time: Seconds of training after which it saves and stops; none by default.
        generator_lr: Adam's rate for the generator.
        discriminator_lr: Adam's rate for the discriminator.
        generator_betas: Adam's decay rates for the generator.
        discriminator_betas: Adam's decay rates for the discriminator.
        ema: Half-life in clips of the generator's averaged weights, from which samples are made; 0 for no average.
        norm_group: Clips that share batch statistics in nets with batch normalisation; by default the largest divisor
            of the batch up to 16. It must divide the clips of a forward pass, so that neither processes nor
            accumulation change the result.
        log_every: Steps between two lines of the log.
        sample_every: Steps between two files of samples.
        checkpoint_every: Steps between two checkpoints.
        keep: Checkpoints that stay.
        samples: Videos in the grid of samples.
        deterministic: Ask PyTorch for deterministic algorithms on CUDA, at some cost, so that resuming is exact there.
    """

    needs = ("generator", "assembler", "discriminator", "loss", "direction")
    takes = ("penalty",)

    def __init__(
        self,
        *,
        steps: Annotated[int, Field(gt=0)] = 5000,
        batch_size: Annotated[int, Field(gt=0)] = 16,
        accumulate: Annotated[int, Field(gt=0)] = 1,
        max_time: Annotated[float, Field(gt=0)] | None = None,
        generator_lr: Rate = 2e-4,
        discriminator_lr: Rate = 2e-4,
        generator_betas: tuple[Beta, Beta] = (0.5, 0.999),
        discriminator_betas: tuple[Beta, Beta] = (0.5, 0.999),
        ema: Annotated[float, Field(ge=0)] = 5000.0,
        norm_group: Annotated[int, Field(gt=0)] | None = None,
        log_every: Annotated[int, Field(gt=0)] = 10,
        sample_every: Annotated[int, Field(gt=0)] = 500,
        checkpoint_every: Annotated[int, Field(gt=0)] = 500,
        keep: Annotated[int, Field(gt=0)] = 3,
        samples: Annotated[int, Field(gt=0)] = 16,
        deterministic: bool = False,
    ) -> None:
        self.steps = steps
        self.batch_size = batch_size
        self.accumulate = accumulate
        self.max_time = max_time
        self.rates = {"generator": generator_lr, "discriminator": discriminator_lr}
        self.betas = {"generator": generator_betas, "discriminator": discriminator_betas}
        self.ema = ema
        self.norm_group = norm_group
        self.log_every = log_every
        self.sample_every = sample_every
        self.checkpoint_every = checkpoint_every
        self.keep = keep
        self.samples = samples
        self.deterministic = deterministic

    def fit(self, session: Session) -> str:
        """Trains; see `gadkit.Trainer.fit`."""
        with _algorithms(self.deterministic, session.engine):
            return self._fit(session)

    def memory(self, session: Session) -> float:
        """An estimate in bytes, from the graphs of two clips; see `gadkit.Trainer.memory`."""
        game = self.prepare(session, clips=2)
        clips = self.batch_size // (session.engine.world * self.accumulate)
        with _algorithms(self.deterministic, session.engine):
            game.begin(0)
            estimate = parameters(game) + clips * activations(game, 2)
        release(session.generator, session.assembler, session.discriminator)
        return estimate

    def _fit(self, session: Session) -> str:
        game = self.prepare(session)
        average = Average({"generator": session.generator, "assembler": session.assembler}, self.ema)
        step = self._restore(session, game, average)
        session.reporter.started(step, self.steps)
        stopped = False
        while step < self.steps and not stopped:
            step = self.advance(session, game, average, step)
            session.reporter.advanced(step)
            stopped = self._write(session, game, average, step)
        session.background.wait()
        return "finished" if step == self.steps else "stopped"

    def advance(self, session: Session, game: MinimaxGame, average: Average, step: int) -> int:
        """One training step: the players' updates, then what follows from them; the number of steps done."""
        game.begin(step)
        session.direction.step(game)
        step += 1
        for net in (session.generator, session.assembler, session.discriminator):
            commit_statistics(net, session.engine)
        average.update(step * self.batch_size, self.batch_size)
        return step

    def _write(self, session: Session, game: MinimaxGame, average: Average, step: int) -> bool:
        """What happens between two steps, off the critical path; whether to stop early."""
        logging, last = step % self.log_every == 0, step == self.steps
        if logging or last:
            session.log(step, game.meter.read(session.engine))
        # Processes agree to stop where they meet anyway; a lone process may stop after any step.
        stopped = (logging or session.engine.world == 1) and session.engine.any(session.out_of_time(self.max_time))
        if step % self.sample_every == 0 or last or stopped:
            session.sample(step, average.modules, self.samples)
        if step % self.checkpoint_every == 0 or last or stopped:
            session.save(step, average.modules, self._state(session, game, step), self.keep)
        return stopped

    def prepare(self, session: Session, clips: int | None = None) -> MinimaxGame:
        """Moves the nets to the device and binds the game; with `clips`, one of that few clips, to measure it."""
        engine = session.engine
        parts = engine.world * self.accumulate
        if self.batch_size % parts:
            raise ConfigError(
                f"trainer.batch_size: found {self.batch_size}, expected a multiple of {parts} "
                f"(processes: {engine.world}, micro-batches of each: {self.accumulate})."
            )
        cut = Cut(batch_size=self.batch_size, world=engine.world, rank=engine.rank, pieces=self.accumulate)
        own = cut.micro_batch
        if clips is not None:
            cut = Cut(batch_size=clips, world=1, rank=0, pieces=1)
        nets: list[nn.Module] = [session.generator, session.assembler, session.discriminator]
        for net in nets:
            group_batchnorm(net)
            engine.place(net)
            net.train()
        normalised = [layer for net in nets for layer in net.modules() if isinstance(layer, GroupedBatchNorm)]
        if normalised:
            _, groups = statistics_groups(self.batch_size, self.norm_group, own)
            for layer in normalised:
                layer.groups = groups if clips is None else 1
        return MinimaxGame(session, cut, session.direction.draws, self._optimiser)

    def _optimiser(self, player: str, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        if not parameters:
            raise ConfigError(f"{player}: has no parameters, so there is nothing to train.")
        fused = parameters[0].device.type in {"cpu", "cuda"}
        return torch.optim.Adam(parameters, lr=self.rates[player], betas=self.betas[player], fused=fused)

    def _state(self, session: Session, game: MinimaxGame, step: int) -> dict[str, Any]:
        return {
            "step": step,
            "generator": session.generator.state_dict(),
            "assembler": session.assembler.state_dict(),
            "discriminator": session.discriminator.state_dict(),
            "generator_player": game.generator.state_dict(),
            "discriminator_player": game.discriminator.state_dict(),
            "direction": session.direction.state_dict(),
        }

    def _restore(self, session: Session, game: MinimaxGame, average: Average) -> int:
        state = session.restore()
        if state is None:
            return 0
        try:
            session.generator.load_state_dict(state["generator"])
            session.assembler.load_state_dict(state["assembler"])
            session.discriminator.load_state_dict(state["discriminator"])
            for name, module in average.modules.items():
                module.load_state_dict(session.restored_model(name))
            game.generator.load_state_dict(state["generator_player"])
            game.discriminator.load_state_dict(state["discriminator_player"])
            session.direction.load_state_dict(state["direction"])
            return int(state["step"])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise RunError(
                f"{session.checkpoint}: does not fit the parts as they are installed now "
                f"({' '.join(str(error).split())[:200]}); install the versions that environment.json names."
            ) from error


@contextmanager
def _algorithms(deterministic: bool, engine: Engine) -> Iterator[None]:
    """Chooses PyTorch's algorithms for a block; afterwards they, and its global generator, are as they were."""
    before, benchmark = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(deterministic or before, warn_only=True)
    torch.backends.cudnn.benchmark = not deterministic
    try:
        with torch.random.fork_rng([engine.device] if engine.device.type == "cuda" else []):
            yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.backends.cudnn.benchmark = benchmark
