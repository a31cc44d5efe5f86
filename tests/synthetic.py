"""A small dataset made in memory: coloured squares that move."""

from collections.abc import Iterator

import numpy as np

from gadkit import Dataset, Footage, Source


class Squares(Dataset):
    """Videos of a square moving over a plain ground; every pixel a function of the video's number.

    Args:
        videos: How many.
        length: Frames of each.
    """

    def __init__(self, path, *, videos: int = 10, length: int = 12) -> None:
        self.videos, self.length = videos, length

    def sources(self) -> list[Source]:
        return [Source(name=f"{index:03d}", label=("even", "odd")[index % 2]) for index in range(self.videos)]

    def open(self, source: Source) -> Footage:
        index = int(source.name)

        def frames() -> Iterator[np.ndarray]:
            for time in range(self.length):
                frame = np.full((16, 16, 3), 40 + 10 * index, np.uint8)
                left, top = (3 * index + time) % 11, (5 * index + 2 * time) % 11
                frame[top : top + 5, left : left + 5, index % 3] = 250
                yield frame

        return Footage(fps=10.0, frames=frames())
