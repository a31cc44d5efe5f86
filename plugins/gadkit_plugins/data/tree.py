"""Walking folder trees: what belongs to a dataset, in which order, and of which class."""

from __future__ import annotations

import os
import re
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path

from gadkit import DataError
from gadkit.video.stills import is_animated_webp

#: Endings of video files. WebP is one where it is animated.
# fmt: off
VIDEO_ENDINGS = frozenset(
    [
    ".3g2", ".3gp", ".apng", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".gif", ".ivf", ".m1v", ".m2t",
    ".m2ts", ".m2v", ".m4v", ".mj2", ".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".nut",
    ".obu", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".ts", ".vob", ".webm", ".webp", ".wmv", ".y4m",
    ]
)
# fmt: on
#: Endings of image files.
IMAGE_ENDINGS = frozenset([".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"])

_GLIMPSE = 10_000


def natural(name: str) -> tuple[tuple[tuple[int, int | str], ...], str]:
    """A sorting key under which `frame2` comes before `frame10`, and which no two names share."""
    parts = (part for part in re.split(r"([0-9]+)", name) if part)
    return tuple((0, int(part)) if part.isascii() and part.isdigit() else (1, part) for part in parts), name


def is_video(path: Path) -> bool:
    """Whether a file's ending is that of a video; WebP files are looked into."""
    ending = path.suffix.lower()
    return is_animated_webp(path) if ending == ".webp" else ending in VIDEO_ENDINGS


def is_image(path: Path) -> bool:
    """Whether a file's ending is that of an image; WebP files are looked into."""
    ending = path.suffix.lower()
    return not is_animated_webp(path) if ending == ".webp" else ending in IMAGE_ENDINGS


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


def existing(path: Path) -> Path:
    """`path`, where there is something.

    Raises:
        DataError: There is nothing.
    """
    if not path.exists():
        raise DataError(
            f"{path} does not exist; give a folder of videos or a video file, or leave it out for the embedded clips."
        )
    return path


def contents(root: Path) -> str:
    """What a tree holds, in words: `"3 .txt, 1 .zip"`; `"no files"` where it is empty."""
    counts = Counter(file.suffix.lower() or "without ending" for _, files in folders(root) for file in files)
    return ", ".join(f"{count} {ending}" for ending, count in counts.most_common(8)) or "no files"


def class_of(root: Path, video: Path) -> str:
    """The class of a video: the name of the first-level folder that it lies in.

    Raises:
        DataError: It lies in none.
    """
    parts = video.relative_to(root).parts if video != root else ()
    if len(parts) < 2:
        raise DataError(
            f"{video} lies in no class folder of {root}; "
            "with labels, every video lies in a folder named after its class."
        )
    return parts[0]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(f"{folder} cannot be listed: {error.strerror}; check the rights of the folder.") from error
