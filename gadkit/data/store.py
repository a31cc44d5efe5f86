"""The clips that training reads, as bytes: `Store` is the contract, `ClipStore` holds every frame decoded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gadkit.data.labels import held_out
from gadkit.data.shards import Shard
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


class Store(ABC):
    """Videos, of which clips are read by number.

    Attributes:
        height: H in pixels.
        width: W in pixels.
        channels: C.
        fps: Frame rate in Hz.
        classes: The names of the classes; empty where the data have no labels.
        skipped: The videos that were left out, each with its reason.
        device: Where `clips` puts its result.
        ordered: Whether a number always means the same video. A pipe gives its videos as they come.
        held_out: How many videos were kept back from training.
        exhausted: Whether what is read once has come to its end, so that training should.
        content: What tells these videos, with their names, from others: a hash; empty where it is not known.
    """

    height: int
    width: int
    channels: int = 3
    fps: float
    classes: tuple[str, ...] = ()
    skipped: list[Skipped]
    device: torch.device = torch.device("cpu")
    ordered: bool = True
    held_out: int = 0
    exhausted: bool = False
    content: str = ""

    @abstractmethod
    def __len__(self) -> int:
        """V, the number of videos; an endless set says how many it tells apart."""

    @abstractmethod
    def clips(self, videos: Tensor, places: Tensor, times: Tensor, span: int) -> tuple[Tensor, Tensor | None]:
        """Frames of clips. A pure function of its arguments where the store is `ordered`; safe to call from a thread.

        Args:
            videos: int64 `(B,)` on the CPU, in [0, V).
            places: int64 `(B,)` on the CPU, in [0, 2^32): where in its video a clip begins. With L frames, the first is
                `places * (L - span + 1) >> 32`.
            times: int64 `(B, N)` on the CPU: which frames of each clip are wanted, in [0, span).
            span: How many frames of its video a clip takes up.

        Returns:
            uint8 `(B, N, H, W, C)`, contiguous, on the store's device; and the labels, int64 `(B,)` on the CPU, `None`
            without classes.

        Raises:
            DataError: A video cannot be read.
            UnavailableError: The data cannot be reached any more, or have changed.
        """


class ClipStore(Store):
    """Videos as uint8 frames, read by (video, frame), mapped from disk or resident on a device.

    Attributes:
        lengths: int64 `(V,)` on the CPU, the number of frames of each video.
        labels: int64 `(V,)` on the CPU, each video's index into `classes`, or `None`.
        names: The videos' names in their dataset.
        rates: The frame rates in Hz that the videos had, each once; several where footage of several rates is taken as
            one.
        columns: What a table says of each video, `(V,)`.
        sizes: The sizes (H, W) of the frames that each video was made from, where they are known.
        nbytes: Bytes of all V videos' frames: what a resident copy takes.
    """

    sizes: Sequence[tuple[int, int]] = ()

    def __init__(
        self,
        blocks: Sequence[Tensor | Shard],
        starts: Tensor,
        lengths: Tensor,
        *,
        names: list[str],
        fps: float,
        labels: Tensor | None = None,
        classes: tuple[str, ...] = (),
        rates: tuple[float, ...] = (),
        columns: Sequence[Mapping[str, str]] | None = None,
        skipped: list[Skipped] | None = None,
    ) -> None:
        """A store over frames that lie in blocks.

        Args:
            blocks: uint8 `(F_i, H, W, C)`; several only on the CPU. Shards raise `gadkit.UnavailableError` where their
                file goes away.
            starts: int64 `(V,)`, the number of each video's first frame, counted through all blocks.
            lengths: int64 `(V,)`; no video passes the end of its block.
            names: V names.
            fps: Frame rate in Hz.
            labels: int64 `(V,)` or `None`.
            classes: Names of the classes.
            rates: The frame rates that the videos had.
            columns: V rows of a table.
            skipped: What was left out.
        """
        self._blocks = list(blocks)
        self._ends = torch.tensor([len(block) for block in blocks]).cumsum(0)
        self._starts = starts
        self._resident = False
        self.height, self.width, self.channels = blocks[0].shape[1:]
        self.device = blocks[0].device
        self.lengths = lengths
        self.labels = labels
        self.names = names
        self.fps = fps
        self.classes = classes
        self.rates = rates or (fps,)
        self.columns = list(columns) if columns is not None else [{} for _ in names]
        self.skipped = skipped or []
        self.nbytes = int(lengths.sum()) * self.height * self.width * self.channels

    def __len__(self) -> int:
        """V, the number of videos."""
        return len(self.lengths)

    @property
    def resident(self) -> bool:
        """Whether every frame lies in the device's memory; otherwise frames are mapped from disk."""
        return self._resident

    def clips(self, videos: Tensor, places: Tensor, times: Tensor, span: int) -> tuple[Tensor, Tensor | None]:
        """See `Store.clips`."""
        first = (places * (self.lengths[videos] - span + 1)) >> 32
        return self._gather(videos, first.unsqueeze(1) + times), None if self.labels is None else self.labels[videos]

    def gather(self, video: Tensor, frame: Tensor) -> Tensor:
        """Frames of videos.

        Args:
            video: int64 `(B,)` on the CPU, in [0, V).
            frame: int64 `(B, N)` on the CPU, each in [0, length of its video).

        Returns:
            uint8 `(B, N, H, W, C)`, contiguous, on the store's device.

        Raises:
            DataError: A number is out of range.
        """
        self._check(video, frame)
        return self._gather(video, frame)

    def _gather(self, video: Tensor, frame: Tensor) -> Tensor:
        index = (self._starts[video].unsqueeze(1) + frame).reshape(-1)
        shape = (*frame.shape, self.height, self.width, self.channels)
        if len(self._blocks) == 1:
            return self._blocks[0].index_select(0, index.to(self.device, non_blocking=True)).view(shape)
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
        store = self._like([frames], starts, torch.arange(len(self)))
        store.skipped, store.held_out = self.skipped, self.held_out
        store._resident = True
        return store

    def split(self, group: str, fraction: float) -> tuple[ClipStore, ClipStore]:
        """The training and the held-out videos, by a hash of their groups' names (`gadkit.data.labels.held_out`).

        Both share this store's memory and its classes.

        Args:
            group: What stays together: `file`, `folder`, `regex:PATTERN` or `column:NAME`.
            fraction: The share of groups that is held out, in (0, 1).

        Raises:
            DataError: One of the parts would be empty, or a video has no group.
            ConfigError: `group` is none of these.
        """
        out = torch.tensor(held_out(self.names, self.columns, group, fraction))
        training, held = (self._like(self._blocks, self._starts, part.nonzero()[:, 0]) for part in (~out, out))
        training.skipped, training.held_out = self.skipped, len(held)
        training._resident = held._resident = self._resident
        return training, held

    def _like(self, blocks: Sequence[Tensor | Shard], starts: Tensor, videos: Tensor) -> ClipStore:
        """A store over the same or copied frames, of some of the videos."""
        numbers = videos.tolist()
        store = ClipStore(
            blocks,
            starts[videos],
            self.lengths[videos],
            names=[self.names[number] for number in numbers],
            fps=self.fps,
            labels=None if self.labels is None else self.labels[videos],
            classes=self.classes,
            rates=self.rates,
            columns=[self.columns[number] for number in numbers],
        )
        store.content = self.content
        store.sizes = [self.sizes[number] for number in numbers] if self.sizes else ()
        return store

    def _locate(self, video: int) -> tuple[Tensor | Shard, int]:
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
