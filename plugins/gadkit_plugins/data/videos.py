"""A video file, or a folder tree of video files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gadkit import DataError, Dataset, Footage, Source
from gadkit.video.decode import open_video
from gadkit_plugins.data import tree


class Videos(Dataset):
    """Video files of a tree, or one file: whatever libav decodes, told by its ending, and animations.

    GIF, animated WebP and animated PNG keep the time of every frame; a duration of 0, and GIF's of one hundredth of a
    second, count as 100 ms, as players take them. A `.png` or `.webp` is a video where it is animated.

    Args:
        path: The folder or the file.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = tree.existing(path)

    @classmethod
    def accepts(cls, path: Path | str) -> bool:
        """A video file, or a folder that shows one on a short look."""
        if not isinstance(path, Path):
            return False
        if path.is_dir():
            return any(map(tree.is_video, tree.glimpse(path)))
        return path.is_file() and tree.is_video(path)

    def sources(self) -> Sequence[Source]:
        """The videos in natural order of their paths."""
        if self.path.is_file():
            if not tree.is_video(self.path):
                raise DataError(
                    f"{self.path} is no video file; expected one of {', '.join(sorted(tree.VIDEO_ENDINGS))}."
                )
            found = [self.path]
        else:
            found = [file for _, files in tree.folders(self.path) for file in files if tree.is_video(file)]
        if not found:
            raise DataError(
                f"{self.path} holds no videos: found {tree.contents(self.path)}, expected video files, such as .mp4 or "
                ".webm, or folders of images."
            )
        single = self.path.is_file()
        sources = [
            Source(name=file.name if single else file.relative_to(self.path).as_posix(), files=(file,))
            for file in found
        ]
        return sorted(sources, key=lambda source: tree.natural(source.name))

    def open(self, source: Source) -> Footage:
        """Decodes a video."""
        return open_video(source.files[0])
