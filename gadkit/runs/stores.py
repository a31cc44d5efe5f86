"""The videos that a run trains on, in its geometry: from a pack, from a stream or from a pipe."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from gadkit.config import RunConfig
from gadkit.data.cache import Progress, prepare
from gadkit.data.labels import check_pipe, held_out
from gadkit.data.pipe import open_pipe
from gadkit.data.store import Skipped, Store
from gadkit.data.stream import open_stream
from gadkit.errors import ConfigError
from gadkit.interfaces.dataset import ENDLESS, Source
from gadkit.runs.opening import Opened
from gadkit.video.geometry import Geometry


def open_store(config: RunConfig, opened: Opened, progress: Progress | None = None) -> Store:
    """The videos in the run's geometry: from a pack, from a stream or from a pipe, without those held out.

    Args:
        config: The run's configuration.
        opened: Its data.
        progress: Called as `progress(done, total, name)` while videos are decoded.
    """
    video, clips = config.video, config.clips
    geometry = Geometry(
        height=video.height, width=video.width, fps=video.fps, fit=video.fit, background=video.background
    )
    dataset, sources = opened.dataset, opened.sources
    if dataset.access == "pack":
        store = prepare(
            dataset, sources, geometry, min_frames=video.span, blueprint=opened.blueprint, progress=progress
        )
        store.skipped = [*(Skipped(name, reason) for name, reason in dataset.faults()), *store.skipped]
        return store.split(clips.group, clips.held_out)[0] if clips.held_out else store
    if dataset.access == "pipe":
        check_pipe(config.data.labels)
        return open_pipe(dataset, geometry, min_frames=video.span, labels=config.data.labels == "own")
    kept = _training(sources, config)
    stream = open_stream(dataset, kept, geometry, min_frames=video.span)
    stream.held_out = len(sources) - len(kept)
    if len(kept) <= ENDLESS:
        names = "\0".join(source.name for source in kept)
        stream.content = hashlib.sha256(names.encode("utf-8", "replace")).hexdigest()
    return stream


def _training(sources: Sequence[Source], config: RunConfig) -> Sequence[Source]:
    """The videos of a stream that are not held out."""
    fraction = config.clips.held_out
    if not fraction:
        return sources
    if len(sources) > ENDLESS:
        raise ConfigError(
            f"clips.held_out: found {fraction:g}, but {config.data.use} has no end and can hold nothing out; set it to "
            "0, and take data.seed for other videos."
        )
    return select_split(sources, config.clips.group, fraction, "training")


def select_split(sources: Sequence[Source], group: str, fraction: float, part: str) -> Sequence[Source]:
    """The videos of a part, `training` or `held-out`.

    Raises:
        DataError: A video has no group, or a part would be empty.
    """
    out = held_out([each.name for each in sources], [each.columns for each in sources], group, fraction)
    return [source for source, left in zip(sources, out, strict=True) if left == (part == "held-out")]
