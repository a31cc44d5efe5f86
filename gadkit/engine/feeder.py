"""Reading ahead: the clips of the next steps, while the device works on this one."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from torch import Tensor

#: Frames, uint8 `(B, N, H, W, C)`, and labels, int64 `(B,)`.
Batch = tuple[Tensor, Tensor | None]


@dataclass(frozen=True)
class Choice:
    """Which clips a batch is made of. B clips, all tensors on the CPU.

    Attributes:
        videos: int64 `(B,)`, the numbers of their videos.
        places: int64 `(B,)` in [0, 2^32): where in its video each begins (`gadkit.data.store.Store.clips`).
        flips: bool `(B,)`, which are mirrored; `None` where none is.
    """

    videos: Tensor
    places: Tensor
    flips: Tensor | None = None

    def at(self, index: Tensor) -> Choice:
        """Some of the clips, by `index`, int64 numbers `(b,)`."""
        return Choice(self.videos[index], self.places[index], None if self.flips is None else self.flips[index])


class Feeder:
    """Batches of clips by what they are made of, read in the background where they were announced.

    Args:
        read: Reads a batch: frames and labels. A function of its arguments, called from one thread at a time.
        pin: Whether frames go into page-locked memory, from which a GPU copies while it computes.
    """

    def __init__(self, read: Callable[[Choice, Tensor | None], Batch], *, pin: bool = False) -> None:
        self._read = read
        self._pin = pin
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: dict[bytes, Future[Batch]] = {}
        self.waited = 0.0

    def ahead(self, choice: Choice, times: Tensor | None) -> None:
        """Begins to read a batch that `take` will be asked for."""
        key = _key(choice, times)
        if key not in self._waiting:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, thread_name_prefix="gadkit-feeder")
            self._waiting[key] = self._pool.submit(self._make, choice, times)

    def take(self, choice: Choice, times: Tensor | None) -> Batch:
        """A batch. What was announced before it and never taken is dropped."""
        began = time.perf_counter()
        key = _key(choice, times)
        future = self._waiting.get(key)
        if future is None:
            made = self._make(choice, times)
        else:
            for passed in list(self._waiting):
                dropped = self._waiting.pop(passed)
                if passed == key:
                    break
                dropped.cancel()
            made = future.result()
        self.waited += time.perf_counter() - began
        return made

    @property
    def busy(self) -> bool:
        """Whether there are batches that were announced and not taken yet."""
        return bool(self._waiting)

    def close(self) -> None:
        """Stops reading; a batch that is being read is not waited for."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
        self._waiting.clear()

    def _make(self, choice: Choice, times: Tensor | None) -> Batch:
        frames, labels = self._read(choice, times)
        return (frames.pin_memory() if self._pin and not frames.is_cuda else frames), labels


def _key(choice: Choice, times: Tensor | None) -> bytes:
    """What tells batches apart: everything that they are made of, but for how they are mirrored afterwards."""
    parts = [choice.videos, choice.places] if times is None else [choice.videos, choice.places, times]
    return b"".join(part.numpy().tobytes() for part in parts)
