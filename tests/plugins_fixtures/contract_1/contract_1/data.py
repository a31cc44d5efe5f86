"""A dataset of contract 1."""

from pathlib import Path

import numpy as np

from gadkit import DataError, Dataset, Footage, Source


class Ramps(Dataset):
    """Grey ramps: one for each line of a file `ramps.txt`, which says how many frames it has.

    Args:
        path: The folder.
        fps: Frame rate in Hz.
    """

    def __init__(self, path, *, fps: float = 25.0) -> None:
        super().__init__(path)
        self.path, self.fps = Path(path), fps

    @classmethod
    def accepts(cls, path):
        return path.is_dir() and (path / "ramps.txt").is_file()

    def sources(self):
        file = self.path / "ramps.txt"
        lengths = file.read_text().split()
        return [Source(name=f"ramp {number}", files=(file,), locator=str(number)) for number in range(len(lengths))]

    def open(self, source):
        lengths = (self.path / "ramps.txt").read_text().split()
        number = int(source.locator)
        if not lengths[number].isdigit():
            raise DataError(f"ramps.txt: found {lengths[number]!r}, expected a number of frames.")
        frames = (
            np.full((16, 16, 3), (40 * number + 9 * frame) % 256, dtype=np.uint8)
            for frame in range(int(lengths[number]))
        )
        return Footage(fps=self.fps, frames=frames)
