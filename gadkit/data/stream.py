"""Videos that are opened again at every visit, because they fit on no machine or are made on the fly."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from gadkit.data.budget import Budget, Frames, first_frame, too_short
from gadkit.data.crew import Crew
from gadkit.data.reach import ADVICE, changed_since, patiently
from gadkit.data.store import Skipped, Store
from gadkit.errors import DataError, UnavailableError
from gadkit.interfaces.dataset import ENDLESS, Dataset, Source
from gadkit.video.geometry import Geometry

#: So many videos in a row that cannot be used are an error.
PATIENCE = 100
#: Seconds without a frame from any thread, after which the data count as lost; what reads them may be patient for less.
SILENCE = 600.0
#: Of videos beyond this number, nothing is remembered.
_REMEMBERED = 1 << 20
_MOST_THREADS = 32
T = TypeVar("T")


def open_stream(
    dataset: Dataset,
    sources: Sequence[Source],
    geometry: Geometry,
    *,
    min_frames: int,
    threads: int | None = None,
    memory: int | None = None,
) -> StreamStore:
    """Opens videos to be decoded as they are needed.

    Args:
        dataset: Opens them.
        sources: The videos with their labels; a sequence of more than `ENDLESS` is never walked, and its classes are
            `dataset.classes()` where the first has a label.
        geometry: Size and rate of the frames. Where it names no rate, the first video that can be used tells it.
        min_frames: Frames that a video has at least.
        threads: How many videos are decoded at once; by default one a core.
        memory: Bytes for decoded videos; by default a quarter of the free memory, at most 4 GiB.

    Raises:
        DataError: There is no video, or the first hundred cannot be used.
    """
    return StreamStore(dataset, sources, geometry, min_frames, threads or os.cpu_count() or 1, Budget(memory))


@dataclass(frozen=True)
class _Batch:
    """What is asked for: `places[row]`, `times[row]` and `span` as in `Store.clips`; frames go to `target[row]`."""

    places: list[int]
    times: np.ndarray
    span: int
    need: int
    target: np.ndarray


class StreamStore(Store):
    """Videos that are decoded when clips of them are asked for.

    Where a clip begins depends on the length of its video, so at the first visit a video is decoded to its end. Then
    its length is known, and it is decoded as far as the last wanted frame. Half of the memory keeps the frames of what
    came first: an epoch visits every video once in an order of its own, for which no other choice hits more often.

    A video that cannot be read, or is too short, is replaced by the next one in the order of `sources`, wherever it
    would be wanted, and named in `skipped`. What cannot be reached is tried again for some seconds, and then an error
    (`gadkit.UnavailableError`), as is a video that could be read before, or that has changed since the start: to leave
    it out would make another training of it.

    Args:
        dataset: Opens the videos.
        sources: The videos.
        geometry: Size and rate of the frames.
        min_frames: Frames that a video has at least.
        threads: How many are decoded at once.
        budget: Bytes for decoded videos.
    """

    def __init__(
        self,
        dataset: Dataset,
        sources: Sequence[Source],
        geometry: Geometry,
        min_frames: int,
        threads: int,
        budget: Budget,
    ) -> None:
        if not len(sources):
            raise DataError("there are no videos; look at the data with `gadkit data inspect`.")
        self.height, self.width = geometry.height, geometry.width
        self.classes = _classes(dataset, sources)
        self.skipped = [Skipped(name, reason) for name, reason in dataset.faults()]
        self._dataset, self._sources, self._geometry, self._min_frames = dataset, sources, geometry, min_frames
        self._number_of: dict[str | None, int] = {name: number for number, name in enumerate(self.classes)}
        self._budget = budget
        self._lock = threading.Lock()
        self._pool = Crew(min(threads, _MOST_THREADS), "gadkit-stream")
        self._known: dict[int, tuple[int, float]] = {}  # the length and rate of whole videos
        self._began = time.time()
        self._beats = 0  # grows with every frame; a step that is lost between two threads does no harm
        self._bad: dict[int, str] = {}
        self._kept: dict[int, Frames] = {}
        self._kept_bytes = 0
        self._frame_bytes = self.height * self.width * self.channels
        empty = np.empty(0, np.uint8)
        first = self._serve(0, [], _Batch([], empty, min_frames, min_frames, empty))
        self.fps = round(self._known[first][1], 3)

    def __len__(self) -> int:
        """V, the number of videos."""
        return len(self._sources)

    def clips(self, videos: Tensor, places: Tensor, times: Tensor, span: int) -> tuple[Tensor, Tensor | None]:
        """Frames of clips, as the contract says; the videos of a batch are decoded side by side."""
        rows: dict[int, list[int]] = {}
        for row, number in enumerate(videos.tolist()):
            if not 0 <= number < len(self):
                raise DataError(f"video numbers must lie in [0, {len(self)}), but {number} came.")
            rows.setdefault(number, []).append(row)
        if times.numel() and not 0 <= int(times.min()) <= int(times.max()) < span:
            raise DataError(f"times must lie in [0, {span}), but {int(times.min())} to {int(times.max())} came.")
        out = torch.empty((*times.shape, self.height, self.width, self.channels), dtype=torch.uint8)
        batch = _Batch(places.tolist(), times.numpy(), span, max(span, self._min_frames), out.numpy())
        jobs = [self._pool.submit(self._serve, number, here, batch) for number, here in rows.items()]
        try:
            served = self._await(jobs)
        finally:
            for job in jobs:
                job.cancel()
        if not self.classes:
            return out, None
        labels = torch.empty(len(videos), dtype=torch.int64)
        for number, here in zip(served, rows.values(), strict=True):
            labels[here] = self._label(self._sources[number])
        return out, labels

    def _await(self, jobs: list[Future[T]]) -> list[T]:
        """What jobs give; an error where nothing at all comes any more, as from a share that does not answer."""
        seen = -1
        while wait(jobs, SILENCE, FIRST_EXCEPTION).not_done and not any(job.done() and job.exception() for job in jobs):
            if self._beats == seen:
                raise UnavailableError(
                    f"no frame of the videos came in {SILENCE:g} seconds: their disk, share or server does not answer; "
                    f"{ADVICE}."
                )
            seen = self._beats
        return [job.result() for job in jobs if job.done()]

    def _beat(self) -> None:
        self._beats += 1

    def _label(self, source: Source) -> int:
        if source.label not in self._number_of:
            raise DataError(f"{source.name} has the label {source.label!r}; expected one of {', '.join(self.classes)}.")
        return self._number_of[source.label]

    def _serve(self, number: int, rows: list[int], batch: _Batch) -> int:
        """Writes the clips of one video in some rows of a batch, and gives the number of the video that it took."""
        count = min(PATIENCE, len(self))
        for step in range(count):
            actual = (number + step) % len(self)
            if self._fill(actual, rows, batch):
                return actual
        some = [self._bad.get(each % len(self), "too short.") for each in range(number, number + min(count, 3))]
        raise DataError(
            f"{'none of the' if count == len(self) else 'not one of'} {count} videos from {self._sources[number].name} "
            f"on can be used for clips of {batch.need} frames: {' '.join(some)} Lower --frames, or look at the data "
            "with `gadkit data inspect`."
        )

    def _fill(self, number: int, rows: list[int], batch: _Batch) -> bool:
        """Writes the clips of one video; `False` where it cannot be used."""
        found = self._look(number, batch.need)
        if found is None:
            return False
        length, frames = found
        try:
            wanted = {row: first_frame(batch.places[row], length, batch.span) + batch.times[row] for row in rows}
            held = None if frames is None else frames.held
            if held is None:
                self._pick(number, wanted, batch.target)
            else:
                for row, times in wanted.items():
                    batch.target[row] = held[times]
        finally:
            if frames is not None:
                self._keep(number, frames)
        return True

    def _look(self, number: int, need: int) -> tuple[int, Frames | None] | None:
        """The length of a video and its frames where they are held; `None` where it cannot be used."""
        if number in self._bad:
            return None
        frames = self._kept.get(number)
        length = self._known[number][0] if number in self._known else None
        if frames is None and (length is None or (length >= need and self._has_room(length * self._frame_bytes))):
            try:
                frames = self._persist(number, self._decode)
            except UnavailableError:
                raise
            except DataError as error:
                self._leave_out(number, str(error))
                return None
            if length not in (None, frames.length):
                frames.release()
                raise self._changed(number, f"it has {frames.length} frames, and had {length}")
            length = frames.length
            if number < _REMEMBERED:
                self._known[number] = length, frames.rate
        assert length is not None
        if length >= need:
            return length, frames
        if frames is not None:
            self._keep(number, frames)
        if length < self._min_frames:
            self._leave_out(number, too_short(self._sources[number].name, length, self._min_frames))
        return None

    def _decode(self, source: Source) -> Frames:
        return Frames(self._dataset.open(source), self._geometry, self._budget, self._beat)

    def _persist(self, number: int, read: Callable[[Source], T]) -> T:
        """Reads a video, patiently; damage is an error of the data's place where it came while they are used."""
        source = self._sources[number]
        try:
            return patiently(lambda: read(source), source.name, source.files)
        except UnavailableError:
            raise
        except DataError as error:
            if number in self._known:
                raise self._changed(number, f"it could be read before, and now {str(error).rstrip('.')}") from error
            if changed := changed_since(self._began, source.files):
                raise self._changed(number, f"{changed} was written to, and {str(error).rstrip('.')}") from error
            raise

    def _changed(self, number: int, how: str) -> UnavailableError:
        return UnavailableError(f"{self._sources[number].name} has changed under the training: {how}; {ADVICE}.")

    def _pick(self, number: int, wanted: dict[int, np.ndarray], target: np.ndarray) -> None:
        """Decodes a video of known length as far as the last wanted frame, without holding more than one."""
        places: dict[int, list[tuple[int, int]]] = {}
        for row, times in wanted.items():
            for column, moment in enumerate(times.tolist()):
                places.setdefault(moment, []).append((row, column))
        if not places:
            return
        last = max(places)

        def read(source: Source) -> int:
            reached = -1
            for reached, frame in enumerate(self._geometry.frames(self._dataset.open(source))):
                self._beat()
                for row, column in places.get(reached, ()):
                    target[row, column] = frame
                if reached == last:
                    break
            return reached

        if (reached := self._persist(number, read)) < last:
            raise self._changed(number, f"it has {reached + 1} frames, and had {self._known[number][0]}")

    def _leave_out(self, number: int, reason: str) -> None:
        with self._lock:
            if number not in self._bad:
                self._bad[number] = reason
                self.skipped.append(Skipped(self._sources[number].name, reason))

    def _has_room(self, nbytes: int) -> bool:
        return self._kept_bytes + nbytes <= self._budget.limit // 2

    def _keep(self, number: int, frames: Frames) -> None:
        """Keeps frames for later visits, or lets them go."""
        with self._lock:
            if self._kept.get(number) is frames:
                return
            if number < _REMEMBERED and number not in self._kept and frames.nbytes and self._has_room(frames.nbytes):
                frames.settle()
                self._kept[number] = frames
                self._kept_bytes += frames.nbytes
                return
        frames.release()


def _classes(dataset: Dataset, sources: Sequence[Source]) -> tuple[str, ...]:
    if len(sources) > ENDLESS:
        return () if sources[0].label is None else tuple(dataset.classes())
    labels = {source.label for source in sources}
    return () if None in labels else tuple(sorted(label for label in labels if label is not None))
