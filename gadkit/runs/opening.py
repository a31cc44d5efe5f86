"""Opening data: which dataset takes them, made and labelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gadkit.config import RunConfig, plain
from gadkit.data.blueprint import Blueprint
from gadkit.data.cache import Progress, prepare
from gadkit.data.labels import check_pipe, held_out, labelled
from gadkit.data.pipe import open_pipe
from gadkit.data.store import Skipped, Store
from gadkit.data.stream import open_stream
from gadkit.entry import BUNDLED, Entry
from gadkit.errors import ConfigError, DataError, PluginError
from gadkit.interfaces.dataset import ENDLESS, Dataset, Location, Source
from gadkit.registry import Registry
from gadkit.signature import validate
from gadkit.video.geometry import Geometry


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A dataset, ready to be read.

    Attributes:
        entry: Its component.
        dataset: The dataset.
        settings: All of its settings, validated.
        blueprint: What another process makes it from; `None` where its class cannot be imported there.
        sources: Its videos with the labels that were asked for; empty for a pipe.
    """

    entry: Entry
    dataset: Dataset
    settings: Mapping[str, Any]
    blueprint: Blueprint | None
    sources: Sequence[Source]


def choose(
    registry: Registry, use: str | None, location: Location | None, settings: Mapping[str, Any], labels: str = "none"
) -> Opened:
    """Finds the dataset for a location and opens it.

    Args:
        registry: The components.
        use: The dataset's name; `None` for the first that accepts the location.
        location: Where the data lie; `None` for what needs no place, by default the clips that come with gadkit.
        settings: The dataset's settings, `data.*` without those of the core.
        labels: As for `gadkit.data.labels.labelled`.

    Raises:
        DataError: There is nothing, or nothing that can be used.
        ConfigError: A setting does not fit.
    """
    if isinstance(location, Path) and not location.exists():
        raise DataError(
            f"{location}: there is no such file or folder; give --data a video, a folder of videos, or leave it out."
        )
    entry = _find(registry, use, location)
    cls = entry.load()
    complete = validate(cls, settings, "data", f"dataset {entry.name!r}")
    dataset = cls(Path() if location is None else location, **complete)
    assert isinstance(dataset, Dataset)
    sources = [] if dataset.access == "pipe" else dataset.sources()
    return Opened(
        entry=entry,
        dataset=dataset,
        settings=complete,
        blueprint=_blueprint(entry, location, complete),
        sources=labelled(dataset, sources, labels),
    )


def _find(registry: Registry, use: str | None, location: Location | None) -> Entry:
    if use is not None:
        return registry.find("dataset", use)
    if location is None:
        return registry.find("dataset", "embedded")
    taking = [entry for entry in registry.entries("dataset") if _accepts(entry, location)]
    own = [entry for entry in taking if entry.distribution == BUNDLED]
    if own or len(taking) == 1:
        return (own or taking)[0]
    if taking:
        raise DataError(
            f"data.path: {location} can be read by {', '.join(entry.qualified for entry in taking)}; name one of them "
            "with --dataset."
        )
    if isinstance(location, str):
        raise DataError(
            f"data.path: no dataset takes {location!r}; give a file or folder, a URL or pattern of WebDataset shards, "
            "or - for a pipe."
        )
    return registry.find("dataset", "videos")  # which says what it found instead


def _accepts(entry: Entry, location: Location) -> bool:
    try:
        cls = entry.load()
    except PluginError:  # a broken plugin costs only itself, as long as nobody asks for it by name
        return False
    return (isinstance(location, Path) or cls.remote) and bool(cls.accepts(location))


def _blueprint(entry: Entry, location: Location | None, settings: Mapping[str, Any]) -> Blueprint | None:
    """What a worker makes the dataset from: only what an installed package provides can be imported there."""
    if entry.cls is not None or entry.file is not None:
        return None
    return Blueprint(
        target=entry.component.target, path=Path() if location is None else location, settings=plain(settings, "data")
    )


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
    return open_stream(dataset, _training(sources, config), geometry, min_frames=video.span)


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
    out = held_out([each.name for each in sources], [each.columns for each in sources], config.clips.group, fraction)
    return [source for source, left in zip(sources, out, strict=True) if not left]
