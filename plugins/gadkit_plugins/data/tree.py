"""Walking folder trees: what belongs to a dataset, in which order, and of which class."""

from __future__ import annotations

import os
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Literal

from gadkit import DataError
from gadkit.video.stills import is_animation

#: Endings of video files. WebP and PNG files are videos where they are animated.
# fmt: off
VIDEO_ENDINGS = frozenset(
    [
    ".3g2", ".3gp", ".apng", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".gif", ".ivf", ".m1v", ".m2t",
    ".m2ts", ".m2v", ".m4v", ".mj2", ".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".nut",
    ".obu", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".ts", ".vob", ".webm", ".wmv", ".y4m",
    ]
)
# fmt: on
#: Endings of image files.
IMAGE_ENDINGS = frozenset([".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"])

_EITHER = frozenset([".png", ".webp"])
_GLIMPSE = 10_000


def natural(name: str) -> tuple[tuple[tuple[int, int | str], ...], str]:
    """A sorting key under which `frame2` comes before `frame10`, and which no two names share."""
    parts = (part for part in re.split(r"([0-9]+)", name) if part)
    return tuple((0, int(part)) if part.isascii() and part.isdigit() else (1, part) for part in parts), name


def ending(name: str | Path) -> str:
    """The ending of a file's name in small letters, with its dot."""
    return PurePosixPath(name).suffix.lower()


def kind(name: str | Path, animated: Callable[[], bool]) -> Literal["video", "image"] | None:
    """What a file is by its ending; WebP and PNG are videos where they are animated.

    Args:
        name: The name or the path.
        animated: Looks into the file.
    """
    found = ending(name)
    if found in _EITHER:
        return "video" if animated() else "image"
    return "video" if found in VIDEO_ENDINGS else "image" if found in IMAGE_ENDINGS else None


def is_video(path: Path) -> bool:
    """Whether a file is a video by its ending; WebP and PNG files are looked into."""
    return kind(path, lambda: is_animation(path)) == "video"


def is_image(path: Path) -> bool:
    """Whether a file is an image by its ending; WebP and PNG files are looked into."""
    return kind(path, lambda: is_animation(path)) == "image"


def folders(root: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Every folder of a tree with the files directly in it, in natural order.

    Hidden files and folders are left out, and so are symbolic links that lead out of the tree or back to a folder that
    holds the link.
    """
    top = root.resolve()
    waiting: list[tuple[Path, tuple[Path, ...]]] = [(root, (top,))]
    while waiting:
        folder, chain = waiting.pop()
        files: list[Path] = []
        inside: list[tuple[Path, tuple[Path, ...]]] = []
        for entry in _entries(folder):
            path = Path(entry.path)
            if entry.is_symlink():
                real = path.resolve()
                if not real.is_relative_to(top) or real in chain:
                    continue
            if entry.is_dir():
                inside.append((path, (*chain, path.resolve())))
            elif entry.is_file():
                files.append(path)
        files.sort(key=lambda path: natural(path.name))
        yield folder, files
        waiting += sorted(inside, key=lambda item: natural(item[0].name), reverse=True)


def glimpse(root: Path) -> Iterator[Path]:
    """Files of a tree, folder by folder from the top, until some thousands of entries were seen."""
    waiting, seen = deque([root]), 0
    while waiting:
        for entry in _entries(waiting.popleft()):
            seen += 1
            if seen > _GLIMPSE:
                return
            if entry.is_symlink():
                continue
            if entry.is_dir():
                waiting.append(Path(entry.path))
            elif entry.is_file():
                yield Path(entry.path)


def existing(path: Path | str) -> Path:
    """`path`, where there is something.

    Raises:
        DataError: There is nothing.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(
            f"{path} does not exist; give a folder of videos or a video file, or leave it out for the embedded clips."
        )
    return path


def contents(root: Path) -> str:
    """What a tree holds, in words: `"3 .txt, 1 .zip"`; `"no files"` where it is empty."""
    return counted(file.name for _, files in folders(root) for file in files)


def counted(names: Iterable[str]) -> str:
    """The endings of names, counted, in words."""
    counts = Counter(ending(name) or "without ending" for name in names)
    return ", ".join(f"{count} {ending}" for ending, count in counts.most_common(8)) or "no files"


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(f"{folder} cannot be listed: {error.strerror}; check the rights of the folder.") from error
