"""What it costs to refine samples, in passes through generator and discriminator.

    python benchmarks/refining.py [--num 16] [--frames 16] [--side 64] [--steps 10] [--rounds 7] [--device cpu]
        [--precision fp32]

The nets of the recipe `gad`, with the weights that they begin with. A pass renders `num` videos and judges them,
without gradients. It takes turns with refining the same videos: all at once, as a program may, and one after the other,
as `gadkit sample` does, whose videos are rendered each as if it were alone; there a pass is one video after the other,
too, and the frames that are kept are rendered besides. Printed is the ratio with its quartiles, of the processor's time
on the CPU and of the clock elsewhere, and the count of passes forward and backward.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor

from gadkit import Key, Model, Noise, VideoSpec
from gadkit.cli.allocator import keep_pages
from gadkit.engine import judge, total
from gadkit.engine.devices import resolve_device
from gadkit.randomness import seeded
from gadkit.registry import get_registry
from gadkit.runs import training
from gadkit.runs.refining import RefinedAssembler, choose_refinement


def model(options: argparse.Namespace) -> Model:
    """DCGAN's nets, untrained."""
    size = (options.side, options.side)
    config = training.resolve_config(get_registry(), None, "dcgan", {"frames": options.frames}, {}, (), size)
    video = VideoSpec(height=options.side, width=options.side, frames=options.frames, fps=25.0)
    made = {kind: config.parts[kind] for kind in ("generator", "assembler", "discriminator")}
    with seeded(Key.of(0)):
        generator = made["generator"].entry.load()(video, **made["generator"].settings)
        dims = (generator.latent_dim, generator.motion_dim)
        assembler = made["assembler"].entry.load()(video, *dims, **made["assembler"].settings)
        judging = made["discriminator"].entry.load()(video, **made["discriminator"].settings)
    device = resolve_device(options.device)
    built = Model(generator.to(device), assembler.to(device), video, judge=lambda: judging)
    built.precision = options.precision
    return built


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=16)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    options = parser.parse_args()
    if options.device == "cpu":
        torch.set_num_threads(1)
        keep_pages()
    built = model(options)
    device, cuda = built.device, built.device.type == "cuda"
    found = choose_refinement(get_registry(), None, options.steps)
    assert found is not None
    noise = Noise(Key.of(0, "cost"), torch.arange(options.num), device=device)
    passes = {"forward": 0, "backward": 0}

    def forward() -> torch.autocast | nullcontext[None]:
        return torch.autocast(device.type, torch.bfloat16) if options.precision == "bf16" else nullcontext()

    @torch.no_grad()
    def once(draws: Noise = noise) -> None:
        codes = built.assembler.draw_codes(draws, 0, options.frames, None, None)[0]
        with forward():
            total(built.discriminator, judge(built.discriminator, built.generator(codes)))

    def singly() -> None:
        for number in range(options.num):
            once(Noise(noise.key, noise.samples[number : number + 1], device=device))

    def refined() -> None:
        guided = RefinedAssembler(built.assembler, built.generator, built.discriminator, found.refiner, forward)
        with torch.no_grad():
            guided.draw_codes(noise, 0, options.frames, None, None)

    def sampled() -> None:
        built.sample(options.num, options.frames, refine=options.steps)

    def count(module: torch.nn.Module, inputs: object, output: Tensor) -> None:
        passes["forward"] += 1
        if output.requires_grad:
            output.register_hook(lambda _: passes.__setitem__("backward", passes["backward"] + 1))

    def seconds(work: Callable[[], None]) -> float:
        clock = time.perf_counter if cuda else time.process_time
        start = clock()
        work()
        if cuda:
            torch.cuda.synchronize()
        return clock() - start

    hook = built.discriminator.register_forward_hook(count)
    refined()
    hook.remove()
    print(f"{options.steps} steps: {passes['forward']} passes forward, {passes['backward']} backward")
    ratios: dict[str, list[float]] = {"all at once": [], "one after the other": []}
    for round_ in range(options.rounds + 1):
        for name, work, unit in (("all at once", refined, once), ("one after the other", sampled, singly)):
            before, spent, after = seconds(unit), seconds(work), seconds(unit)
            ratio = 2 * spent / (before + after)
            if round_:  # the first warms up
                ratios[name].append(ratio)
    for name, values in ratios.items():
        low, middle, high = statistics.quantiles(values, n=4)
        print(f"  {name}: {middle:.1f} passes (quartiles {low:.1f} to {high:.1f}, {options.rounds} rounds)")


if __name__ == "__main__":
    main()
