"""Videos that come once, in their own order, and are mixed on the way."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import torch
from torch import Tensor

from gadkit.data.budget import Budget, Frames, first_frame, too_short
from gadkit.data.reach import words
from gadkit.data.store import Skipped, Store
from gadkit.errors import DataError, UnavailableError
from gadkit.interfaces.dataset import Dataset, Footage, Source
from gadkit.video.geometry import Geometry

_PATIENCE = 100


def open_pipe(
    dataset: Dataset,
    geometry: Geometry,
    *,
    min_frames: int,
    shuffle: int = 256,
    labels: bool = False,
    memory: int | None = None,
) -> PipeStore:
    """Opens a dataset of `access = "pipe"`; waits for its first video.

    Args:
        dataset: Reads the videos.
        geometry: Size and rate of the frames; where it names no rate, the first video tells it.
        min_frames: Frames that a video has at least.
        shuffle: How many decoded videos are held to draw from, as far as the memory reaches.
        labels: Whether videos have the labels that the dataset gives them; its `classes()` are their names.
        memory: Bytes for decoded videos; by default a quarter of the free memory, at most 4 GiB.

    Raises:
        DataError: No video that can be used comes.
    """
    return PipeStore(dataset, geometry, min_frames, shuffle, labels, Budget(memory))


class PipeStore(Store):
    """A reservoir of decoded videos that a pipe fills.

    A clip takes a video out of the reservoir, and the next of the pipe takes its place, so that every video gives one
    clip. When the pipe has ended, what is left is drawn, each video once; then the store is `exhausted`, and goes on
    with the videos that it held last.

    Args:
        dataset: Reads the videos.
        geometry: Size and rate of the frames.
        min_frames: Frames that a video has at least.
        shuffle: How many are held.
        labels: Whether they have labels.
        budget: Bytes for decoded videos. A video that it cannot hold is left out.
    """

    ordered = False

    def __init__(
        self, dataset: Dataset, geometry: Geometry, min_frames: int, shuffle: int, labels: bool, budget: Budget
    ) -> None:
        self.height, self.width = geometry.height, geometry.width
        self.classes = tuple(dataset.classes()) if labels else ()
        self.skipped: list[Skipped] = []
        self._geometry, self._min_frames, self._shuffle, self._budget = geometry, min_frames, shuffle, budget
        self._number_of: dict[str | None, int] = {name: number for number, name in enumerate(self.classes)}
        self._dataset = dataset
        self._coming: Iterator[tuple[Source, Footage]] | None = dataset.read()
        self._lost: DataError | None = None
        self._lock = threading.Lock()
        self._held: list[tuple[Frames, int]] = []
        self._left: list[int] = []  # after the end of the pipe: which of those held gave no clip yet
        self._receive(1)
        if not self._held:
            some = " ".join(each.reason for each in self.skipped[:3])
            raise DataError(f"the pipe ended before a video of {min_frames} frames came. {some}".rstrip())
        self.fps = round(self._held[0][0].rate, 3)

    def __len__(self) -> int:
        """How many videos are held to draw from."""
        return self._shuffle

    def clips(self, videos: Tensor, places: Tensor, times: Tensor, span: int) -> tuple[Tensor, Tensor | None]:
        """Clips of the next videos: `videos` chooses among those held, so each call gives others.

        Raises:
            DataError: Nothing but damage comes, or `span` is larger than `min_frames`.
        """
        if span > self._min_frames:
            raise DataError(f"clips of {span} frames were asked of videos of at least {self._min_frames}.")
        out = torch.empty((*times.shape, self.height, self.width, self.channels), dtype=torch.uint8)
        target, wanted = out.numpy(), times.numpy()
        labels = torch.empty(len(videos), dtype=torch.int64)
        with self._lock:
            for row, (number, place) in enumerate(zip(videos.tolist(), places.tolist(), strict=True)):
                (frames, labels[row]), is_last = self._draw(number)
                held = frames.held
                assert held is not None
                target[row] = held[first_frame(place, frames.length, span) + wanted[row]]
                if is_last:
                    frames.release()
        return out, labels if self.classes else None

    def _draw(self, number: int) -> tuple[tuple[Frames, int], bool]:
        """A video and its label, and whether it has left the reservoir, as it does while the pipe goes on."""
        self._receive(self._shuffle)
        if self._coming is not None:
            drawn = self._held.pop(number % len(self._held))
            self._receive(self._shuffle)
            if self._coming is not None:
                return drawn, True
            self._held.append(drawn)
            self._left = list(range(len(self._held) - 1))
        else:
            self._left = self._left or list(range(len(self._held)))
            drawn = self._held[self._left.pop(number % len(self._left))]
        self.exhausted = self.exhausted or not self._left
        return drawn, False

    def _receive(self, count: int) -> None:
        """Fills the reservoir up to `count` videos, as far as the memory and the pipe reach."""
        bad: list[str] = []
        while self._coming is not None and len(self._held) < count and (not self._held or self._has_room()):
            if len(bad) == _PATIENCE:
                raise DataError(f"{_PATIENCE} videos in a row cannot be used: {' '.join(bad[:3])}")
            arrived = self._next(self._coming)
            if arrived is None:
                self._coming = None
                self.skipped += [Skipped(name, reason) for name, reason in self._dataset.faults()]
                return
            source, footage = arrived
            reason = self._take(source, footage)
            if reason:
                bad.append(reason)
                self.skipped.append(Skipped(source.name, reason))
            else:
                bad.clear()

    def _next(self, coming: Iterator[tuple[Source, Footage]]) -> tuple[Source, Footage] | None:
        """What comes next; `None` at the end. After an error it is the same one at every call: no end, and no gap."""
        if self._lost is None:
            try:
                return next(coming, None)
            except OSError as error:
                self._lost = UnavailableError(
                    f"the pipe cannot be read any more: {words(error)}; a pipe cannot go back, so start its writer and "
                    "the training again."
                )
                self._lost.__cause__ = error
            except DataError as error:
                self._lost = error
        raise self._lost

    def _has_room(self) -> bool:
        """Whether one more video is likely to fit: half of the memory is free."""
        return 2 * self._budget.held <= self._budget.limit

    def _take(self, source: Source, footage: Footage) -> str:
        """Decodes a video into the reservoir; gives the reason where it cannot be used."""
        if self.classes and source.label not in self._number_of:
            return f"{source.name} has the label {source.label!r}; expected one of {', '.join(self.classes)}."
        try:
            frames = Frames(footage, self._geometry, self._budget)
        except UnavailableError:
            raise
        except DataError as error:
            return str(error)
        length = frames.length
        if length < self._min_frames:
            frames.release()
            return too_short(source.name, length, self._min_frames)
        if frames.held is None:
            return f"{source.name} has {length} frames, more than the memory for decoded videos holds; cut it."
        frames.settle()
        self._held.append((frames, self._number_of.get(source.label, 0)))
        return ""
