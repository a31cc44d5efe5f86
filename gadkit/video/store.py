"""The clips that training reads: every frame decoded, as bytes, mapped from disk or resident on a device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gadkit.errors import DataError


@dataclass(frozen=True)
class Skipped:
    """A video that was left out.

    Attributes:
        name: The video's name in its dataset.
        reason: One sentence.
    """

    name: str
    reason: str


class ClipStore:
    """Videos as uint8 frames, read by (video, frame).

    Attributes:
        height: H in pixels.
        width: W in pixels.
        channels: C.
        fps: Frame rate in Hz.
        classes: The names of the classes; empty where the data have no labels.
        lengths: int64 `(V,)` on the CPU, the number of frames of each video.
        labels: int64 `(V,)` on the CPU, each video's index into `classes`, or `None`.
        names: The videos' names in their dataset.
        skipped: The videos that were left out, each with its reason.
        nbytes: Bytes of all V videos' frames: what a resident copy takes.
        device: Where `gather` puts its result.
    """

    def __init__(
        self,
        blocks: Sequence[Tensor],
        starts: Tensor,
        lengths: Tensor,
        *,
        names: list[str],
        fps: float,
        labels: Tensor | None = None,
        classes: tuple[str, ...] = (),
        skipped: list[Skipped] | None = None,
    ) -> None:
        """A store over frames that lie in blocks.

        Args:
            blocks: uint8 `(F_i, H, W, C)`; several only on the CPU.
            starts: int64 `(V,)`, the number of each video's first frame, counted through all blocks.
            lengths: int64 `(V,)`; no video passes the end of its block.
            names: V names.
            fps: Frame rate in Hz.
            labels: int64 `(V,)` or `None`.
            classes: Names of the classes.
            skipped: What was left out.
        """
        self._blocks = list(blocks)
        self._ends = torch.tensor([len(block) for block in blocks]).cumsum(0)
        self._resident = False
        self.height, self.width, self.channels = blocks[0].shape[1:]
        self.device = blocks[0].device
        self._starts = starts.to(self.device)
        self.lengths = lengths
        self.labels = labels
        self.names = names
        self.fps = fps
        self.classes = classes
        self.skipped = skipped or []
        self.nbytes = int(lengths.sum()) * self.height * self.width * self.channels

    def __len__(self) -> int:
        """V, the number of videos."""
        return len(self.lengths)

    @property
    def resident(self) -> bool:
        """Whether every frame lies in the device's memory; otherwise frames are mapped from disk."""
        return self._resident

    def gather(self, video: Tensor, frame: Tensor) -> Tensor:
        """Frames of videos.

        Numbers on the CPU are checked. Numbers on another device are not, because that would wait for the device.

        Args:
            video: int64 `(B,)` in [0, V).
            frame: int64 `(B, N)`, each in [0, length of its video).

        Returns:
            uint8 `(B, N, H, W, C)`, contiguous, on the store's device.

        Raises:
            DataError: A number is out of range.
        """
        if frame.device.type == "cpu" and video.device.type == "cpu":
            self._check(video, frame)
        flat = self._starts[video.to(self.device)][:, None] + frame.to(self.device)
        shape = (*frame.shape, self.height, self.width, self.channels)
        index = flat.reshape(-1)
        if len(self._blocks) == 1:
            return self._blocks[0].index_select(0, index).view(shape)
        out = torch.empty((len(index), *shape[2:]), dtype=torch.uint8)
        block = torch.bucketize(index, self._ends, right=True)
        for number in sorted(set(block.tolist())):
            here = (block == number).nonzero()[:, 0]
            first = int(self._ends[number]) - len(self._blocks[number])
            out[here] = self._blocks[number].index_select(0, index[here] - first)
        return out.view(shape)

    def to(self, device: torch.device | str) -> ClipStore:
        """The store with every frame resident on `device`, in one tensor; itself where that is so already."""
        target = torch.empty(0, device=device).device
        if self._resident and self.device == target:
            return self
        frames = torch.empty(
            (int(self.lengths.sum()), self.height, self.width, self.channels), dtype=torch.uint8, device=target
        )
        starts = self.lengths.cumsum(0) - self.lengths
        for video, (start, length) in enumerate(zip(starts.tolist(), self.lengths.tolist(), strict=True)):
            block, first = self._locate(video)
            frames[start : start + length].copy_(block[first : first + length])
        store = ClipStore(
            [frames],
            starts,
            self.lengths,
            names=self.names,
            fps=self.fps,
            labels=self.labels,
            classes=self.classes,
            skipped=self.skipped,
        )
        store._resident = True
        return store

    def _locate(self, video: int) -> tuple[Tensor, int]:
        """The block that holds a video, and the video's first frame in it."""
        start = int(self._starts[video])
        number = int(torch.bucketize(torch.tensor(start), self._ends, right=True))
        return self._blocks[number], start - int(self._ends[number]) + len(self._blocks[number])

    def _check(self, video: Tensor, frame: Tensor) -> None:
        if video.numel() and not 0 <= int(video.min()) <= int(video.max()) < len(self):
            raise DataError(
                f"video numbers must lie in [0, {len(self)}), but {int(video.min())} to {int(video.max())} came."
            )
        over = (frame < 0) | (frame >= self.lengths[video][:, None])
        if bool(over.any()):
            row, column = over.nonzero()[0].tolist()
            number = int(video[row])
            raise DataError(
                f"frame {int(frame[row, column])} was asked of {self.names[number]}, which has "
                f"{int(self.lengths[number])} frames."
            )
