"""The grid of 25 Gaussians: which directions and refiners place samples at every mode, and at what cost?

    python benchmarks/grid.py
    python benchmarks/grid.py --loss nonsaturating --penalty none
    python benchmarks/grid.py --direction alternating optimistic --steps 1000 2000 --seeds 3

A component is named with its settings behind commas, as in `optimistic,alternating=true` or `proximal,steps=20`. Nets
of two layers of 128 tanh, latents of 4 entries, batches of 64, Adam (2e-3, betas 0 and .99, held for half of the steps
and then linear to 2 %). For every seed, 2,500 samples are drawn after training, and drawn again through each refiner.

The bar: nine seeds in ten have a sample within 3 standard deviations of all 25 modes; the share of the samples within 3
standard deviations of a mode is .45 for every seed and .60 in the median. Of a refiner: the share rises by .12, or to
.97, and no mode is lost, for every seed. The program says whether they hold, and ends with status 1 where the first
one does not.

`--latent-optimisation` trains on samples that were moved along the discriminator's gradient (Wu et al. 2019, LOGAN,
arXiv:1912.00953): by a refiner, or by the paper's natural gradient step, through which the generator's gradient leads.

Seconds are CPU seconds of the process.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from gadkit import GadkitError, Key, Noise
from gadkit.layers import toml_value
from gadkit.registry import get_registry
from gadkit.signature import validate
from gadkit.testing.games import Mixture, MixtureGame, held_then_falling

SAMPLES = 2500
#: A mode with fewer samples than this, where a hundred would be fair.
THIN = 10
#: The step of LOGAN's section 3: alpha g / (beta + |g|^2).
ALPHA, BETA = 0.9, 5.0
NATURAL = "natural"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One training.

    Attributes:
        direction: As on the command line, with its settings; so are the others.
        loss: Its name.
        penalty: Its name, or `none`.
        steps: Of the training.
        rate: Both players' first learning rate.
        seed: Of everything.
        refiners: Tried on the samples.
        optimised: Who is trained on moved samples: nobody, the `discriminator`, or `both` players.
        move: What moves them: a refiner, or `natural`.
    """

    direction: str
    loss: str
    penalty: str
    steps: int
    rate: float
    seed: int
    refiners: tuple[str, ...]
    optimised: str | None
    move: str

    @property
    def tried(self) -> tuple[str, ...]:
        """What moves the latents of the samples: the refiners, and what moved them in training."""
        return self.refiners if self.optimised is None else (self.move, *self.refiners)

    @property
    def label(self) -> str:
        """What is compared in the table."""
        return self.direction + (f" + {self.move} ({self.optimised})" if self.optimised else "")


@dataclass(frozen=True)
class Sampled:
    """What 2,500 samples show.

    Attributes:
        modes: Those with a sample within 3 standard deviations.
        fewest: Samples at the mode that has the fewest.
        share: Of samples within 3 standard deviations of a mode.
        seconds: CPU seconds of a thousand steps, or of the refinement.
    """

    modes: int
    fewest: int
    share: float
    seconds: float


def build(kind: str, text: str) -> Any:
    """A component from its name and settings, `NAME[,KEY=VALUE]...`."""
    name, *settings = text.split(",")
    cls = get_registry().find(kind, name).load()
    values = {key: toml_value(value) for key, _, value in (setting.partition("=") for setting in settings)}
    return cls(**validate(cls, values, kind))


class Optimised(MixtureGame):
    """Trained on samples that were moved along the discriminator's gradient.

    Args:
        plan: Says by whom they are seen.
        moved: `(game, latents, number)` to latents; the number is another one for each batch.
    """

    def __init__(self, plan: Plan, moved: Callable[[MixtureGame, Tensor, int], Tensor], **rest: Any) -> None:
        super().__init__(Mixture.grid(), **rest)
        self._plan, self._moved, self._judges = plan, moved, False

    def _judging(self, draw: int) -> Tensor:
        self._judges = True
        try:
            return super()._judging(draw)
        finally:
            self._judges = False

    def _draw(self, step: int, draw: int) -> tuple[Tensor, Tensor]:
        real, latents = super()._draw(step, draw)
        if self._judges or self._plan.optimised == "both":
            latents = self._moved(self, latents, step)
        return real, latents


def natural(game: MixtureGame, latents: Tensor, number: int) -> Tensor:
    """LOGAN's step; a graph leads through it to the nets."""
    latents = latents.detach().requires_grad_()
    with torch.enable_grad():
        (ascent,) = torch.autograd.grad(game.score(latents).sum(), latents, create_graph=True)
    return latents + ALPHA * ascent / (BETA + ascent.square().sum(dim=1, keepdim=True))


def game_of(plan: Plan) -> MixtureGame:
    """The game before its first step."""
    penalty = None if plan.penalty == "none" else build("penalty", plan.penalty)
    parts = {"loss": build("loss", plan.loss), "penalty": penalty, "seed": plan.seed}
    if plan.optimised is None:
        return MixtureGame(Mixture.grid(), **parts)
    return Optimised(plan, mover(plan.move), **parts)


def mover(text: str) -> Callable[[MixtureGame, Tensor, int], Tensor]:
    """What moves latents: a refiner, or the natural step."""
    return natural if text == NATURAL else by_refiner(text)


def by_refiner(text: str) -> Callable[[MixtureGame, Tensor, int], Tensor]:
    """Moves latents by a refiner."""
    refiner = build("refiner", text)

    def moved(game: MixtureGame, latents: Tensor, number: int) -> Tensor:
        noise = Noise(Key.of(game.seed, "moved", number), torch.arange(len(latents)))
        found: Tensor = refiner.refine(game.score, latents, noise)
        return found

    return moved


