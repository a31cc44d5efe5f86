"""How fast clips come: random clips of a pack against copies of the same bytes, and what a training waits for them.

    python benchmarks/feeding.py [--data CLIPS]

First, batches of 16 random clips of 16 frames at 64×64 from a pack that is in the page cache, against NumPy copying the
same bytes of the same file, mapped: once into an array that stays, once into a new array a batch, which is what a pack
gives. The sides take turns, and the ratio of speeds is printed with its spread (above 1: the pack is faster).

Then trainings of the recipe `dcgan`, with all frames in memory and with frames mapped from disk, and the share of their
time that they waited for clips.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

import gadkit
from gadkit.cli.allocator import keep_pages
from gadkit.data.shards import map_shard
from gadkit.data.store import ClipStore
from gadkit.engine import Clips

SIZE, CLIPS, FRAMES, LENGTH = 64, 16, 16, 70


def timed(function: Callable[[int], object], batches: int) -> float:
    """Seconds for a number of batches."""
    start = time.perf_counter()
    for number in range(batches):
        function(number)
    return time.perf_counter() - start


def reading(folder: Path, videos: int, rounds: int, batches: int) -> dict[str, list[float]]:
    """Seconds a batch of each side in each round."""
    path = folder / "shard.safetensors"
    save_file({"frames": torch.randint(0, 256, (videos * LENGTH, SIZE, SIZE, 3), dtype=torch.uint8)}, path)
    block = map_shard(path, (SIZE, SIZE, 3))
    lengths = torch.full((videos,), LENGTH)
    store = ClipStore([block], lengths.cumsum(0) - lengths, lengths, names=[""] * videos, fps=25.0)
    clips = Clips(store, gadkit.Key.of(0, "benchmark"), FRAMES)
    mapped = np.memmap(path, np.uint8, "r", offset=path.stat().st_size - store.nbytes).reshape(block.shape)
    kept = np.empty((CLIPS, FRAMES, SIZE, SIZE, 3), np.uint8)
    device = torch.device("cpu")

    def starts(number: int) -> list[int]:
        choice = clips.select(torch.arange(CLIPS * number, CLIPS * (number + 1)))
        return (choice.videos * LENGTH + (choice.places * (LENGTH - FRAMES + 1) >> 32)).tolist()

    wanted = [starts(number) for number in range(batches)]

    def pack(number: int) -> torch.Tensor:
        choice = clips.select(torch.arange(CLIPS * number, CLIPS * (number + 1)))
        times = torch.arange(FRAMES).expand(CLIPS, FRAMES)
        return store.clips(choice.videos, choice.places, times, FRAMES)[0]

    def copy(number: int) -> None:
        for clip, start in enumerate(wanted[number]):
            kept[clip] = mapped[start : start + FRAMES]

    def new(number: int) -> np.ndarray:
        return np.stack([mapped[start : start + FRAMES] for start in wanted[number]])

    assert np.array_equal(pack(3).numpy(), new(3))
    assert clips.batch(clips.select(torch.arange(CLIPS)), None, device, torch.float32)[0].shape[0] == CLIPS
    sides = {"pack": pack, "copy": copy, "new": new}
    found: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(-1, rounds):  # the first round warms up
        for name in list(sides)[turn % 3 :] + list(sides)[: turn % 3]:
            seconds = timed(sides[name], batches)
            if turn >= 0:
                found[name].append(seconds / batches)
    return found


def waiting(folder: Path, resident: str, data: str | None, steps: int) -> float:
    """The share of its time that a training waits for clips."""
    out = folder / resident
    choices = {"data": data, "set": {"clips.resident": resident}, "steps": steps, "log_every": 10}
    gadkit.train(recipe="dcgan", out=out, resolution=SIZE, frames=FRAMES, batch_size=CLIPS, **choices)
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    first, last = lines[0], lines[-1]  # the first ten steps warm up
    return (last["waited"] - first["waited"]) / (last["seconds"] - first["seconds"])


def spread(values: list[float]) -> str:
    """Median, lowest and highest."""
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", help="clips to train on; by default those that come with gadkit")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--videos", type=int, default=700)
    parser.add_argument("--steps", type=int, default=40, help="of each training, a multiple of 10")
    options = parser.parse_args()
    keep_pages()  # as `gadkit train` does
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seconds = reading(folder, options.videos, options.rounds, 200)
        size = CLIPS * FRAMES * SIZE * SIZE * 3
        print(f"{CLIPS} clips of {FRAMES} frames at {SIZE}×{SIZE}, {torch.get_num_threads()} thread(s)")
        for side, words in {"pack": "random clips of a pack", "copy": "copy", "new": "copy into a new array"}.items():
            rates = [CLIPS / value for value in seconds[side]]
            print(f"  {words:24} {spread(rates)} clips/s, {size / statistics.median(seconds[side]) / 1e9:.1f} GB/s")
        for side, words in {"copy": "copy", "new": "copy into a new array"}.items():
            ratios = [other / own for other, own in zip(seconds[side], seconds["pack"], strict=True)]
            print(f"  pack : {words:22} {spread(ratios)}")
        for resident, words in {"always": "in memory", "never": "mapped from disk"}.items():
            share = waiting(folder, resident, options.data, options.steps)
            print(f"a training with frames {words:18} waits for clips {share:.2%} of its time")


if __name__ == "__main__":
    main()
