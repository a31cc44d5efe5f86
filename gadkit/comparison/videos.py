"""Videos to be seen beside each other: of every run those of the same seeds, and real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gadkit.comparison.budget import standing
from gadkit.comparison.plan import VIDEOS, Job, Plan
from gadkit.config import RunConfig
from gadkit.errors import GadkitError
from gadkit.evaluation.protocol import open_protocol
from gadkit.evaluation.showing import real_clips
from gadkit.registry import Registry
from gadkit.runs.folder import CONFIG
from gadkit.runs.loading import load
from gadkit.video.encode import tile, write_video

#: The seed of the videos: those that `gadkit sample` makes.
_SEED = 0


def sample_place(out: Path, job: Job) -> Path:
    """Where the videos of a run lie, those of its newest checkpoint."""
    return out / VIDEOS / f"{job.name}-step{standing(job.folder).step}.mp4"


def real_place(out: Path) -> Path:
    """Where the real clips lie."""
    return out / VIDEOS / "real.mp4"


def write_samples(
    registry: Registry, plan: Plan, out: Path, job: Job, device: str, tell: Callable[[str], None]
) -> None:
    """Writes the first videos of a run, side by side, where they are not there yet; without them it goes on."""
    place = sample_place(out, job)
    if place.exists():
        return
    try:
        model = load(job.folder, device=device, registry=registry)
        frames = plan.video["frames"] if model.longest is None else min(plan.video["frames"], model.longest)
        write_video(place, model.grid(plan.measuring.videos, frames, seed=_SEED), model.video.fps)
    except GadkitError as error:
        tell(f"{job.name}: no videos: {error}")


def write_real(registry: Registry, plan: Plan, out: Path, tell: Callable[[str], None]) -> None:
    """Writes as many real clips of the first contender's data, those held out, where they are not there yet."""
    place = real_place(out)
    if place.exists():
        return
    first, measuring = plan.contenders[0], plan.measuring
    source = plan.config_path(out, first) if first.config else Path(first.runs[0]) / CONFIG
    try:
        config = RunConfig.resolve(registry, file=source, trackers=False)
        settings = open_protocol(registry, measuring.protocol, measuring.changes).settings
        size = plan.video["height"], plan.video["width"]
        video, rate = real_clips(registry, config, settings, size, measuring.videos)
        write_video(place, tile(video.permute(0, 1, 3, 4, 2)), rate)
    except GadkitError as error:
        tell(f"no real clips to show: {error}")
