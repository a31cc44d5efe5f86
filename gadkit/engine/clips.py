"""Which clips a step sees: a function of the seed and of the position in the run."""

from __future__ import annotations

import torch
from torch import Tensor

from gadkit import randomness
from gadkit.randomness import Key
from gadkit.video.pack import ClipStore
from gadkit.video.pixels import to_float


class Clips:
    """Clips of `frames` consecutive frames of the videos of a store.

    An epoch visits every video once, in an order that is a function of (seed, epoch); where a clip begins within its
    video is a function of (seed, epoch, video).

    Args:
        store: The videos, each at least `frames` long.
        key: What the order is drawn from.
        frames: T, the length of a clip.
    """

    def __init__(self, store: ClipStore, key: Key, frames: int) -> None:
        self.store = store
        self.frames = frames
        self._order = key.fold("order")
        self._offset = key.fold("offset")
        self._epochs: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self.store)

    def select(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """The clips at positions of the run.

        Args:
            positions: int64 `(B,)` on the CPU: 0 is the first clip of the run.

        Returns:
            The number of the video and the clip's first frame, int64 `(B,)` each.
        """
        size = len(self.store)
        epochs, places = positions // size, positions % size
        videos = torch.empty_like(positions)
        for epoch in sorted(set(epochs.tolist())):
            chosen = epochs == epoch
            videos[chosen] = self._permutation(epoch)[places[chosen]]
        room = self.store.lengths[videos] - self.frames + 1
        return videos, randomness.integers(self._offset, videos, epochs, room)

    def _permutation(self, epoch: int) -> Tensor:
        if epoch not in self._epochs:
            self._epochs = {past: order for past, order in self._epochs.items() if past == epoch - 1}
            self._epochs[epoch] = randomness.permutation(self._order.fold(epoch), len(self.store))
        return self._epochs[epoch]

    def pixels(
        self, videos: Tensor, starts: Tensor, times: Tensor | None, device: torch.device, dtype: torch.dtype
    ) -> Tensor:
        """The frames of clips.

        Args:
            videos: int64 `(B,)`.
            starts: int64 `(B,)`, each clip's first frame.
            times: int64 `(B, N)`, frames within the clip; `None` for all.
            device: Where they are wanted.
            dtype: The floating type they are wanted in.

        Returns:
            `(B, N, C, H, W)` in [-1, 1].
        """
        if times is None:
            times = torch.arange(self.frames).expand(len(videos), self.frames)
        frames = self.store.gather(videos, starts.unsqueeze(1) + times.to(starts.device))
        return to_float(frames.to(device, non_blocking=True), dtype)

    def labels(self, videos: Tensor, device: torch.device) -> Tensor | None:
        """The classes of videos, int64 `(B,)`, or `None` where the data have none."""
        if self.store.labels is None:
            return None
        return self.store.labels[videos].to(device)
