"""The two-player game of one training: batches, losses and gradients as functions of (step, draw)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gadkit import ConfigError, Discriminator, Key, Loss, Noise, Session
from gadkit.engine import (
    Choice,
    Engine,
    Meter,
    judge,
    laid_out_like,
    load_optimiser_state,
    optimiser_state,
    total,
)

Heads = dict[str, Tensor]

#: Batches that are read ahead.
_AHEAD = 3


class BoundPlayer:
    """One side of the game: what `gadkit.Player` promises, over micro-batches, processes and fp16 scaling."""

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        optimiser: torch.optim.Optimizer,
        engine: Engine,
        pieces: int,
        loss: Callable[[int, int, bool], Tensor],
        see: Callable[[BoundPlayer, Sequence[Tensor]], None],
    ) -> None:
        self._see = see
        self.parameters = parameters
        self.optimiser = optimiser
        self._engine = engine
        self._scaler = engine.scaler()
        self._pieces = pieces
        self.loss = loss

    def gradient(self, draw: int, *, again: bool = False) -> list[Tensor]:
        """The gradient at the current parameters, over every micro-batch of every process."""
        summed: list[Tensor] = []
        for piece in range(self._pieces):
            loss = self.loss(draw, piece, again)
            if self._scaler is not None:
                loss = self._scaler.scale(loss)
            found = [
                laid_out_like(parameter, gradient)
                for parameter, gradient in zip(
                    self.parameters,
                    torch.autograd.grad(loss, self.parameters, materialize_grads=True),
                    strict=True,
                )
            ]
            if summed:
                torch._foreach_add_(summed, found)
            else:
                summed = found
        if self._pieces > 1:
            torch._foreach_div_(summed, self._pieces)
        self._engine.average_(summed)
        if self._scaler is not None:
            self._assign(summed)
            self._scaler.unscale_(self.optimiser)
        return summed

    @property
    def rate(self) -> float:
        """The optimiser's learning rate."""
        return float(self.optimiser.param_groups[0]["lr"])

    @rate.setter
    def rate(self, value: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = value

    def update(self, gradients: Sequence[Tensor]) -> bool:
        """One step of the optimiser along `gradients`; whether it was made."""
        self._assign(gradients)
        made = True
        if self._scaler is None:  # which skips what overflowed
            self._see(self, gradients)
            self.optimiser.step()
        else:
            scale = self._scaler.get_scale()
            self._scaler.step(self.optimiser)
            self._scaler.update()
            made = self._scaler.get_scale() >= scale  # it falls after an overflow, and then alone
        for parameter in self.parameters:
            parameter.grad = None
        return made

    @torch.no_grad()
    def move(self, steps: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
        """Adds `steps` to the parameters, past the optimiser."""
        self._see(self, gradients)
        torch._foreach_add_(list(self.parameters), list(steps))

    def _assign(self, gradients: Sequence[Tensor]) -> None:
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient

    def state_dict(self) -> dict[str, Any]:
        """The optimiser's and the scaler's memory."""
        scaler = None if self._scaler is None else self._scaler.state_dict()
        return {"optimiser": optimiser_state(self.optimiser), "scaler": scaler}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        load_optimiser_state(self.optimiser, state["optimiser"])
        if self._scaler is not None and state["scaler"] is not None:
            self._scaler.load_state_dict(state["scaler"])


@dataclass
class Batch:
    """One micro-batch of one process."""

    noise: Noise
    real: Tensor
    labels: Tensor | None
    times: Tensor | None
    instants: Tensor  # the times of all frames, on the CPU, for the assembler and the clips


@dataclass(frozen=True, kw_only=True)
class Cut:
    """How the global batch is cut: every process takes a run of consecutive samples, in `pieces` micro-batches."""

    batch_size: int
    world: int
    rank: int
    pieces: int

    @property
    def micro_batch(self) -> int:
        """Samples of one forward pass."""
        return self.batch_size // (self.world * self.pieces)

    def positions(self, step: int, draw: int, draws: int, piece: int) -> Tensor:
        """The run's numbers of the samples of one micro-batch, int64 on the CPU."""
        first = (step * draws + draw) * self.batch_size + (self.rank * self.pieces + piece) * self.micro_batch
        return torch.arange(first, first + self.micro_batch)


class Critic:
    """The discriminator with labels and times bound. Each tensor is judged once (see `gadkit.Critic`)."""

    def __init__(self, discriminator: Discriminator, batch: Batch) -> None:
        self._discriminator = discriminator
        self._batch = batch
        self._known: list[tuple[Tensor, dict[str, Tensor]]] = []

    def heads(self, video: Tensor) -> dict[str, Tensor]:
        """The logits `(B, K)` of each head."""
        for known, logits in self._known:
            if known is video:
                return logits
        logits = judge(self._discriminator, video, self._batch.labels, self._batch.times)
        self._known.append((video, logits))
        return logits

    def __call__(self, video: Tensor) -> Tensor:
        return total(self._discriminator, self.heads(video))


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
        self._draws = draws
        self._step = 0
        self._key: Key = session.key
        self._kept: tuple[tuple[int, int], Batch, Tensor] | None = None
        self._asked: list[tuple[int, int]] = []
        self._usual: list[tuple[int, int]] = []
        self.meter = Meter()
        engine = session.engine
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
        self._step = step
        self._kept = None
        self._key = self._session.key
        self._usual, self._asked = self._asked or self._usual, []

    @property
    def zero_sum(self) -> bool:
        """Whether the losses are; the penalty is the discriminator's own."""
        return self._objective.zero_sum

    def average_(self, tensors: Sequence[Tensor]) -> None:
        """See `gadkit.Game.average_`."""
        self._session.engine.average_(tensors)

    def losses(self, draw: int) -> tuple[Tensor, Tensor]:
        """See `gadkit.Game.losses`."""
        batch = self._batch(draw, 0)
        fake = self._fake(batch)
        if self._penalty is not None and self._penalty.double_backward:
            batch.real.requires_grad_()
        critic = Critic(self._discriminator, batch)
        with self._session.engine.autocast():
            judged = self._judge_discriminator(critic, batch, fake)
            return self._judge_generator(critic, batch, fake), judged

    def _discriminator_loss(self, draw: int, piece: int, again: bool) -> Tensor:
        batch = self._batch(draw, piece)
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
            return self._judge_discriminator(Critic(self._discriminator, batch), batch, fake)

    def _judge_discriminator(self, critic: Critic, batch: Batch, fake: Tensor) -> Tensor:
        real_heads, fake_heads = critic.heads(batch.real), critic.heads(fake)
        loss = self._weigh({h: self._objective.discriminator(real_heads[h], fake_heads[h]) for h in real_heads})
        self._see_loss("loss/discriminator", loss)
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

    def _penalise(self, critic: Critic, batch: Batch, fake: Tensor) -> Tensor:
        assert self._penalty is not None
        noise = batch.noise.fold("penalty")
        if self._session.engine.precision != "fp16":
            return self._penalty(critic, batch.real, fake, noise)
        # In fp16 the gradients inside a double backward underflow: the penalty is taken in float32.
        with self._session.engine.full_precision():
            return self._penalty(Critic(self._discriminator, batch), batch.real, fake, noise)

    def _generator_loss(self, draw: int, piece: int, again: bool) -> Tensor:
        if self._kept is not None and self._kept[0] == (draw, piece):
            _, batch, fake = self._kept
            self._kept = None
        else:
            batch = self._batch(draw, piece)
            fake = self._fake(batch)
        critic = Critic(self._discriminator, batch)
        with self._session.engine.autocast():
            if self._objective.generator_needs_real:
                with torch.no_grad():  # the generator moves nothing about the real clips
                    critic.heads(batch.real)
            return self._judge_generator(critic, batch, fake)

    def _judge_generator(self, critic: Critic, batch: Batch, fake: Tensor) -> Tensor:
        real_heads = critic.heads(batch.real) if self._objective.generator_needs_real else {}
        fake_heads = critic.heads(fake)
        loss = self._weigh({h: self._objective.generator(fake_heads[h], real_heads.get(h)) for h in fake_heads})
        self._see_loss("loss/generator", loss)
        return loss

    def _weigh(self, losses: dict[str, Tensor]) -> Tensor:
        weights = self._discriminator.head_weights
        return torch.stack([weights.get(head, 1.0) * loss for head, loss in losses.items()]).sum()

    def _batch(self, draw: int, piece: int) -> Batch:
        session, engine = self._session, self._session.engine
        positions, choice, times = self._wanted(self._step, draw, piece)
        self._asked.append((draw, piece))
        self._announce()
        real, labels = session.clips.batch(choice, times, engine.device, engine.dtype)
        everything = torch.arange(session.video.frames).expand(len(positions), -1)
        return Batch(
            noise=Noise(self._key.fold("noise"), positions, device=engine.device, dtype=engine.dtype),
            real=real,
            labels=labels,
            times=None if times is None else times.to(engine.device),
            instants=everything if times is None else times,
        )

    def _wanted(self, step: int, draw: int, piece: int) -> tuple[Tensor, Choice, Tensor | None]:
        """The samples' numbers, their clips and the frames of these.

        All of it is settled on the CPU, where the clips' numbers are: nothing waits for the device.
        """
        positions = self._cut.positions(step, draw, self._draws, piece)
        times = self._discriminator.times(Noise(self._key.fold("times"), positions))
        return positions, self._session.clips.select(positions), times

    def _announce(self) -> None:
        """Begins to read the batches that come next, where steps go on asking for what the last one asked for."""
        if not self._usual or not self._session.clips.reads:
            return
        for number in range(len(self._asked), len(self._asked) + _AHEAD):
            steps, place = divmod(number, len(self._usual))
            _, choice, times = self._wanted(self._step + steps, *self._usual[place])
            self._session.clips.ahead(choice, times)

    def _fake(self, batch: Batch) -> Tensor:
        session = self._session
        codes, _ = session.assembler.codes(batch.noise.fold("codes"), batch.instants, batch.labels)
        with session.engine.autocast():
            video: Tensor = session.generator(codes, batch.labels)
        if video.shape != batch.real.shape:
            raise ConfigError(
                f"generator: its video for {codes.shape[0]} clips of {codes.shape[1]} frames has the shape "
                f"{tuple(video.shape)}, expected (B, T, C, H, W) = {tuple(batch.real.shape)}; mend the generator, or "
                "choose another one."
            )
        return video.to(session.engine.dtype)
