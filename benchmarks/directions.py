"""What a step of each direction costs beside one of alternating Adam, and what R1+R2 adds to a step.

    python benchmarks/directions.py [--rounds 40] [--directions optimistic extragradient,fresh=true ...]

In the plane (two layers of 128 tanh, batches of 64, a grid of 25 Gaussians) with RpGAN+R1+R2 and with the plain
non-saturating loss; and on video, in the trainer itself, with the demo recipe (32×32, 16 frames, 8 clips a step). The
sides take turns in one process on one thread. Printed are medians, with quartiles, of the ratios of neighbouring times,
in CPU seconds of the process.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from gadkit import Direction, GadkitError
from gadkit.cli.allocator import keep_pages
from gadkit.layers import toml_value
from gadkit.registry import get_registry
from gadkit.runs import training
from gadkit.runs.reporter import Reporter
from gadkit.signature import validate
from gadkit.testing.games import Mixture, MixtureGame
from gadkit_plugins.minimax.trainer import MinimaxTraining

BASE = "alternating"
OTHERS = [
    "simultaneous",
    "optimistic",
    "optimistic,alternating=true",
    "extragradient",
    "extragradient,fresh=true",
    "conjugate",
    "competitive",
]
Step = Callable[[], object]


def settings(choice: str) -> tuple[str, dict[str, Any]]:
    """A name and its settings, from `name,setting=value`."""
    name, *rest = choice.split(",")
    return name, {key: toml_value(value) for key, _, value in (setting.partition("=") for setting in rest)}


def part(kind: str, choice: str) -> Any:
    """A component, made."""
    name, values = settings(choice)
    cls = get_registry().find(kind, name).load()
    return cls(**validate(cls, values, kind))


def plane(choice: str, loss: str, penalty: str | None) -> Step:
    """Steps of a direction on the grid."""
    direction: Direction = part("direction", choice)
    game = MixtureGame(Mixture.grid(), part("loss", loss), None if penalty is None else part("penalty", penalty))
    made = 0

    def step() -> None:
        nonlocal made
        game.begin(made)
        direction.step(game)
        made += 1

    return step


def video(choice: str) -> Step:
    """Steps of a training by the demo recipe."""
    registry = get_registry()
    name, values = settings(choice)
    chosen = {"direction": name, "device": "cpu", "precision": "fp32"}
    sets = {f"direction.{key}": value for key, value in values.items()}
    config = training.resolve_config(registry, None, "demo", chosen, sets, (), None)
    engine = training.Engine(config.device, config.precision)
    config, store = training.open_data(registry, config, engine, Reporter())
    session = training.build(registry, config, engine, store)
    run = MinimaxTraining(session.parts["trainer"], session)
    numbers = iter(range(1_000_000))
    return lambda: run.advance(next(numbers))


def compare(title: str, sides: dict[str, Step], rounds: int, steps: int) -> None:
    """Prints the cost of each side as a ratio to the first."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(-2, rounds):  # the first two warm up
        for name in sides if turn % 2 == 0 else reversed(sides):
            start = time.process_time()
            for _ in range(steps):
                sides[name]()
            if turn >= 0:
                times[name].append((time.process_time() - start) / steps)
    base = next(iter(sides))
    print(f"{title}: {base} {1000 * statistics.median(times[base]):.2f} ms a step, {rounds} rounds of {steps}")
    for name in list(sides)[1:]:
        ratios = [own / other for own, other in zip(times[name], times[base], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(f"  {name:28} {middle:.3f} (quartiles {low:.3f} to {high:.3f})", flush=True)


def directions(make: Callable[[str], Step], choices: Sequence[str]) -> dict[str, Step]:
    """The base and the others; one that cannot be had is left out, and says why."""
    sides = {BASE: make(BASE)}
    for choice in choices:
        try:
            sides[choice] = make(choice)
        except GadkitError as error:
            print(f"  {choice} is left out: {error}")
    return sides


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--directions", nargs="+", default=OTHERS, metavar="NAME[,SETTING=VALUE]")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_pages()  # as `gadkit train` does

    for loss, penalty in (("rpgan", "r1r2"), ("nonsaturating", None)):
        sides = directions(partial(plane, loss=loss, penalty=penalty), options.directions)
        compare(f"plane, {loss}, {penalty or 'no penalty'}", sides, options.rounds, steps=5)
    penalties = {f"{name or 'no penalty'}": plane(BASE, "rpgan", name) for name in (None, "r1", "r1r2", "approx-r1r2")}
    compare(f"plane, rpgan, {BASE}", penalties, options.rounds, steps=5)
    compare("video, demo recipe", directions(video, options.directions), max(2, options.rounds // 4), steps=1)


if __name__ == "__main__":
    main()