def measured(game: MixtureGame, latents: Tensor, seconds: float) -> Sampled:
    """What the samples of these latents show."""
    counts = game.mixture.counts(game.points(latents))
    return Sampled(int((counts > 0).sum()), int(counts.min()), int(counts.sum()) / len(latents), seconds)


def trained(plan: Plan) -> dict[str, Sampled]:
    """What one training shows: `""` for its samples as they are, and by refiner."""
    torch.set_num_threads(1)
    game = game_of(plan)
    game.generator.rate = game.discriminator.rate = plan.rate
    start = time.process_time()
    game.play(build("direction", plan.direction), plan.steps, schedule=held_then_falling)
    latents = game.latents(SAMPLES)
    found = {"": measured(game, latents, (time.process_time() - start) / plan.steps * 1000)}
    for text in plan.tried:
        start = time.process_time()
        refined = mover(text)(game, latents, 0)
        found[text] = measured(game, refined, time.process_time() - start)
    return found


def bar(found: Sequence[Sampled]) -> bool:
    """Whether samples as they are reach the bar."""
    whole = sum(one.modes == 25 for one in found)
    shares = [one.share for one in found]
    return whole >= math.ceil(0.9 * len(found)) and min(shares) >= 0.45 and statistics.median(shares) >= 0.60


def refined_bar(before: Sequence[Sampled], after: Sequence[Sampled]) -> bool:
    """Whether refined samples do."""
    return all(
        new.modes >= old.modes and (new.share >= old.share + 0.12 or new.share >= 0.97)
        for old, new in zip(before, after, strict=True)
    )


def row(label: str, steps: int, found: Sequence[Sampled], reached: bool) -> list[str]:
    """A row of the table."""
    shares = [one.share for one in found]
    modes = [one.modes for one in found]
    return [
        label,
        f"{steps:,}" if steps else "",
        f"{sum(count == 25 for count in modes)}/{len(found)}",
        f"{min(modes)} to {max(modes)}",
        f"{statistics.median(one.fewest for one in found):g}",
        f"{sum(one.fewest < THIN for one in found)}/{len(found)}",
        f"{statistics.median(shares):.2f}",
        f"{min(shares):.2f} to {max(shares):.2f}",
        f"{statistics.median(one.seconds for one in found):.2f}",
        "yes" if reached else "no",
    ]


def options() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--direction", nargs="+", default=["optimistic"], help="NAME[,KEY=VALUE]..., one or more")
    parser.add_argument("--loss", default="rpgan")
    parser.add_argument("--penalty", default="r1r2,gamma=0.05", help="or none")
    parser.add_argument("--refiner", nargs="*", default=["proximal"], help="tried on the samples; may be none at all")
    parser.add_argument("--steps", type=int, nargs="+", default=[6000])
    parser.add_argument("--rate", type=float, default=2e-3, help="of both players")
    parser.add_argument("--seeds", type=int, default=10, help="how many")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--latent-optimisation", choices=["discriminator", "both"], help="on moved samples")
    parser.add_argument("--latent-step", default=NATURAL, help=f"what moves them: {NATURAL}, or a refiner")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--json", type=Path, help="a file that all numbers are written to")
    return parser.parse_args()


def main() -> int:
    """Trains, measures and prints."""
    asked = options()
    plans = [
        Plan(
            direction=direction,
            loss=asked.loss,
            penalty=asked.penalty,
            steps=steps,
            rate=asked.rate,
            seed=seed,
            refiners=tuple(asked.refiner),
            optimised=asked.latent_optimisation,
            move=asked.latent_step,
        )
        for direction in asked.direction
        for steps in asked.steps
        for seed in range(asked.first_seed, asked.first_seed + asked.seeds)
    ]
    for plan in plans[:: asked.seeds]:  # what is misspelt is told before the first training
        game_of(plan)
        for kind, text in (("direction", plan.direction), *(("refiner", text) for text in plan.refiners)):
            build(kind, text)
    with ProcessPoolExecutor(asked.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        results = []
        for plan, found in zip(plans, pool.map(trained, plans), strict=True):
            results.append((plan, found))
            print(f"{plan.label}, {plan.steps} steps, seed {plan.seed}: {found['']}", file=sys.stderr)

    console = Console(width=None if sys.stdout.isatty() else 120)
    table = Table(title=f"grid of 25, {asked.loss}, {asked.penalty}: {asked.seeds} seeds, {SAMPLES:,} samples each")
    table.add_column("", no_wrap=True)
    for name in ("steps", "whole", "modes", "fewest", "thin", "share", "", "CPU s", "bar"):
        table.add_column(name, justify="right", no_wrap=True)
    reached = []
    for first in range(0, len(results), asked.seeds):
        group = results[first : first + asked.seeds]
        plan, before = group[0][0], [found[""] for _, found in group]
        reached.append(bar(before))
        table.add_row(*row(plan.label, plan.steps, before, reached[-1]))
        for text in plan.tried:
            after = [found[text] for _, found in group]
            table.add_row(*row(f"  then {text}", 0, after, refined_bar(before, after)))
    console.print(table)
    console.print(
        f"whole: seeds with all modes. fewest: samples at the mode with the fewest. thin: seeds with below {THIN}. "
        "CPU s: of 1,000 steps, or of one refinement of all samples. fewest, share and CPU s are medians."
    )
    if asked.json is not None:
        numbers = [asdict(plan) | {"found": {k: asdict(v) for k, v in found.items()}} for plan, found in results]
        asked.json.write_text(json.dumps(numbers, indent=1), encoding="utf-8")
    return 0 if all(reached) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except GadkitError as error:
        sys.exit(str(error))
