"""Videos whose every pixel is known, made in memory or lying in files that can be taken away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from clips import encode, moving

from gadkit import DataError, Dataset, Footage, Source
from gadkit.data import reach
from gadkit.data.stream import StreamStore, open_stream
from gadkit.video.decode import open_video
from gadkit.video.geometry import Geometry

SIDE = 32
GEOMETRY = Geometry(height=SIDE, width=SIDE)
#: Frames of the videos of `Made`.
LENGTHS = (9, 20, 14)


def frame(video: int, number: int) -> np.ndarray:
    """A frame of a video."""
    return np.random.default_rng([video, number]).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


class Made(Dataset):
    """Videos `v0`, `v1` and `v2`, made in memory."""

    def __init__(self, path: object = None) -> None:
        pass

    def sources(self) -> list[Source]:
        return [Source(name=f"v{number}") for number in range(len(LENGTHS))]

    def open(self, source: Source) -> Footage:
        number = int(source.name[1:])
        return Footage(fps=10, frames=(frame(number, time) for time in range(LENGTHS[number])))


class Files(Dataset):
    """The files of a folder, raw frames or videos, each opened when it is asked for."""

    access = "stream"

    def __init__(self, path: Path) -> None:
        self.path = path

    def sources(self) -> list[Source]:
        return [Source(name=file.name, files=(file,)) for file in sorted(self.path.iterdir())]

    def open(self, source: Source) -> Footage:
        (file,) = source.files
        if file.suffix == ".mkv":
            return open_video(file)
        try:
            data = np.fromfile(file, np.uint8)
        except OSError:
            raise DataError(f"{file} cannot be read.") from None  # why, the file itself has to tell
        if not len(data) or len(data) % (SIDE * SIDE * 3):
            raise DataError(f"{file} is damaged.")
        return Footage(fps=10, frames=iter(data.reshape(-1, SIDE, SIDE, 3)))


def write(path: Path, number: int, length: int = 10) -> None:
    """A video as a file."""
    if path.suffix == ".mkv":
        encode(path, moving(length, SIDE, SIDE, seed=number), codec="ffv1", pix_fmt="bgr0", options={})
    else:
        np.stack([frame(number, time) for time in range(length)]).tofile(path)


def make(folder: Path, kind: str) -> Path:
    """Four files, of raw frames (`raw`) or of video (`mkv`)."""
    folder.mkdir()
    for number in range(4):
        write(folder / f"{number}.{kind}", number)
    return folder


def opened(folder: Path, memory: int = 0, kind: type[Files] = Files) -> StreamStore:
    """A stream of the files of a folder."""
    dataset = kind(folder)
    return open_stream(dataset, dataset.sources(), GEOMETRY, min_frames=8, threads=2, memory=memory)


def clips(store: StreamStore, *videos: int) -> torch.Tensor:
    """A clip from the middle of each of some videos."""
    count = len(videos)
    return store.clips(torch.tensor(videos), torch.full((count,), 2**31), torch.arange(8).expand(count, 8), 8)[0]


def without_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Nothing waits between two attempts any more; what would have been waited for is noted in the list."""
    noted: list[float] = []
    monkeypatch.setattr(reach, "sleep", noted.append)
    return noted
