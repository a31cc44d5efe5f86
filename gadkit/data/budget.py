"""Memory for decoded videos, shared by the threads that decode them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import numpy as np

from gadkit.data.machine import main_memory
from gadkit.errors import DataError
from gadkit.interfaces.dataset import Footage
from gadkit.video.geometry import Geometry

_STEP = 4 << 20
_MOST = 4 << 30


class Budget:
    """A number of bytes that may be held.

    Args:
        limit: The number; by default a quarter of the machine's free memory, at most 4 GiB.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = min(_MOST, main_memory().available // 4) if limit is None else limit
        self.held = 0
        self._lock = threading.Lock()

    def take(self, count: int) -> bool:
        """Whether `count` more bytes may be held; then they count as held."""
        with self._lock:
            if self.held + count > self.limit:
                return False
            self.held += count
            return True

    def give(self, count: int) -> None:
        """Gives bytes back."""
        with self._lock:
            self.held -= count


class Frames:
    """The frames of one video in a geometry, held as far as a budget reaches.

    Args:
        footage: The video.
        geometry: Size and rate.
        budget: What its bytes are taken from; `release` gives them back.
        beat: Called at every frame, as a sign of life.
    """

    def __init__(
        self, footage: Footage, geometry: Geometry, budget: Budget, beat: Callable[[], None] = lambda: None
    ) -> None:
        self.rate = geometry.rate(footage)
        self.length = 0
        self._budget = budget
        self._charged = 0
        self._shape = (geometry.height, geometry.width, 3)
        self._bytes: bytearray | None = bytearray()
        try:
            self._read(geometry.frames(footage), beat)
        except BaseException:
            self.release()
            raise
        if self.length == 0:
            self.release()
            raise DataError("it holds no frames.")

    def _read(self, frames: Iterator[np.ndarray], beat: Callable[[], None]) -> None:
        for frame in frames:
            beat()
            self.length += 1
            if self._bytes is None:
                continue
            if len(self._bytes) + frame.nbytes > self._charged:
                step = max(_STEP, frame.nbytes)
                if not self._budget.take(step):
                    self.release()
                    continue
                self._charged += step
            self._bytes += frame.data

    @property
    def held(self) -> np.ndarray | None:
        """uint8 `(L, H, W, 3)`; `None` where the video is only counted."""
        return None if self._bytes is None else np.frombuffer(self._bytes, np.uint8).reshape(-1, *self._shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the frames that are held."""
        return 0 if self._bytes is None else len(self._bytes)

    def settle(self) -> None:
        """Gives back what was taken beyond the frames."""
        self._budget.give(self._charged - self.nbytes)
        self._charged = self.nbytes

    def release(self) -> None:
        """Gives the memory back."""
        self._bytes = None
        self._budget.give(self._charged)
        self._charged = 0


def first_frame(place: int, length: int, span: int) -> int:
    """The frame that a clip begins with, as `gadkit.data.store.Store.clips` has it."""
    return place * (length - span + 1) >> 32


def too_short(name: str, length: int, least: int) -> str:
    """Why a video is left out."""
    return f"{name} has {length} frame{'s' * (length > 1)}, and {least} are needed."
