"""A training step beside the loop of PyTorch's DCGAN example: the same maths, and how much faster.

Three sides run alternately in one process, on one thread, in process CPU time, so that a busy machine blurs little:

- example: the loop of PyTorch's official DCGAN example, written anew from its description: the discriminator on real
  and on fake images with binary cross-entropy, then the generator through the same fakes; Adam 2e-4, betas (.5, .999).
- bare: the same step with what gadkit does to it (discriminator's weights frozen in the generator's step,
  channels-last, fused Adam, and in bf16 autocast), written by hand on batches that lie ready in memory.
- gadkit: the trainer itself: data order, clips from the store, noise, statistics, averaged weights, logging.

All sides start from the same weights and see the same images and noise. First the maths is compared in float64.

    python benchmarks/training_step.py [--batch 64] [--rounds 7] [--steps 2] [--keep-pages]
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gadkit
from gadkit.cli.allocator import keep_pages
from gadkit.registry import get_registry
from gadkit.runs import training
from gadkit.runs.choices import resolve_config
from gadkit.runs.reporter import Reporter
from gadkit.runs.session import Session
from gadkit_plugins.minimax.trainer import MinimaxTraining

SIZE, LATENT, WIDTH = 64, 100, 64


class Images(gadkit.Dataset):
    """Random images, each a video of one frame."""

    def __init__(self, path: object) -> None:
        self.count = 256

    def sources(self) -> list[gadkit.Source]:
        return [gadkit.Source(name=f"{index:04d}") for index in range(self.count)]

    def open(self, source: gadkit.Source) -> gadkit.Footage:
        generator = np.random.default_rng(int(source.name))
        return gadkit.Footage(fps=1.0, frames=iter([generator.integers(0, 256, (SIZE, SIZE, 3), np.uint8)]))


def session(batch: int, precision: str) -> Session:
    """gadkit's side: DCGAN on single frames, statistics over the whole batch, as the example has it."""
    registry = get_registry()
    settings = {
        "generator.latent_dim": LATENT,
        "generator.motion_dim": 0,
        "generator.width": WIDTH,
        "discriminator.width": WIDTH,
        "trainer.norm_group": batch,
        "run.log_every": 10,
        "run.steps": 1_000_000,
        "trainer.generator_lr": 2e-4,
        "trainer.discriminator_lr": 2e-4,
        "trainer.generator_betas": (0.5, 0.999),
        "trainer.discriminator_betas": (0.5, 0.999),
    }
    choices = {
        "dataset": Images,
        "generator": "dcgan",
        "assembler": "independent",
        "discriminator": "dcgan-frame",
        "loss": "nonsaturating",
        "penalty": "none",
        "frames": 1,
        "batch_size": batch,
        "device": "cpu",
        "precision": precision,
    }
    config = resolve_config(registry, None, None, choices, settings, (), SIZE)
    engine = training.Engine(config.device, config.precision)
    config, store = training.open_data(registry, config, engine, Reporter())
    made = training.build(registry, config, engine, store)
    return made


@dataclass
class Batch:
    """Images `(B, 3, 64, 64)` and noise `(B, Z, 1, 1)` of a step."""

    real: Tensor
    noise: Tensor


def batches(made: Session, batch: int, count: int) -> list[Batch]:
    """What gadkit's trainer sees in its first steps."""
    found = []
    for step in range(count):
        positions = torch.arange(step * batch, (step + 1) * batch)
        real, _ = made.clips.batch(made.clips.select(positions), None, torch.device("cpu"), made.engine.dtype)
        real = real[:, 0]
        noise = gadkit.Noise(made.key.fold("noise"), positions, dtype=made.engine.dtype).fold("codes")
        codes, _ = made.assembler.codes(noise, torch.zeros(batch, 1))
        found.append(Batch(real.contiguous(), codes.reshape(batch, LATENT, 1, 1)))
    return found


def example_nets(made: Session) -> tuple[nn.Module, nn.Module]:
    """The example's two nets as plain layers, with the weights of gadkit's."""

    def up(before: int, after: int, stride: int, padding: int) -> list[nn.Module]:
        return [
            nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(True),
        ]

    def down(before: int, after: int) -> list[nn.Module]:
        return [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2, True)]

    w = WIDTH
    generator = nn.Sequential(
        *up(LATENT, 8 * w, 1, 0),
        *up(8 * w, 4 * w, 2, 1),
        *up(4 * w, 2 * w, 2, 1),
        *up(2 * w, w, 2, 1),
        nn.ConvTranspose2d(w, 3, 4, 2, 1, bias=False),
        nn.Tanh(),
    )
    discriminator = nn.Sequential(
        nn.Conv2d(3, w, 4, 2, 1, bias=False),
        nn.LeakyReLU(0.2, True),
        *down(w, 2 * w),
        *down(2 * w, 4 * w),
        *down(4 * w, 8 * w),
        nn.Conv2d(8 * w, 1, 4, 1, 0, bias=False),
        nn.Sigmoid(),
    )
    for net, source in ((generator, made.generator), (discriminator, made.discriminator)):
        own, theirs = list(net.parameters()), list(source.parameters())
        assert [tuple(p.shape) for p in own] == [tuple(p.shape) for p in theirs]
        with torch.no_grad():
            for one, other in zip(own, theirs, strict=True):
                one.data = other.detach().clone().contiguous()
    return generator, discriminator


Step = Callable[[Batch], tuple[float, float]]


