"""A folder tree in which every folder of images is one video."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from gadkit import DataError, Dataset, Footage, Source
from gadkit.video.stills import read_image
from gadkit_plugins.data import tree


class Frames(Dataset):
    """Folders of image files, each the frames of one video in natural order of their names (`2.png` before `10.png`).

    Args:
        path: The folder.
        fps: Frame rate in Hz.
    """

    def __init__(self, path: Path | str, *, fps: Annotated[float, Field(gt=0, le=1000)] = 25.0) -> None:
        self.path = tree.existing(path)
        self.fps = fps

    @classmethod
    def accepts(cls, path: Path | str) -> bool:
        """A folder that shows images and no video on a short look."""
        if not isinstance(path, Path) or not path.is_dir():
            return False
        image = False
        for file in tree.glimpse(path):
            if tree.is_video(file):
                return False
            image = image or tree.is_image(file)
        return image

    def sources(self) -> Sequence[Source]:
        """The folders with images directly in them, in natural order of their paths."""
        if not self.path.is_dir():
            raise DataError(f"{self.path} is a file; frames lie in a folder, one folder of images a video.")
        sources = []
        for folder, files in tree.folders(self.path):
            if images := tuple(file for file in files if tree.is_image(file)):
                name = folder.relative_to(self.path).as_posix() if folder != self.path else self.path.resolve().name
                sources.append(Source(name=name, files=images))
        if not sources:
            raise DataError(
                f"{self.path} holds no images: found {tree.contents(self.path)}, expected folders of image files, "
                "such as .png or .jpg, one folder a video."
            )
        return sorted(sources, key=lambda source: tree.natural(source.name))

    def open(self, source: Source) -> Footage:
        """Reads the images one by one."""
        return Footage(fps=self.fps, frames=map(read_image, source.files))
