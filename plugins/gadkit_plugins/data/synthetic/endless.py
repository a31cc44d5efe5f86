"""Datasets that are made on the fly, without end, each video a function of (settings, index)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from gadkit import ConfigError, DataError, Dataset, Footage, Source

#: How many videos a set tells apart.
VIDEOS = 1 << 31
#: Frames that are drawn at once.
_CHUNK = 16


class Endless(Sequence[Source]):
    """A sequence of sources, each made when it is asked for.

    Args:
        make: Index to source.
        indices: Which indices; by default all `VIDEOS`.
    """

    def __init__(self, make: Callable[[int], Source], indices: range = range(VIDEOS)) -> None:
        self._make = make
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> Source: ...
    @overload
    def __getitem__(self, index: slice) -> Endless: ...
    def __getitem__(self, index: int | slice) -> Source | Endless:
        if isinstance(index, slice):
            return Endless(self._make, self._indices[index])
        return self._make(self._indices[index])


class Synthetic(Dataset):
    """A set of videos whose factors are known.

    Subclasses say what the factors of a video are and draw its frames from them. Draws are pure functions of the seed
    and the index, and frames of the factors, so a video is the same in any order, on every machine.

    Args:
        purpose: Names the set: another gives other draws for the same seed.
        seed: Another seed gives other videos.
        length: Frames of each video.
        height: H in pixels.
        width: W in pixels.
        fps: Frame rate in Hz.
    """

    access = "stream"

    def __init__(self, purpose: str, seed: int, length: int, height: int, width: int, fps: float) -> None:
        from gadkit import Key  # and with it torch, which it does not take to ask a dataset what it accepts

        self.seed, self.length, self.height, self.width, self.fps = seed, length, height, width, fps
        self._key = Key.of(seed, purpose)

    @abstractmethod
    def factors(self, source: Source) -> dict[str, NDArray[Any]]:
        """What a video of N bodies and T frames shows, as arrays.

        Positions are (x, y) in pixels: the upper left corner of a frame is (0, 0), and the centre of its first pixel
        (.5, .5). y points down.

        Returns:
            `position` and `velocity` float64 `(T, N, 2)`, in pixels and in pixels a frame; `size` float64 `(N,)` in
            pixels; and what else the set describes.
        """

    @abstractmethod
    def draw(self, factors: dict[str, NDArray[Any]], frames: range) -> NDArray[np.uint8]:
        """Some consecutive frames of a video, uint8 `(len(frames), H, W, 3)`."""

    @abstractmethod
    def label(self, index: int) -> str | None:
        """The name of a video's class."""

    def sources(self) -> Sequence[Source]:
        """2^31 videos, named by their index, made when they are asked for."""
        return Endless(lambda index: Source(name=f"{index:010d}", label=self.label(index)))

    def open(self, source: Source) -> Footage:
        """Draws a video."""
        factors = self.factors(source)
        return Footage(fps=self.fps, frames=self._frames(factors))

    def index(self, source: Source) -> int:
        """The index of a source of this set; raises `gadkit.DataError` for another's."""
        if not (source.name.isascii() and source.name.isdigit() and int(source.name) < VIDEOS):
            raise DataError(f"{source.name} is no video of this set; its videos are called 0000000000 and so on.")
        return int(source.name)

    def uniforms(self, index: int, bodies: int, size: int) -> NDArray[np.float64]:
        """Uniforms in [0, 1), `(bodies, size)`: what body n of video `index` draws does not depend on the others."""
        import torch

        from gadkit.randomness import uniform

        return uniform(self._key, torch.tensor(index), torch.arange(bodies), size, torch.float64).numpy()

    def _frames(self, factors: dict[str, NDArray[Any]]) -> Iterator[NDArray[np.uint8]]:
        for first in range(0, self.length, _CHUNK):
            yield from self.draw(factors, range(first, min(first + _CHUNK, self.length)))

    def _check_room(self, size: float) -> None:
        """That a body of `size` pixels has room to move."""
        if size > min(self.height, self.width):
            raise ConfigError(
                f"data.size: found bodies of up to {size:g} pixels, which do not fit frames of "
                f"{self.height}×{self.width}; make size smaller, or data.height and data.width larger."
            )
