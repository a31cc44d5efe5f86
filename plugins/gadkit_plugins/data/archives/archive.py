"""A zip or tar archive of frames or videos, read in place."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Annotated, BinaryIO

import numpy as np
from pydantic import Field

from gadkit import DataError, Dataset, Footage, Source
from gadkit.video.decode import open_video
from gadkit.video.stills import is_animation, read_image
from gadkit_plugins.data import tree
from gadkit_plugins.data.archives.members import Archive
from gadkit_plugins.data.archives.tars import Tar, holds_samples, is_tar
from gadkit_plugins.data.archives.zips import Zip


@dataclass(frozen=True)
class _Index:
    """What lies in an archive: its members, the folder that stands for its root, and by name its videos."""

    archive: Archive
    root: str
    folders: dict[str, list[str]]
    videos: dict[str, str]


class ArchiveOfVideos(Dataset):
    """A zip or tar in which every folder of images is one video, as StyleGAN-V lays them out; video files count too.

    Images are taken in natural order of their names. Where everything lies in one folder that is named as the archive
    is, or that `dataset.json` lies in, names are relative to it. Nothing is unpacked to disk; hidden files, links,
    devices and names that lead out of the archive are left out, and no member is read beyond the size that it declares,
    nor beyond 256 MiB where it has to lie in memory. So does a compressed tar (`.tar.gz`, `.tgz`, `.tar.bz2`,
    `.tar.xz`), whole.

    Args:
        path: The archive.
        fps: Frame rate in Hz of the folders of images.
    """

    def __init__(self, path: Path | str, *, fps: Annotated[float, Field(gt=0, le=1000)] = 25.0) -> None:
        self.path = tree.existing(path)
        self.fps = fps
        self._lock = threading.Lock()
        self._found: _Index | None = None

    @classmethod
    def accepts(cls, path: Path | str) -> bool:
        """A file that ends as an archive does, but for a plain tar that is a WebDataset shard."""
        if not isinstance(path, Path) or not path.is_file():
            return False
        return tree.ending(path) == ".zip" or (is_tar(path) and not holds_samples(path))

    def sources(self) -> Sequence[Source]:
        """The folders of images and the video files, in natural order of their paths."""
        index = self._index()
        names = sorted({*index.folders, *index.videos}, key=tree.natural)
        if not names:
            raise DataError(
                f"{self.path} holds no images and no videos: found {tree.counted(index.archive.sizes)}, expected "
                "folders of image files, one folder a video, or video files."
            )
        return [Source(name=name, files=(self.path,), locator=name) for name in names]

    def open(self, source: Source) -> Footage:
        """Reads the images of a folder one by one, or decodes a video."""
        index = self._index()
        if images := index.folders.get(source.locator):
            return Footage(fps=self.fps, frames=self._images(index.archive, images))
        if (member := index.videos.get(source.locator)) is None:
            raise DataError(
                f"{self.path} holds no {source.locator} any more; leave the archive as it is while it is read."
            )
        file = index.archive.open(member)
        try:
            footage = open_video(self.path / member, file)
        except DataError:
            file.close()
            raise
        return Footage(fps=footage.fps, timed=_closing(footage, file))

    def faults(self) -> Sequence[tuple[str, str]]:
        """Members that are left out, and where the archive breaks off."""
        return self._index().archive.faults

    def document(self, name: str) -> str | None:
        """The text of a file at the root of the archive."""
        index = self._index()
        member = index.root + name
        if member not in index.archive.sizes:
            return None
        try:
            return index.archive.read(member).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(f"{self.path / member} is no UTF-8 text: {error.reason}; write it anew.") from error

    def _images(self, archive: Archive, images: list[str]) -> Iterator[np.ndarray]:
        return (read_image(self.path / image, BytesIO(archive.read(image))) for image in images)

    def _index(self) -> _Index:
        with self._lock:
            if self._found is None:
                self._found = _index(self.path)
            return self._found


def _index(path: Path) -> _Index:
    """Reads an archive's directory, and looks into its PNG and WebP files for animations."""
    if tree.ending(path) == ".zip":
        archive: Archive = Zip(path)
    elif is_tar(path):
        archive = Tar(path)
    else:
        raise DataError(f"{path} is no archive; expected a .zip or .tar, or a .tar.gz, .tar.bz2 or .tar.xz.")
    kinds = {}
    for name in archive.sizes:
        if kind := tree.kind(name, partial(_animated, archive, name)):
            kinds[name] = kind
    root = _root(archive)
    folders: dict[str, list[str]] = {}
    videos = {}
    for name, kind in kinds.items():
        if kind == "video":
            videos[name.removeprefix(root)] = name
        else:
            folder = PurePosixPath(name.removeprefix(root)).parent.as_posix()
            folders.setdefault(_stem(path) if folder == "." else folder, []).append(name)
    for images in folders.values():
        images.sort(key=tree.natural)
    return _Index(archive, root, folders, videos)


def _root(archive: Archive) -> str:
    """The folder, with its slash, that names are relative to; nothing where that is the archive itself."""
    tops = {name.partition("/")[0] if "/" in name else "" for name in archive.sizes}
    root = tops.pop() if len(tops) == 1 else ""
    around = root and (root == _stem(archive.path) or f"{root}/dataset.json" in archive.sizes)
    return f"{root}/" if around else ""


def _stem(path: Path) -> str:
    """An archive's name without its ending, of which `.tar.gz` is one."""
    return path.name.removesuffix(path.suffix).removesuffix(".tar")


def _animated(archive: Archive, name: str) -> bool:
    try:
        with archive.head(name) as file:
            return is_animation(archive.path / name, file)
    except DataError:
        return False  # it is named where it is read


def _closing(footage: Footage, file: BinaryIO) -> Iterator[tuple[float, np.ndarray]]:
    with file:
        yield from footage.timed