def example_step(generator: nn.Module, discriminator: nn.Module) -> Step:
    """One iteration of the example's loop, its readings included."""
    criterion = nn.BCELoss()
    judge = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    make = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))

    def step(batch: Batch) -> tuple[float, float]:
        discriminator.zero_grad()
        label = torch.ones(len(batch.real), dtype=batch.real.dtype)
        output = discriminator(batch.real).view(-1)
        real_error = criterion(output, label)
        real_error.backward()
        output.mean().item()
        fake = generator(batch.noise)
        label.fill_(0.0)
        output = discriminator(fake.detach()).view(-1)
        fake_error = criterion(output, label)
        fake_error.backward()
        output.mean().item()
        judge.step()
        generator.zero_grad()
        label.fill_(1.0)
        output = discriminator(fake).view(-1)
        error = criterion(output, label)
        error.backward()
        output.mean().item()
        make.step()
        return (real_error + fake_error).item(), error.item()

    return step


def bare_step(generator: nn.Module, discriminator: nn.Module, precision: str) -> Step:
    """The step with gadkit's measures and nothing around it."""
    critic = nn.Sequential(*list(discriminator)[:-1]).to(memory_format=torch.channels_last)  # logits, no sigmoid
    maker = generator.to(memory_format=torch.channels_last)
    judging, making = list(critic.parameters()), list(maker.parameters())
    judge = torch.optim.Adam(judging, lr=2e-4, betas=(0.5, 0.999), fused=True)
    make = torch.optim.Adam(making, lr=2e-4, betas=(0.5, 0.999), fused=True)

    def autocast() -> object:
        return torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else nullcontext()

    def move(optimiser: torch.optim.Optimizer, parameters: list[nn.Parameter], loss: Tensor) -> None:
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.grad = gradient
        optimiser.step()

    def step(batch: Batch) -> tuple[float, float]:
        real = batch.real
        with autocast():  # type: ignore[attr-defined]
            fake = maker(batch.noise).to(real.dtype)
            loss = F.softplus(-critic(real).view(-1).to(real.dtype)).mean()
            loss = loss + F.softplus(critic(fake.detach()).view(-1).to(real.dtype)).mean()
        move(judge, judging, loss)
        with autocast():  # type: ignore[attr-defined]
            error = F.softplus(-critic(fake).view(-1).to(real.dtype)).mean()
        move(make, making, error)
        return 0.0, 0.0

    return step


def trainer_steps(made: Session) -> Iterator[dict[str, float]]:
    """gadkit's own loop, a step at each `next`."""
    training = MinimaxTraining(made.parts["trainer"], made)
    for step in made.course(training):
        training.advance(step)
        yield training.read() if made.engine.precision == "fp64" else {}


def compare(batch: int) -> None:
    """Three float64 steps: losses and weights of the example and of gadkit."""
    made = session(batch, "fp64")
    given = batches(made, batch, 3)
    nets = example_nets(made)
    for net in nets:
        net.double()
    step, ours = example_step(*nets), trainer_steps(made)
    worst = 0.0
    for item in given:
        theirs, values = step(item), next(ours)
        pair = (values["loss/discriminator"], values["loss/generator"])
        worst = max(worst, *(abs(a - b) / max(abs(b), 1e-9) for a, b in zip(pair, theirs, strict=True)))
    apart = 0.0
    for net, source in zip(nets, (made.generator, made.discriminator), strict=True):
        for one, other in zip(net.parameters(), source.parameters(), strict=True):
            apart = max(apart, float((one - other).detach().abs().max()))
    print(f"float64, 3 steps: weights differ by at most {apart:.1e}, losses relatively by {worst:.1e}")
    if apart > 1e-9 or worst > 1e-9:
        raise SystemExit("the two sides do not compute the same thing")


def measure(batch: int, precision: str, rounds: int, steps: int) -> None:
    """The ratios of process CPU time, pair by pair."""
    made = session(batch, precision)
    given = batches(made, batch, steps)
    nets = example_nets(made)
    bare = bare_step(*copy.deepcopy(nets), precision)
    example = example_step(*nets)
    ours = trainer_steps(made)
    for item in given:
        item.real = item.real.contiguous()
    resident = [Batch(b.real.contiguous(memory_format=torch.channels_last), b.noise) for b in given]

    def clock(run: Callable[[], object]) -> float:
        start = time.process_time()
        run()
        return time.process_time() - start

    sides: dict[str, Callable[[], object]] = {
        "example": lambda: [example(item) for item in given],
        "bare": lambda: [bare(item) for item in resident],
        "gadkit": lambda: [next(ours) for _ in range(steps)],
    }
    for run in sides.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds):
        order = list(sides) if turn % 2 == 0 else list(sides)[::-1]
        for name in order:
            times[name].append(clock(sides[name]) / steps)
    middle = {name: statistics.median(values) for name, values in times.items()}
    speed = sorted(a / b for a, b in zip(times["example"], times["gadkit"], strict=True))
    extra = sorted(a / b - 1 for a, b in zip(times["gadkit"], times["bare"], strict=True))
    text = ", ".join(f"{name} {value:.3f} s" for name, value in middle.items())
    print(f"{precision}: {text} a step")
    print(
        f"  gadkit is {statistics.median(speed):.2f} times as fast as the example ({speed[0]:.2f} to {speed[-1]:.2f})"
    )
    low, middle_extra, high = (100 * value for value in (extra[0], statistics.median(extra), extra[-1]))
    print(f"  around the bare step: {middle_extra:+.1f} % ({low:+.1f} to {high:+.1f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--keep-pages", action="store_true", help="keep memory as `gadkit train` does, for every side")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if arguments.keep_pages:
        keep_pages()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["GADKIT_CACHE"] = cache
        compare(arguments.batch)
        for precision in ("fp32", "bf16"):
            measure(arguments.batch, precision, arguments.rounds, arguments.steps)


if __name__ == "__main__":
    main()
