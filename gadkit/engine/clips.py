"""Which clips a step sees: a function of the seed and of the position in the run."""

from __future__ import annotations

import threading

import torch
from torch import Tensor

from gadkit import randomness
from gadkit.data.store import ClipStore, Store
from gadkit.engine.feeder import Choice, Feeder
from gadkit.errors import ConfigError
from gadkit.randomness import Key
from gadkit.sections import ClipSettings
from gadkit.video.pixels import to_float

#: Sets of more videos are visited in the order of their numbers: a permutation of them is not tabulated.
_TABULATED = 1 << 24
_WHOLE = 1 << 32
#: The fewest and the most positions that are drawn at once; an epoch, where it lies between them.
_PIECES = 256, 4096


class Clips:
    """Clips of the videos of a store, in an order that is a function of the seed.

    An epoch visits every video `per_video` times, in an order that is a function of (seed, epoch); where a clip begins
    within its video, and whether it is mirrored, is a function of (seed, epoch, visit).

    Args:
        store: The videos, each long enough.
        key: What the order is drawn from.
        frames: T, the length of a clip.
        stride: Every how many frames of a video one is taken.
        settings: Where clips begin, how many a video, and whether they are mirrored.

    Raises:
        ConfigError: A setting does not fit the store.
    """

    def __init__(
        self, store: Store, key: Key, frames: int, *, stride: int = 1, settings: ClipSettings | None = None
    ) -> None:
        self.store = store
        self.frames = frames
        self.stride = stride
        self.settings = settings or ClipSettings()
        self._visits = self._table()
        self._size = len(store) if self._visits is None else len(self._visits)
        self._piece_size = min(max(self._size, _PIECES[0]), _PIECES[1])
        self._lock = threading.Lock()
        self.rekey(key)
        self._feeder = Feeder(self._read, pin=store.device.type == "cpu" and torch.cuda.is_available())

    def rekey(self, key: Key) -> None:
        """Draws the order from another key, from now on."""
        with self._lock:
            self._order, self._offset, self._flip = key.fold("order"), key.fold("offset"), key.fold("flip")
            self._pieces: dict[int, Choice] = {}

    @property
    def span(self) -> int:
        """Frames of a video that a clip takes up."""
        return (self.frames - 1) * self.stride + 1

    def __len__(self) -> int:
        """Clips of an epoch."""
        return self._size

    def _table(self) -> Tensor | None:
        """The video of every visit of an epoch, int64, visits of one video in a row; `None` where each has one."""
        per_video = self.settings.per_video
        if per_video == 1:
            return None
        if per_video == "length":
            if not isinstance(self.store, ClipStore):
                raise ConfigError(
                    "clips.per_video: found 'length', but the lengths of videos that are streamed are not known before "
                    "they are read; give a number."
                )
            return torch.repeat_interleave(self.store.lengths // self.span)
        if len(self.store) > _TABULATED:
            raise ConfigError(
                f"clips.per_video: found {per_video}, but the data have no end: every clip can come from a video of "
                "its own; set it to 1."
            )
        return torch.arange(len(self.store)).repeat_interleave(per_video)

    def select(self, positions: Tensor) -> Choice:
        """The clips at positions of the run.

        Args:
            positions: int64 `(B,)` on the CPU: 0 is the first clip of the run.
        """
        pieces = positions // self._piece_size
        numbers = sorted(set(pieces.tolist()))
        if len(numbers) == 1:
            return self._piece(numbers[0]).at(positions - numbers[0] * self._piece_size)
        videos, places = torch.empty_like(positions), torch.empty_like(positions)
        flips = torch.empty(len(positions), dtype=torch.bool) if self.settings.flip else None
        for number in numbers:
            here = pieces == number
            part = self._piece(number).at(positions[here] - number * self._piece_size)
            videos[here], places[here] = part.videos, part.places
            if flips is not None and part.flips is not None:
                flips[here] = part.flips
        return Choice(videos, places, flips)

    def _piece(self, number: int) -> Choice:
        """The clips of a long run of positions, drawn at once: draws cost the same for one as for a thousand."""
        with self._lock:
            if number not in self._pieces:
                self._pieces = {old: choice for old, choice in self._pieces.items() if abs(old - number) <= 2}
                first = number * self._piece_size
                self._pieces[number] = self._draw(torch.arange(first, first + self._piece_size))
            return self._pieces[number]

    def _draw(self, positions: Tensor) -> Choice:
        epochs, visits = positions // self._size, positions % self._size
        if self._size <= _TABULATED:
            for epoch in range(int(epochs[0]), int(epochs[-1]) + 1):
                chosen = epochs == epoch
                visits[chosen] = randomness.permutation(self._order.fold(epoch), self._size)[visits[chosen]]
        videos = visits if self._visits is None else self._visits[visits]
        flips = randomness.integers(self._flip, visits, epochs, 2).bool() if self.settings.flip else None
        return Choice(videos, self._begin(visits, videos, epochs), flips)

    def _begin(self, visits: Tensor, videos: Tensor, epochs: Tensor) -> Tensor:
        if self.settings.offset == "random":
            return randomness.bits(self._offset, visits, epochs, 1).squeeze(-1)
        if self._visits is None:
            return torch.zeros_like(videos)
        # The n visits of a video begin at equal distances.
        first = torch.searchsorted(self._visits, videos)
        count = torch.searchsorted(self._visits, videos, right=True) - first
        return (visits - first) * _WHOLE // count

    def _read(self, choice: Choice, times: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if times is None:
            times = torch.arange(self.frames).expand(len(choice.videos), self.frames)
        return self.store.clips(choice.videos, choice.places, times * self.stride, self.span)

    def batch(
        self, choice: Choice, times: Tensor | None, device: torch.device, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor | None]:
        """The frames and the labels of clips.

        Args:
            choice: Which clips.
            times: int64 `(B, N)` on the CPU, frames within the clip; `None` for all.
            device: Where they are wanted.
            dtype: The floating type that the frames are wanted in.

        Returns:
            `(B, N, C, H, W)` in [-1, 1], and the classes, int64 `(B,)`, or `None` where the data have none.
        """
        frames, labels = self._feeder.take(choice, times)
        frames = frames.to(device, non_blocking=True)
        if choice.flips is not None:
            flips = choice.flips.to(device, non_blocking=True)
            frames = torch.where(flips[:, None, None, None, None], frames.flip(3), frames)
        return to_float(frames, dtype), None if labels is None else labels.to(device, non_blocking=True)

    @property
    def reads(self) -> bool:
        """Whether clips have to be read, so that it pays to say what comes next; otherwise all frames are in memory."""
        return not (isinstance(self.store, ClipStore) and self.store.resident)

    def ahead(self, choice: Choice, times: Tensor | None) -> None:
        """Begins to read clips that `batch` will be asked for.

        Args:
            choice: Which clips.
            times: As for `batch`.
        """
        if not self.store.exhausted:
            self._feeder.ahead(choice, times)

    @property
    def exhausted(self) -> bool:
        """Whether what is read once has come to its end, and everything that was read has been taken."""
        return self.store.exhausted and not self._feeder.busy

    @property
    def waited(self) -> float:
        """Seconds that `batch` has waited for clips to be read."""
        return self._feeder.waited

    def close(self) -> None:
        """Stops reading ahead."""
        self._feeder.close()
