"""Datasets that break one promise each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gadkit import Dataset, Footage, Source
from planted.table import planter

plant = planter("dataset", data=Path(__file__).parent)


class Shades(Dataset):
    """Sound: two videos that follow from their names.

    Args:
        level: The shade of the first frame.
    """

    def __init__(self, path: Path | str, *, level: int = 9) -> None:
        self.path, self.level = path, level

    def sources(self) -> list[Source]:
        return [Source(name=name, label=name.upper(), files=(Path(__file__),)) for name in "ab"]

    def open(self, source: Source) -> Footage:
        return Footage(fps=10.0, frames=self.frames(source))

    def frames(self, source: Source) -> Iterator[np.ndarray]:
        for time in range(5):
            yield np.full((16, 20, 3), self.level + time + ord(source.name), np.uint8)


@plant("a setting under another name", "keeps each setting under its own name", "set self.level in __init__")
class Forgets(Shades):
    def __init__(self, path: Path | str, *, level: int = 9) -> None:
        self.path, self._level = path, level

    def frames(self, source: Source) -> Iterator[np.ndarray]:
        yield np.full((16, 20, 3), self._level + ord(source.name), np.uint8)


_turns = itertools.count()


@plant("no order", "lists its videos in one order", "sort them by their names")
class Disorder(Shades):
    def sources(self) -> list[Source]:
        return super().sources()[:: 1 if next(_turns) % 2 else -1]


@plant("two videos of one name", "gives every video a name of its own", "paths below the root")
class Twice(Shades):
    def sources(self) -> list[Source]:
        return [Source(name="a"), Source(name="a")]


@plant("no videos and no word of it", "has videos", "give data that it can read")
class Empty(Shades):
    def sources(self) -> list[Source]:
        return []


@plant("files that are not there", "names the files that a video's frames come from", "give existing paths")
class NamesNoFile(Shades):
    def sources(self) -> list[Source]:
        return [Source(name=name, files=(Path("nowhere", name),)) for name in "ab"]


@plant("classes that are not those of its videos", ".classes names the class of every video", "name all labels")
class OtherClasses(Shades):
    def classes(self) -> list[str]:
        return ["a", "b"]


_reads = itertools.count()


@plant("frames change between two reads", "opens a to the same frames", "the source alone")
class Remembers(Shades):
    def frames(self, source: Source) -> Iterator[np.ndarray]:
        shade = next(_reads) % 200
        for _ in range(5):
            yield np.full((16, 20, 3), shade, np.uint8)


@plant("frames that follow from an instance's past", "when it is made anew", "the source alone")
class OfItsInstance(Shades):
    shade = 0

    def sources(self) -> list[Source]:
        self.shade = 7
        return super().sources()

    def frames(self, source: Source) -> Iterator[np.ndarray]:
        for _ in range(5):
            yield np.full((16, 20, 3), self.shade, np.uint8)


@plant("one file position for all", "can have two videos open at once", "share no file position")
class SharesPosition(Shades):
    position = 0

    def frames(self, source: Source) -> Iterator[np.ndarray]:
        self.position = 0
        while self.position < 5:
            yield np.full((16, 20, 3), self.position + ord(source.name), np.uint8)
            self.position += 1


@plant("one buffer for all frames", "leaves a frame as it is once it was given", "an array of its own for every frame")
class ReusesBuffer(Shades):
    def frames(self, source: Source) -> Iterator[np.ndarray]:
        buffer = np.empty((16, 20, 3), np.uint8)
        for frame in super().frames(source):
            buffer[:] = frame
            yield buffer


@plant("random frames", "opens a to the same frames", "the source alone")
class Noisy(Shades):
    def frames(self, source: Source) -> Iterator[np.ndarray]:
        for frame in super().frames(source):
            yield frame + np.random.default_rng().integers(0, 50, frame.shape, np.uint8)


@plant(
    "randomness of NumPy's global generator", "draws no number from Python's `random` or NumPy's", "gadkit.randomness"
)
class DrawsForNothing(Shades):
    def frames(self, source: Source) -> Iterator[np.ndarray]:
        np.random.rand()
        return super().frames(source)


@plant("wrong dtype", "gives frames as uint8 (H, W, 3)", "convert frames before they are given")
class Floats(Shades):
    def frames(self, source: Source) -> Iterator[np.ndarray]:
        return (frame / 255 for frame in super().frames(source))


@plant("wrong layout", "gives frames as uint8 (H, W, 3)", "convert frames before they are given")
class ChannelsFirst(Shades):
    def frames(self, source: Source) -> Iterator[np.ndarray]:
        return (frame.transpose(2, 0, 1) for frame in super().frames(source))


@plant("wrong size: another one in every frame", "gives the frames of a video in one size", "to the size of the first")
class Grows(Shades):
    def frames(self, source: Source) -> Iterator[np.ndarray]:
        return (frame[: 16 - time] for time, frame in enumerate(super().frames(source)))


@plant("times that fall", "gives times that never fall", "in the order of their presentation")
class Backwards(Shades):
    def open(self, source: Source) -> Footage:
        return Footage(fps=10.0, timed=((1.0 - time, frame) for time, frame in enumerate(self.frames(source))))


@plant("no frames and no word of it", "has frames in a", "raise gadkit.DataError")
class NoFrames(Shades):
    def frames(self, source: Source) -> Iterator[np.ndarray]:
        return iter(())


@plant("no frame rate", "tells the frame rate of a in Hz", "25 where the data tell none")
class NoRate(Shades):
    def open(self, source: Source) -> Footage:
        return Footage(fps=0.0, frames=self.frames(source))


@plant("names of one machine", "names that are the same on every machine", "by their paths below the root")
class AbsoluteNames(Shades):
    def sources(self) -> list[Source]:
        return [Source(name=f"/data/{name}") for name in "ab"]

    def frames(self, source: Source) -> Iterator[np.ndarray]:
        return super().frames(Source(name=source.name[-1]))


@plant("an error in place of no", ".accepts says yes or no of any path", "return False where there is nothing")
class AcceptsWithErrors(Shades):
    @classmethod
    def accepts(cls, path: Path | str) -> bool:
        return any(Path(path).iterdir())


@plant("accepts whatever it is asked", "accepts data that there are", "look at the path")
class AcceptsAll(Shades):
    @classmethod
    def accepts(cls, path: Path | str) -> bool:
        return True
