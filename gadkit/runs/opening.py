"""Opening data: which dataset takes them, made and labelled. Imports no torch: looking at data needs none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gadkit.config import plain
from gadkit.data.blueprint import Blueprint
from gadkit.data.labels import labelled
from gadkit.errors import DataError, PluginError
from gadkit.interfaces.dataset import Dataset, Location, Source
from gadkit.registry import Registry
from gadkit.registry.entry import BUNDLED, Entry
from gadkit.signature import validate


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
