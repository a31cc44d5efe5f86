"""What a run's files say of its training: sizes, steps, speed, memory."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from gadkit.comparison.budget import batch_size, standing
from gadkit.comparison.plan import Job
from gadkit.comparison.training import read_turns
from gadkit.config import RunConfig
from gadkit.engine.weightless import weightless
from gadkit.errors import GadkitError
from gadkit.interfaces.spec import VideoSpec
from gadkit.randomness import Key
from gadkit.registry import Registry
from gadkit.report.log import read_log
from gadkit.report.reading import Files
from gadkit.runs.description import read_description
from gadkit.runs.folder import CONFIG
from gadkit.runs.parts import build_part


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a training was. What nobody tells is `None`.

    Attributes:
        seed: Its seed.
        step: Steps of the generator.
        seconds: Of the clock that they took.
        samples: Steps times batch size.
        steps_per_second: Steps by seconds.
        peak_memory: The most bytes of main memory that the training's process had.
        gpu_memory: The most bytes of a GPU's memory that its tensors had, in the process that writes.
        parameters: By part: `generator`, `assembler`, `discriminator`, and others that have some.
        at_once: How many trainings ran beside each other.
    """

    seed: int | None = None
    step: int | None = None
    seconds: float | None = None
    samples: int | None = None
    steps_per_second: float | None = None
    peak_memory: int | None = None
    gpu_memory: int | None = None
    parameters: dict[str, int] | None = None
    at_once: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def facts_of(registry: Registry, out: Path, job: Job) -> Facts:
    """The facts of a run, as far as its files tell them."""
    how, turns = standing(job.folder), read_turns(out, job)
    memory = [turn.peak_memory for turn in turns if turn.peak_memory is not None]
    try:
        config = RunConfig.resolve(registry, file=job.folder / CONFIG, trackers=False)
    except GadkitError:
        config = None
    size = None if config is None else batch_size(config)
    known = how.checkpoint is not None
    return Facts(
        seed=job.seed if config is None else config.seed,
        step=how.step if known else None,
        seconds=how.seconds if known else None,
        samples=how.step * size if known and size else None,
        steps_per_second=how.step / how.seconds if how.seconds > 0 else None,
        peak_memory=max(memory, default=None),
        gpu_memory=_gpu_memory(job.folder),
        parameters=None if config is None or how.checkpoint is None else _parameters(config, how.checkpoint),
        at_once=max((turn.at_once for turn in turns), default=1),
    )


def _gpu_memory(run: Path) -> int | None:
    """What the log of a run says of the GPU that it was trained on."""
    memory = read_log(Files(run)).series.get("memory")
    return None if memory is None else int(memory.values.max())


def _parameters(config: RunConfig, checkpoint: Path) -> dict[str, int] | None:
    """How many parameters each net of a run has; of nets that cannot be built without their bytes, nothing."""
    try:
        return count_parameters(config, read_description(checkpoint)[1])
    except Exception:  # a net may raise anything where it is built without memory, or the description is damaged
        return None


def count_parameters(config: RunConfig, video: VideoSpec) -> dict[str, int]:
    """How many parameters each net has that is trained, those that do not learn included.

    Args:
        config: The run's.
        video: What its clips are.
    """
    parts = sketched(config, video)
    nets = {kind: part for kind, part in parts.items() if isinstance(part, nn.Module)}
    return {kind: sum(parameter.numel() for parameter in net.parameters()) for kind, net in nets.items()}


def sketched(config: RunConfig, video: VideoSpec) -> dict[str, Any]:
    """The parts that a run trains with, by kind, in the order of need; nets without their bytes.

    Args:
        config: The run's.
        video: What its clips are.
    """
    root, parts = Key.of(config.seed, "train"), {}
    with weightless():
        parts["trainer"] = trainer = build_part(config, "trainer", root, video, {})
        for kind in (*trainer.needs, *trainer.takes):
            if kind in config.parts:
                parts[kind] = build_part(config, kind, root, video, parts)
    return parts
