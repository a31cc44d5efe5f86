"""Small games whose answer is known, under every direction and every refiner there is, drawn.

    python examples/games.py [--out games] [--full]

A *direction* says how the gradients of generator and discriminator become steps; a *refiner* moves latents along the
discriminator's gradient after training. Both are tried here where one can see what they do:

1. The Dirac-GAN: one number against one number, so that all of a training is a path in the plane (`dirac.png`).
2. A ring of 8 and a grid of 25 Gaussians, learned by two small nets (`ring.png`, `grid.png`).
3. Samples of these nets, as they are and refined (`refined.png`).

Directions and refiners come from the registry, so those of plugins that you have installed are drawn as well. It takes
most of a minute on one core, with a large learning rate and few steps; `--full` takes 6,000 steps and some six minutes.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Circle
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor

from gadkit import Key, Noise
from gadkit.registry import get_registry
from gadkit.testing.games import Mixture, MixtureGame, SmallGame, dirac, held_then_falling

DATA, MADE = "#D55E00", "#0072B2"
#: Directions whose steps are the learning rate times a gradient, past Adam, which wants a larger rate.
RATES = {"conjugate": 0.1}
#: Rows of a table: a name and what was found of it.
Found = dict[str, list[str]]


def part(kind: str, name: str, **settings: Any) -> Any:
    """A component of any plugin, by its name."""
    return get_registry().find(kind, name).load()(**settings)


def panels(columns: int, rows: int = 1) -> tuple[Figure, list[list[Axes]]]:
    """A figure of square panels whose rows have equal limits."""
    figure = Figure(figsize=(1.9 * columns + 0.5, 2.3 * rows + 0.5), layout=ConstrainedLayoutEngine(h_pad=0.06))
    axes = figure.subplots(rows, columns, sharex="row", sharey="row", squeeze=False)
    for axis in axes.flat:
        axis.set_aspect("equal")
        axis.tick_params(labelsize=7)
    return figure, [list(row) for row in axes]


def save(figure: Figure, file: Path, title: str) -> None:
    figure.suptitle(title, fontsize=10)
    figure.savefig(file, dpi=110)
    Image.open(file).convert("RGB").quantize().save(file, optimize=True)  # half the bytes
    print(f"wrote {file}")


# 1. The Dirac-GAN ----------------------------------------------------------------------------------------------------


def standing(game: SmallGame) -> tuple[float, float]:
    """Where a Dirac-GAN is: (theta, psi). The answer is (0, 0): samples on the data, a discriminator without slope."""
    return game.generator.parameters[0].item(), game.discriminator.parameters[0].item()


def pulls(make: Callable[..., SmallGame]) -> tuple[Tensor, Tensor]:
    """A lattice of places `(N, 2)`, and the way that both players are pulled there, of length 1."""
    places = torch.cartesian_prod(*2 * [torch.linspace(-2.7, 2.7, 10)])
    games = [make(start=(theta, psi)) for theta, psi in places.tolist()]
    pull = torch.tensor([[-g.generator.gradient(0)[0].item(), -g.discriminator.gradient(0)[0].item()] for g in games])
    return places, torch.nn.functional.normalize(pull)


def draw_dirac(out: Path, found: Found) -> None:
    """The path of (theta, psi) under every direction: in the zero-sum game alone, and with a penalty."""

    def alone(**place: Any) -> SmallGame:
        return dirac(part("loss", "minimax"), **place)

    def penalised(**place: Any) -> SmallGame:
        return dirac(part("loss", "rpgan"), part("penalty", "r1", gamma=0.3), **place)

    figure, rows = panels(len(found), rows=2)
    for row, make, name in ((rows[0], alone, "minimax"), (rows[1], penalised, "rpgan + r1")):
        places, pull = pulls(make)
        for axis, direction in zip(row, found, strict=True):
            game = make(start=(1.0, 1.0), step=0.5)
            path = [standing(game)]
            game.play(part("direction", direction), 1000, watch=lambda step: path.append(standing(game)))  # noqa: B023
            found[direction].append(f"{math.hypot(*path[-1]):.2g}")
            axis.quiver(*places.T, *pull.T, color="#CCCCCC", width=0.006, scale=18, pivot="mid")
            drawn = LineCollection([path[at : at + 2] for at in range(100)], cmap="viridis_r", linewidth=1.3)
            drawn.set_array(list(range(100)))
            axis.add_collection(drawn)
            axis.plot(1, 1, "o", color="black", markersize=4, label="start")
            axis.plot(0, 0, "*", color=DATA, markersize=9, label="answer")
            axis.set(xlim=(-3, 3), ylim=(-3, 3))
            axis.set_title(direction, fontsize=9)
        row[0].set_ylabel(f"{name}: ψ", fontsize=9)
    for axis in rows[1]:
        axis.set_xlabel("θ", fontsize=9)
    bar = figure.colorbar(drawn, ax=[axis for row in rows for axis in row], fraction=0.015, pad=0.01)
    bar.set_label("step", fontsize=9)
    rows[0][0].legend(fontsize=7, loc="lower left")
    save(figure, out / "dirac.png", "Dirac-GAN: G(z) = θ, D(x) = ψx, data at 0, rate 0.5, 100 steps")


# 2. Mixtures ---------------------------------------------------------------------------------------------------------


def draw_samples(axis: Axes, mixture: Mixture, points: Tensor, title: str) -> str:
    """A scatter plot of samples over the modes, and what it shows: modes found, and the share of samples near one."""
    modes, share = mixture.quality(points)
    shown = f"{modes}/{len(mixture.modes)}, {share:.0%}"
    for place in mixture.modes.tolist():
        axis.add_artist(Circle(place, 3 * mixture.std, fill=False, color=DATA, linewidth=0.8))
    axis.scatter(points[:1000, 0], points[:1000, 1], s=2.5, color=MADE, linewidths=0, alpha=0.6)
    reach = 1.25 * float(mixture.modes.abs().max())
    axis.set(xlim=(-reach, reach), ylim=(-reach, reach))
    axis.set_title(f"{title}\n{shown}", fontsize=9)
    return shown


def draw_mixture(out: Path, name: str, mixture: Mixture, steps: int, rate: float, found: Found) -> MixtureGame:
    """What every direction learns in as many steps; the alternating game, for the refiners."""
    figure, (row,) = panels(len(found))
    for axis, direction in zip(row, found, strict=True):
        rule = part("direction", direction)
        game = MixtureGame(mixture, part("loss", "rpgan"), part("penalty", "r1r2", gamma=0.05))
        if rule.needs_zero_sum and not game.zero_sum:
            found[direction] += ["not zero-sum", ""]
            axis.set_title(direction, fontsize=9)
            continue
        # Mixed second derivatives cost some eight times a step: in the short tour they get an eighth of the steps.
        own = steps // 8 if rule.needs_one_graph and steps < 2000 else steps
        game.generator.rate = game.discriminator.rate = RATES.get(direction, rate)
        start = time.process_time()
        game.play(rule, own, schedule=held_then_falling)
        took = 1000 * (time.process_time() - start) / own
        title = direction if own == steps else f"{direction}, {own} steps"
        found[direction] += [draw_samples(axis, mixture, game.points(game.latents(2500)), title), f"{took:.1f} ms"]
        if direction == "alternating":
            kept = game
    save(figure, out / f"{name}.png", f"{name} of {len(mixture.modes)}, RpGAN + R1 + R2, {steps:,} steps")
    return kept


# 3. Refinement -------------------------------------------------------------------------------------------------------


def draw_refined(out: Path, games: list[MixtureGame], found: Found) -> None:
    """Samples as they are, and through every refiner."""
    figure, rows = panels(1 + len(found), rows=len(games))
    for row, game in zip(rows, games, strict=True):
        latents = game.latents(2500)
        noise = Noise(Key.of(0, "refine"), torch.arange(len(latents)))
        draw_samples(row[0], game.mixture, game.points(latents), "as they are")
        for axis, name in zip(row[1:], found, strict=True):
            start = time.process_time()
            refined = part("refiner", name).refine(game.score, latents, noise)
            took = 1000 * (time.process_time() - start)
            found[name] += [draw_samples(axis, game.mixture, game.points(refined), name), f"{took:.0f} ms"]
    save(figure, out / "refined.png", "after alternating steps: samples refined along the discriminator's gradient")


def table(title: str, columns: list[str], found: Found) -> Table:
    made = Table("", *columns, title=title)
    made.columns[0].no_wrap = True
    for name, cells in found.items():
        made.add_row(name, *cells)
    return made


def main(out: Path, full: bool) -> None:
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    directions: Found = {name: [] for name in get_registry().names("direction")}
    refiners: Found = {name: [] for name in get_registry().names("refiner")}
    ring, grid, rate = (2000, 6000, 2e-3) if full else (300, 1200, 1e-2)
    draw_dirac(out, directions)
    games = [
        draw_mixture(out, "ring", Mixture.ring(), ring, rate, directions),
        draw_mixture(out, "grid", Mixture.grid(), grid, rate, directions),
    ]
    draw_refined(out, games, refiners)
    console = Console()
    console.print(
        table("Directions", ["Dirac", "with r1", "ring", "a step", "grid", "a step"], directions),
        table("Refiners, 2,500 samples", ["ring", "in", "grid", "in"], refiners),
        "Dirac: the distance to the answer after 1,000 steps. Ring and grid: modes with a sample within 3 standard "
        "deviations, and the share of samples so near one. Times are of the processor.",
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("games"), help="the folder of the pictures")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--quick", action="store_true", help="in a minute: the default")
    length.add_argument("--full", action="store_true", help="until the grid is learned: some six minutes")
    asked = parser.parse_args()
    main(asked.out, asked.full)
