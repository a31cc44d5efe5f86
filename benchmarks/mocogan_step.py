"""MoCoGAN's training step beside a straightforward implementation of it: the same maths, and how much faster.

Both sides run alternately in one process, on one thread, in process CPU time, so that a busy machine blurs little:

- plain: the step as the paper describes it (Tulyakov et al. 2018), in plain PyTorch, float32: a GRU cell stepped in a
  Python loop, DCGAN's generator on every frame, an image discriminator on some frames and one of 3D convolutions on the
  clips, both with batch normalisation and binary cross-entropy; `backward` everywhere, weights in PyTorch's usual
  layout, Adam 2e-4 with betas (.5, .999), each loss read at each step. The generator's step goes through the fakes that
  the discriminators saw.
- gadkit: the trainer itself, with `dcgan`, `lstm` and `dual`: data order, clips from the store, noise, statistics,
  averaged weights, logging.

Both start from the same weights and see the same clips and noise. First the maths is compared in float64.

    python benchmarks/mocogan_step.py [--size 64] [--batch 8] [--frames 1] [--rounds 9] [--keep-pages] [--profile]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from nets_step import session, step_of
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from gadkit import Noise
from gadkit.cli.allocator import keep_pages
from gadkit.runs.session import Session
from gadkit_plugins.assemblers.lstm import Lstm
from gadkit_plugins.minimax.trainer import MinimaxTraining
from gadkit_plugins.mocogan.dual import DualDiscriminator

LENGTH, CONTENT, MOTION = 16, 50, 10
_RATE, _BETAS = 2e-4, (0.5, 0.999)


@dataclass
class Batch:
    """Clips `(B, T, 3, H, W)`, and the noise: content `(B, Z)`, motion `(B, T, M)`, first state `(B, M)`."""

    real: Tensor
    content: Tensor
    motion: Tensor
    state: Tensor


def mocogan(size: int, batch: int, frames: int, precision: str) -> Session:
    """gadkit's side: statistics over the whole batch, as the plain step has them."""
    choices = {
        "generator": "dcgan",
        "assembler": "lstm",
        "discriminator": "dual",
        "loss": "nonsaturating",
        "penalty": "none",
    }
    settings = {
        "generator.latent_dim": CONTENT + MOTION,
        "generator.motion_dim": MOTION,
        "assembler.cell": "gru",
        "assembler.hidden": 0,
        "discriminator.frames": frames,
        "trainer.norm_group": batch,
        "trainer.generator_lr": _RATE,
        "trainer.discriminator_lr": _RATE,
        "trainer.generator_betas": _BETAS,
        "trainer.discriminator_betas": _BETAS,
    }
    return session(choices, settings, size=size, frames=LENGTH, batch=batch, precision=precision)


def batches(made: Session, batch: int, count: int) -> list[Batch]:
    """What gadkit's trainer sees in its first steps, as a plain loop would have it in memory."""
    found = []
    for step in range(count):
        positions = torch.arange(step * batch, (step + 1) * batch)
        real, _ = made.clips.batch(made.clips.select(positions), None, torch.device("cpu"), made.engine.dtype)
        noise = Noise(made.key.fold("noise"), positions, dtype=made.engine.dtype).fold("codes")
        motion = noise.normal("motion", MOTION, torch.arange(LENGTH))
        found.append(
            Batch(real.contiguous(), noise.normal("content", CONTENT), motion, noise.normal("initial", MOTION))
        )
    return found


class PlainGenerator(nn.Module):
    """Content, a recurrent motion code, and DCGAN's generator on every frame."""

    def __init__(self, size: int, spread: float) -> None:
        super().__init__()
        self.spread = spread  # the generator sees the state in units of it
        widths = [64 * 2**layer for layer in range(size.bit_length() - 3)][::-1]
        self.start = nn.Linear(MOTION, MOTION)
        self.cell = nn.GRUCell(MOTION, MOTION)
        layers: list[nn.Module] = [nn.ConvTranspose2d(CONTENT + MOTION, widths[0], 4, 1, 0, bias=False)]
        for before, after in zip(widths, [*widths[1:], 3], strict=True):
            layers += [nn.BatchNorm2d(before), nn.ReLU(True), nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False)]
        self.main = nn.Sequential(*layers, nn.Tanh())

    def forward(self, batch: Batch) -> Tensor:
        """Videos `(B, T, 3, H, W)`."""
        state = self.start(batch.state)
        codes = []
        for time_step in range(LENGTH):
            state = self.cell(batch.motion[:, time_step], state)
            codes.append(torch.cat([batch.content, state / self.spread], dim=1))
        stacked = torch.stack(codes, dim=1).view(-1, CONTENT + MOTION, 1, 1)
        frames: Tensor = self.main(stacked)
        return frames.view(len(batch.real), LENGTH, *frames.shape[1:])


def plain_judge(size: int, conv: type[nn.Module], norm: type[nn.Module], how: tuple[object, ...]) -> nn.Sequential:
    """An image or a video discriminator: patches out."""
    widths = [64 * 2**layer for layer in range(size.bit_length() - 4)]
    layers: list[nn.Module] = [conv(3, widths[0], *how, bias=False), nn.LeakyReLU(0.2, True)]
    for before, after in pairwise(widths):
        layers += [conv(before, after, *how, bias=False), norm(after), nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*layers, conv(widths[-1], 1, *how, bias=False))


