"""What checkpoints cost a training: one a minute, against none.

    python benchmarks/checkpointing.py [--recipe dcgan] [--rounds 5] [--minutes 1]

Two trainings of one recipe take turns, minute by minute, each in a process of its own that stands still while the other
works. One saves a checkpoint at the beginning of each of its turns, in the background as always; the other saves none.
Printed is the ratio of steps a second (below 1: saving
costs something), with its spread, and the same for two trainings that both save nothing: what the machine itself does.
Before that, what one checkpoint takes: how long the training waits while its copy is made, and what the processor works
in all, which costs the training only where every core is busy.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest import mock

import gadkit
from gadkit.cli.allocator import keep_pages
from gadkit.runs.course import Course
from gadkit.runs.folder import Run
from gadkit.words import size_text


class Turns(gadkit.Reporter):
    """Lets a training work in turns: waits at a step until it is told for how long."""

    def __init__(self, line: Connection) -> None:
        self._line = line
        self._end = 0.0
        self._steps = 0
        self._began = 0.0

    def advanced(self, step: int) -> None:
        """A step was made."""
        self._steps += 1
        now = time.perf_counter()
        if now < self._end:
            return
        if self._began:
            self._line.send((self._steps, now - self._began))
        seconds = self._line.recv()
        if not seconds:
            raise KeyboardInterrupt
        self._steps, self._began = 0, time.perf_counter()
        self._end = self._began + seconds


def work(line: Connection, folder: str, choices: dict[str, Any]) -> None:
    """A training that works when it is told to."""
    keep_pages()
    try:
        gadkit.train(out=Path(folder) / "run", reporter=Turns(line), **choices)
    except KeyboardInterrupt:
        line.close()


def compare(sides: dict[str, dict[str, Any]], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Steps a second of each side in each round."""
    context = multiprocessing.get_context("spawn")
    rates: dict[str, list[float]] = {name: [] for name in sides}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        lines = {}
        for name, choices in sides.items():
            lines[name], theirs = context.Pipe()
            context.Process(target=work, args=(theirs, f"{folder}/{name}", choices), daemon=True).start()
        for number in range(rounds + 1):  # the first round warms up
            order = list(sides) if number % 2 else list(reversed(sides))
            for name in order:
                lines[name].send(seconds if number else min(seconds, 5.0))
                steps, took = lines[name].recv()
                if number:
                    rates[name].append(steps / took)
        for line in lines.values():
            line.send(0)
    return rates


def one_checkpoint(choices: dict[str, Any], count: int = 8) -> None:
    """What a checkpoint takes, of a few that are made and waited for one after the other."""
    save, waited, worked = Course._save, [], []

    def timed(self: Course, step: int) -> None:
        began, busy = time.perf_counter(), time.process_time()
        save(self, step)
        waited.append(time.perf_counter() - began)
        self._session.background.wait()
        worked.append(time.process_time() - busy)

    often = {"run.checkpoint_every": 1, "run.steps": count}
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(Course, "_save", timed):
        gadkit.train(out=f"{folder}/run", **(choices | {"set": choices["set"] | often}))
        size = sum(path.stat().st_size for path in Run(Path(folder) / "run").find_checkpoint().iterdir())
    print(
        f"a checkpoint of {size_text(size)}: the training waits {statistics.median(waited[1:]):.3f} s, the processor "
        f"works {statistics.median(worked[1:]):.3f} s",
        flush=True,
    )


def report(title: str, first: list[float], second: list[float]) -> None:
    """The ratio of two sides with its spread."""
    ratios = sorted(a / b for a, b in zip(first, second, strict=True))
    print(
        f"{title}: {statistics.mean(first):.3f} against {statistics.mean(second):.3f} steps/s, ratio "
        f"{statistics.median(ratios):.4f} ({ratios[0]:.4f} to {ratios[-1]:.4f})",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="dcgan")
    parser.add_argument("--data", help="clips; by default those that come with gadkit")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=1.0, help="length of a turn, which holds one checkpoint")
    asked = parser.parse_args()
    seconds = asked.minutes * 60
    never = {"run.steps": 10_000_000, "run.sample_every": 10_000_000, "run.checkpoint_every": 10_000_000}
    never |= {"run.max_time": 1e9}
    base = {"recipe": asked.recipe, "data": asked.data, "device": "cpu", "set": never}
    # The clock goes on while the others work: a little more than a turn is one checkpoint a turn, at its first step.
    saving = base | {"set": never | {"run.checkpoint_every": f"{1.1 * seconds:g}s"}}
    one_checkpoint(base)
    rates = compare({"saving": saving, "none": base, "also none": base}, asked.rounds, seconds)
    report("saving, against none", rates["saving"], rates["none"])
    report("none, against none", rates["also none"], rates["none"])


if __name__ == "__main__":
    main()
