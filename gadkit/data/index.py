"""The index of a pack, `index.json`: what its shards hold, and nothing that a reader would follow out of the folder."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gadkit.data.shards import HEADER_BYTES, header, shard_name
from gadkit.errors import ConfigError, DataError
from gadkit.video.geometry import Geometry

__all__ = ["CHANNELS", "NAME", "Index", "PackedVideo", "read_index"]

#: Grows by one when packs of the same key would get other bytes.
FORMAT = 2
NAME = "index.json"
CHANNELS = 3

# What no pack of this format reaches, and what keeps products of these numbers within 64 bits.
_LARGEST_SIDE = 1 << 16
_LARGEST_COUNT = 1 << 40
_LARGEST_INDEX = 1 << 30


@dataclass(frozen=True, kw_only=True)
class PackedVideo:
    """A video of a pack.

    Attributes:
        name: Its name in the dataset.
        label: The name of its class where the dataset itself knows it.
        columns: What a table says of it.
        shard: The number of the shard that it lies in.
        start: Its first frame there.
        length: Number of frames.
        fps: Frame rate in Hz.
        width: Width in pixels of the frames that it was made from.
        height: Their height.
        sha256: Hash of its frames' bytes in the pack, in hexadecimal.
    """

    name: str
    label: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    shard: int
    start: int
    length: int
    fps: float
    width: int
    height: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Index:
    """What a pack holds.

    Attributes:
        key: A hash of everything that the frames depend on.
        geometry: Of the frames.
        shards: The number of frames of each shard.
        videos: In the order of the dataset.
        skipped: What could not be read, `(name, reason)`.
    """

    key: str
    geometry: Geometry
    shards: tuple[int, ...]
    videos: tuple[PackedVideo, ...]
    skipped: tuple[tuple[str, str], ...]

    @property
    def frames(self) -> int:
        """The number of frames of all videos."""
        return sum(video.length for video in self.videos)

    def to_json(self) -> str:
        """The text of `index.json`."""
        size = self.geometry.height * self.geometry.width * CHANNELS
        values = {
            "format": FORMAT,
            "key": self.key,
            "geometry": self.geometry.to_dict(),
            "shards": [{"frames": frames, "bytes": HEADER_BYTES + frames * size} for frames in self.shards],
            "videos": [asdict(video) for video in self.videos],
            "skipped": [{"name": name, "reason": reason} for name, reason in self.skipped],
        }
        return json.dumps(values, indent=1)


def read_index(folder: Path) -> Index:
    """Reads and checks the index of a pack against the sizes of its shards; no frame is read.

    Args:
        folder: Of the pack.

    Returns:
        What is in it.

    Raises:
        DataError: The folder holds no whole pack of this format.
    """
    path = folder / NAME
    try:
        if path.stat().st_size > _LARGEST_INDEX:
            raise ValueError("it is far too large")
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read: {error}; delete the pack, and make it anew.") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise DataError(f"{path} is not of pack format {FORMAT}; delete the pack, and make it anew.")
    try:
        index = _parse(values)
        _compare_shards(index, folder)
    except (KeyError, TypeError, ValueError, ConfigError, OSError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise DataError(f"{path} is damaged: {what}; delete the pack, and make it anew.") from error
    return index


def _parse(values: Mapping[str, Any]) -> Index:
    geometry = parse_geometry(values["geometry"])
    shards = tuple(integer(shard, "frames", 1) for shard in _rows(values, "shards"))
    videos = tuple(parse_video(row) for row in _rows(values, "videos"))
    skipped = tuple((text(row, "name"), text(row, "reason")) for row in _rows(values, "skipped"))
    if not videos and not skipped:
        raise ValueError("it names no videos")
    unique([video.name for video in videos] + [name for name, _ in skipped])
    for video in videos:
        if video.shard >= len(shards) or video.start + video.length > shards[video.shard]:
            raise ValueError(f"{video.name} passes the end of its shard")
    return Index(key=text(values, "key"), geometry=geometry, shards=shards, videos=videos, skipped=skipped)


def _compare_shards(index: Index, folder: Path) -> None:
    frame = (index.geometry.height, index.geometry.width, CHANNELS)
    for number, frames in enumerate(index.shards):
        shard = folder / shard_name(number)
        found, expected = shard.stat().st_size, HEADER_BYTES + frames * frame[0] * frame[1] * CHANNELS
        if found != expected:
            raise ValueError(f"{shard.name} has {found} bytes, and {frames} frames take {expected}")
        with shard.open("rb") as file:
            if file.read(HEADER_BYTES) != header(frames, frame):
                raise ValueError(f"{shard.name} does not say that it holds {frames} frames of {frame}")


def parse_geometry(values: Any) -> Geometry:
    """A geometry from plain values; `KeyError`, `TypeError`, `ValueError` or `ConfigError` where they are none."""
    if not isinstance(values, dict):
        raise TypeError("the geometry is no table")
    for name in ("height", "width"):
        integer(values, name, 1, _LARGEST_SIDE)
    if values["fps"] is not None:
        number(values, "fps")
    if text(values, "fit") not in ("crop", "letterbox", "stretch"):
        raise ValueError(f"fit is {values['fit']!r}")
    text(values, "background")
    return Geometry(**values)


def parse_video(row: Mapping[str, Any]) -> PackedVideo:
    """A video from plain values; raises `KeyError`, `TypeError` or `ValueError` where they are none."""
    columns = row.get("columns", {})
    if not isinstance(columns, dict) or not all(isinstance(value, str) for value in columns.values()):
        raise TypeError("columns are no table of texts")
    if not re.fullmatch("[0-9a-f]{64}", text(row, "sha256")):
        raise ValueError("sha256 is no hash")
    return PackedVideo(
        name=text(row, "name"),
        label=None if row.get("label") is None else text(row, "label"),
        columns=columns,
        shard=integer(row, "shard", 0),
        start=integer(row, "start", 0),
        length=integer(row, "length", 1),
        fps=number(row, "fps"),
        width=integer(row, "width", 1),
        height=integer(row, "height", 1),
        sha256=row["sha256"],
    )


def _rows(values: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    rows = values[name]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise TypeError(f"{name} is no list of tables")
    return rows


def text(row: Mapping[str, Any], name: str) -> str:
    """The text under `name`."""
    value = row[name]
    if not isinstance(value, str):
        raise TypeError(f"{name} is {value!r}, and must be text")
    return value


def integer(row: Mapping[str, Any], name: str, least: int, most: int = _LARGEST_COUNT) -> int:
    """The integer under `name`, in [least, most]."""
    value = row[name]
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{name} is {value!r}, and must be an integer in [{least}, {most}]")
    return value


def number(row: Mapping[str, Any], name: str) -> float:
    """The positive number under `name`."""
    value = row[name]
    if type(value) not in (int, float) or not (0 < value < 1e9 and math.isfinite(value)):
        raise ValueError(f"{name} is {value!r}, and must be a positive number")
    return float(value)


def unique(names: Iterable[str]) -> None:
    """Raises `ValueError` where a name comes twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"the name {name} comes twice")
        seen.add(name)
