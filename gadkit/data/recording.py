"""A pack of what comes only once: the videos of a pipe, in the order in which they come."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from gadkit.data import packing
from gadkit.data.digests import Progress
from gadkit.data.index import CHANNELS, FORMAT, Index, PackedVideo
from gadkit.data.shards import ShardWriter
from gadkit.errors import DataError, RunError, UnavailableError
from gadkit.interfaces.dataset import Dataset, Footage, Source
from gadkit.video.geometry import Geometry


def record(
    dataset: Dataset,
    folder: Path,
    geometry: Geometry,
    *,
    limit: int | None = None,
    labels: bool = False,
    progress: Progress | None = None,
) -> None:
    """Decodes the videos of a pipe into a pack, in this process. Broken off, it begins anew: a pipe cannot go back.

    Args:
        dataset: Of `access = "pipe"`.
        folder: Where the pack is to be; nothing is overwritten.
        geometry: Of the frames.
        limit: Stop after so many videos.
        labels: Whether the pack keeps the labels that the dataset gives its videos.
        progress: Called as `progress(done, total, name)` after each video; `total` is the limit, or what came so far.

    Raises:
        DataError: No video that can be read came.
        RunError: The folder holds something, or cannot be written.
    """
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"{folder} exists; a pipe is packed into a new folder: choose another place, or remove it.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with packing.lock(folder, waiting=lambda: None):
            partial = packing.partial_of(folder)
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            try:
                index = _fill(partial, dataset, geometry, limit, labels, progress)
                packing.finish(partial, index)
                packing.publish(partial, folder)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise RunError(
            f"the pack {folder} cannot be written: {error.strerror or error}; free some space or choose another disk."
        ) from error


class _Held(Dataset):
    """The one video that is at hand."""

    def __init__(self, source: Source, footage: Footage) -> None:
        self.source, self.footage = source, footage

    def sources(self) -> Sequence[Source]:
        return [self.source]

    def open(self, source: Source) -> Footage:
        return self.footage


def _fill(
    partial: Path, dataset: Dataset, geometry: Geometry, limit: int | None, labels: bool, progress: Progress | None
) -> Index:
    videos: list[PackedVideo] = []
    skipped: list[tuple[str, str]] = []
    seen: dict[str, int] = {}
    spool = partial / f"{packing.SPOOL}0"
    spool.mkdir()
    arguments = {"geometry": geometry.to_dict(), "spool": str(spool / "0")}
    with ShardWriter(partial, (geometry.height, geometry.width, CHANNELS), packing.SHARD_BYTES) as writer:
        for number, (source, footage) in enumerate(itertools.islice(dataset.read(), limit), 1):
            # Shards that were put one after the other may use a name again.
            seen[source.name] = seen.get(source.name, 0) + 1
            name = source.name if seen[source.name] == 1 else f"{source.name} ({seen[source.name]})"
            try:
                value = packing.decode(_Held(source, footage), source, arguments, lambda: None)
            except UnavailableError:
                raise
            except DataError as error:
                skipped.append((name, str(error)))
            else:
                with (spool / "0").open("rb") as file:
                    shard, start = writer.add(file, value["length"])
                label = source.label if labels else None
                videos.append(
                    PackedVideo(name=name, shard=shard, start=start, label=label, columns=source.columns, **value)
                )
            if progress is not None:
                progress(number, limit or number, name)
    skipped += dataset.faults()
    if not videos:
        first = f"; the first one: {skipped[0][1]}" if skipped else "."
        raise DataError(f"no video that can be read came through the pipe{first}")
    identity = [FORMAT, geometry.to_dict(), [(video.name, video.label, video.sha256) for video in videos]]
    return Index(
        key=hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32],
        geometry=geometry,
        shards=tuple(writer.frames),
        videos=tuple(videos),
        skipped=tuple(dict(skipped).items()),
    )
