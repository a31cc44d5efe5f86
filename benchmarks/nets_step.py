"""What a training step of each family of nets costs, beside one of DCGAN's: time, operations, parameters.

    python benchmarks/nets_step.py [--sizes 32 64] [--frames 16] [--batch 16] [--rounds 8] [--precisions fp32 bf16]

The trainer itself makes the steps, on random clips: the `dcgan` recipe's parts; residual nets with the relativistic
loss and both gradient penalties; MoCoGAN's pair of discriminators on its recurrent codes. Operations are counted once,
in a whole step, the double backward included: 2 for each multiplication with its addition, in convolutions and matrix
products. The sides take turns in one process on one thread, in CPU seconds of the process; printed are medians, with
quartiles, of the ratios of neighbouring times.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from directions import Step, compare
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

import gadkit
from gadkit.cli.allocator import keep_pages
from gadkit.engine import Engine
from gadkit.registry import get_registry
from gadkit.runs import training
from gadkit.runs.choices import resolve_config
from gadkit.runs.reporter import Reporter
from gadkit.runs.session import Session
from gadkit_plugins.minimax.trainer import MinimaxTraining

#: What each side changes about the `dcgan` recipe.
NETS: dict[str, dict[str, str]] = {
    "dcgan": {},
    "residual": {
        "generator": "residual",
        "discriminator": "residual-clip",
        "loss": "rpgan",
        "penalty": "r1r2",
    },
    "mocogan": {"assembler": "lstm", "discriminator": "dual", "penalty": "none"},
}
_BILLION = 1e9
_MILLION = 1e6


class Noisy(gadkit.Dataset):
    """Videos whose pixels are random, one clip long.

    Args:
        size: Pixels a side.
        length: Frames of a video.
        videos: How many.
    """

    def __init__(self, path: object, *, size: int = 64, length: int = 16, videos: int = 64) -> None:
        self.shape = length, size, size, 3
        self.videos = videos

    def sources(self) -> list[gadkit.Source]:
        """All of them."""
        return [gadkit.Source(name=f"{index:04d}") for index in range(self.videos)]

    def open(self, source: gadkit.Source) -> gadkit.Footage:
        """One of them, decoded."""
        pixels = np.random.default_rng(int(source.name)).integers(0, 256, self.shape, np.uint8)
        return gadkit.Footage(fps=25.0, frames=iter(pixels))


def session(
    choices: Mapping[str, str], settings: Mapping[str, Any], *, size: int, frames: int, batch: int, precision: str
) -> Session:
    """A training of the trainer's own, ready for its first step, on the CPU."""
    registry = get_registry()
    fixed = {"dataset": Noisy, "frames": frames, "batch_size": batch, "device": "cpu", "precision": precision}
    data = {"data.size": size, "data.length": frames, "run.steps": 1_000_000}
    config = resolve_config(registry, None, "dcgan", {**fixed, **choices}, {**data, **settings}, (), size)
    engine = Engine(config.device, config.precision)
    config, store = training.open_data(registry, config, engine, Reporter())
    return training.build(registry, config, engine, store)


def step_of(made: Session) -> Step:
    """What makes the next step of a training at each call."""
    run = MinimaxTraining(made.parts["trainer"], made)
    numbers = iter(range(1_000_000))
    return lambda: run.advance(next(numbers))


class Operations(TorchDispatchMode):
    """Counts the operations of a block, by PyTorch's formulas where they hold.

    Not by its `FlopCounterMode`, which stumbles over gradients that are taken inside of a step, nor by its formula of
    the gradients of convolutions, which takes the weights of grouped ones for those of whole ones.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs one operation."""
        out = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.convolution_backward.default:
            slope, entering, weight = args[:3]
            transposed, wanted = args[7], args[10]
            places = entering if transposed else slope  # each of which meets every weight of its group
            self.total += 2 * (places.numel() // places.shape[1]) * weight.numel() * sum(wanted[:2])
        elif (count := flop_registry.get(func.overloadpacket)) is not None:
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out


def operations(step: Step) -> int:
    """Of one step."""
    with Operations() as counted:
        step()
    total: int = counted.total
    return total


def sides(names: list[str], *, size: int, frames: int, batch: int, precision: str) -> dict[str, Step]:
    """The steps; prints a line about each. A side that cannot be had is left out, and says why."""
    found: dict[str, Step] = {}
    for name in names:
        try:
            made = session(NETS[name], {}, size=size, frames=frames, batch=batch, precision=precision)
            step = step_of(made)
        except gadkit.GadkitError as error:
            print(f"  {name} is left out: {error}")
            continue
        counts = {
            part: sum(parameter.numel() for parameter in made.parts[part].parameters()) / _MILLION
            for part in ("generator", "assembler", "discriminator")
        }
        text = ", ".join(f"{part} {count:.2f}" for part, count in counts.items() if count)
        print(f"  {name:10} {operations(step) / _BILLION:8.1f} GFLOP a step; million parameters: {text}", flush=True)
        found[name] = step
    return found


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", nargs="+", type=int, default=[32, 64])
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--nets", nargs="+", choices=list(NETS), default=list(NETS), help="the first is the unit")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_pages()  # as `gadkit train` does
    with tempfile.TemporaryDirectory() as cache:
        os.environ["GADKIT_CACHE"] = cache
        for size in options.sizes:
            for precision in options.precisions:
                title = f"{size}x{size}, {options.frames} frames, batch {options.batch}, {precision}"
                print(title)
                made = sides(options.nets, size=size, frames=options.frames, batch=options.batch, precision=precision)
                compare(title, made, options.rounds, steps=1)


if __name__ == "__main__":
    main()
