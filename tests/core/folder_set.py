"""A dataset for the tests of packs, and jobs for the tests of workers; worker processes import it as well."""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from clips import encode, moving

from gadkit.data.blueprint import Blueprint
from gadkit.errors import DataError, RunError
from gadkit.interfaces.dataset import Dataset, Footage, Source
from gadkit.video.decode import open_video
from gadkit.video.geometry import Geometry

GEOMETRY = Geometry(height=24, width=32)
#: Frames of the videos that `make` writes.
LENGTHS = (9, 5, 12, 3, 7)


class Folder(Dataset):
    """The MP4 files of a folder; counts how many were opened in this process."""

    def __init__(self, path: Path, *, shade: int = 0) -> None:
        self.path, self.shade, self.opened = Path(path), shade, 0

    def sources(self) -> list[Source]:
        files = sorted(self.path.glob("*.mp4"))
        return [Source(name=file.name, label=file.name[0], files=(file,)) for file in files]

    def open(self, source: Source) -> Footage:
        self.opened += 1
        return open_video(source.files[0])


class Slow(Folder):
    """Frames that take a moment each."""

    def open(self, source: Source) -> Footage:
        footage = super().open(source)

        def timed() -> Iterator[tuple[float, np.ndarray]]:
            for pair in footage.timed:
                time.sleep(0.004)
                yield pair

        return Footage(fps=footage.fps, timed=timed())


class Unbuildable(Folder):
    """Refuses to be made in any process but that of the tests."""

    def __init__(self, path: Path) -> None:
        if "pytest" not in sys.modules:
            raise DataError("not here.")
        super().__init__(path)


def make(folder: Path) -> Path:
    """Five small videos without loss: a0, a2, a4, b1, b3."""
    folder.mkdir()
    for index, length in enumerate(LENGTHS):
        encode(folder / f"{'ab'[index % 2]}{index}.mp4", moving(length, 24, 32, seed=index), rate=(25, 30)[index == 2])
    return folder


def blueprint(path: Path, kind: type[Dataset] = Folder, **settings: Any) -> Blueprint:
    """How a worker makes a dataset of this file."""
    return Blueprint(target=f"folder_set:{kind.__name__}", path=path, settings=settings)


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def mischief(dataset: Dataset, source: Source, arguments: dict[str, Any], beat: Callable[[], None]) -> dict[str, Any]:
    """A job that does what its argument says."""
    what = arguments["do"]
    if what == "crash":
        ctypes.string_at(0)
    elif what == "hang":
        time.sleep(1000)
    elif what == "beat":
        for _ in range(12):
            time.sleep(0.1)
            beat()
    elif what == "memory":
        return {"size": len(bytearray(1 << 45))}
    elif what == "die once":
        marker = Path(arguments["marker"])
        if not marker.exists():
            marker.write_text("")
            os.kill(os.getpid(), 9)
    elif what == "die":
        os.kill(os.getpid(), 9)
    elif what == "exit":
        os._exit(3)
    elif what == "chatter":
        print(json.dumps({"value": "not this"}), flush=True)
        os.write(1, b'{"value": "nor this"}\n')
        sys.stdin.read()
    elif what == "data error":
        raise DataError(f"{source.name} is spoilt.")
    elif what == "run error":
        raise RunError("the disk is full.")
    elif what == "error":
        raise TypeError("unexpected\nthing")
    return {"did": what, "pid": os.getpid(), "torch": "torch" in sys.modules, "source": [source.name, source.locator]}