class Plain:
    """The straightforward implementation, from the weights of gadkit's nets."""

    def __init__(self, made: Session, size: int) -> None:
        judges, recurrent = made.discriminator, made.assembler
        assert isinstance(judges, DualDiscriminator)
        assert isinstance(recurrent, Lstm)
        self.generator = PlainGenerator(size, recurrent.cell.spreads[0])
        self.image = plain_judge(size, nn.Conv2d, nn.BatchNorm2d, (4, 2, 1))
        self.video = plain_judge(size, nn.Conv3d, nn.BatchNorm3d, (4, (1, 2, 2), (0, 1, 1)))
        self.seen = judges.looked_at(LENGTH)
        cell, initial = recurrent.cell, recurrent.initial
        gates = [getattr(layer, name) for name in ("weight", "bias") for layer in (cell.project, cell.recur)]
        self.twins = [
            *zip(
                self.generator.parameters(), [*initial.parameters(), *gates, *made.generator.parameters()], strict=True
            ),
            *zip(self.image.parameters(), judges.image.parameters(), strict=True),
            *zip(self.video.parameters(), judges.clip.parameters(), strict=True),
        ]
        for own, theirs in self.twins:
            assert own.shape == theirs.shape, (own.shape, theirs.shape)
            own.data = theirs.detach().clone().contiguous()
        nets = (self.generator, self.image, self.video)
        self.make, self.judge_image, self.judge_video = (
            torch.optim.Adam(net.parameters(), lr=_RATE, betas=_BETAS) for net in nets
        )
        self.criterion = nn.BCEWithLogitsLoss()

    def adversarial(self, judge: nn.Module, items: Tensor, real: bool) -> Tensor:
        """Binary cross-entropy of a discriminator's patches."""
        logits = judge(items)
        loss: Tensor = self.criterion(logits, torch.ones_like(logits) if real else torch.zeros_like(logits))
        return loss

    def views(self, video: Tensor) -> tuple[Tensor, Tensor]:
        """Images and clips, as the two discriminators take them."""
        return video[:, self.seen].flatten(0, 1), video.transpose(1, 2)

    def step(self, batch: Batch) -> tuple[float, float]:
        """One iteration: both discriminators, then the generator; the losses of the two sides."""
        fake = self.generator(batch)
        total = 0.0
        sides = zip((self.image, self.video), (self.judge_image, self.judge_video), strict=True)
        views = zip(self.views(batch.real), self.views(fake.detach()), strict=True)
        for (judge, optimiser), (real, made) in zip(sides, views, strict=True):
            optimiser.zero_grad()
            real_loss = self.adversarial(judge, real, True)
            fake_loss = self.adversarial(judge, made, False)
            loss = real_loss + fake_loss
            loss.backward()
            optimiser.step()
            total += loss.item()
        self.make.zero_grad()
        images, clips = self.views(fake)
        loss = self.adversarial(self.image, images, True) + self.adversarial(self.video, clips, True)
        loss.backward()
        self.make.step()
        return total, loss.item()


def compare(size: int, batch: int, frames: int) -> None:
    """Three float64 steps: losses and weights of the plain step and of gadkit's."""
    made = mocogan(size, batch, frames, "fp64")
    plain = Plain(made, size)
    for net in (plain.generator, plain.image, plain.video):
        net.double()
    given = batches(made, batch, 3)
    training = MinimaxTraining(made.parts["trainer"], made)
    worst = 0.0
    for step, item in enumerate(given):
        theirs = plain.step(item)
        training.advance(step)
        values = training.read()
        pair = values["loss/discriminator"], values["loss/generator"]
        worst = max(worst, *(abs(a - b) / max(abs(b), 1e-9) for a, b in zip(pair, theirs, strict=True)))
    apart = max(float((own - other).detach().abs().max()) for own, other in plain.twins)
    print(f"float64, 3 steps: weights differ by at most {apart:.1e}, losses relatively by {worst:.1e}")
    if apart > 1e-9 or worst > 1e-9:
        raise SystemExit("the two sides do not compute the same thing")


def measure(size: int, batch: int, frames: int, rounds: int, profiled: bool) -> None:
    """The ratios of process CPU time, round by round."""
    sides: dict[str, Callable[[], object]] = {}
    for precision in ("fp32", "bf16"):
        made = mocogan(size, batch, frames, precision)
        if not sides:
            plain, (item,) = Plain(made, size), batches(made, batch, 1)
            sides["plain"] = partial(plain.step, item)
        sides[precision] = step_of(made)
    if profiled:
        for name, run in sides.items():
            run()
            with profile(activities=[ProfilerActivity.CPU]) as seen:
                run()
            print(name, seen.key_averages().table(sort_by="self_cpu_time_total", row_limit=14), sep="\n")
        return
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(-2, rounds):  # the first two warm up
        for name in sides if turn % 2 == 0 else reversed(sides):
            start = time.process_time()
            sides[name]()
            if turn >= 0:
                times[name].append(time.process_time() - start)
    print(f"plain, fp32: {statistics.median(times['plain']):.3f} s a step, {rounds} rounds")
    for name in ("fp32", "bf16"):
        ratios = [theirs / own for theirs, own in zip(times["plain"], times[name], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        seconds = statistics.median(times[name])
        print(f"gadkit, {name}: {seconds:.3f} s a step, {middle:.2f} times as fast (quartiles {low:.2f} to {high:.2f})")


def main() -> None:
    """Compares, measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", type=int, choices=[32, 64, 128], default=64)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--frames", type=int, default=1, help="that the image discriminator sees of each clip")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--keep-pages", action="store_true", help="keep memory as `gadkit train` does, for both sides")
    parser.add_argument("--profile", action="store_true", help="where a step of each side spends its time, instead")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.keep_pages:
        keep_pages()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["GADKIT_CACHE"] = cache
        compare(options.size, min(options.batch, 4), options.frames)
        measure(options.size, options.batch, options.frames, options.rounds, options.profile)


if __name__ == "__main__":
    main()
