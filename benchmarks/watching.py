"""What it costs a training step to be watched for numbers that are not finite.

Steps of a recipe with and without `gadkit.engine.Watch` take turns on one training, on the clips that come with gadkit:
losses, gradients and weights handed over, and the device read at every tenth step, as in a run. The norms of the
players' gradients are taken on both sides: the log has them, watched or not. Printed are the ratio of the times of
neighbouring steps with its spread and, as a busy machine blurs that more than it is apart from 1, the share of a step
that is spent in the watch's own methods, less that for norms (on CUDA, only what the host does).

    python benchmarks/watching.py [--recipes demo dcgan] [--pairs 40] [--device cpu] [--precision fp32]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gadkit.cli.allocator import keep_pages
from gadkit.engine import Watch
from gadkit.registry import get_registry
from gadkit.runs import training
from gadkit.runs.reporter import Reporter
from gadkit.runs.session import Session
from gadkit_plugins.minimax.trainer import MinimaxTraining

#: A course reads the device every so many steps.
PULSE = 10


def opened(recipe: str, device: str, precision: str) -> Session:
    """A training of a recipe, built but not begun."""
    registry = get_registry()
    choices = {"device": device, "precision": precision}
    config = training.resolve_config(registry, None, recipe, choices, {}, (), None)
    engine = training.Engine(config.device, config.precision)
    config, store = training.open_data(registry, config, engine, Reporter())
    return training.build(registry, config, engine, store)


class Norms:
    """What is left of a watch for the log."""

    def losses(self, named: Mapping[str, Tensor]) -> None:
        """Takes no notice."""

    @torch.no_grad()
    def gradients(self, parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor]) -> Tensor:
        """The norm of all of them."""
        return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(gradients))))


class Timed:
    """Calls through to a watch, and counts the seconds that it takes by a clock."""

    def __init__(self, watch: Watch | Norms, clock: Callable[[], float]) -> None:
        self._watch = watch
        self._clock = clock
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._watch, name)

        def call(*arguments: Any) -> Any:
            start = self._clock()
            try:
                return method(*arguments)
            finally:
                self.seconds += self._clock() - start

        return call


class Steps:
    """A training that makes a step at a time, watched or not."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._training = MinimaxTraining(session.parts["trainer"], session)
        self._clock = time.process_time if session.engine.device.type == "cpu" else time.perf_counter
        self.watch = Timed(Watch(self._training.nets, session.engine.device), self._clock)
        self.norms = Timed(Norms(), self._clock)
        self._step = 0

    def seconds(self, watched: bool) -> float:
        """What the next step takes: of this process on the CPU, else until the device is done."""
        session: Any = self._session
        session.watch = self.watch if watched else self.norms
        self._wait()
        start = self._clock()
        if watched:
            self.watch.begin(self._step)
        self._training.advance(self._step)
        if watched:
            self.watch.weights()
            if self._step // 2 % PULSE == 0 and bool(self.watch.sick()):  # every other step is watched
                raise SystemExit("the training is sick, so its steps tell nothing about healthy ones")
        self._wait()
        self._step += 1
        return self._clock() - start

    def _wait(self) -> None:
        if self._session.engine.device.type == "cuda":
            torch.cuda.synchronize()


def measure(session: Session, pairs: int) -> None:
    """Prints the ratio of neighbouring steps, and the share of the watch's methods."""
    steps = Steps(session)
    for watched in (False, True, False, True):  # warm up
        steps.seconds(watched)
    steps.watch.seconds = steps.norms.seconds = 0.0
    times: dict[bool, list[float]] = {False: [], True: []}
    for pair in range(pairs):
        for watched in (False, True) if pair % 2 == 0 else (True, False):
            times[watched].append(steps.seconds(watched))
    ratios = [with_it / without for with_it, without in zip(times[True], times[False], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    own, norms = (side.seconds / sum(times[True]) for side in (steps.watch, steps.norms))
    video, count = session.video, sum(p.numel() for net in session.parts.values() for p in parameters(net))
    print(
        f"{session.config.recipe}: {video.height}×{video.width}×{video.frames}, "
        f"{session.parts['trainer'].batch_size} clips, {count:,} parameters, "
        f"{1000 * statistics.median(times[False]):.0f} ms a step unwatched"
    )
    print(f"  watched : unwatched  {middle:.4f} (quartiles {low:.4f} to {high:.4f}, {pairs} pairs)")
    print(f"  in the watch's methods  {own - norms:.2%} of a step, and {norms:.2%} for the norms of gradients")


def parameters(part: Any) -> list[nn.Parameter]:
    """A part's parameters; none where it is no module."""
    return list(part.parameters()) if isinstance(part, nn.Module) else []


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--recipes", nargs="+", default=["demo", "dcgan"])
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    options = parser.parse_args()
    keep_pages()  # as `gadkit train` does
    for recipe in options.recipes:
        measure(opened(recipe, options.device, options.precision), options.pairs)


if __name__ == "__main__":
    main()
