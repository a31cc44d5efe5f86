"""A pack that gadkit made, as a source of videos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from gadkit import DataError, Dataset, Footage, Source
from gadkit.data.index import CHANNELS, NAME, Index, PackedVideo, read_index
from gadkit.data.shards import HEADER_BYTES, shard_name
from gadkit_plugins.data import tree


class Packed(Dataset):
    """A pack (`gadkit data pack`), with the labels and columns that it was made with.

    Training at the pack's own size, rate and fit maps its frames as they are; another geometry is made from them.

    Args:
        path: The pack's folder.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = tree.existing(path)
        self.pack = self.path

    @classmethod
    def accepts(cls, path: Path | str) -> bool:
        """A folder with the index and the first shard of a pack."""
        return isinstance(path, Path) and (path / NAME).is_file() and (path / shard_name(0)).is_file()

    def sources(self) -> Sequence[Source]:
        """The videos in natural order of their names, and those that could not be read when the pack was made."""
        sources = [
            Source(
                name=video.name,
                label=video.label,
                files=(self.path / shard_name(video.shard),),
                locator=str(video.start),
                columns=video.columns,
            )
            for video in self._index.videos
        ]
        sources += [Source(name=name) for name in self._skipped]
        return sorted(sources, key=lambda source: tree.natural(source.name))

    def open(self, source: Source) -> Footage:
        """Maps the frames of a video."""
        if (reason := self._skipped.get(source.name)) is not None:
            raise DataError(reason)
        if (video := self._videos.get(source.name)) is None:
            raise DataError(f"{self.path} holds no {source.name} any more; leave the pack as it is while it is read.")
        return Footage(fps=video.fps, frames=self._frames(video))

    def _frames(self, video: PackedVideo) -> Iterator[np.ndarray]:
        geometry = self._index.geometry
        shape = (video.length, geometry.height, geometry.width, CHANNELS)
        offset = HEADER_BYTES + video.start * int(np.prod(shape[1:]))
        path = self.path / shard_name(video.shard)
        try:
            frames = np.memmap(path, np.uint8, "r", offset, shape)
        except (OSError, ValueError) as error:
            raise DataError(
                f"{path} is no whole shard of a pack: {error}; delete the pack, and make it anew."
            ) from error
        yield from map(np.array, frames)

    # A race makes one of these twice, and both are equal.
    @cached_property
    def _index(self) -> Index:
        return read_index(self.path)

    @cached_property
    def _videos(self) -> dict[str, PackedVideo]:
        return {video.name: video for video in self._index.videos}

    @cached_property
    def _skipped(self) -> dict[str, str]:
        return dict(self._index.skipped)
